"""The forward model as a value: how the LR image arose from the HR image, and its closed-form inverse.

    lr[i, j] = sum over u, v of taps[u, v] * hr[scale * i + u - k // 2, scale * j + v - k // 2] + noise

that is lr = correlate(hr, taps)[0::scale, 0::scale], no flip. The position of an LR pixel's centre among the HR pixels
is part of the taps: a kernel that shifts the image has its centre of mass off the middle of the LR pixel.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..image.borders import mirrored
from ..image.domain import only_known
from ..image.resample import downscale, upscale
from .correlating import correlate, spread
from .fourier import fast_length, spectrum
from .kernels import UNLIKE_GAUSSIAN, Kernel, bicubic, middle, unlike_gaussian

_LEAST_WEIGHT = 1e-3
"""Weight of the start in a data step at x2 without noise; a smaller one would amplify rounding to 8 bits."""

_NOISE_WEIGHT = 3.0

_CARRIED = 1e-4
"""Share of a change that is too small to be seen in a tile."""

_FARTHEST, _UNSEEN = 96, 1e-3
"""LR pixels that `reach` may have, and the share of a change that may be carried beyond: with twice as much, tiles of a
picture blurred by long motions differed from the whole by a grey level."""

_MIDDLE = 128
"""LR pixels to each side for which it is computed how far a change is carried."""

_NO_SHIFT = 1e-3
"""Shift, in HR pixels, that counts as none."""

_SEPARABLE = 1e-9
"""Share of a kernel's largest singular value; a second one below this is rounding, and the kernel is separable."""

_SIZES = 4
"""Sizes of images whose spectra are kept: the tiles of a row have as many. Those of 13 bands take 24 MB a size."""


Variance = TypeVar("Variance", float, Tensor)


def data_weight(scale: int, noise_variance: Variance) -> Variance:
    """Return the weight of the start against the data, for a noise variance in units of the full range squared.

    The noisier the data, the less they count. A larger scale has smaller eigenvalues and gets a smaller weight.
    """
    return (_LEAST_WEIGHT + _NOISE_WEIGHT * noise_variance) * (2 / scale) ** 2


@dataclass(frozen=True, eq=False)
class Degradation:
    """Kernels, scale and noise: `apply` is the forward model, `data_step` its least-squares inverse."""

    kernels: tuple[Kernel, ...]
    """One for all bands, or one per band."""
    scale: int
    noise: tuple[float, ...] = (0.0,)
    """Standard deviation in units of the full range: one for all bands, or one per band."""

    @property
    def weight(self) -> Tensor:
        """Weight of the start in a data step: (1, 1, 1), or (C, 1, 1) where bands differ in noise."""
        return self.weight_at(1.0)

    def weight_at(self, doubt: float) -> Tensor:
        """Return `weight` for `doubt` times the variance of the noise."""
        variance = doubt * torch.tensor(self.noise, dtype=torch.float64).square()
        return torch.maximum(data_weight(self.scale, variance)[:, None, None], self._least_weight)

    @cached_property
    def _least_weight(self) -> Tensor:
        """(1 or C, 1, 1): more than without noise where a step would carry too far, as for a motion of 20 HR pixels."""
        weight = torch.full((len(self.kernels), 1, 1), data_weight(self.scale, 0.0), dtype=torch.float64)
        near = slice(_MIDDLE - _FARTHEST, _MIDDLE + _FARTHEST + 1)
        while True:
            carried = self._carried(weight)
            carried[:, near, near] = 0
            far = carried.amax((1, 2), keepdim=True) > _UNSEEN
            if not far.any():
                return weight
            weight = torch.where(far, 2 * weight, weight)

    @cached_property
    def is_bicubic(self) -> bool:
        """Whether every kernel is MATLAB's bicubic, which `resample.downscale` computes bit for bit."""
        taps = bicubic(self.scale).taps
        return all(each.taps.shape == taps.shape and torch.equal(each.taps, taps) for each in self.kernels)

    @cached_property
    def is_centred(self) -> bool:
        """Whether no kernel shifts the image."""
        middles = [at - middle(self.scale) for kernel in self.kernels for at in kernel.centre]
        return max(map(abs, middles)) < _NO_SHIFT

    @cached_property
    def is_unlike_gaussian(self) -> bool:
        """Whether a kernel is, as motions and lenses out of focus are: some waves it does not show at all."""
        return any(unlike_gaussian(kernel) > UNLIKE_GAUSSIAN for kernel in self.kernels)

    @property
    def is_noisy(self) -> bool:
        return max(self.noise) > 0

    @cached_property
    def clear(self) -> "Degradation":
        """The same without noise, the same one each time."""
        return Degradation(self.kernels, self.scale) if self.is_noisy else self

    def of_bands(self, first: int, stop: int) -> "Degradation":
        """Return the degradation of the bands from `first` to `stop`, the same one each time: it keeps its filters."""
        if len(self.kernels) == len(self.noise) == 1:
            return self
        if (first, stop) not in self._parts:
            kernels = self.kernels if len(self.kernels) == 1 else self.kernels[first:stop]
            noise = self.noise if len(self.noise) == 1 else self.noise[first:stop]
            self._parts[first, stop] = replace(self, kernels=kernels, noise=noise)
        return self._parts[first, stop]

    @cached_property
    def _parts(self) -> dict[tuple[int, int], "Degradation"]:
        return {}

    def of_mean(self) -> "Degradation":
        """Return an approximate degradation of the mean band, where kernels or noise differ between bands."""
        return replace(self, kernels=(Kernel(self._taps.mean(0)),), noise=(sum(self.noise) / len(self.noise),))

    def apply(self, hr: Tensor) -> Tensor:
        """Shrink (..., C, H, W) to (..., C, H / scale, W / scale), without noise.

        Takes floating point and, for MATLAB's bicubic only, uint8, rounded as MATLAB does. The border is mirrored with
        the edge sample repeated, as in `resample.downscale`. Raises ValueError if H or W is not a multiple of `scale`.
        """
        height, width = hr.shape[-2:]
        if height % self.scale or width % self.scale:
            raise ValueError(f"scale {self.scale} needs multiples of {self.scale}, got {height} x {width}: crop first")
        if self.is_bicubic:
            return downscale(hr, self.scale)
        return self.observe(mirrored(hr, self.side // 2))

    def data_step(
        self, lr: Tensor, start: Tensor, known: Tensor | None = None, weight: Tensor | float | None = None
    ) -> Tensor:
        """Return argmin over x of |apply(x) - lr|^2 + weight |x - start|^2, in closed form.

        Zhang, Van Gool, Timofte 2020 (USRNet), eq. 7, in the form x = start + D'(D D' + weight)^-1 (lr - D start),
        where D D' is a convolution on the LR grid. Beyond the image and where `known` is False the data are taken to
        agree with the start, so that they change nothing; near the border, which `apply` mirrors, it is not exact.

        Args:
            lr: (..., C, h, w) floating point.
            start: (..., C, h * scale, w * scale).
            known: (..., C, h, w) bool; None if all samples are known.
            weight: replaces `self.weight`; above 0, a tensor on the CPU like it.

        Returns:
            (..., C, h * scale, w * scale), not clamped.
        """
        weight = self.weight if weight is None else weight
        return start + self.answer((only_known(lr - self.apply(start), known), weight))

    def answer(self, *residuals: tuple[Tensor, Tensor | float]) -> Tensor:
        """Return what `data_step` adds for residuals (..., C, h, w) of some weights: D' (D D' + weight)^-1 of each."""
        return self._spread(torch.stack([self._solve(*each) for each in residuals]).sum(0))

    def handed_back(self, lr: Tensor) -> Tensor:
        """Return the adjoint of `apply` times scale squared: (..., C, h, w) to (..., C, h * scale, w * scale).

        Each HR pixel gets a share of the LR pixels that depend on it. For MATLAB's bicubic this is `resample.upscale`.
        The border of the LR image is mirrored.
        """
        if self.is_bicubic:
            return upscale(lr, self.scale)
        return self.scale**2 * self._spread(mirrored(lr, self._rim))

    @cached_property
    def side(self) -> int:
        """Side of the widest kernel, in HR pixels; at least 3.

        A single tap is given zeros around it, because `observe` shrinks only along axes on which a filter is longer.
        """
        return max(3, *(kernel.side for kernel in self.kernels))

    @cached_property
    def _taps(self) -> Tensor:
        """(1 or C, side, side) float64: all kernels padded to the same side."""
        margins = [(self.side - kernel.side) // 2 for kernel in self.kernels]
        return torch.stack([pad(kernel.taps, (m,) * 4) for kernel, m in zip(self.kernels, margins, strict=True)])

    @cached_property
    def _filters(self) -> tuple[Tensor, ...]:
        """Filters to correlate with one after the other, each (1 or C, 1, rows, columns).

        If every kernel is separable they are a column and a row: 2 k multiplications instead of k^2.
        """
        left, size, right = torch.linalg.svd(self._taps)
        if bool((size[:, 1:2] > _SEPARABLE * size[:, :1]).any()):
            return (self._taps[:, None],)
        root = size[:, 0].sqrt()[:, None]
        return (left[:, :, 0] * root)[:, None, :, None], (right[:, 0] * root)[:, None, None, :]

    def observe(self, padded: Tensor) -> Tensor:
        """Return the LR image of an HR image that was padded by `side // 2` pixels on each side."""
        image = padded.reshape(-1, len(self.kernels), *padded.shape[-2:])
        for taps in self._filters:
            image = correlate(image, taps, self.scale)
        return image.reshape(*padded.shape[:-2], *image.shape[-2:])

    def _spread(self, lr: Tensor) -> Tensor:
        """Return the adjoint of `observe`, cropped to the image, for an LR image padded by `_rim` on each side."""
        image = lr.reshape(-1, len(self.kernels), *lr.shape[-2:])
        for taps in reversed(self._filters):
            image = spread(image, taps, self.scale)
        first = self._rim * self.scale + self.side // 2
        height, width = ((side - 2 * self._rim) * self.scale for side in lr.shape[-2:])
        inside = image[..., first : first + height, first : first + width]
        return inside.reshape(*lr.shape[:-2], height, width)

    @property
    def _rim(self) -> int:
        """How many LR pixels beyond the image still affect HR pixels in it."""
        return 1 + (self.side // 2) // self.scale

    def _solve(self, missing: Tensor, weight: Tensor | float) -> Tensor:
        """Return (D D' + weight)^-1 of (..., C, h, w), which is 0 outside; the result has `_rim` more on each side."""
        height, width = missing.shape[-2:]
        margin = self.reach
        size = (fast_length(height + 2 * margin), fast_length(width + 2 * margin))
        padded = pad(missing, (margin, size[1] - width - margin, margin, size[0] - height - margin))
        divisor = (self._gram(size) + weight).to(missing)
        if missing.ndim == 2:
            divisor = divisor[0]
        solved: Tensor = torch.fft.irfft2(torch.fft.rfft2(padded) / divisor, s=size)
        before, after = margin - self._rim, margin + self._rim
        return solved[..., before : after + height, before : after + width]

    @cached_property
    def reach(self) -> int:
        """LR pixels beyond which `data_step` carries less than 1e-4 of a change in one LR pixel, kernel included.

        If it carries more than that farther than 96, they are 96, and it carries less than 1e-3 beyond.
        """
        carries = (self._carried(self.weight) > _CARRIED).nonzero()[:, 1:] - _MIDDLE
        own = math.ceil((self.side // 2) / self.scale)
        return max(self._rim, min(_FARTHEST, int(carries.abs().max()) + own))

    def _carried(self, weight: Tensor) -> Tensor:
        """Return the share of a change in the middle LR pixel that a step carries to others, (1 or C, 256, 256)."""
        size = (2 * _MIDDLE, 2 * _MIDDLE)
        response = torch.fft.irfft2(1 / (self._gram(size) + weight), s=size).abs()
        share: Tensor = torch.fft.fftshift(response / response.amax((1, 2), keepdim=True), dim=(1, 2))
        return share

    def response(self, around: int) -> Tensor:
        """Return the change by `data_step` for a residual of 1 in one LR pixel: (1 or C, n s, n s) float64.

        The LR pixel is in the middle, n = 2 `around` + 1, and what lies more than `around` LR pixels away is cut off.
        """
        one = torch.ones(max(len(self.kernels), len(self.noise)), 1, 1, dtype=torch.float64)
        return self.answer((pad(one, (around,) * 4), self.weight))

    @cached_property
    def gains(self) -> tuple[Tensor, Tensor]:
        """Smallest and largest gain, over frequencies, of `apply` after `handed_back`: (1 or C, 1, 1) float64 each."""
        gram = self.scale**2 * self._gram((128, 128))
        return gram.amin((1, 2), keepdim=True), gram.amax((1, 2), keepdim=True)

    @cached_property
    def _grams(self) -> dict[tuple[int, int], Tensor]:
        return {}

    def _gram(self, size: tuple[int, int]) -> Tensor:
        """Return the real spectrum of D D' on an LR grid of `size`, laid out as by `rfft2`: (1 or C, ...) float64.

        Those of the `_SIZES` sizes that were asked for last are kept. Threads may ask at the same time.
        """
        gram = self._grams.pop(size, None)
        if gram is None:
            gram = torch.stack([spectrum(correlation, size) for correlation in self._correlations])
        self._grams[size] = gram  # as the youngest
        for oldest in list(self._grams)[:-_SIZES]:
            self._grams.pop(oldest, None)
        return gram

    @cached_property
    def _correlations(self) -> Tensor:
        """The kernels' autocorrelations on the LR grid, (1 or C, odd, odd): D D' convolves with them."""
        around = self.side - 1
        wide = pad(self._taps, (around - around % self.scale, around) * 2)
        return correlate(wide[None], self._taps[:, None], self.scale)[0]
