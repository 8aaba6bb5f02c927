"""EXIF as bytes, with the letters that it was read with."""

from collections.abc import MutableMapping
from typing import Any

from PIL import Image

_PREFIX = b"Exif\0\0"

_DIRECTORIES = (34665, 34853)
"""Exif and GPSInfo."""


def as_bytes(exif: Image.Exif) -> bytes:
    """Return EXIF as a TIFF structure; texts have the bytes from which they were read.

    Raises whatever Pillow raises for broken data.
    """
    _keep_letters(exif)
    for tag in _DIRECTORIES:
        if tag in exif:
            _keep_letters(exif[tag] if isinstance(exif[tag], dict) else exif.get_ifd(tag))
    return exif.tobytes().removeprefix(_PREFIX)


class _Text(str):
    """A text of EXIF: Pillow reads its bytes as Latin-1, whatever they are, but would write all but ASCII as "?"."""

    def encode(self, *_: object, **__: object) -> bytes:
        return super().encode("latin-1")


def _keep_letters(tags: MutableMapping[int, Any]) -> None:
    for tag, value in list(tags.items()):
        if isinstance(value, str):
            tags[tag] = _Text(value)
