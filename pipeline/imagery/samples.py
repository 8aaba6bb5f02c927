"""Conversion of a file's numbers to those used in computation, and back: one line per band, for the whole image.

    lr = (number - offset) / span

Nothing is assumed about the meaning of the numbers. 8 bits are scaled from their full range to [0, 1]. For other types
most samples are scaled to [0, 1], and none is cut off: 11 bits in 16 would otherwise be almost black to a network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_ops.image.domain import Domain
from sr_ops.settings import AUTO, NONE

from ..errors import ErrorType, ImageError
from .header import Header, Pixels

_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Scaling:
    """The scaling of an image: one value per band, in native units."""

    offset: tuple[float, ...]
    span: tuple[float, ...]
    """Above 0."""
    low: tuple[float, ...]
    """The smallest value that a sample of the result may have."""
    high: tuple[float, ...]
    least: tuple[float, ...]
    """The smallest of all known samples of the image."""
    largest: tuple[float, ...]
    fill: float | None = None
    """The value that was detected as a fill; the picture's header has it as nodata."""

    @property
    def cuts(self) -> bool:
        """Whether the image itself exceeds the range of the result."""
        return any(low > least for low, least in zip(self.low, self.least, strict=True)) or any(
            high < largest for high, largest in zip(self.high, self.largest, strict=True)
        )


def blends(header: Header) -> bool:
    """Return whether alpha is opacity. In a georeferenced raster, and of floats, it marks valid pixels instead.

    In both cases a pixel with alpha 0 has an unknown colour. Floats have no opaque number: some write 1, some 255.
    """
    return header.has_alpha and header.georef is None and header.dtype != "float32"


def may_be_unknown(header: Header) -> bool:
    """Return whether the image may have unknown samples, according to its header."""
    return header.nodata is not None or header.mask or header.has_alpha or header.dtype == "float32"


def full_range(header: Header) -> float:
    """Return the largest value that a sample can have."""
    return float("inf") if header.dtype == "float32" else header.limits[1]


def find_scaling(
    header: Header,
    windows: Sequence[Pixels],
    least: tuple[float, ...],
    largest: tuple[float, ...],
    fill: float | None = None,
    value_range: str = AUTO,
) -> Scaling:
    """Return the scaling of an image, from some of its windows and the range of all its samples.

    Raises:
        ImageError: unsupported; no sample of the type lies in the range.
    """
    ends = [_ends(header, *seen, value_range) for seen in zip(least, largest, strict=True)]
    low, high = (tuple(end[side] for end in ends) for side in (0, 1))
    return Scaling(*_lines(header, windows, least, largest), low, high, least, largest, fill)


def _lines(
    header: Header, windows: Sequence[Pixels], least: Sequence[float], largest: Sequence[float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return offsets and spans. Where the windows show one value alone, those of the range of all samples count."""
    bands = header.measured
    if header.dtype == "uint8":
        return (0.0,) * bands, (full_range(header),) * bands
    offsets, spans = [], []
    for band in range(bands):
        known = [pixels.samples[band][known_samples(pixels, header)[band]] for pixels in windows]
        values = np.concatenate(known).astype(np.float64)
        low, high = np.percentile(values, _PERCENTILES) if values.size else (0.0, 0.0)
        if low == high and values.size:
            low, high = values.min(), values.max()
        if low == high:
            low, high = least[band], largest[band]
        offsets.append(float(low))
        spans.append(float(high - low) if high > low else 1.0)
    return tuple(offsets), tuple(spans)


@dataclass(frozen=True)
class Window:
    """A part of an image, ready to be enlarged."""

    pixels: Pixels
    lr: Tensor
    """(C, h, w) float32, without alpha."""
    domain: Domain
    alpha: Tensor | None
    """(1, h, w) in [0, 1] if it blends, else None."""


def to_lr(pixels: Pixels, header: Header, scaling: Scaling, device: torch.device) -> Window:
    """Convert the samples of a window for computation."""
    bands = header.measured
    known = None
    if may_be_unknown(header):
        here = known_samples(pixels, header)
        known = None if here.all() else torch.from_numpy(here).to(device)
    numbers = torch.from_numpy(pixels.samples[:bands]).to(device)
    offset, span = (_column(values, device) for values in (scaling.offset, scaling.span))
    lr = (
        numbers.float() / full_range(header)
        if header.dtype == "uint8"
        else ((numbers.double() - offset) / span).float()
    )
    low, high = (((_column(ends, device) - offset) / span).float() for ends in (scaling.low, scaling.high))
    if scaling.cuts:  # otherwise the excess would be shared out among the neighbours
        lr = lr.clamp(low, high)
    full = header.dtype == "uint8" and set(scaling.low) == {0} and set(scaling.high) == {255}
    domain = Domain(known) if full else Domain(known, low, high)
    if not blends(header):
        return Window(pixels, lr, domain, None)
    alpha = torch.from_numpy(pixels.samples[-1:]).to(device).float() / full_range(header)
    return Window(pixels, lr, domain, alpha)


def to_native(sr: Tensor, header: Header, scaling: Scaling) -> Tensor:
    """Return (C, H, W) float32 in native units, within the range of `scaling`; whole numbers if the file's type is."""
    if header.dtype == "uint8":
        return limited((sr * full_range(header) + 0.5).floor_(), scaling)
    offset, span = (_column(values, sr.device) for values in (scaling.offset, scaling.span))
    numbers = torch.stack([(band.double() * s + o).float() for band, s, o in zip(sr, span, offset, strict=True)])
    return limited(numbers if header.dtype == "float32" else (numbers + 0.5).floor_(), scaling)


def limited(numbers: Tensor, scaling: Scaling) -> Tensor:
    """Clamp native numbers (C, H, W) to the range of the result."""
    low, high = (_column(ends, numbers.device).float() for ends in (scaling.low, scaling.high))
    return numbers.clamp(low, high)


def within(numbers: Tensor, scaling: Scaling) -> Tensor:
    """Return (C, H, W) bool: which native numbers lie within the range of the image's samples."""
    least, largest = (_column(ends, numbers.device).float() for ends in (scaling.least, scaling.largest))
    return (numbers >= least) & (numbers <= largest)


def off_nodata(numbers: Tensor, header: Header) -> Tensor:
    """Return native numbers without the nodata value: such numbers are replaced by the next representable one."""
    if header.nodata is None or header.nodata != header.nodata:
        return numbers
    _, high = header.limits
    nodata = torch.tensor(header.nodata, dtype=torch.float32)
    if header.dtype == "float32":
        other = torch.nextafter(nodata, torch.tensor(0.0 if header.nodata else 1.0))
    else:
        other = nodata - 1 if header.nodata >= high else nodata + 1
    return numbers.where(numbers != nodata.to(numbers), other.to(numbers))


def known_samples(pixels: Pixels, header: Header) -> NDArray[np.bool_]:
    """Return (C, h, w) bool, without alpha: which samples were measured."""
    samples = pixels.samples[: header.measured]
    known: NDArray[np.bool_] = np.isfinite(samples)
    if header.nodata is not None:
        known &= samples != np.float64(header.nodata).astype(samples.dtype)
    if pixels.mask is not None:
        known &= pixels.mask
    if header.has_alpha:
        known &= pixels.samples[-1] > 0
    return known


def _ends(header: Header, least: float, largest: float, value_range: str) -> tuple[float, float]:
    """Return the range of known samples in the result; an end of the type's range may be nodata.

    For floats the ends of the type mean nothing; users expect those of the image.
    """
    low, high = header.limits
    if value_range == AUTO and header.dtype == "float32":
        return least, largest
    if value_range not in (AUTO, NONE):
        told_low, told_high = map(float, value_range.split(","))
        low, high = max(low, told_low), min(high, told_high)
    if header.dtype == "float32":
        low, high = float(np.float32(low)), float(np.float32(high))
    else:
        low, high = ceil(low), floor(high)
        low, high = low + (header.nodata == low), high - (header.nodata == high)
    if low > high:
        message = f"no {header.dtype} sample that is known lies in the range {value_range}; give another --range"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    return low, high


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)[:, None, None]
