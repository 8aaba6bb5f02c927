"""The forward model as a value: how an HR image became the LR one, and the closed-form way back.

    lr[i, j] = sum over u, v of taps[u, v] * hr[scale * i + u - k // 2, scale * j + v - k // 2] + noise

that is lr = correlate(hr, taps)[0::scale, 0::scale], no flip. Where an LR pixel's centre lies among the HR pixels is
part of the taps: a kernel that shifts the image has its centre of mass off the middle tap.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from .kernels import Kernel

_LEAST_WEIGHT = 1e-3
"""Of the start in a data step at x2 where there is no noise: below, rounding to 8 bits is amplified."""

_NOISE_WEIGHT = 3.0


Variance = TypeVar("Variance", float, Tensor)


def data_weight(scale: int, noise_variance: Variance) -> Variance:
    """The weight of the start against the data for noise of a variance, in units of the full range squared.

    Data are worth less the noisier they are. Larger scales have smaller eigenvalues, which it follows.
    """
    return (_LEAST_WEIGHT + _NOISE_WEIGHT * noise_variance) * (2 / scale) ** 2


@dataclass(frozen=True)
class Degradation:
    """Kernel, scale and noise: `apply` is the camera, `data_step` the least-squares way back."""

    kernel: Kernel
    scale: int
    noise: float = 0.0
    """Standard deviation, in units of the full range."""

    @property
    def weight(self) -> float:
        return data_weight(self.scale, self.noise**2)

    def apply(self, hr: Tensor) -> Tensor:
        """(..., H, W) floating point, sides multiples of `scale`, to (..., H / scale, W / scale), without noise.

        Beyond its borders the image is mirrored with the edge sample repeated, as `resample.downscale` does.
        """
        height, width = hr.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(f"scale {self.scale} needs multiples of {self.scale}, got {height} x {width}: crop first")
        return self._observe(_mirrored(hr, self.kernel.side // 2))

    def data_step(self, lr: Tensor, start: Tensor, known: Tensor | None = None, weight: float | None = None) -> Tensor:
        """argmin over x of |apply(x) - lr|^2 + weight |x - start|^2, in closed form.

        Zhang, Van Gool, Timofte 2020 (USRNet), eq. 7, in the form x = start + D'(D D' + weight)^-1 (lr - D start): D D'
        is a convolution on the LR grid. Beyond the image and where `known` is False the data are those of the start,
        so that nothing pulls there.

        Args:
            lr: (..., h, w) floating point.
            start: (..., h * scale, w * scale).
            known: (..., h, w) bool; None for everywhere.
            weight: instead of `self.weight`; above 0.

        Returns:
            (..., h * scale, w * scale), not clamped.
        """
        reach = self.kernel.side // 2
        missing = lr - self._observe(_mirrored(start, reach))
        if known is not None:
            missing = torch.where(known, missing, torch.zeros_like(missing))
        return start + self._spread(self._solve(missing, self.weight if weight is None else weight))

    def _observe(self, padded: Tensor) -> Tensor:
        """The LR image of an HR image that has `side // 2` more pixels on each side."""
        taps = self.kernel.taps.to(padded)[None, None]
        lead = padded.shape[:-2]
        observed = conv2d(padded.reshape(-1, 1, *padded.shape[-2:]), taps, stride=self.scale)
        return observed.reshape(*lead, *observed.shape[-2:])

    def _spread(self, lr: Tensor) -> Tensor:
        """The adjoint of `_observe`, cut to the image, of an LR image that has `_rim` more pixels on each side."""
        taps = self.kernel.taps.to(lr)[None, None]
        spread = conv_transpose2d(lr.reshape(-1, 1, *lr.shape[-2:]), taps, stride=self.scale)
        first = self._rim * self.scale + self.kernel.side // 2
        height, width = ((side - 2 * self._rim) * self.scale for side in lr.shape[-2:])
        inside = spread[:, 0, first : first + height, first : first + width]
        return inside.reshape(*lr.shape[:-2], height, width)

    @property
    def _rim(self) -> int:
        """LR pixels beyond the image whose data reach into it."""
        return 1 + (self.kernel.side // 2) // self.scale

    def _solve(self, missing: Tensor, weight: float) -> Tensor:
        """(D D' + weight)^-1 of (..., h, w), which is 0 beyond the image: (..., h, w) with `_rim` on each side."""
        height, width = missing.shape[-2:]
        margin = self.reach
        size = (_fast(height + 2 * margin), _fast(width + 2 * margin))
        padded = pad(missing, (margin, size[1] - width - margin, margin, size[0] - height - margin))
        spectrum = torch.fft.rfft2(padded) / (self._gram(size).to(missing) + weight)
        solved: Tensor = torch.fft.irfft2(spectrum, s=size)
        before, after = margin - self._rim, margin + self._rim
        return solved[..., before : after + height, before : after + width]

    @cached_property
    def reach(self) -> int:
        """LR pixels beyond which `data_step` carries less than 1e-4 of a change of one LR pixel, kernel included."""
        size, bound = (256, 256), 1e-4
        response = torch.fft.irfft2(1 / (self._gram(size) + self.weight), s=size).abs()
        response = torch.fft.fftshift(response) / response.max()
        carries = (response > bound).nonzero() - 128
        own = math.ceil((self.kernel.side // 2) / self.scale)
        return max(self._rim, min(96, int(carries.abs().max()) + own))

    def _gram(self, size: tuple[int, int]) -> Tensor:
        """D D' over an LR grid of `size`, as the real transform that `rfft2` has: float64."""
        taps = self.kernel.taps
        side = len(taps)
        auto = conv2d(pad(taps, (side - 1,) * 4)[None, None], taps[None, None])[0, 0]  # (2 side - 1) squared
        first = (side - 1) % self.scale
        sampled = auto[first :: self.scale, first :: self.scale]
        half = (side - 1) // self.scale
        grid = torch.zeros(size, dtype=torch.float64)
        rows = (torch.arange(len(sampled)) - half) % size[0]
        columns = (torch.arange(len(sampled)) - half) % size[1]
        grid.index_put_((rows[:, None], columns[None, :]), sampled, accumulate=True)
        transform: Tensor = torch.fft.rfft2(grid)
        return transform.real.clamp_min(0)


def _mirrored(image: Tensor, margin: int) -> Tensor:
    """(..., H, W) with `margin` pixels more on each side, mirrored, the edge sample repeated."""
    for axis in (-2, -1):
        length = image.shape[axis]
        index = torch.arange(-margin, length + margin, device=image.device) % (2 * length)
        image = image.index_select(axis, torch.minimum(index, 2 * length - 1 - index))
    return image


def _fast(length: int) -> int:
    """The next length that transforms fast: 2^a 3^b 5^c."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
