"""EXIF as bytes, with the letters that it was read with, and the texts in it that a TIFF has tags for."""

import warnings
from collections.abc import MutableMapping
from typing import Any

from PIL import Image
from PIL.ExifTags import IFD, Base

_PREFIX = b"Exif\0\0"

DIRECTORIES = (IFD.Exif, IFD.GPSInfo)

GDAL_NAMES = {
    Base.ImageDescription: "TIFFTAG_IMAGEDESCRIPTION",
    Base.Software: "TIFFTAG_SOFTWARE",
    Base.DateTime: "TIFFTAG_DATETIME",
    Base.Artist: "TIFFTAG_ARTIST",
    Base.HostComputer: "TIFFTAG_HOSTCOMPUTER",
    Base.Copyright: "TIFFTAG_COPYRIGHT",
}
"""GDAL's names of the tags that it writes into a TIFF."""

_OF_THE_PICTURE = {
    *(Base.ImageWidth, Base.ImageLength, Base.ExifImageWidth, Base.ExifImageHeight),
    *(Base.Orientation, Base.XResolution, Base.YResolution, Base.ResolutionUnit),
}
"""Sizes, orientation and resolution, which a TIFF says by itself."""


def texts(exif: bytes) -> tuple[dict[str, str], bool]:
    """Return the texts that GDAL writes into a TIFF, by its names, and whether EXIF holds or may hold more."""
    tags = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a broken tag
            tags.load(exif)
            said = {GDAL_NAMES[tag]: tags[tag] for tag in GDAL_NAMES if tag in tags}
            inner = [name for tag in DIRECTORIES if tag in tags for name in tags.get_ifd(tag)]
    except Exception:  # noqa: BLE001 - Pillow has no class of its own for broken data
        return {}, True
    more = not {*tags, *inner} - {*DIRECTORIES} <= {*GDAL_NAMES, *_OF_THE_PICTURE}
    return {name: _letters(text) for name, text in said.items() if isinstance(text, str)}, more


def _letters(text: str) -> str:
    """Return a text of which Pillow made Latin-1, as UTF-8 if it is that."""
    try:
        return text.encode("latin-1").decode()
    except UnicodeError:
        return text


def as_bytes(exif: Image.Exif) -> bytes:
    """Return EXIF as a TIFF structure; texts have the bytes from which they were read.

    Raises whatever Pillow raises for broken data.
    """
    _keep_letters(exif)
    for tag in DIRECTORIES:
        _keep_letters(directory(exif, tag))
    return exif.tobytes().removeprefix(_PREFIX)


def directory(exif: Image.Exif, tag: int) -> MutableMapping[int, Any]:
    """Return one of DIRECTORIES, to be changed in place; an empty one where there is none."""
    if tag not in exif:
        return {}
    return exif[tag] if isinstance(exif[tag], dict) else exif.get_ifd(tag)


class _Text(str):
    """A text of EXIF: Pillow reads its bytes as Latin-1, whatever they are, but would write all but ASCII as "?"."""

    def encode(self, *_: object, **__: object) -> bytes:
        return super().encode("latin-1")


def _keep_letters(tags: MutableMapping[int, Any]) -> None:
    for tag, value in list(tags.items()):
        if isinstance(value, str):
            tags[tag] = _Text(value)
