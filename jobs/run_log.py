"""Reports on a run, line by line: as sentences, or with `--log-format json` as objects."""

from collections import Counter
from typing import Any, Protocol

from . import json_log
from .console import Console
from .encoding import visible

_MOST_OF_A_KIND = 10
"""Failures of one kind that are reported one by one, except with --verbose; the table has all of them."""


class Log(Protocol):
    """Receives the lines."""

    def debug(self, event: str, sentence: str, **fields: Any) -> None:
        """Write a line that only `--verbose` shows."""

    def info(self, event: str, sentence: str, **fields: Any) -> None:
        """Write a line about the progress."""

    def failed(self, sentence: str, **fields: Any) -> None:
        """Report a failed image; `error_type` is one of the fields."""


class TextLog:
    """Sentences on a console; of many failures of a kind only the first ones."""

    def __init__(self, console: Console, verbose: bool) -> None:
        self._console = console
        self._verbose = verbose
        self._failures: Counter[str] = Counter()

    def debug(self, event: str, sentence: str, **_: Any) -> None:
        if self._verbose:
            self.info(event, sentence)

    def info(self, event: str, sentence: str, **_: Any) -> None:  # noqa: ARG002 - used by JsonLog
        self._console.print(visible(sentence), markup=False, highlight=False, soft_wrap=True)

    def failed(self, sentence: str, **fields: Any) -> None:
        kind = str(fields["error_type"])
        self._failures[kind] += 1
        if self._verbose or self._failures[kind] <= _MOST_OF_A_KIND:
            self.info("failed", f"failed: {sentence}")
        elif self._failures[kind] == _MOST_OF_A_KIND + 1:
            self.info("failed", f"failed: more images as {kind}; from here on they are only counted, the table has all")


class JsonLog:
    """Objects on stderr."""

    def __init__(self, verbose: bool) -> None:
        self._verbose = verbose

    def debug(self, event: str, sentence: str, **fields: Any) -> None:
        if self._verbose:
            json_log.write_line("debug", event, sentence, **fields)

    def info(self, event: str, sentence: str, **fields: Any) -> None:
        json_log.write_line("info", event, sentence, **fields)

    def failed(self, sentence: str, **fields: Any) -> None:
        json_log.write_line("error", "failed", sentence, **fields)
