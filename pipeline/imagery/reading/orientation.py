"""Which way up a picture is: turning its pixels, and saying in its metadata that it stands upright."""

import re
from typing import Any

from numpy.typing import NDArray
from PIL import Image

TAG = 274
"""Of EXIF and TIFF: 1 to 8."""

_RESOLUTION = (282, 283)
"""XResolution and YResolution."""

_EXIF_PREFIX = b"Exif\0\0"

_XMP = re.compile(rb"""(tiff:Orientation(?:\s*=\s*["']|\s*>)\s*)([0-9]+)""")


def turn(samples: NDArray[Any], orientation: int) -> NDArray[Any]:
    """(..., h, w) as stored to (..., H, W) as shown: a view. What is no orientation turns nothing."""
    if lies_on_its_side(orientation):
        samples = samples.swapaxes(-1, -2)
    if orientation in (3, 4, 7, 8):
        samples = samples[..., ::-1, :]
    if orientation in (2, 3, 6, 7):
        samples = samples[..., ::-1]
    return samples


def lies_on_its_side(orientation: int) -> bool:
    """Whether height and width change places."""
    return orientation in (5, 6, 7, 8)


def turn_dpi(dpi: tuple[float, float] | None, orientation: int) -> tuple[float, float] | None:
    """Pixels per inch across and down, as stored, to those as shown."""
    return dpi and (dpi[::-1] if lies_on_its_side(orientation) else dpi)


def of_exif(exif: Image.Exif) -> int:
    """1 where there is none, or none that EXIF knows."""
    orientation = exif.get(TAG, 1)
    return orientation if orientation in range(1, 9) else 1


def of_xmp(xmp: bytes | None) -> int:
    """1 where it says none, or none that EXIF knows."""
    said = _XMP.search(xmp or b"")
    orientation = int(said[2]) if said and len(said[2]) == 1 else 1
    return orientation if orientation in range(1, 9) else 1


def upright_exif(exif: Image.Exif) -> bytes | None:
    """The same as a TIFF structure, upright and without the thumbnail's directory; None when nothing is in it.

    Raises whatever Pillow raises for what is broken.
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
    return exif.tobytes().removeprefix(_EXIF_PREFIX)


def upright_xmp(xmp: bytes | None) -> bytes | None:
    """The same, with tiff:Orientation, where there is one, set to 1."""
    return xmp and _XMP.sub(rb"\g<1>1", xmp)
