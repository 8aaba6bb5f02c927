"""Values as JSON, for all that is sent between processes and machines or stored from one run to the next.

A value consists of dataclasses, tuples, lists, mappings, enums, times and bytes. Times become ISO 8601, bytes base64;
NaN and infinities are written as Python's json writes them. Input is checked against its type as a whole. msgspec is
imported on first use, since `srpipe prior` also trains where it is not installed.
"""

import json
from typing import Any, TypeVar

Value = TypeVar("Value")


class DamagedError(ValueError):
    """The input is not a valid value of the expected type; the message says what is wrong and where."""


def to_plain(value: object) -> Any:
    """Return the value as dicts, lists, texts and numbers."""
    import msgspec

    return msgspec.to_builtins(value)


def from_plain(kind: type[Value], plain: object) -> Value:
    """Return the value that was given to `to_plain`. Raises DamagedError."""
    import msgspec

    try:
        return msgspec.convert(plain, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise DamagedError(" ".join(str(error).split())) from error


def from_plain_exactly(kind: type[Value], plain: dict[str, Any]) -> Value:
    """Return the value as `from_plain` does. Raises DamagedError also if names are given that it does not have."""
    value = from_plain(kind, plain)
    unknown = _not_in(plain, to_plain(value))
    if unknown:
        raise DamagedError(f"{', '.join(unknown)} is not one of its keys")
    return value


def _not_in(given: dict[str, Any], known: dict[str, Any]) -> list[str]:
    """Return the names in `given` that are not in `known`, at any depth."""
    inside = [_not_in(value, known[name]) for name, value in given.items() if isinstance(value, dict) and name in known]
    return [name for name in given if name not in known] + [name for names in inside for name in names]


def to_json(value: object) -> bytes:
    return json.dumps(to_plain(value), ensure_ascii=False).encode(errors="surrogatepass")


def from_json(kind: type[Value], data: bytes | str) -> Value:
    """Return the value that was given to `to_json`. Raises DamagedError."""
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(" ".join(str(error).split())) from error
    return from_plain(kind, plain)
