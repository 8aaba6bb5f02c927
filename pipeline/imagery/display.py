"""Pictures of any bands and type, stretched for a screen: grey or three bands of 8 bits."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import storage
from .header import CMYK, RGB, FileLimits, Header
from .reading.decoders import OpenImage, open_image
from .samples import full_range, known_samples
from .scored import Nodata, declaring

_PERCENTILES = (1.0, 99.0)

_SIDE, _ACROSS = 256, 3
"""Pixels per side, and windows per axis, in which a band's darkest and brightest values are looked for."""

_PARTS = 9
"""Most parts of a picture in which they are looked for."""

Values = NDArray[Any]


@dataclass(frozen=True)
class Stretch:
    """The bands that are shown, and their values for black and white."""

    bands: tuple[int, ...]
    """One, or red, green and blue; or four inks, of which black comes last."""
    black: tuple[float, ...]
    white: tuple[float, ...]
    dtype: str
    """Of the numbers."""

    @property
    def is_of_inks(self) -> bool:
        """Whether larger numbers are darker, as in CMYK alone."""
        return self.black > self.white

    @property
    def colours(self) -> int:
        """The number of bands on the screen, 1 or 3."""
        return min(len(self.bands), 3)

    def levels(self, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Convert (C, h, w) native numbers to (colours, h, w) grey levels."""
        levels = np.empty((self.colours, *samples.shape[1:]), np.uint8)
        left = self._light(samples, 3) if self.is_of_inks else 1.0  # by black ink, of each colour
        for place in range(self.colours):
            levels[place] = self._light(samples, place) * left * 255 + 0.5
        return levels

    def _light(self, samples: NDArray[np.generic], place: int) -> NDArray[np.float64]:
        """Return (h, w) from 0 for black to 1 for white, of one of `bands`."""
        black, white = self.black[place], self.white[place]
        band: NDArray[np.float64] = samples[self.bands[place]].astype(np.float64)
        return np.nan_to_num((band - black) / (white - black)).clip(0, 1)


@contextmanager
def open_display(
    uri: str, limits: FileLimits, nodata: Nodata = "as the file says", stretch: Stretch | None = None
) -> Iterator["Display"]:
    """Open the picture in a file for display.

    Args:
        stretch: of another picture, to look the same. By default, or if that is of another type or has more bands, its
            own is used: 8-bit pictures, and 16-bit ones without a georeference or of inks, as they are, other numbers
            from the 1st to the 99th percentile of some windows.

    Raises:
        ImageError: it is not a picture.
        OSError: the file cannot be read.
    """
    with storage.on_disk(uri) as path, open_image(path, limits) as opened:
        yield Display(opened, nodata, stretch)


def stretch_of_parts(uris: Sequence[str], limits: FileLimits, nodata: Nodata, stretch: Stretch | None) -> Stretch:
    """Return one stretch for the files of a picture in parts, so that no seam is seen between them.

    Args:
        uris: of all parts; at least one. Some of them are looked at, if the numbers have to be.
        stretch: as for `open_display`, which raises the same.
    """
    some = np.linspace(0, len(uris) - 1, min(len(uris), _PARTS)).astype(int)
    values = []
    for place in some:
        with storage.on_disk(uris[place]) as path, open_image(path, limits) as opened:
            header = declaring(opened.header, nodata)
            at_hand = _stretch_at_hand(header, stretch)
            if at_hand is not None:
                return at_hand
            values.append(_some_values(opened, header))
    return _stretch_of(header, values)


class Display:
    """An open picture with its stretch."""

    def __init__(self, opened: OpenImage, nodata: Nodata, stretch: Stretch | None) -> None:
        self._opened = opened
        self._header = header = declaring(opened.header, nodata)
        self.height, self.width = header.height, header.width
        self.stretch = _stretch_at_hand(header, stretch) or _stretch_of(header, [_some_values(opened, header)])
        self.bands = self.stretch.colours

    def window(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        pixels = self._opened.window(rows, columns)
        known = known_samples(pixels, self._header)[list(self.stretch.bands)].all(0)
        return torch.from_numpy(self.stretch.levels(pixels.samples)), torch.from_numpy(known)


def _stretch_at_hand(header: Header, stretch: Stretch | None) -> Stretch | None:
    """Return the stretch for which no pixel need be read: the given one if it fits, or that of plain pictures."""
    if stretch is not None and max(stretch.bands) < header.measured and stretch.dtype == header.dtype:
        return stretch
    shown_as_they_are = ("uint8", "uint16") if header.georef is None or _is_of_inks(header) else ("uint8",)
    if header.dtype not in shown_as_they_are:
        return None
    bands = len(_bands_shown(header))
    return _stretch_between(header, (0.0,) * bands, (full_range(header),) * bands)


def _stretch_of(header: Header, values: Sequence[Sequence[Values]]) -> Stretch:
    """Return the stretch for values of one or more files, by the bands that are shown."""
    low, high = zip(*(_ends(np.concatenate(band)) for band in zip(*values, strict=True)), strict=True)
    return _stretch_between(header, low, high)


def _stretch_between(header: Header, low: tuple[float, ...], high: tuple[float, ...]) -> Stretch:
    ends = (high, low) if _is_of_inks(header) else (low, high)  # more ink is darker
    return Stretch(_bands_shown(header), *ends, header.dtype)


def _is_of_inks(header: Header) -> bool:
    return header.colours[: header.measured] == CMYK


def _ends(values: Values) -> tuple[float, float]:
    low, high = np.percentile(values.astype(np.float64), _PERCENTILES) if values.size else (0.0, 1.0)
    return float(low), float(high if high > low else low + 1)


def _some_values(opened: OpenImage, header: Header) -> list[Values]:
    """Return the known values of some windows, in native numbers, for each band that is shown."""
    bands = _bands_shown(header)
    found: list[list[Values]] = [[] for _ in bands]
    for rows in _spread(header.height):
        for columns in _spread(header.width):
            pixels = opened.window(rows, columns)
            known = known_samples(pixels, header)
            for band, values in zip(bands, found, strict=True):
                values.append(pixels.samples[band][known[band]])
    return [np.concatenate(values) for values in found]


def _bands_shown(header: Header) -> tuple[int, ...]:
    """Return red, green and blue by name, else the four inks, the first three bands, or the first one."""
    if _is_of_inks(header):
        return (0, 1, 2, 3)
    colours = header.colours[: header.measured]
    if set(RGB) <= set(colours):
        return tuple(colours.index(colour) for colour in RGB)
    return (0, 1, 2) if len(colours) >= 3 else (0,)


def _spread(size: int) -> list[slice]:
    """Return a few parts of a side, spread from its start to its end."""
    side = min(size, _SIDE)
    starts = np.linspace(0, size - side, _ACROSS if size > side else 1).astype(int)
    return [slice(int(start), int(start) + side) for start in starts]
