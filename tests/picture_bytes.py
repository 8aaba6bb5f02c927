"""Makers of picture files, byte by byte after their specifications, for what the libraries do not write."""

import struct
import zlib
from collections.abc import Mapping, Sequence

_LETTERS = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B", 12: "d"}
"""How struct calls the types of a TIFF's values."""

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, depth: int, colour: int, rows: Sequence[bytes], before: bytes = b"", after: bytes = b"") -> bytes:
    """A PNG (ISO 15948) of unfiltered rows; `before` and `after` are chunks around the pixels."""
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    pixels = png_chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before + pixels + after + png_chunk(b"IEND", b"")


def psd(mode: int, width: int, planes: Sequence[bytes], resources: Mapping[int, bytes], layers: int = 0) -> bytes:
    """An unpacked PSD of 8 bits; `mode` 1 is gray, 3 RGB; `resources` by their numbers.

    `layers` is the count of layers, which are empty: negative if the first further channel is transparency.
    """
    blocks = b""
    for number, data in resources.items():
        blocks += struct.pack(">4sHHI", b"8BIM", number, 0, len(data)) + data + bytes(len(data) % 2)
    header = struct.pack(">4sH6xHIIHH", b"8BPS", 1, len(planes), len(planes[0]) // width, width, 8, mode)
    layer = struct.pack(">16xH4s4s4xII4x", 0, b"8BIM", b"norm", 12, 0) + bytes(4)
    described = struct.pack(">h", layers) + layer * abs(layers) if layers else b""
    described += bytes(len(described) % 2)
    section = struct.pack(">I", len(described)) + described + bytes(4) if layers else b""
    sections = struct.pack(">II", 0, len(blocks)) + blocks + struct.pack(">I", len(section)) + section
    return header + sections + bytes(2) + b"".join(planes)


def tiff(tags: Mapping[int, tuple[int, int | Sequence[int] | bytes]], data: bytes, following: bytes = b"") -> bytes:
    """An uncompressed TIFF 6.0 of one strip, little-endian: tag -> (type, value or values); the strip is added."""
    tags = {**tags, 273: (4, 0), 279: (4, len(data))}
    start = 8 + 2 + 12 * len(tags) + 4
    entries, extra = b"", b""

    def strip_at() -> int:
        return start + sum(len(_packed(*value)) for value in tags.values() if len(_packed(*value)) > 4)

    for tag in sorted(tags):
        kind, value = tags[tag]
        packed = _packed(kind, strip_at() if tag == 273 else value)
        place = packed.ljust(4, b"\0") if len(packed) <= 4 else struct.pack("<I", start + len(extra))
        entries += struct.pack("<HHI", tag, kind, len(packed) // _SIZES[kind]) + place
        extra += packed if len(packed) > 4 else b""
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + extra + data + following


def big_tiff(tags: Mapping[int, tuple[int, int | Sequence[int] | bytes]], data: bytes, following: bytes = b"") -> bytes:
    """An uncompressed BigTIFF of one strip, big-endian, as `tiff` makes it; its values have 8 bytes at most."""
    tags = {**tags, 273: (4, 16 + 8 + 20 * len({*tags, 273, 279}) + 8), 279: (4, len(data))}
    entries = b""
    for tag in sorted(tags):
        kind, value = tags[tag]
        packed = _packed(kind, value, ">")
        entries += struct.pack(">HHQ", tag, kind, len(packed) // _SIZES[kind]) + packed.ljust(8, b"\0")
    return b"MM\0+" + struct.pack(">HHQQ", 8, 0, 16, len(tags)) + entries + bytes(8) + data + following


def _packed(kind: int, value: int | float | Sequence[int] | bytes, order: str = "<") -> bytes:
    values = [value] if isinstance(value, int | float) else list(value)
    return struct.pack(f"{order}{len(values)}{_LETTERS[kind]}", *values)
