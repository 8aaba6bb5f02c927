"""What a command answers: its result on stdout, all else on stderr, and an exit code. README lists the codes."""

import sys
from contextlib import suppress

EXIT_FATAL = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_STOPPED = 4
EXIT_ALREADY_SUBMITTED = 5


def print_result(text: str) -> None:
    print(text)  # noqa: T201 - the one line, or JSON object, that was asked for


def tell(line: str) -> None:
    """What goes on."""
    with suppress(OSError):  # its terminal is gone, and whoever would read it
        print(line, file=sys.stderr)  # noqa: T201


def tell_reason(sentence: str) -> None:
    """Why it ended so, in one line under the program's name."""
    tell(f"srpipe: {sentence}")
