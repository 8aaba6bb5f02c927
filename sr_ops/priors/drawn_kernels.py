"""Kernels drawn at random, of every kind that a camera may have, for training priors."""

import math

import torch
from torch import Generator, Tensor
from torch.nn.functional import pad

from ..camera.kernels import Kernel, bicubic, bilinear, box, lanczos, middle

BANK_SIDE = 41
"""Side of the square that holds each kernel, in HR pixels."""

_SHARPEST, _SOFTEST, _LONGEST = 0.25, 0.62, 0.15
"""Range of the standard deviation of a camera's blur in LR pixels, and how much longer or shorter it is across."""


def kernel_bank(scale: int, count: int, bicubics: float, seed: int, device: torch.device) -> Tensor:
    """Return (count, 41, 41) float32 kernels: a share `bicubics` of bicubic ones, the others of every kind."""
    generator = Generator().manual_seed(seed)
    fixed = [in_bank(bicubic(scale))] * round(bicubics * count)
    named = [in_bank(make(scale)) for make in (box, bilinear, lanczos)] * max(1, round(0.02 * count))
    motion = [_motion(scale, generator) for _ in range(round(0.14 * count))]
    gaussians = _gaussians(scale, count - len(fixed) - len(named) - len(motion), generator)
    return torch.cat([torch.stack([*fixed, *named, *motion]), gaussians]).float().to(device)


def in_bank(kernel: Kernel) -> Tensor:
    """Return the kernel's taps padded to (41, 41), the middle tap in the middle."""
    margin = (BANK_SIDE - kernel.side) // 2
    return pad(kernel.taps, (margin,) * 4)


def _gaussians(scale: int, count: int, generator: Generator) -> Tensor:
    """Draw isotropic and anisotropic Gaussians, some sharpened, at the two usual phases or at random ones."""
    widest = 0.65 * scale + 1.3
    first, second, angle, kind, phase = torch.rand(5, count, generator=generator, dtype=torch.float64)
    sigma_1 = 0.25 + first * (widest - 0.25)
    sigma_2 = torch.where(kind < 0.4, sigma_1, 0.25 + second * (widest - 0.25))
    angle = angle * math.pi
    centred, corner = torch.full((count,), middle(scale), dtype=torch.float64), torch.zeros(count, dtype=torch.float64)
    random = torch.rand(2, count, generator=generator, dtype=torch.float64) * (scale + 1) - 1
    rows = torch.where(phase < 0.45, centred, torch.where(phase < 0.8, corner, random[0]))
    columns = torch.where(phase < 0.45, centred, torch.where(phase < 0.8, corner, random[1]))
    grid = torch.arange(BANK_SIDE, dtype=torch.float64) - BANK_SIDE // 2
    y, x = grid[None, :, None] - rows[:, None, None], grid[None, None, :] - columns[:, None, None]
    cosine, sine = angle.cos()[:, None, None], angle.sin()[:, None, None]

    def bell(widen: float) -> Tensor:
        s1, s2 = (sigma_1 * widen)[:, None, None], (sigma_2 * widen)[:, None, None]
        taps = torch.exp(-0.5 * (((x * cosine + y * sine) / s1) ** 2 + ((y * cosine - x * sine) / s2) ** 2))
        return taps / taps.sum((1, 2), keepdim=True)

    amount = torch.rand(count, generator=generator, dtype=torch.float64)
    amount = torch.where(amount < 0.12, amount / 0.12, torch.zeros_like(amount))[:, None, None]
    return (1 + amount) * bell(1.0) - amount * bell(1.8)


def cameras(scale: int, count: int, generator: Generator) -> Tensor:
    """Return (count, 41, 41) float64: centred Gaussians of the widths that lenses and sensors usually have."""
    first, long, angle = torch.rand(3, count, generator=generator, dtype=torch.float64)
    sigma = scale * (_SHARPEST + first * (_SOFTEST - _SHARPEST))
    stretch = 1 + _LONGEST * (2 * long - 1)
    grid = torch.arange(BANK_SIDE, dtype=torch.float64) - BANK_SIDE // 2 - middle(scale)
    along = grid[None, :] * (angle * math.pi).cos()[:, None], grid[None, :] * (angle * math.pi).sin()[:, None]
    x = along[0][:, None, :] + along[1][:, :, None]
    y = along[0][:, :, None] - along[1][:, None, :]
    taps = torch.exp(-0.5 * ((x / sigma[:, None, None]) ** 2 + (y / (sigma * stretch)[:, None, None]) ** 2))
    return taps / taps.sum((1, 2), keepdim=True)


def _motion(scale: int, generator: Generator) -> Tensor:
    """Draw the path of a shaken camera: a random walk whose direction turns slowly, drawn with a small pen."""
    steps = 60
    length, straight, start = torch.rand(3, generator=generator, dtype=torch.float64).tolist()
    turns = torch.randn(steps, generator=generator, dtype=torch.float64) * (0.02 + 0.35 * straight**2)
    direction = 2 * math.pi * start + turns.cumsum(0)
    reach = (3 + 15 * length) / steps
    path = torch.stack([direction.sin(), direction.cos()]).cumsum(1) * reach
    middle_of_path = path.mean(1, keepdim=True)
    jitter = torch.rand(2, 1, generator=generator, dtype=torch.float64) * 2 - 1
    at = torch.rand((), generator=generator).item()
    path = path - middle_of_path + jitter + (middle(scale) if at < 0.5 else 0.0)
    grid = torch.arange(BANK_SIDE, dtype=torch.float64) - BANK_SIDE // 2
    pen = 0.35 + 0.4 * torch.rand((), generator=generator).item()
    rows = torch.exp(-0.5 * ((grid[:, None] - path[0]) / pen) ** 2)
    columns = torch.exp(-0.5 * ((grid[:, None] - path[1]) / pen) ** 2)
    taps = rows @ columns.T
    return taps / taps.sum()
