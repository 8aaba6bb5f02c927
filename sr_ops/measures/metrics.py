"""PSNR and SSIM by the protocol of the super-resolution field: on luma of rounded 8-bit images, without the border."""

from dataclasses import dataclass, replace
from math import inf, log10, nan

import torch
from torch import Tensor
from torch.nn.functional import conv2d, max_pool2d

_SSIM_WINDOW, _SIGMA = 11, 1.5
_C1, _C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
"""Constants of SSIM that keep dark and flat windows from dividing by zero."""

REACH = _SSIM_WINDOW // 2
"""How many pixels around a pixel its SSIM depends on."""

Part = tuple[slice, slice]
"""Rows and columns, with a start and a stop."""


def luma(image: Tensor) -> Tensor:
    """Return Y of ITU-R BT.601 in 16..235, (H, W) float64, for 8-bit levels 0..255.

    (3, H, W) is RGB. (1, H, W) is taken to be luma already, as published Set14 means do for `bridge`.
    """
    if len(image) == 1:
        return image[0].double()
    red, green, blue = image.double()
    y: Tensor = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return y


@dataclass(frozen=True)
class Likeness:
    """The similarity of a part of an image to its ground truth, on luma, as sums; sums of parts can be added."""

    squared: float = 0.0
    """Sum of squared differences in luma."""
    pixels: int = 0
    similarity: float = 0.0
    """Sum of the SSIM (Wang et al. 2004: 11 x 11 Gaussian window, sigma 1.5) over all windows."""
    windows: int = 0

    @classmethod
    def of(cls, image: Tensor, truth: Tensor, known: Tensor | None = None, part: Part | None = None) -> "Likeness":
        """Compare two (C, H, W) of 8-bit levels, over known pixels and over windows in which all pixels are known.

        Args:
            known: (H, W) bool; None if all pixels are known.
            part: the pixels, and the window centres, that count; None for all.
        """
        y, y_truth = luma(image), luma(truth)
        owned = torch.zeros(y.shape, dtype=torch.bool, device=y.device)
        owned[part or (...,)] = True
        error = (y - y_truth)[owned if known is None else owned & known].square()
        of_pixels = cls(float(error.sum()), error.numel())
        if min(y.shape) < _SSIM_WINDOW:
            return of_pixels
        centres = owned[_INSIDE]
        if known is not None and not bool(known.all()):
            centres = centres & (max_pool2d((~known)[None].float(), _SSIM_WINDOW, stride=1)[0] == 0)
        values = _ssim(y, y_truth)[centres]
        return replace(of_pixels, similarity=float(values.sum()), windows=values.numel())

    def __add__(self, other: "Likeness") -> "Likeness":
        return Likeness(
            self.squared + other.squared,
            self.pixels + other.pixels,
            self.similarity + other.similarity,
            self.windows + other.windows,
        )

    @property
    def psnr(self) -> float:
        """PSNR in dB for a peak of 255: inf for equal pixels, nan without pixels."""
        if not self.pixels:
            return nan
        return 10 * log10(255**2 / (self.squared / self.pixels)) if self.squared else inf

    @property
    def ssim(self) -> float:
        """Mean SSIM over the windows; nan without windows."""
        return self.similarity / self.windows if self.windows else nan


_INSIDE = (slice(REACH, -REACH), slice(REACH, -REACH))
"""Centres of windows that lie inside the image; the field's SSIM averages over these."""


def inner(height: int, width: int, border: int) -> Part:
    """Return the image without `border` pixels on each side (the field uses `scale`); ValueError if nothing is left."""
    if min(height, width) <= 2 * border:
        raise ValueError(f"a border of {border} leaves nothing of {height} x {width} pixels")
    return slice(border, height - border), slice(border, width - border)


def psnr_y(image: Tensor, truth: Tensor, border: int) -> float:
    """Return the PSNR in dB of the luma of two (C, H, W) images of 8-bit levels, without `border` pixels."""
    height, width = image.shape[-2:]
    error = (luma(image) - luma(truth))[inner(height, width, border)].square()
    return Likeness(float(error.sum()), error.numel()).psnr


def _ssim(y: Tensor, truth: Tensor) -> Tensor:
    """Return (H - 10, W - 10) float64: the SSIM of every window inside the image (Wang et al. 2004, equation 13)."""
    moments = torch.stack([y, truth, y * y, truth * truth, y * truth])[:, None]
    taps = _WINDOW.to(y)
    mean, mean_truth, square, square_truth, product = conv2d(conv2d(moments, taps[..., None]), taps[..., None, :])[:, 0]
    variance, variance_truth = square - mean * mean, square_truth - mean_truth * mean_truth
    covariance = product - mean * mean_truth
    brightness = (2 * mean * mean_truth + _C1) / (mean * mean + mean_truth * mean_truth + _C1)
    values: Tensor = brightness * (2 * covariance + _C2) / (variance + variance_truth + _C2)
    return values


def _gaussian() -> Tensor:
    distances = torch.arange(_SSIM_WINDOW, dtype=torch.float64) - REACH
    weights = torch.exp(-distances.square() / (2 * _SIGMA**2))
    window: Tensor = (weights / weights.sum()).view(1, 1, -1)
    return window


_WINDOW = _gaussian()
"""(1, 1, 11): a row of SSIM's window, which is this one times itself as a column."""
