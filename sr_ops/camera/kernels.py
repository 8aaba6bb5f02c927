"""Kernels: the blur of a camera's optics and pixels, on the HR grid; degradation.py says how taps are applied."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..image.resample import CUBIC, LANCZOS_3, TRIANGLE, Interpolant
from . import blur_shapes, kernel_spec
from .kernel_spec import MAX_SIDE


@dataclass(frozen=True)
class Kernel:
    """The camera's blur on the HR grid.

    Args:
        taps: (k, k) float64, k odd and at most `MAX_SIDE`, with a sum of 1; may be negative, since makers sharpen.
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


def unlike_gaussian(kernel: Kernel) -> float:
    """Return how far the taps are from the Gaussian of the same centre and covariance, as a share of their norm.

    It is about 0 for Gaussians, 0.03 to 0.5 for boxes and discs, 0.85 to 0.95 for motion. It is 0 for bicubic and other
    kernels that do not widen an image, since they sharpen as much as they blur.
    """
    offsets = torch.arange(kernel.side, dtype=torch.float64) - kernel.side // 2
    apart = torch.stack(torch.meshgrid(*(offsets - at for at in kernel.centre), indexing="ij"))
    covariance = torch.einsum("ihw,jhw,hw->ij", apart, apart, kernel.taps)
    if float(torch.linalg.eigvalsh(covariance)[-1]) < _WIDENS:
        return 0.0
    variances, axes = torch.linalg.eigh(covariance)
    around = axes / (variances.clamp_min(0) + 1 / 12) @ axes.T  # a tap is a pixel wide; sharpening has no Gaussian
    bell = torch.exp(-0.5 * torch.einsum("ihw,ij,jhw->hw", apart, around, apart))
    return float(torch.linalg.norm(kernel.taps - bell / bell.sum()) / torch.linalg.norm(kernel.taps))


_WIDENS = 0.1
"""Variance, in HR pixels squared, of a kernel that widens an image."""

UNLIKE_GAUSSIAN = 0.3
"""`unlike_gaussian` of a kernel that counts as unlike a Gaussian: motions and most lenses out of focus exceed it."""


def _border(taps: Tensor, edge: int) -> Tensor:
    """Return the samples of the square ring that lies `edge` samples inside the border."""
    last = len(taps) - 1 - edge
    inside = slice(edge, last + 1)
    return torch.cat([taps[edge, inside], taps[last, inside], taps[inside, edge], taps[inside, last]])


def middle(scale: int) -> float:
    """Return the centre of an LR pixel, in HR pixels from the centre of its first HR pixel, for an unshifted image."""
    return (scale - 1) / 2


def gaussian(sigma_1: float, sigma_2: float, degrees: float, scale: int, side: int | None = None) -> Kernel:
    """Return a Gaussian of sigma `sigma_1` along `degrees` (from the x axis towards y) and `sigma_2` across it.

    Sigmas are in HR pixels. It is centred on the LR pixel and sampled at the centres of the HR pixels.
    """
    side = side or _odd(2 * math.ceil(4 * max(sigma_1, sigma_2) + middle(scale)) + 1)
    x = torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)
    angle = math.radians(degrees)
    along = x[None, :] * math.cos(angle) + x[:, None] * math.sin(angle)
    across = x[:, None] * math.cos(angle) - x[None, :] * math.sin(angle)
    return _normalised(torch.exp(-0.5 * ((along / sigma_1) ** 2 + (across / sigma_2) ** 2)))


def bicubic(scale: int) -> Kernel:
    """Return MATLAB's antialiased bicubic; inside the image it equals `resample.downscale`."""
    return _antialiased(CUBIC, scale)


def of_mtf(transfer: float, scale: int) -> Kernel:
    """Return the Gaussian with this transfer at the LR Nyquist frequency, half a cycle per LR pixel.

    Makers of satellites describe the blur of an instrument in this way: by its modulation transfer function at Nyquist.

    Args:
        transfer: above 0 and below 1.
    """
    sigma = kernel_spec.sigma_of_mtf(transfer, scale)
    return gaussian(sigma, sigma, 0, scale)


def box(scale: int) -> Kernel:
    """Return the mean over the HR pixels of an LR pixel."""
    side = _odd(2 * scale - 1)
    row = torch.zeros(side, dtype=torch.float64)
    row[side // 2 : side // 2 + scale] = 1
    return _normalised(row[:, None] * row[None, :])


def bilinear(scale: int) -> Kernel:
    """Return the antialiased triangle, two LR pixels wide."""
    return _antialiased(TRIANGLE, scale)


def lanczos(scale: int) -> Kernel:
    """Return the antialiased three-lobed Lanczos kernel, six LR pixels wide."""
    return _antialiased(LANCZOS_3, scale)


def _antialiased(interpolant: Interpolant, scale: int) -> Kernel:
    """Return the interpolant, stretched to LR pixels and centred on one."""
    side = _odd(2 * math.ceil(interpolant.radius * scale + middle(scale)) + 1)
    x = torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)
    row = interpolant.weight(x / scale)
    return _normalised(row[:, None] * row[None, :])


def recentred(kernel: Kernel, scale: int) -> Kernel:
    """Return the kernel with its centre of mass moved to the middle of the LR pixel, so that images stay in place."""
    shifts = [middle(scale) - at for at in kernel.centre]
    if max(map(abs, shifts)) < _NO_SHIFT:
        return kernel
    farthest = math.ceil(max(map(abs, shifts))) + _INTERPOLATION_LOBES
    wider = min(MAX_SIDE // 2, kernel.side // 2 + farthest)
    moved = kernel
    for _ in range(2):  # the second pass corrects what the window took off the shift, a thousandth of a pixel
        rows, columns = (_interpolation(wider, kernel.side // 2, shift) for shift in shifts)
        moved = _trimmed(rows @ kernel.taps @ columns.T)
        shifts = [shift + middle(scale) - at for shift, at in zip(shifts, moved.centre, strict=True)]
    return moved


def _interpolation(wider: int, reach: int, shift: float) -> Tensor:
    """Return (2 wider + 1, 2 reach + 1), which moves samples by `shift` with a windowed sinc.

    A sinc alone extends so far beyond any kernel that the centre of mass would be off by a tenth of a pixel.
    """
    apart = torch.arange(-wider, wider + 1)[:, None] - torch.arange(-reach, reach + 1, dtype=torch.float64) - shift
    within = (1 - (apart / _INTERPOLATION_LOBES).square()).clamp_min(0)
    window = torch.i0(_KAISER * within.sqrt()) / torch.i0(torch.tensor(_KAISER, dtype=torch.float64))
    return torch.sinc(apart) * torch.where(within > 0, window, 0.0)


def of_first_stage(kernel: Kernel, scale: int, first: int) -> Kernel:
    """Return the kernel of the first stage, x`first`, of an enlargement by `scale` whose second stage undoes bicubic.

    The second stage's bicubic, with transfer A, is part of the kernel K. The first stage therefore has K / A on the
    band of its grid, with the centre of K.
    """
    frequencies = torch.fft.fftfreq(_FINE, dtype=torch.float64)
    ratio = first / scale
    offsets = torch.arange(kernel.side, dtype=torch.float64) - kernel.side // 2 - middle(scale)
    here = _waves(frequencies * ratio, offsets)
    positions = torch.linspace(-2, 2, 4001, dtype=torch.float64)
    weights = CUBIC.weight(positions)
    rest = (weights * torch.cos(2 * math.pi * frequencies[:, None] * positions)).sum(1) / weights.sum()
    spectrum = here @ kernel.taps.to(here) @ here.T / (rest[:, None] * rest)
    return _of_spectrum(spectrum, [_most_offsets() - middle(first)] * 2)


_NO_SHIFT = 1e-6
"""Shift, in HR pixels, that counts as none."""

_INTERPOLATION_LOBES, _KAISER = 8, 8.0
"""Of the windowed sinc that moves a kernel: half its width in HR pixels, and the shape parameter of the Kaiser window.
"""

_FINE = 129
"""Frequencies of a spectrum: more than twice the taps of the widest kernel, so that nothing wraps around."""

_LAST_TAP = 1e-5
"""Share of the largest tap: a rim of smaller taps is cut off."""


def _waves(frequencies: Tensor, offsets: Tensor) -> Tensor:
    return torch.exp(2j * math.pi * frequencies[:, None] * offsets)


def _most_offsets() -> Tensor:
    return torch.arange(MAX_SIDE, dtype=torch.float64) - MAX_SIDE // 2


def _of_spectrum(spectrum: Tensor, offsets: list[Tensor]) -> Kernel:
    """Return the kernel with this spectrum on `_FINE` frequencies per axis, with taps at the given rows and columns."""
    frequencies = torch.fft.fftfreq(_FINE, dtype=torch.float64)
    rows, columns = (_waves(frequencies, each).conj() for each in offsets)
    taps = (rows.T @ spectrum @ columns).real
    return _trimmed(taps)


def _trimmed(taps: Tensor) -> Kernel:
    edge, side, largest = 0, len(taps), taps.abs().max()
    while edge < side // 2 and bool(_border(taps, edge).abs().max() < _LAST_TAP * largest):
        edge += 1
    return _normalised(taps[edge : side - edge, edge : side - edge])


def _odd(side: int) -> int:
    return side + 1 - side % 2


def _normalised(taps: Tensor) -> Kernel:
    return Kernel(taps / taps.sum())


NAMED: dict[str, Callable[[int], Kernel]] = {"bicubic": bicubic, "box": box, "bilinear": bilinear, "lanczos": lanczos}


def from_spec(text: str, scale: int) -> tuple[Kernel, ...]:
    """Return the kernel that a text describes, or one per band.

    Args:
        text: as for `kernel_spec.parse`; the taps of a file are divided by their sum.

    Raises:
        ValueError: the text describes no kernel, or none at this scale; the message says what is allowed.
    """
    spec = kernel_spec.parse(text)
    kernel_spec.check_scale(spec, scale)
    if spec.name in ("mtf", "sensor"):
        return tuple(of_mtf(number, scale) for number in spec.numbers)
    if spec.name == "gaussian":
        first, second, degrees = spec.numbers if len(spec.numbers) == 3 else (*spec.numbers * 2, 0.0)
        return (gaussian(first, second, degrees, scale),)
    if spec.name == "disc":
        return (_normalised(blur_shapes.disc_taps(spec.numbers[0], middle(scale))),)
    if spec.name == "motion":
        length, degrees = spec.numbers
        return (_normalised(blur_shapes.motion_taps(length, degrees, middle(scale))),)
    if spec.name == "taps":
        side = math.isqrt(len(spec.numbers))
        return (_normalised(torch.tensor(spec.numbers, dtype=torch.float64).reshape(side, side)),)
    return (NAMED[spec.name](scale),)


def describe(kernel: Kernel, scale: int) -> dict[str, float | int]:
    """Return side and sigmas in HR pixels, least tap, shift in LR pixels, and transfers at the LR Nyquist frequency."""
    rows, columns = kernel.centre
    offsets = torch.arange(kernel.side, dtype=torch.float64) - kernel.side // 2
    variances = [float((kernel.taps.sum(1 - axis) * (offsets - kernel.centre[axis]) ** 2).sum()) for axis in (0, 1)]
    nyquist = torch.tensor([1 / (2 * scale)], dtype=torch.float64)
    return {
        "side": kernel.side,
        "least": float(kernel.taps.min()),
        "shift_y": round((rows - middle(scale)) / scale, 6) + 0.0,
        "shift_x": round((columns - middle(scale)) / scale, 6) + 0.0,
        "sigma_y": math.copysign(math.sqrt(abs(variances[0])), variances[0]),
        "sigma_x": math.copysign(math.sqrt(abs(variances[1])), variances[1]),
        "mtf_y": float(transfer(kernel, 0, nyquist)),
        "mtf_x": float(transfer(kernel, 1, nyquist)),
    }


def transfer(kernel: Kernel, axis: int, cycles: Tensor) -> Tensor:
    """Return the modulus of the transfer along y (axis 0) or x (axis 1) at frequencies in cycles per HR pixel."""
    profile = kernel.taps.sum(1 - axis)
    offsets = torch.arange(kernel.side, dtype=torch.float64)
    waves = 2 * math.pi * cycles[:, None] * offsets
    return torch.hypot((profile * waves.cos()).sum(1), (profile * waves.sin()).sum(1))
