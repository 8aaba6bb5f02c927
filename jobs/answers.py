"""What a command answers: its result on stdout, all else on stderr, and an exit code. README lists the codes."""

import math
import sys
from contextlib import suppress
from typing import Any

EXIT_FATAL = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_STOPPED = 4
EXIT_ALREADY_SUBMITTED = 5


def print_result(text: str) -> None:
    print(text)  # noqa: T201 - the one line, or JSON object, that was asked for


def finite(value: Any) -> Any:
    """A plain value with None for what JSON cannot say, nan and infinity, however deep inside."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tell(line: str) -> None:
    """What goes on."""
    with suppress(OSError):  # its terminal is gone, and whoever would read it
        print(line, file=sys.stderr)  # noqa: T201


def tell_reason(sentence: str) -> None:
    """Why it ended so, in one line under the program's name."""
    tell(f"srpipe: {sentence}")
