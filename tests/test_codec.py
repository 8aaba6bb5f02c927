"""Values as JSON: they come back as they were, and what is none is refused with what and where."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.codec import DamagedError, from_json, from_plain, to_json, to_plain


class Kind(StrEnum):
    SMALL = "small"


class Corner(NamedTuple):
    x: float
    y: float


@dataclass(frozen=True)
class Thing:
    """One field of each kind that travels."""

    name: str
    size: float | None
    kind: Kind = Kind.SMALL
    corner: Corner | None = None
    data: bytes | None = None
    made_at: datetime | None = None
    parts: tuple["Thing", ...] = ()


@given(
    st.text(st.characters(), max_size=20),
    st.floats(),
    st.binary(max_size=20),
    st.datetimes(timezones=st.just(UTC)),
)
def test_a_value_comes_back_as_it_was(name: str, size: float, data: bytes, made_at: datetime) -> None:
    """Text of every character, floats to the last bit, NaN and the infinities too, bytes and times."""
    part = Thing(name, 1.5, corner=Corner(size, -size), data=data, made_at=made_at.replace(fold=0))
    thing = Thing("whole", None, parts=(part, part))
    back = from_json(Thing, to_json(thing))
    assert repr(back) == repr(thing)
    assert type(back.parts[0].corner) is Corner
    assert back.kind is Kind.SMALL
    assert repr(from_plain(Thing, to_plain(thing))) == repr(thing)


def test_names_of_any_bytes() -> None:
    """Python keeps bytes of names that are no UTF-8 as lone surrogates; they come through."""
    assert from_json(Thing, to_json(Thing("a\udc80", math.inf))) == Thing("a\udc80", math.inf)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "Expecting value"),
        (b'{"name": "a", "si', "Unterminated"),
        (b"\xff\xfe\xfd", "decode"),
        (b"[" * 100_000, "recursion"),
        (b"[]", "Expected `object`, got `array`"),
        (b'{"name": "a"}', "missing required field `size`"),
        (b'{"name": 1, "size": 2}', r"Expected `str`, got `int` - at `\$.name`"),
        (b'{"name": "a", "size": "2"}', r"at `\$.size`"),
        (b'{"name": "a", "size": 2, "kind": "large"}', "Invalid enum value 'large'"),
        (b'{"name": "a", "size": 2, "data": "?"}', "base64"),
        (b'{"name": "a", "size": 2, "corner": [1]}', r"at `\$.corner`"),
        (b'{"name": "a", "size": 2, "parts": [{"name": "b"}]}', r"at `\$.parts\[0\]`"),
    ],
)
def test_what_is_damaged_is_refused(data: bytes, told: str) -> None:
    """Cut short, no JSON, or of another kind: the message says what is wrong, and where."""
    with pytest.raises(DamagedError, match=told):
        from_json(Thing, data)
