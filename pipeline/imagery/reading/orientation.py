"""The orientation of a picture: turning its pixels, and setting its metadata to upright."""

import re
from typing import Any

from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import Base

from ..exif import as_bytes

_RESOLUTION = (Base.XResolution, Base.YResolution)

_XMP = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>)\s*)([0-9]+)""")


def turn(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Turn (..., h, w) as stored to (..., H, W) as shown; a view. An invalid orientation turns nothing."""
    if lies_on_its_side(orientation):
        samples = samples.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        samples = samples[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        samples = samples[..., ::-1]
    return samples


def lies_on_its_side(orientation: int) -> bool:
    """Return whether height and width are swapped."""
    return orientation in (5, 6, 7, 8)


def turn_dpi(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    """Turn pixels per inch, across and down, as stored to those as shown."""
    return dpi and (dpi[::-1] if lies_on_its_side(orientation) else dpi)


def valid(orientation: int) -> int:
    """Return the orientation, or 1 for a number that is none."""
    return orientation if orientation in range(1, 9) else 1


def of_exif(exif: Image.Exif) -> int:
    """Return the orientation; 1 if it is missing or invalid."""
    return valid(exif.get(Base.Orientation, 1))


def of_xmp(xmp: bytes | None) -> int:
    """Return the orientation; 1 if it is missing or invalid."""
    said = _XMP.search(xmp or b"")
    return valid(int(said[2]) if said and len(said[2]) == 1 else 1)


def upright_exif(exif: Image.Exif) -> bytes | None:
    """Return EXIF as a TIFF structure, set to upright, without the thumbnail; None if it is empty.

    Raises whatever Pillow raises for broken data.
    """
    if not len(exif):
        return None
    if lies_on_its_side(of_exif(exif)):
        turned = {name: exif.get(other) for name, other in (_RESOLUTION, _RESOLUTION[::-1])}
        for name, resolution in turned.items():
            if resolution is not None:
                exif[name] = resolution
            elif name in exif:
                del exif[name]
    exif[Base.Orientation] = 1
    return as_bytes(exif)


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Return XMP with tiff:Orientation, if present, set to 1."""
    return xmp and _XMP.sub(rb"\g<1>1", xmp)
