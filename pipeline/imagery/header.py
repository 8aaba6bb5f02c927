"""What an image file says of its picture, as plain values that travel as JSON. Importing this loads no library."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..config import LARGEST_FLOAT, MAX_PIXELS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ALPHA = "alpha"

GRAY = ("gray",)
RGB = ("red", "green", "blue")
CMYK = ("cyan", "magenta", "yellow", "black")

DTYPES = ("uint8", "int8", "uint16", "int16", "float32")
"""Of samples that are enlarged: each holds its values exactly in float32, in which pixels are computed."""


def holds(dtype: str, number: float) -> bool:
    """Whether one of DTYPES can say a number."""
    if dtype == "float32":
        return not math.isfinite(number) or abs(number) <= LARGEST_FLOAT
    low, high = type_range(dtype)
    return math.isfinite(number) and number == int(number) and low <= number <= high


def type_range(dtype: str) -> tuple[float, float]:
    """The least and the largest finite number of one of DTYPES."""
    if dtype == "float32":
        return -LARGEST_FLOAT, LARGEST_FLOAT
    bits = int(dtype.lstrip("uint"))
    return (0.0, 2.0**bits - 1) if dtype.startswith("u") else (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1)


class Transform(NamedTuple):
    """x = a * column + b * row + c, y = d * column + e * row + f, of the *corners* of pixels (GDAL's convention)."""

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float


@dataclass(frozen=True)
class GroundPoint:
    """A place in the picture, in pixels from its upper left corner, and the place on the ground that it shows."""

    row: float
    column: float
    x: float
    y: float
    z: float | None
    id: str
    info: str


@dataclass(frozen=True)
class Georef:
    """Where a picture lies on Earth; None and empty where the file does not say."""

    crs: str | None = None
    """WKT."""
    transform: Transform | None = None
    point: bool = False
    """The file's coordinates are those of pixel centres (AREA_OR_POINT=Point); `transform` is of corners even so."""
    gcps: tuple[GroundPoint, ...] = ()
    gcps_crs: str | None = None
    """WKT."""
    rpcs: Mapping[str, str] | None = None
    """Rational polynomial coefficients under the names of GDAL's RPC metadata domain."""


@dataclass(frozen=True)
class Band:
    """One band, and what its numbers mean."""

    colour: str
    """GDAL's colour interpretation in small letters: gray, red, ..., alpha, undefined."""
    description: str | None = None
    scale: float = 1.0
    """Physical value = scale * number + offset."""
    offset: float = 0.0
    unit: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Header:
    """All of a file but its pixels. Height and width are those of the picture as shown: after EXIF orientation."""

    format: str
    """As Pillow or GDAL names it."""
    height: int
    width: int
    dtype: str
    """One of DTYPES."""
    bands: tuple[Band, ...]
    """Alpha, when there is one, is the last; it is not premultiplied into the others."""
    bits: int | None = None
    """Of a whole number without sign, where the file has fewer than the dtype: no value is above what they hold."""
    nodata: float | None = None
    """The number that says "nothing was measured here", of every band; NaN says so always."""
    mask: bool = False
    """The file has a mask of its own, beside the bands, that tells which pixels are to be looked at."""
    georef: Georef | None = None
    tags: Mapping[str, str] | None = None
    icc_profile: bytes | None = None
    exif: bytes | None = None
    """A TIFF structure without the "Exif" prefix, upright (orientation 1) and without a thumbnail."""
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    """Pixels per inch, across and down."""
    png_colour: Mapping[str, bytes] | None = None
    """The chunks of a PNG that say what its colours mean, by name: gAMA, cHRM, ..."""
    notes: tuple[str, ...] = ()
    """What of the file is not in the output: further pages, frames, metadata that no output can hold."""

    @property
    def colours(self) -> tuple[str, ...]:
        return tuple(band.colour for band in self.bands)

    @property
    def has_alpha(self) -> bool:
        return len(self.bands) > 1 and self.colours[-1] == ALPHA

    def nodata_of(self, band: Band) -> float | None:
        """An alpha is always known."""
        return None if band.colour == ALPHA else self.nodata

    def holds(self, number: float) -> bool:
        """Whether a sample can be that number."""
        return holds(self.dtype, number)


@dataclass(frozen=True)
class Pixels:
    """A window of a picture as the file has it."""

    samples: "NDArray[Any]"
    """(C, h, w) of the header's dtype."""
    mask: "NDArray[np.bool_] | None"
    """(h, w), True for pixels to be looked at; None unless the header says that there is a mask."""


@dataclass(frozen=True)
class FileLimits:
    """What a file may ask of us: files are hostile."""

    pixels: int = MAX_PIXELS
    """Of one picture."""
    bands: int = 64
    bytes_at_once: int = 2**30
    """Of a picture that cannot be read window by window, decoded."""
    seconds: float = 300.0
    """For one answer of a decoder."""
