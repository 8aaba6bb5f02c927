"""Scenes as nature has them: a power spectrum of 1 / f^2.2, phases at random; and what cameras see of them."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import gaussian

_FINE = 4
"""Scene pixels for one of the camera's: the blur is made where the scene is fine."""

_SPREAD = 0.3
"""Of scenes' exponents."""

_DIRECTED = 0.5
"""Of the logarithm of power by direction, as of grass, slats and rows of houses."""


def scene(side: int, seed: int = 0, bands: int = 1, exponent: float = 2.2) -> Tensor:
    """(bands, side, side) float32, the same in all bands, within [0, 1], busier on one side."""
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    radius = torch.hypot(frequency[:, None], frequency[None]).clamp_min(1 / side)
    phases = torch.fft.fft2(torch.randn(side, side, dtype=torch.float64, generator=Generator().manual_seed(seed)))
    field = torch.fft.ifft2(phases * radius ** (-exponent / 2)).real
    field = field / field.std() * torch.linspace(0.03, 0.13, side, dtype=torch.float64)
    return (0.5 + field).clamp(0, 1).float().expand(bands, -1, -1).contiguous()


def seen(hr: Tensor, sigma_1: float, sigma_2: float, degrees: float, scale: int = 2, noise: float = 0.0) -> Tensor:
    """What a camera with a Gaussian blur, in HR pixels, saw of a scene: 8 bits, with noise in grey levels."""
    lr = Degradation((gaussian(sigma_1, sigma_2, degrees, scale),), scale).apply(hr)
    lr = lr + noise / 255 * torch.randn(lr.shape, generator=Generator().manual_seed(1))
    return (lr * 255).round().clamp(0, 255) / 255


def sharpened(lr: Tensor, amount: float) -> Tensor:
    """By an unsharp mask whose Gaussian has one LR pixel."""
    side = lr.shape[-1]
    frequency = torch.fft.fftfreq(side, dtype=torch.float64)
    square = frequency[:, None] ** 2 + frequency[None] ** 2
    lifted = 1 + amount * (1 - torch.exp(-2 * torch.pi**2 * square))
    return torch.fft.ifft2(torch.fft.fft2(lr.double()) * lifted).real.float()


def seen_scene(covariance: tuple[float, float, float], seed: int = 0, side: int = 144) -> NDArray[np.uint8]:
    """(side, side) uint8 of a scene of random phases, whose power falls by an exponent of about 2.2.

    Args:
        covariance: of the blur, in the camera's pixels squared: xx, xy, yy.
        seed: of the scene, not of the camera.
    """
    generator = Generator().manual_seed(seed)
    drawn = torch.randn(3, generator=generator).tolist()
    fine = _FINE * side
    white = torch.fft.fft2(torch.randn(fine, fine, generator=generator))
    cycles = torch.fft.fftfreq(fine) * _FINE
    y, x = torch.meshgrid(cycles, cycles, indexing="ij")
    radius, turn = torch.hypot(x, y).clamp_min(1e-6), 2 * torch.atan2(y, x)
    logs = _DIRECTED * (drawn[1] * turn.cos() + drawn[2] * turn.sin()) - (2.2 + _SPREAD * drawn[0]) * radius.log()
    xx, xy, yy = covariance
    logs -= 4 * math.pi**2 * (xx * x.square() + 2 * xy * x * y + yy * y.square())
    amplitude = (logs / 2).exp()
    amplitude[0, 0] = 0
    image = torch.fft.ifft2(white * amplitude).real[::_FINE, ::_FINE]
    return (128 + 40 * image / image.std()).round().clamp(0, 255).byte().numpy()
