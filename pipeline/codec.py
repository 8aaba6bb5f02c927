"""Values that travel as JSON, between processes and machines and from one run to the next: one way for all of them.

A value is made of dataclasses, tuples, lists, mappings, enums, times and bytes. Times become ISO 8601, bytes base64;
NaN and the infinities are written as Python's json writes them. What comes in is checked against its type as a whole.
msgspec is loaded when it is first needed: `srpipe prior` trains where there is none.
"""

import json
from typing import Any, TypeVar

Value = TypeVar("Value")


class DamagedError(ValueError):
    """What should be a value is none, or not of the kind that was expected; the message says what and where."""


def to_plain(value: object) -> Any:
    """The value as dicts, lists, texts and numbers."""
    import msgspec

    return msgspec.to_builtins(value)


def from_plain(kind: type[Value], plain: object) -> Value:
    """What `to_plain` was given. Raises DamagedError."""
    import msgspec

    try:
        return msgspec.convert(plain, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DamagedError(" ".join(str(error).split())) from error


def to_json(value: object) -> bytes:
    return json.dumps(to_plain(value), ensure_ascii=False).encode(errors="surrogatepass")


def from_json(kind: type[Value], data: bytes | str) -> Value:
    """What `to_json` was given. Raises DamagedError."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(" ".join(str(error).split())) from error
    return from_plain(kind, plain)
