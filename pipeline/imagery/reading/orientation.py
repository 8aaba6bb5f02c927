"""The orientation of a picture: turning its pixels, and setting its metadata to upright."""

import re
from collections.abc import MutableMapping
from typing import Any

from numpy.typing import NDArray
from PIL import Image
from PIL.ExifTags import IFD, Base

from ..exif import as_bytes, directory

_ON_PAPER = (Base.XResolution, Base.YResolution)
_ON_SENSOR = (Base.FocalPlaneXResolution, Base.FocalPlaneYResolution)

_SUBJECT_AREA = 0x9214

_PLACES = (_SUBJECT_AREA, Base.SubjectLocation)
"""Where the subject stands in the picture as stored."""

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
    """Return EXIF as a TIFF structure, set to upright, without the thumbnail and places in it; None if it is empty.

    Raises whatever Pillow raises for broken data.
    """
    if not len(exif):
        return None
    of_camera = directory(exif, IFD.Exif)
    for name in _PLACES:
        of_camera.pop(name, None)
    if lies_on_its_side(of_exif(exif)):
        _swap(exif, *_ON_PAPER)
        _swap(of_camera, *_ON_SENSOR)
    exif[Base.Orientation] = 1
    return as_bytes(exif)


def _swap(tags: MutableMapping[int, Any], one: int, other: int) -> None:
    """Swap the values of two tags, either of which may be missing."""
    values = {name: tags[theirs] for name, theirs in ((one, other), (other, one)) if theirs in tags}
    for name in (one, other):
        if name in tags:
            del tags[name]
    for name, value in values.items():
        tags[name] = value


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Return XMP with tiff:Orientation, if present, set to 1."""
    return xmp and _XMP.sub(rb"\g<1>1", xmp)
