"""What is told of a run, line by line: as sentences, or with `--log-format json` as objects."""

from collections import Counter
from typing import Any, Protocol

from rich.console import Console

from . import json_log

_MOST_OF_A_KIND = 10
"""Failures of one kind that are told one by one, unless everything is: then the table is the better place."""


class Log(Protocol):
    """Where lines go."""

    def debug(self, event: str, sentence: str, **fields: Any) -> None:
        """A line for who asked for all with `--verbose`."""

    def info(self, event: str, sentence: str, **fields: Any) -> None:
        """A line on how it goes."""

    def failed(self, sentence: str, **fields: Any) -> None:
        """An image that failed; `error_type` is one of the fields."""


class TextLog:
    """Sentences on a console; of many failures of a kind the first ones."""

    def __init__(self, console: Console, verbose: bool) -> None:
        self._console = console
        self._verbose = verbose
        self._failures: Counter[str] = Counter()

    def debug(self, event: str, sentence: str, **_: Any) -> None:
        if self._verbose:
            self.info(event, sentence)

    def info(self, event: str, sentence: str, **_: Any) -> None:  # noqa: ARG002 - for who reads objects
        self._console.print(sentence, markup=False, highlight=False, soft_wrap=True)

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
