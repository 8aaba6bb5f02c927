"""The chunks of a PNG (ISO 15948), as far as Pillow does not report them without decoding the picture."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_METADATA = (b"XML:com.adobe.xmp\0", b"Raw profile type exif\0")
"""Keywords of texts that hold EXIF or XMP, and are read."""

_TEXTS = (b"iTXt", b"zTXt", b"tEXt")

_COLOUR = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"mDCV": 24, b"cLLI": 8}
"""Chunks about colour, and their bytes."""

_READ = {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"iCCP", b"pHYs", b"eXIf", b"acTL", b"fcTL", b"fdAT", *_TEXTS}

_KEYWORD = 80
"""Most bytes of a keyword, with the final 0."""


@dataclass(frozen=True)
class PngChunks:
    """What the chunks of a PNG say."""

    late_metadata: bool
    """EXIF or XMP comes after the first pixels."""
    colour: dict[str, bytes]
    """By name, chunks before the pixels that define the colours, except the ICC profile."""
    texts: tuple[str, ...]
    """Keywords of texts that are not EXIF or XMP."""
    others: tuple[str, ...]
    """Kinds of chunks that are not used, which may be private."""


def read(path: str) -> PngChunks:
    """Read all chunks of a file, but not its pixels."""
    late = pixels_begun = False
    colour: dict[str, bytes] = {}
    texts: dict[str, None] = {}  # keeps the order of the file
    others: dict[str, None] = {}
    for kind, begin in _chunks(path):
        is_metadata = kind == b"eXIf" or (kind in _TEXTS and begin.startswith(_METADATA))
        late |= pixels_begun and is_metadata
        pixels_begun |= kind == b"IDAT"
        if kind in _TEXTS and not is_metadata:
            texts[begin.partition(b"\0")[0].decode("latin-1")] = None
        elif kind in _COLOUR and not pixels_begun and len(begin) >= _COLOUR[kind]:
            colour[kind.decode()] = begin[: _COLOUR[kind]]
        elif kind not in _READ and kind not in _COLOUR:
            others[kind.decode()] = None
    return PngChunks(late, colour, tuple(texts), tuple(others))


def _chunks(path: str) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and the first bytes of each chunk, up to what is none, such as a hole of zeros."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if not kind.isalpha():
                return
            start = file.tell()
            yield kind, file.read(min(length, _KEYWORD))
            file.seek(start + length + 4)
