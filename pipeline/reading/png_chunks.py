"""The chunks of a PNG (ISO 15948), as far as Pillow does not tell of them without decoding the picture."""

import struct
from collections.abc import Iterator

_METADATA = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
"""Keywords of texts that are EXIF or XMP."""

_TEXTS = (b"iTXt", b"zTXt", b"tEXt")

_COLOUR = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
"""And the bytes that each has."""

_READ = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"pHYs", b"eXIf", b"acTL", b"fcTL", b"fdAT", *_TEXTS}

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


def colour(path: str) -> dict[str, bytes]:
    """The chunks before the pixels that say what the colours mean, but the ICC profile."""
    found = {}
    for kind, begin in _chunks(path):
        if kind in _COLOUR:
            found[kind.decode()] = begin[: _COLOUR[kind]]
        if kind == b"IDAT":
            break
    return {name: data for name, data in found.items() if len(data) == _COLOUR[name.encode()]}


def others(path: str) -> Iterator[str]:
    """The kinds of all chunks, which may be private ones, that nothing is made of."""
    for kind, _ in _chunks(path):
        if kind not in _READ and kind not in _COLOUR and kind.isalpha():
            yield kind.decode()


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
