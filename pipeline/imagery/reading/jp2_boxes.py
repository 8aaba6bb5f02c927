"""What the boxes of a JPEG 2000 file say and its decoders do not report (ISO 15444-1, annex I)."""

import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import BinaryIO

from PIL import Image
from PIL.ExifTags import Base

from ..header import GRAY, RGB
from . import orientation

FILE_MAGIC = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM_MAGIC = b"\xff\x4f\xff\x51"

_EXIF = b"JpgTiffExif->JP2"
"""UUID of EXIF, which is readable text."""

EXIF_NOTE = "its EXIF data, in a box of JPEG 2000, is not carried over"

_XMP = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
"""UUID of XMP (ISO 16684-1). Like that of EXIF it is not part of the standard."""

_GEO_JP2 = bytes.fromhex("b14bf8bd083d4b43a5ae8cd7d5a6ce03")
"""UUID of GeoJP2, which holds a GeoTIFF."""

_GML, _LABEL = b"gml.data", 64
"""Label of the association box with GML (OGC 08-085), and the bytes in which it stands."""

_LARGEST_METADATA = 2**26

SYCC = 18
"""Enumerated colour space of luma and chroma, which GDAL leaves as they are (ISO 15444-1, annex I.5.3.3)."""

UNSUPPORTED: dict[int | bytes | None, str] = {
    **dict.fromkeys((1, 3, 4, 9, 22, 23), "colours of luma and chroma other than sYCC"),
    11: "inks (CMY)",
    12: "inks (CMYK)",
    b"CMYK": "inks (CMYK)",
    13: "inks (YCCK)",
    14: "L*a*b* colours",
    b"Lab ": "L*a*b* colours",
    19: "J*a*b* colours",
    20: "e-sRGB colours",
    21: "ROMM-RGB colours",
    24: "e-sYCC colours",
}
"""Colour spaces that cannot be enlarged directly, or that no output can name, by their number (ISO 15444-2, annex M) or
the name in a profile."""

_OF_PROFILES = {b"RGB ": RGB, b"GRAY": GRAY}
"""Colours by the name of their space in an ICC profile (ICC.1, 7.2.6)."""

_SPACE = slice(16, 20)
"""Where a profile says that name."""

_OF_BOXES = (b"jp2h", b"res ", b"asoc", b"jpch", b"jplh", b"uinf")
"""Kinds of boxes that contain boxes."""


def check_lengths(path: str) -> None:
    """Raise ValueError for an inner box without a length, with which GDAL 3.10 never returns."""
    with open(path, "rb") as file:
        if file.read(4) == CODESTREAM_MAGIC:
            return
        around = [(0, _size(file))]
        while around:
            around += [(begin, end) for kind, begin, end in _boxes(file, *around.pop()) if kind in _OF_BOXES]


def depth(path: str) -> int:
    """Return the bits of the deepest component. Raises ValueError, OSError or struct.error if the file does not say."""
    with open(path, "rb") as file:
        start = 0
        if file.read(4) != CODESTREAM_MAGIC:
            streams = (begin for kind, begin, _ in _boxes(file, 0, _size(file)) if kind == b"jp2c")
            start = next(streams, -1)
            if start < 0:
                raise ValueError("no codestream")
        file.seek(start + 4)
        head = file.read(38)  # Lsiz, Rsiz, eight sizes and offsets, Csiz
        (components,) = struct.unpack_from(">H", head, 36)
        sizes = file.read(3 * components)
    return max((precision & 0x7F) + 1 for precision in sizes[::3])


def icc_profile(path: str) -> bytes | None:
    """Return the profile of the first colour specification that has one."""
    with open(path, "rb") as file:
        for begin, end in _in_header(file, b"colr"):
            file.seek(begin)
            method = file.read(3)[:1]
            if method in (b"\2", b"\3"):
                return file.read(end - begin - 3)
    return None


def colour_space(path: str) -> int | bytes | None:
    """Return the number of the first colour specification if it has one, else the name that its profile has."""
    with open(path, "rb") as file:
        for begin, _ in _in_header(file, b"colr"):
            file.seek(begin)
            method, number = struct.unpack(">B2xI", file.read(7))
            if method == 1:
                return int(number)
            break
    profile = icc_profile(path)
    return profile[_SPACE] if profile else None


def named(path: str, colours: list[str]) -> list[str]:
    """Return the colours of the bands, with names where GDAL knows none: of a profile, or of a bare codestream."""
    with open(path, "rb") as file:
        bare = file.read(4) == CODESTREAM_MAGIC
    space = colour_space(path)
    names = _OF_PROFILES.get(space, ()) if isinstance(space, bytes) else RGB if bare and len(colours) == 3 else ()
    unnamed = set(colours[: len(names)]) == {"undefined"}
    return [*names, *colours[len(names) :]] if unnamed else colours


def has_palette(path: str) -> bool:
    with open(path, "rb") as file:
        return any(True for _ in _in_header(file, b"pclr"))


def is_georeferenced(path: str) -> bool:
    """Return whether it has a GeoJP2 box, or GML in an association box."""
    gml = any(_GML in file.read(min(length, _LABEL)) for file, length in _of_kind(path, b"asoc"))
    return gml or _uuid(path, _GEO_JP2) is not None


def has_exif(path: str) -> bool:
    return _uuid(path, _EXIF) is not None


def side_up(path: str) -> int:
    """Return the orientation from EXIF, or without it from XMP; 1 if neither has a valid one."""
    with suppress(Exception):  # broken EXIF, for which Pillow has no class of its own
        exif = Image.Exif()
        exif.load(_uuid(path, _EXIF) or b"")
        if Base.Orientation in exif:
            return orientation.of_exif(exif)
    return orientation.of_xmp(_uuid(path, _XMP))


def xmp(path: str) -> bytes | None:
    return _uuid(path, _XMP)


def _uuid(path: str, wanted: bytes) -> bytes | None:
    """Return the content of the box with this UUID."""
    for file, length in _of_kind(path, b"uuid"):
        if file.read(len(wanted)) == wanted:
            return file.read(min(length - len(wanted), _LARGEST_METADATA))
    return None


def _of_kind(path: str, wanted: bytes) -> Iterator[tuple[BinaryIO, int]]:
    """Yield the file at the content of each outer box of a kind, and the length of that; none of a codestream."""
    with open(path, "rb") as file:
        if file.read(4) == CODESTREAM_MAGIC:
            return
        for kind, begin, end in _boxes(file, 0, _size(file)):
            if kind == wanted:
                file.seek(begin)
                yield file, end - begin


def _in_header(file: BinaryIO, wanted: bytes) -> Iterator[tuple[int, int]]:
    if file.read(4) == CODESTREAM_MAGIC:
        return
    for kind, begin, end in _boxes(file, 0, _size(file)):
        if kind == b"jp2h":
            yield from ((first, last) for inner, first, last in _boxes(file, begin, end) if inner == wanted)


def _boxes(file: BinaryIO, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte and end of the content of each box. Raises ValueError for an inner one without length."""
    is_inner = position > 0
    while position + 8 <= end:
        file.seek(position)
        length, kind = struct.unpack(">I4s", file.read(8))
        begin = position + 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8))
            begin += 8
        if length == 0 and is_inner:
            raise ValueError(f"its box {kind!r}, inside another, has no length")
        stop = end if length == 0 else position + length
        if stop < begin or stop > end:
            return
        yield kind, begin, stop
        position = stop


def _size(file: BinaryIO) -> int:
    return file.seek(0, 2)
