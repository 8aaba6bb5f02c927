"""The orientation of a picture: turning its pixels, and setting its metadata to upright."""

import re
from collections.abc import MutableMapping
from typing import Any

from numpy.typing import NDArray
from PIL import Image

TAG = 274
"""Orientation tag of EXIF and TIFF; values 1 to 8."""

_RESOLUTION = (282, 283)
"""Tags XResolution and YResolution."""

_EXIF_PREFIX = b"Exif\0\0"

_DIRECTORIES = (34665, 34853)
"""Exif and GPSInfo."""

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


def of_exif(exif: Image.Exif) -> int:
    """Return the orientation; 1 if it is missing or invalid."""
    orientation = exif.get(TAG, 1)
    return orientation if orientation in range(1, 9) else 1


def of_xmp(xmp: bytes | None) -> int:
    """Return the orientation; 1 if it is missing or invalid."""
    said = _XMP.search(xmp or b"")
    orientation = int(said[2]) if said and len(said[2]) == 1 else 1
    return orientation if orientation in range(1, 9) else 1


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
    exif[TAG] = 1
    _keep_letters(exif)
    for tag in _DIRECTORIES:
        if tag in exif:
            _keep_letters(exif[tag] if isinstance(exif[tag], dict) else exif.get_ifd(tag))
    return exif.tobytes().removeprefix(_EXIF_PREFIX)


class _Text(str):
    """A text of EXIF: Pillow reads its bytes as Latin-1, whatever they are, but would write all but ASCII as "?"."""

    def encode(self, *_: object, **__: object) -> bytes:
        return super().encode("latin-1")


def _keep_letters(tags: MutableMapping[int, Any]) -> None:
    """Have all texts written as the bytes that they were read from."""
    for tag, value in list(tags.items()):
        if isinstance(value, str):
            tags[tag] = _Text(value)


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """Return XMP with tiff:Orientation, if present, set to 1."""
    return xmp and _XMP.sub(rb"\g<1>1", xmp)
