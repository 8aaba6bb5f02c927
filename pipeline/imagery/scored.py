"""Pictures for scoring: 8-bit levels of grey or RGB, and which of them are known."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from .. import storage
from ..errors import ErrorType, ImageError
from .header import GRAY, RGB, FileLimits, Header
from .reading.decoders import OpenImage, open_image
from .samples import full_range, known_samples

LEVELS = 255.0
"""The largest 8-bit level."""

Nodata = float | Literal["as the file says"] | None
"""The number that means "no data" in a file. A PNG cannot state it, and users may know better than their file."""


@dataclass(frozen=True)
class White:
    """The number that is shown as LEVELS."""

    number: float
    dtype: str


class OpenLevels(Protocol):
    """An open picture as levels of grey or RGB, for scoring or for a screen."""

    bands: int
    """1 or 3; alpha is left out."""
    height: int
    width: int

    def window(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        """Return (bands, h, w) uint8, and (h, w) bool where all are known. Raises ImageError, OSError, MemoryError."""


@contextmanager
def open_scored(
    uri: str, limits: FileLimits, nodata: Nodata = "as the file says", alike: White | None = None
) -> Iterator["Scored"]:
    """Open the picture in a file for scoring.

    Args:
        alike: the white of another file with the same numbers, of which this one need not say how many bits they have.

    Raises:
        ImageError: it is not a picture, or one of a kind that cannot be scored.
        OSError: the file cannot be read.
    """
    with storage.on_disk(uri) as path, open_image(path, limits) as opened:
        yield Scored(opened, uri, nodata, alike)


def read_levels(uri: str) -> Tensor:
    """Return (C, H, W) uint8, the whole picture. Raises as `open_scored` does."""
    with open_scored(uri, FileLimits()) as picture:
        return whole(picture)[0]


def whole(picture: OpenLevels) -> tuple[Tensor, Tensor]:
    """Return the whole picture, as `window` does."""
    return picture.window(slice(0, picture.height), slice(0, picture.width))


def from_levels(levels: Tensor) -> Tensor:
    """Convert grey levels to float32 in [0, 1]."""
    return levels.float() / LEVELS


def to_levels(sr: Tensor) -> Tensor:
    """Convert [0, 1] to grey levels, rounded half up, as float32."""
    return (sr * LEVELS + 0.5).floor_().clamp_(0, LEVELS)


def declaring(header: Header, nodata: Nodata) -> Header:
    """Return the header with this number for "no data"."""
    return header if nodata == "as the file says" else replace(header, nodata=nodata)


class Scored:
    """The picture in one file; 16 bits are reduced to 8."""

    def __init__(self, opened: OpenImage, uri: str, nodata: Nodata, alike: White | None) -> None:
        header = opened.header
        colours = header.colours[:-1] if header.has_alpha else header.colours
        if header.dtype not in ("uint8", "uint16") or (len(colours) != len(GRAY) and colours != RGB):
            what = f"{len(header.bands)} bands ({', '.join(header.colours)}) of {header.dtype}"
            raise ImageError(ErrorType.UNSUPPORTED, f"{uri} has {what}; scores are of gray and RGB in 8 or 16 bits")
        self.bands, self.height, self.width = len(colours), header.height, header.width
        own = White(full_range(header), header.dtype)
        self.white = alike if alike is not None and alike.dtype == own.dtype else own
        self._opened = opened
        self._header = declaring(header, nodata)

    def window(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        pixels = self._opened.window(rows, columns)
        known = known_samples(pixels, self._header).all(0)
        levels = pixels.samples[: self.bands]
        if self.white.number != LEVELS:
            levels = np.round(levels * (LEVELS / self.white.number)).clip(0, LEVELS).astype(np.uint8)
        return torch.from_numpy(levels), torch.from_numpy(known)
