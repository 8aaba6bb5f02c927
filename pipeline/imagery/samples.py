"""A file's numbers to those that are computed with, and back: a line for each band, the same in the whole image.

    lr = (number - offset) / span

Nothing is guessed about what the numbers mean. 8 bits go from 0 to 1 by their full range. In all others most samples
lie there, and none is cut off: 11 bits in 16 would otherwise be all but black to a network.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_ops.domain import Domain

from .header import Header, Pixels

_PERCENTILES = (0.5, 99.5)


@dataclass(frozen=True)
class Scaling:
    """One value for each band, in native units."""

    offset: tuple[float, ...]
    span: tuple[float, ...]
    """Above 0."""

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Scaling":
        """Raises ValueError for anything else."""
        try:
            values = json.loads(data)
            return cls(tuple(map(float, values["offset"])), tuple(map(float, values["span"])))
        except (KeyError, TypeError) as error:
            raise ValueError(f"it is no scaling: {error!r}") from error


def measured(header: Header) -> int:
    """How many bands are enlarged by networks: not an alpha, which is the last."""
    return len(header.bands) - header.has_alpha


def blends(header: Header) -> bool:
    """Whether alpha says how much of a colour is seen. In a georeferenced raster it says which pixels are valid.

    In both, a pixel of alpha 0 has no colour that could be known.
    """
    return header.has_alpha and header.georef is None


def may_be_unknown(header: Header) -> bool:
    """Whether samples of the image may be unknown, as far as its header tells."""
    return header.nodata is not None or header.mask or header.has_alpha or header.dtype == "float32"


def full_range(header: Header) -> float:
    """The largest number that a sample can be."""
    return _limits(header)[1]


def find_scaling(header: Header, windows: Sequence[Pixels]) -> Scaling:
    """The scaling of an image, by some windows of it."""
    bands = measured(header)
    if header.dtype == "uint8":
        return Scaling((0.0,) * bands, (full_range(header),) * bands)
    offsets, spans = [], []
    for band in range(bands):
        known = [pixels.samples[band][known_samples(pixels, header)[band]] for pixels in windows]
        values = np.concatenate(known).astype(np.float64)
        low, high = np.percentile(values, _PERCENTILES) if values.size else (0.0, 1.0)
        if low == high and values.size:
            low, high = values.min(), values.max()
        offsets.append(float(low))
        spans.append(float(high - low) if high > low else 1.0)
    return Scaling(tuple(offsets), tuple(spans))


@dataclass(frozen=True)
class Window:
    """A part of an image, ready to be enlarged."""

    pixels: Pixels
    lr: Tensor
    """(C, h, w) float32, without alpha."""
    domain: Domain
    alpha: Tensor | None
    """(1, h, w) in [0, 1], when it blends."""


def to_lr(pixels: Pixels, header: Header, scaling: Scaling, device: torch.device) -> Window:
    """The samples of a window as they are computed with."""
    bands = measured(header)
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
    low, high = ((end - offset) / span for end in _ends(header))
    domain = Domain(known, low.float(), high.float()) if _ends(header) != (0, 255) else Domain(known)
    if not blends(header):
        return Window(pixels, lr, domain, None)
    alpha = torch.from_numpy(pixels.samples[-1:]).to(device).float() / full_range(header)
    return Window(pixels, lr, domain, alpha)


def to_native(sr: Tensor, header: Header, scaling: Scaling) -> Tensor:
    """(C, H, W) float32 in native units, whole numbers and within the range of the file's type where that is whole."""
    low, high = _limits(header)
    if header.dtype == "uint8":
        return (sr * high + 0.5).floor_().clamp_(low, high)
    offset, span = (_column(values, sr.device) for values in (scaling.offset, scaling.span))
    numbers = torch.stack([(band.double() * s + o).float() for band, s, o in zip(sr, span, offset, strict=True)])
    return numbers if header.dtype == "float32" else (numbers + 0.5).floor_().clamp_(low, high)


def off_nodata(numbers: Tensor, header: Header) -> Tensor:
    """Native numbers of which none is the one that says "no data": such move to the next that can be said."""
    if header.nodata is None or header.nodata != header.nodata:
        return numbers
    _, high = _limits(header)
    nodata = torch.tensor(header.nodata, dtype=torch.float32)
    if header.dtype == "float32":
        other = torch.nextafter(nodata, torch.tensor(0.0 if header.nodata else 1.0))
    else:
        other = nodata - 1 if header.nodata >= high else nodata + 1
    return numbers.where(numbers != nodata.to(numbers), other.to(numbers))


def known_samples(pixels: Pixels, header: Header) -> NDArray[np.bool_]:
    """(C, h, w) without alpha: which samples were measured."""
    samples = pixels.samples[: measured(header)]
    known: NDArray[np.bool_] = np.isfinite(samples)
    if header.nodata is not None:
        known &= samples != np.float64(header.nodata).astype(samples.dtype)
    if pixels.mask is not None:
        known &= pixels.mask
    if header.has_alpha:
        known &= pixels.samples[-1] > 0
    return known


def _ends(header: Header) -> tuple[float, float]:
    """Between which a sample that is known lies: "no data" may be one end of what the type holds."""
    low, high = _limits(header)
    if header.dtype == "float32":
        return low, high
    return low + (header.nodata == low), high - (header.nodata == high)


def _limits(header: Header) -> tuple[float, float]:
    if header.dtype == "float32":
        return -float("inf"), float("inf")
    info = np.iinfo(header.dtype)
    return float(info.min), float(info.max if header.bits is None else 2**header.bits - 1)


def _column(values: Sequence[float], device: torch.device) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device=device)[:, None, None]
