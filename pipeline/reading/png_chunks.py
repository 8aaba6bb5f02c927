"""The chunks of a PNG (ISO 15948), as far as Pillow does not tell of them without decoding the picture."""

import struct
from collections.abc import Iterator

_METADATA = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
"""Keywords of texts that are EXIF or XMP."""

_TEXTS = (b"iTXt", b"zTXt", b"tEXt")

_KEYWORD = 80
"""Bytes, with the 0 at its end."""


def has_late_metadata(path: str) -> bool:
    """Whether EXIF or XMP stands behind the first of the pixels."""
    pixels_begun = False
    for kind, begin in _chunks(path):
        if pixels_begun and (kind == b"eXIf" or (kind in _TEXTS and begin.startswith(_METADATA))):
            return True
        pixels_begun |= kind == b"IDAT"
    return False


def texts(path: str) -> Iterator[str]:
    """The keywords of all texts that are not EXIF or XMP."""
    for kind, begin in _chunks(path):
        if kind in _TEXTS and not begin.startswith(_METADATA):
            yield begin.partition(b"\0")[0].decode("latin-1")


def _chunks(path: str) -> Iterator[tuple[bytes, bytes]]:
    """The kind and the first bytes of each."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            start = file.tell()
            yield kind, file.read(min(length, _KEYWORD))
            file.seek(start + length + 4)
