"""Failures grouped by what has to be done about them."""

import re
from dataclasses import dataclass

import pyarrow as pa

from ..errors import ErrorType
from ..output.status import Status

CAUSES = 20
"""Most causes shown."""

EXAMPLES = 8
"""Most sentences shown per cause."""

_NUMBER = re.compile(r"\d[\d.,]*")

_MEANING = {
    ErrorType.BAD_ROW: "The manifest's row cannot be carried out",
    ErrorType.MISSING: "Nothing is at the uri",
    ErrorType.READ: "The bytes could not be fetched",
    ErrorType.CORRUPT: "The bytes are not, or not wholly, an image",
    ErrorType.UNSUPPORTED: "An image of a kind that would not come out as it went in",
    ErrorType.TOO_LARGE: "More pixels than the limit",
    ErrorType.WRITE: "The result could not be stored",
    ErrorType.MEMORY: "The machine or its GPU ran out of memory",
    ErrorType.DEADLINE: "The work took longer than it may",
    ErrorType.CRASHED: "The image took its worker down with it, twice",
    ErrorType.LOST: "The worker gave no answer",
    ErrorType.INTERNAL: "A bug in srpipe",
}


@dataclass(frozen=True)
class Cause:
    """Images that failed in the same way, and the remedy at the end of the first one's message."""

    error_type: str
    meaning: str
    remedy: str
    count: int
    examples: tuple[tuple[str, str], ...]
    """Key or uri, and the record's message; the first EXAMPLES."""


def causes(table: pa.Table) -> tuple[Cause, ...]:
    """Return the causes, most frequent first, including images that were written but exceed a limit of the user.

    Messages whose remedies differ in numbers alone have one cause.
    """
    columns = (table[name].to_pylist() for name in ("status", "error_type", "error_message", "key", "source_uri"))
    grouped: dict[tuple[str, str], list[tuple[str, str]]] = {}
    remedies: dict[tuple[str, str], str] = {}
    for status, kind, message, key, uri in zip(*columns, strict=True):
        if status in (Status.FAILED, Status.DEGRADED):
            what, _, remedy = (message or "no reason was recorded").rpartition("; ")
            remedy_of = (kind or status, _NUMBER.sub("0", remedy) if what else "")
            remedies.setdefault(remedy_of, remedy if what else "")
            grouped.setdefault(remedy_of, []).append((key or uri, message or remedy))
    found = [
        Cause(which[0], _meaning(which[0]), _sentence(remedies[which]), len(rows), tuple(rows[:EXAMPLES]))
        for which, rows in grouped.items()
    ]
    return tuple(sorted(found, key=lambda cause: -cause.count))


def _meaning(kind: str) -> str:
    if kind == Status.DEGRADED:
        return "Written, but over a limit that was set"
    return _MEANING[ErrorType(kind)] if kind in set(ErrorType) else kind


def _sentence(remedy: str) -> str:
    return f"{remedy[0].upper()}{remedy[1:].rstrip('.')}." if remedy else ""
