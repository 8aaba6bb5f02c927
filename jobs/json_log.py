"""`--log-format json`: everything on stderr as one JSON object per line, whoever writes it."""

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
    """Format of what goes to stderr."""

    TEXT = "text"
    """Sentences, and a bar on a terminal."""
    JSON = "json"
    """One object per line."""


@dataclass(frozen=True)
class Shown:
    """How a run shows itself on stderr."""

    verbose: bool = False
    log_format: LogFormat = LogFormat.TEXT


_lock = threading.Lock()

_stream: TextIO | None = None
"""Where lines go while they are JSON."""


def write_line(level: str, event: str, message: str, **fields: Any) -> bool:
    """Write one object without fields that are None; return False if lines are not JSON now."""
    if _stream is None:
        return False
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    told = {"time": moment, "level": level, "event": event, "message": message}
    line = json.dumps(told | {name: value for name, value in fields.items() if value is not None})
    with _lock, suppress(OSError):  # the terminal is gone, and with it the reader
        _stream.write(f"{line}\n")
        _stream.flush()
    return True


def begin() -> None:
    """Turn lines that libraries and tracebacks write to stderr into objects as well, with event "stderr"."""
    global _stream
    if _stream is None:
        _stream, sys.stderr = sys.stderr, _Lines()


def end() -> None:
    """Restore stderr."""
    global _stream
    if _stream is not None:
        sys.stderr.close()
        sys.stderr, _stream = _stream, None


class _Lines(TextIOBase):
    """Takes text, and writes each line as soon as it is complete."""

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
