"""The segments of a JPEG (ISO 10918-1, annex B): its coding process, and headers without content."""

import struct
from collections.abc import Iterator
from typing import NamedTuple

_PROCESSES = {
    0xC3: "lossless coding",
    **dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xDE), "hierarchical coding"),
    0xCB: "lossless arithmetic coding",
    0xCF: "lossless arithmetic coding",
    0xF7: "JPEG-LS coding",
}
"""Unsupported processes, by the marker that starts a frame, or several frames (DHP, 0xDE).

All others are decoded: Huffman and arithmetic, sequential and progressive.
"""

_FRAMES = {*range(0xC0, 0xD0), 0xDE, 0xF7} - {0xC4, 0xC8, 0xCC}

_ALONE = {0x01, *range(0xD0, 0xD8)}
"""Markers without a length."""

_SCAN, _END = 0xDA, 0xD9

_LEAST = {b"JFIF": 14, b"Adobe": 12, b"ICC_PROFILE": 14}
"""Shortest valid application segments in bytes, name included; Pillow would read beyond a shorter one."""


class Segment(NamedTuple):
    marker: int
    start: int
    """Position of its marker."""
    stop: int
    data: bytes


def segments(data: bytes) -> Iterator[Segment]:
    """Yield the segments before the first scan; stops where the file makes no sense."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _ALONE:
            place += 1 if marker == 0xFF else 2
            continue
        if marker in (_SCAN, _END):
            return
        (length,) = struct.unpack_from(">H", data, place + 2)
        stop = place + 2 + length
        if length < 2 or stop > len(data):
            return
        yield Segment(marker, place, stop, data[place + 4 : stop])
        place = stop


def unread_feature(data: bytes) -> str | None:
    """Return the feature of an intact picture beginning with `data` that no decoder here supports; None if unknown."""
    frame = next((segment for segment in segments(data) if segment.marker in _FRAMES), None)
    if frame is None or len(frame.data) < 6:
        return None
    if frame.marker in _PROCESSES:
        return _PROCESSES[frame.marker]
    precision, height, _, components = struct.unpack_from(">BHHB", frame.data)
    if precision != 8:
        return f"{precision} bits a sample"
    if components not in (1, 3, 4):
        return f"{components} components"
    return "a height that is given after its pixels" if height == 0 else None


def without_empty_headers(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """Return `data` without application segments that are too short for their name, and these names."""
    kept, names, place = b"", [], 0
    for segment in segments(data):
        name = segment.data.split(b"\0", 1)[0]
        if 0xE0 <= segment.marker <= 0xEF and len(segment.data) < _LEAST.get(name, 0):
            kept += data[place : segment.start]
            place = segment.stop
            names.append(name.decode())
    return kept + data[place:], tuple(names)
