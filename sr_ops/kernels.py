"""Kernels: what a camera's optics and its pixels blur an image by, on the HR grid.

    lr[i, j] = sum over u, v of taps[u, v] * hr[scale * i + u - k // 2, scale * j + v - k // 2]

that is lr = correlate(hr, taps)[0::scale, 0::scale], no flip. Where an LR pixel's centre lies among the HR pixels is
part of the taps: a kernel that shifts the image has its centre of mass off the middle of the LR pixel.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from . import dihedral
from .resample import cubic

MAX_SIDE = 65
"""Of a kernel, in HR pixels."""


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


def of_mtf(transfer: float, scale: int) -> Kernel:
    """The Gaussian that lets so much through at the highest frequency of the LR grid, half a cycle per LR pixel.

    This is how makers of satellites tell the blur of an instrument: its modulation transfer function at Nyquist.

    Args:
        transfer: above 0 and below 1.
    """
    sigma = scale / math.pi * math.sqrt(2 * math.log(1 / transfer))
    return gaussian(sigma, sigma, 0, scale)


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


NAMED: dict[str, Callable[[int], Kernel]] = {"bicubic": bicubic, "box": box, "bilinear": bilinear, "lanczos": lanczos}

SPECS = f"{', '.join(NAMED)}, gaussian:SIGMA, gaussian:SIGMA,SIGMA,DEGREES, mtf:TRANSFER or mtf:TRANSFER,TRANSFER,..."


def widest(scale: int) -> float:
    """Standard deviation of the widest Gaussian, in HR pixels: four of them on each side of the middle."""
    return (MAX_SIDE // 2 - middle(scale)) / 4


def from_spec(spec: str, scale: int) -> tuple[Kernel, ...]:
    """The kernel that a specification names, or one for each band.

    Args:
        spec: one of `SPECS`: sigmas in HR pixels, the angle from the x axis towards y; transfers at the LR Nyquist
            frequency, one for all bands or one for each.

    Raises:
        ValueError: it names none; the message says what can be named.
    """
    name, colon, values = spec.strip().partition(":")
    if name in NAMED and not colon:
        return (NAMED[name](scale),)
    if name not in ("gaussian", "mtf") or not colon:
        raise ValueError(f"{spec!r} is no kernel; use {SPECS}, or a file")
    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError as error:
        raise ValueError(f"{spec!r}: {values!r} is no list of numbers; use {SPECS}") from error
    return _gaussian_of(spec, numbers, scale) if name == "gaussian" else _mtf_of(spec, numbers, scale)


def _gaussian_of(spec: str, numbers: list[float], scale: int) -> tuple[Kernel, ...]:
    if len(numbers) not in (1, 3):
        raise ValueError(f"{spec!r} has {len(numbers)} numbers; use gaussian:SIGMA or gaussian:SIGMA,SIGMA,DEGREES")
    first, second, degrees = numbers if len(numbers) == 3 else (numbers[0], numbers[0], 0.0)
    most = widest(scale)
    if not (0 < first <= most and 0 < second <= most and math.isfinite(degrees)):
        raise ValueError(
            f"{spec!r}: a sigma is above 0 and at x{scale} at most {most:.3g} HR pixels; an angle is finite"
        )
    return (gaussian(first, second, degrees, scale),)


def _mtf_of(spec: str, numbers: list[float], scale: int) -> tuple[Kernel, ...]:
    least = math.exp(-0.5 * (widest(scale) * math.pi / scale) ** 2)
    for number in numbers:
        if not max(least, 1e-6) < number < 1:
            raise ValueError(f"{spec!r}: {number:g} is no transfer; it is above 0 and below 1, 0.1 to 0.5 as a rule")
    return tuple(of_mtf(number, scale) for number in numbers)


def describe(kernel: Kernel, scale: int) -> dict[str, float | int]:
    """Side and sigmas in HR pixels, the least tap, the shift in LR pixels, transfers at the LR Nyquist frequency."""
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
    """The modulus of the transfer along y (axis 0) or x (axis 1) at frequencies in cycles per HR pixel."""
    profile = kernel.taps.sum(1 - axis)
    offsets = torch.arange(kernel.side, dtype=torch.float64)
    waves = 2 * math.pi * cycles[:, None] * offsets
    return torch.hypot((profile * waves.cos()).sum(1), (profile * waves.sin()).sum(1))
