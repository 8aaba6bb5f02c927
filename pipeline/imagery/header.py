"""The header of an image file as plain values that travel as JSON. Importing this loads no library."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..config import LARGEST_FLOAT, MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = "alpha"

GRAY = ("gray",)
RGB = ("red", "green", "blue")
CMYK = ("cyan", "magenta", "yellow", "black")

DTYPES = ("uint8", "int8", "uint16", "int16", "float32")
"""Types of samples that can be enlarged: float32, in which pixels are computed, holds all their values exactly."""


_ROUNDED_TO_LARGEST = LARGEST_FLOAT * (1 + 2**-25)
"""Numbers up to this one are LARGEST_FLOAT in float32, as is 3.4028235e38, its shortest text."""


def holds(dtype: str, number: float) -> bool:
    """Return whether one of DTYPES can represent a number, float32 after rounding."""
    if dtype == "float32":
        return not math.isfinite(number) or abs(number) <= _ROUNDED_TO_LARGEST
    low, high = type_range(dtype)
    return math.isfinite(number) and number == int(number) and low <= number <= high


def within_type(dtype: str, number: float) -> float:
    """Return a number that `holds` accepts without what rounding to the type takes from its ends; NaN as it is."""
    low, high = type_range(dtype)
    return min(max(number, low), high) if math.isfinite(number) else number


def type_range(dtype: str) -> tuple[float, float]:
    """Return the smallest and the largest finite number of one of DTYPES."""
    if dtype == "float32":
        return -LARGEST_FLOAT, LARGEST_FLOAT
    bits = int(dtype.lstrip("uint"))
    return (0.0, 2.0**bits - 1) if dtype.startswith("u") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


class Transform(NamedTuple):
    """x = a * column + b * row + c, y = d * column + e * row + f, for the *corners* of pixels (GDAL's convention)."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


@dataclass(frozen=True)
class GroundPoint:
    """A position in the picture, in pixels from its upper left corner, and the place on the ground that it shows."""

    row: float
    column: float
    x: float
    y: float
    z: float | None
    id: str
    info: str


@dataclass(frozen=True)
class Georef:
    """The georeference of a picture; None and empty where the file has none."""

    crs: str | None = None
    """WKT."""
    transform: Transform | None = None
    point: bool = False
    """The file's coordinates are those of pixel centres (AREA_OR_POINT=Point); `transform` is still that of corners."""
    gcps: tuple[GroundPoint, ...] = ()
    gcps_crs: str | None = None
    """WKT."""
    rpcs: Mapping[str, str] | None = None
    """Rational polynomial coefficients, by the names of GDAL's RPC metadata domain."""


@dataclass(frozen=True)
class Band:
    """One band, and the meaning of its numbers."""

    colour: str
    """GDAL's colour interpretation in lower case: gray, red, ..., alpha, undefined."""
    description: str | None = None
    scale: float = 1.0
    """Physical value = scale * number + offset."""
    offset: float = 0.0
    unit: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Header:
    """Everything in a file except its pixels. Height and width are those after EXIF orientation."""

    format: str
    """Name of the format in Pillow or GDAL."""
    height: int
    width: int
    dtype: str
    """One of DTYPES."""
    bands: tuple[Band, ...]
    """If there is an alpha band, it is the last; the others are not premultiplied with it."""
    bits: int | None = None
    """For unsigned integers with fewer bits than the dtype: no value exceeds these."""
    nodata: float | None = None
    """The number that means "nothing was measured here", for every band; NaN always means it."""
    mask: bool = False
    """The file has a separate mask that tells which pixels are valid."""
    mask_of_nodata: bool = False
    """That mask is made of nodata values, one for each band (GDAL's tag NODATA_VALUES)."""
    georef: Georef | None = None
    tags: Mapping[str, str] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """A TIFF structure without the "Exif" prefix, with orientation 1 and without a thumbnail."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    png_colour: Mapping[str, bytes] | None = None
    """The chunks of a PNG that define its colours, by name: gAMA, cHRM, ..."""
    notes: tuple[str, ...] = ()
    """What is not carried over to the output: further pages, frames, metadata that no output can hold."""

    @property
    def colours(self) -> tuple[str, ...]:
        return tuple(band.colour for band in self.bands)

    @property
    def has_alpha(self) -> bool:
        return len(self.bands) > 1 and self.colours[-1] == ALPHA

    @property
    def measured(self) -> int:
        """The number of bands that networks enlarge: all but alpha, which is the last."""
        return len(self.bands) - self.has_alpha

    @property
    def limits(self) -> tuple[float, float]:
        """The smallest and the largest finite number that a sample can have."""
        low, high = type_range(self.dtype)
        return low, high if self.bits is None else 2.0**self.bits - 1

    def nodata_of(self, band: Band) -> float | None:
        """Return the nodata value of a band; alpha has none."""
        return None if band.colour == ALPHA else self.nodata


@dataclass(frozen=True)
class Pixels:
    """A window of a picture, as stored in the file."""

    samples: "NDArray[Any]"
    """(C, h, w) of the header's dtype."""
    mask: "NDArray[np.bool_] | None"
    """(h, w), True for valid pixels; None unless the header says that there is a mask."""

    def window(self, rows: slice, columns: slice) -> "Pixels":
        """Return a window of this one, a view."""
        return Pixels(self.samples[:, rows, columns], None if self.mask is None else self.mask[rows, columns])


class OpenPicture(Protocol):
    """An open picture, of a file or in memory."""

    header: Header

    def window(self, rows: slice, columns: slice) -> Pixels: ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class FileLimits:
    """Limits on the resources that a file may use, because files are hostile."""

    pixels: int = MAX_PIXELS
    """For one picture."""
    bands: int = 64
    bytes_at_once: int = 2**30
    """For a picture that can only be decoded whole."""
    seconds: float = 300.0
    """For one answer of a decoder."""
