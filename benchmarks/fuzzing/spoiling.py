"""What is done to a good file. Every draw is from the generator that is given."""

import re
import struct
from collections.abc import Callable
from random import Random
from typing import Literal

from .structure import mend_png, parts

_NUMBERS = (0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
"""At the ends of what integers hold."""

_FLOATS = (float("nan"), float("inf"), float("-inf"), 0.0, -0.0, -1.0, 1e-40, 3e38)

_TEXTS = (b"-1", b"1e999", b"nan", b"99999999999", b"0", b"%s%n", b"\0", b"\xff\xfe", b"<&", b"]]>", b"=", b" ", b"\n")

_ORDERS: tuple[Literal["little", "big"], ...] = ("little", "big")

_HEAD = 128
"""Bytes from the start in which most of what a header says lies."""

_MOST = 4
"""Things that are done to one file."""

_LARGEST = 2**21
"""Bytes of a spoiled file."""


def spoil(data: bytes, other: bytes, random: Random) -> tuple[bytes, list[str]]:
    """A spoiled file and what was done to it, by the names of functions.

    Args:
        other: another good file, of which parts may be taken.
    """
    done = []
    for _ in range(random.choice((1, 1, 1, 2, 3, _MOST))):
        change = random.choice(_CHANGES)
        data = change(data, other, random)[:_LARGEST]
        done.append(change.__name__.strip("_"))
    if data.startswith(b"\x89PNG") and random.random() < 0.7:
        data = mend_png(data)
        done.append("mend_png")
    return data, done


def _flip_bits(data: bytes, _: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    for _time in range(random.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[_place(data, random)] ^= 1 << random.randrange(8)
    return bytes(changed)


def _write_bytes(data: bytes, _: bytes, random: Random) -> bytes:
    """A run of noise, or of one byte."""
    length = random.choice((1, 4, 16, 256))
    run = random.choice((random.randbytes(length), bytes([random.randrange(256)]) * length, bytes(length)))
    return _written(data, _place(data, random), run)


def _write_number(data: bytes, _: bytes, random: Random) -> bytes:
    return _written(data, _place(data, random), _number(random))


def _write_header(data: bytes, _: bytes, random: Random) -> bytes:
    """Numbers over what the header says of sizes and the like."""
    for _time in range(random.choice((1, 2, 4))):
        data = _written(data, random.randrange(2, _HEAD), _number(random))
    return data


def _write_text(data: bytes, _: bytes, random: Random) -> bytes:
    """Over letters or a number in letters, as headers of pixmaps, nodata and metadata have it."""
    found = [run.span() for run in re.finditer(rb"[ -~]{2,}", data)]
    if not found:
        return data
    start, stop = random.choice(found)
    digits = [index for index in range(start, stop) if chr(data[index]).isdigit()]
    return _written(data, random.choice(digits or [start]), random.choice(_TEXTS))


def _cut(data: bytes, _: bytes, random: Random) -> bytes:
    return data[: _place(data, random)]


def _take_away(data: bytes, _: bytes, random: Random) -> bytes:
    start = _place(data, random)
    return data[:start] + data[start + random.choice((1, 2, 16, 300)) :]


def _put_in(data: bytes, other: bytes, random: Random) -> bytes:
    """A piece of another file."""
    start, begin = _place(data, random), _place(other, random)
    return data[:start] + other[begin : begin + random.choice((1, 8, 100, 5000))] + data[start:]


def _splice(data: bytes, other: bytes, random: Random) -> bytes:
    """The head of one file and the tail of another."""
    return data[: _place(data, random)] + other[_place(other, random) :]


def _prolong(data: bytes, other: bytes, random: Random) -> bytes:
    return data + random.choice((data, other, bytes(5000), random.randbytes(100)))


def _lie_about_length(data: bytes, _: bytes, random: Random) -> bytes:
    """A huge or a wrong length of a chunk, a segment, a box, or count of a tag."""
    found = parts(data)
    if not found:
        return _write_header(data, b"", random)
    part = random.choice(found)
    largest = 256 ** struct.calcsize(part.length_format) - 1
    lie = random.choice((largest, largest // 2, largest // 2 + 1, len(data), part.stop - part.start + 1, 1, 0))
    return _written(data, part.length_at, struct.pack(part.length_format, min(lie, largest)))


def _spoil_part(data: bytes, _: bytes, random: Random) -> bytes:
    """A number into a chunk, a segment, a box or a tag."""
    found = parts(data)
    if not found:
        return _write_header(data, b"", random)
    part = random.choice(found)
    step = random.choice((1, 8))  # of doubles, one is to be written whole
    return _written(data, random.randrange(part.start, max(part.stop, part.start + 1), step), _number(random))


def _spoil_value(data: bytes, _: bytes, random: Random) -> bytes:
    """A floating-point number into a tag, in place of one of it, as far as can be known."""
    found = parts(data)
    if not found:
        return _write_number(data, b"", random)
    part = random.choice(found)
    place = random.randrange(part.start, max(part.stop - 7, part.start + 1), 8)
    return _written(data, place, struct.pack(part.length_format[0] + "d", random.choice(_FLOATS)))


def _swap_parts(data: bytes, _: bytes, random: Random) -> bytes:
    one, other = _two_pieces(data, random)
    return data[: one[0]] + data[slice(*other)] + data[one[1] : other[0]] + data[slice(*one)] + data[other[1] :]


def _repeat_part(data: bytes, _: bytes, random: Random) -> bytes:
    one, other = _two_pieces(data, random)
    return data[: other[0]] + data[slice(*one)] * random.choice((1, 2, 50)) + data[other[0] :]


def _drop_part(data: bytes, _: bytes, random: Random) -> bytes:
    one, _other = _two_pieces(data, random)
    return data[: one[0]] + data[one[1] :]


_CHANGES: tuple[Callable[[bytes, bytes, Random], bytes], ...] = (
    *(_flip_bits, _write_bytes, _write_number, _write_header, _write_text),
    *(_cut, _take_away, _put_in, _splice, _prolong),
    *(_lie_about_length, _spoil_part, _spoil_value, _swap_parts, _repeat_part, _drop_part),
)


def _two_pieces(data: bytes, random: Random) -> tuple[tuple[int, int], tuple[int, int]]:
    """Start and stop of two parts, the first before the second; of any pieces where there are no parts."""
    found = [(part.start, part.stop) for part in parts(data) if part.stop <= len(data)]
    starts = sorted({start for start, _ in found})
    if len(starts) < 2:
        places = sorted(_place(data, random) for _ in range(4))
        return (places[0], places[1]), (places[2], places[3])
    stops = dict(sorted(found, reverse=True))
    first, second = sorted(random.sample(starts, 2))
    return (first, min(stops[first], second)), (second, stops[second])


def _place(data: bytes, random: Random) -> int:
    """Anywhere, but near the start as often."""
    reach = len(data) if random.random() < 0.5 else min(len(data), _HEAD)
    return random.randrange(max(reach, 1))


def _number(random: Random) -> bytes:
    if random.random() < 0.2:
        return struct.pack(random.choice("<>") + random.choice("fd"), random.choice(_FLOATS))
    size = random.choice((1, 2, 4, 8))
    value = random.choice((*_NUMBERS, random.getrandbits(8), random.getrandbits(32))) % (1 << 8 * size)
    return value.to_bytes(size, random.choice(_ORDERS))


def _written(data: bytes, place: int, new: bytes) -> bytes:
    """Over what is there; never past the end."""
    return (data[:place] + new + data[place + len(new) :])[: max(len(data), 1)]
