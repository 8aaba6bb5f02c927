"""Where the parts of a file lie, so that what is spoiled is often what its decoder goes by. Rough: never fails."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.imagery.reading.tiff_tags import MAGICS


@dataclass(frozen=True)
class Part:
    """A chunk, segment, box or tag."""

    start: int
    stop: int
    length_at: int
    """Where its length, or count, is said."""
    length_format: str
    """Of struct."""


_SIZES = {3: 2, 4: 4, 5: 8, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of the types of TIFF that have more than one."""


def parts(data: bytes) -> list[Part]:
    """Of PNG, JPEG, RIFF, TIFF and the containers of JPEG 2000 and AVIF; none of another file."""
    if data[:4] == b"\x89PNG":
        found = _png(data)
    elif data[:2] == b"\xff\xd8":
        found = _jpeg(data)
    elif data[:4] == b"RIFF":
        found = _riff(data)
    elif data[:4] in MAGICS:
        found = _tiff(data)
    elif data[4:8] in (b"ftyp", b"jP  "):
        found = _boxes(data)
    else:
        return []
    return list(found)


def mend_png(data: bytes) -> bytes:
    """With the checksum of every chunk as it should be, so that what is spoiled gets past them."""
    mended = bytearray(data)
    for part in _png(data):
        if part.stop <= len(data):
            mended[part.stop - 4 : part.stop] = struct.pack(">I", zlib.crc32(data[part.start + 4 : part.stop - 4]))
    return bytes(mended)


def _png(data: bytes) -> Iterator[Part]:
    position = 8
    while position + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, position)
        yield Part(position, position + 12 + length, position, ">I")
        position += 12 + length


def _jpeg(data: bytes) -> Iterator[Part]:
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        (length,) = struct.unpack_from(">H", data, position + 2)
        yield Part(position, position + 2 + length, position + 2, ">H")
        if data[position + 1] == 0xDA:  # pixels follow
            return
        position += 2 + length


def _riff(data: bytes) -> Iterator[Part]:
    position = 12
    while position + 8 <= len(data):
        (length,) = struct.unpack_from("<I", data, position + 4)
        yield Part(position, position + 8 + length + length % 2, position + 4, "<I")
        position += 8 + length + length % 2


def _tiff(data: bytes) -> Iterator[Part]:
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    offset_format, count_format, entry, head = ("Q", "Q", 20, 8) if big else ("I", "H", 12, 4)
    (start,) = struct.unpack_from(order + offset_format, data.ljust(16, b"\0"), head)
    first = start + struct.calcsize(count_format)
    if first > len(data):
        return
    (entries,) = struct.unpack_from(order + count_format, data, start)
    for at in range(first, min(first + entry * min(entries, 100), len(data) - entry + 1), entry):
        kind, count, place = struct.unpack_from(f"{order}2xH2{offset_format}", data, at)
        yield Part(at, at + entry, at + 4, order + offset_format)
        size = _SIZES.get(kind, 1) * count
        if struct.calcsize(offset_format) < size <= len(data) - place:  # the values lie elsewhere
            yield Part(place, place + size, at + 4, order + offset_format)


def _boxes(data: bytes, position: int = 0, end: int | None = None) -> Iterator[Part]:
    end = len(data) if end is None else end
    while position + 8 <= end:
        length, kind = struct.unpack_from(">I4s", data, position)
        stop = position + length if length >= 8 else end
        yield Part(position, stop, position, ">I")
        inside = {b"jp2h": 8, b"meta": 12, b"iprp": 8, b"ipco": 8, b"asoc": 8}.get(kind)
        if inside is not None and stop <= end:
            yield from _boxes(data, position + inside, stop)
        position = stop
