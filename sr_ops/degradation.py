"""The forward model as a value: how an HR image became the LR one, and the closed-form way back.

    lr[i, j] = sum over u, v of taps[u, v] * hr[scale * i + u - k // 2, scale * j + v - k // 2] + noise

that is lr = correlate(hr, taps)[0::scale, 0::scale], no flip. Where an LR pixel's centre lies among the HR pixels is
part of the taps: a kernel that shifts the image has its centre of mass off the middle tap.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad

from . import dihedral
from .resample import cubic

MAX_SIDE = 65
"""Of a kernel, in HR pixels."""

LEAST_WEIGHT = 1e-3
"""Of the start in a data step at x2 where there is no noise: below, rounding to 8 bits is amplified."""

NOISE_WEIGHT = 3.0


@dataclass(frozen=True)
class Kernel:
    """The camera's blur on the HR grid.

    Args:
        taps: (k, k) float64, k odd and at most `MAX_SIDE`, summing to 1; may be negative (makers sharpen).
    """

    taps: Tensor

    def __post_init__(self) -> None:
        height, width = self.taps.shape
        if height != width or height % 2 == 0 or height > MAX_SIDE:
            raise ValueError(f"a kernel has an odd side of at most {MAX_SIDE}, not {height} x {width}")
        if not bool(torch.isfinite(self.taps).all()) or abs(float(self.taps.sum()) - 1) > 1e-6:
            raise ValueError(f"a kernel is finite and sums to 1, not {float(self.taps.sum())}")

    @property
    def side(self) -> int:
        return len(self.taps)

    @cached_property
    def centre(self) -> tuple[float, float]:
        """Row and column of the centre of mass, in HR pixels from HR pixel (scale * i, scale * j)."""
        offsets = torch.arange(self.side, dtype=torch.float64) - self.side // 2
        return float((self.taps.sum(1) * offsets).sum()), float((self.taps.sum(0) * offsets).sum())


def turned(kernel: Kernel, element: int, scale: int) -> Kernel:
    """The kernel of the same camera for images that were turned by an element of the dihedral group.

    A turn is about the middle of an LR pixel, not about the middle tap.
    """
    room = kernel.side // 2 + scale - 1
    around = torch.zeros(2 * room + scale, 2 * room + scale, dtype=torch.float64)  # its middle is that of the LR pixel
    inside = slice(room - kernel.side // 2, room + kernel.side // 2 + 1)
    around[inside, inside] = kernel.taps
    around = dihedral.transform(around, element)
    taps = around[: 2 * room + 1, : 2 * room + 1]
    edge = 0
    while edge < room and not bool(_border(taps, edge).any()):
        edge += 1
    return Kernel(taps[edge : 2 * room + 1 - edge, edge : 2 * room + 1 - edge])


def _border(taps: Tensor, edge: int) -> Tensor:
    """The samples of the square ring `edge` samples inside the border."""
    last = len(taps) - 1 - edge
    inside = slice(edge, last + 1)
    return torch.cat([taps[edge, inside], taps[last, inside], taps[inside, edge], taps[inside, last]])


def middle(scale: int) -> float:
    """Where the centre of an LR pixel lies, in HR pixels from its first HR pixel, when nothing is shifted."""
    return (scale - 1) / 2


def gaussian(sigma_1: float, sigma_2: float, degrees: float, scale: int, side: int | None = None) -> Kernel:
    """A Gaussian of standard deviations `sigma_1` along `degrees` (from the x axis towards y) and `sigma_2` across.

    Sigmas are in HR pixels; it is centred on the LR pixel and sampled at the HR pixels' centres.
    """
    side = side or _odd(2 * math.ceil(4 * max(sigma_1, sigma_2) + middle(scale)) + 1)
    x = torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)
    angle = math.radians(degrees)
    along = x[None, :] * math.cos(angle) + x[:, None] * math.sin(angle)
    across = x[:, None] * math.cos(angle) - x[None, :] * math.sin(angle)
    return _normalised(torch.exp(-0.5 * ((along / sigma_1) ** 2 + (across / sigma_2) ** 2)))


def bicubic(scale: int) -> Kernel:
    """MATLAB's antialiased bicubic, inside the image `resample.downscale`."""
    side = _odd(2 * math.ceil(2 * scale + middle(scale)) + 1)
    x = torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)
    row = cubic(x / scale)
    return _normalised(row[:, None] * row[None, :])


def box(scale: int) -> Kernel:
    """The mean of the LR pixel's HR pixels."""
    side = _odd(2 * scale - 1)
    row = torch.zeros(side, dtype=torch.float64)
    row[side // 2 : side // 2 + scale] = 1
    return _normalised(row[:, None] * row[None, :])


def bilinear(scale: int) -> Kernel:
    """A triangle, antialiased: as wide as two LR pixels."""
    side = _odd(2 * math.ceil(scale + middle(scale)) + 1)
    x = torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)
    row = (1 - x.abs() / scale).clamp_min(0)
    return _normalised(row[:, None] * row[None, :])


def lanczos(scale: int) -> Kernel:
    """Lanczos of three lobes, antialiased: as wide as six LR pixels."""
    side = _odd(2 * math.ceil(3 * scale + middle(scale)) + 1)
    x = (torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)) / scale
    row = torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))
    return _normalised(row[:, None] * row[None, :])


def _odd(side: int) -> int:
    return side + 1 - side % 2


def _normalised(taps: Tensor) -> Kernel:
    return Kernel(taps / taps.sum())


def data_weight(scale: int, noise: float) -> float:
    """The weight of the start against the data for noise of standard deviation `noise`, in units of the full range.

    Data are worth less the noisier they are. Larger scales have smaller eigenvalues, which it follows.
    """
    return (LEAST_WEIGHT + NOISE_WEIGHT * noise**2) * (2 / scale) ** 2


@dataclass(frozen=True)
class Degradation:
    """Kernel, scale and noise: `apply` is the camera, `data_step` the least-squares way back."""

    kernel: Kernel
    scale: int
    noise: float = 0.0
    """Standard deviation, in units of the full range."""

    @property
    def weight(self) -> float:
        return data_weight(self.scale, self.noise)

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
