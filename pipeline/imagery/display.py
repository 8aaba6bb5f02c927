"""Pictures of any bands and type, stretched for a screen: grey or three bands of 8 bits."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .. import storage
from .header import CMYK, RGB, FileLimits, Header
from .images import Nodata
from .reading.decoders import OpenImage, open_image
from .samples import full_range, known_samples, measured

_PERCENTILES = (1.0, 99.0)

_SIDE, _ACROSS = 256, 3
"""Pixels per side, and windows per axis, in which a band's darkest and brightest values are looked for."""


@dataclass(frozen=True)
class Stretch:
    """The bands that are shown, and their values for black and white."""

    bands: tuple[int, ...]
    """One, or red, green and blue."""
    black: tuple[float, ...]
    white: tuple[float, ...]
    dtype: str
    """Of the numbers."""

    def levels(self, samples: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Convert (C, h, w) native numbers to (len(bands), h, w) grey levels."""
        levels = np.empty((len(self.bands), *samples.shape[1:]), np.uint8)
        for place, (band, black, white) in enumerate(zip(self.bands, self.black, self.white, strict=True)):
            share = (samples[band].astype(np.float64) - black) / (white - black)
            levels[place] = np.nan_to_num(share * 255 + 0.5).clip(0, 255)
        return levels


@contextmanager
def open_display(
    uri: str, limits: FileLimits, nodata: Nodata = "as the file says", stretch: Stretch | None = None
) -> Iterator["Display"]:
    """Open the picture in a file for display.

    Args:
        stretch: of another picture, to look the same. By default, or if that is of another type or has more bands, its
            own is used: 8-bit pictures and 16-bit ones without a georeference as they are, other numbers from the 1st
            to the 99th percentile of some windows.

    Raises:
        ImageError: it is not a picture.
        OSError: the file cannot be read.
    """
    with storage.on_disk(uri) as path, open_image(path, limits) as opened:
        yield Display(opened, nodata, stretch)


class Display:
    """An open picture, a `Shown`, with its stretch."""

    def __init__(self, opened: OpenImage, nodata: Nodata, stretch: Stretch | None) -> None:
        header = opened.header
        self._opened = opened
        self._header = header if nodata == "as the file says" else replace(header, nodata=nodata)
        self.height, self.width = header.height, header.width
        fits = stretch is not None and max(stretch.bands) < measured(self._header) and stretch.dtype == header.dtype
        self.stretch = stretch if stretch is not None and fits else self._own_stretch()
        self.bands = len(self.stretch.bands)

    def window(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        pixels = self._opened.window(rows, columns)
        known = known_samples(pixels, self._header)[list(self.stretch.bands)].all(0)
        return torch.from_numpy(self.stretch.levels(pixels.samples)), torch.from_numpy(known)

    def _own_stretch(self) -> Stretch:
        header, bands = self._header, _seen(self._header)
        if header.dtype == "uint8" or (header.dtype == "uint16" and header.georef is None):
            black, white = (0.0,) * len(bands), (full_range(header),) * len(bands)
            inverted = header.colours == CMYK  # more ink is darker
            ends = (white, black) if inverted else (black, white)
            return Stretch(bands, *ends, header.dtype)
        black, white = zip(*map(self._ends, bands), strict=True)
        return Stretch(bands, black, white, header.dtype)

    def _ends(self, band: int) -> tuple[float, float]:
        known = []
        for rows in _spread(self.height):
            for columns in _spread(self.width):
                pixels = self._opened.window(rows, columns)
                known.append(pixels.samples[band][known_samples(pixels, self._header)[band]])
        values = np.concatenate(known).astype(np.float64)
        low, high = np.percentile(values, _PERCENTILES) if values.size else (0.0, 1.0)
        return float(low), float(high if high > low else low + 1)


def _seen(header: Header) -> tuple[int, ...]:
    """Return red, green and blue by name, else the first three bands, or the first one."""
    colours = header.colours[: measured(header)]
    if set(RGB) <= set(colours):
        return tuple(colours.index(colour) for colour in RGB)
    return (0, 1, 2) if len(colours) >= 3 else (0,)


def _spread(size: int) -> list[slice]:
    """Return a few parts of a side, spread from its start to its end."""
    side = min(size, _SIDE)
    starts = np.linspace(0, size - side, _ACROSS if size > side else 1).astype(int)
    return [slice(int(start), int(start) + side) for start in starts]
