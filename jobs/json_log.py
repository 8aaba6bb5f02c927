"""`--log-format json`: what goes to stderr as one JSON object a line, whoever writes it."""

import json
import sys
import threading
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from io import TextIOBase
from typing import Any, TextIO


class LogFormat(StrEnum):
    """Of what goes to stderr."""

    TEXT = "text"
    """Sentences, and a bar on a terminal."""
    JSON = "json"
    """An object a line."""


@dataclass(frozen=True)
class Shown:
    """How a run shows itself on stderr."""

    verbose: bool = False
    log_format: LogFormat = LogFormat.TEXT


_lock = threading.Lock()

_stream: TextIO | None = None
"""Where lines go while they are JSON."""


def write_line(level: str, event: str, message: str, **fields: Any) -> bool:
    """Write one object, fields that are None left out; False when lines are not JSON now."""
    if _stream is None:
        return False
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = {"time": moment, "level": level, "event": event, "message": message}
    line = json.dumps(told | {name: value for name, value in fields.items() if value is not None})
    with _lock, suppress(OSError):  # its terminal is gone, and whoever would read it
        _stream.write(f"{line}\n")
        _stream.flush()
    return True


def begin() -> None:
    """From now on what libraries and tracebacks write to stderr becomes objects, too: event "stderr", a line each."""
    global _stream
    if _stream is None:
        _stream, sys.stderr = sys.stderr, _Lines()


def end() -> None:
    """Leave stderr as it was."""
    global _stream
    if _stream is not None:
        sys.stderr.close()
        sys.stderr, _stream = _stream, None


class _Lines(TextIOBase):
    """Takes text and writes a line as soon as it is whole."""

    def __init__(self) -> None:
        self._begun = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *whole, self._begun = (self._begun + text).split("\n")
        for line in filter(str.strip, whole):
            write_line("warning", "stderr", line)
        return len(text)

    def close(self) -> None:
        self.write("\n")
        super().close()
