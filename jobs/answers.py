"""The output of a command: its result on stdout, everything else on stderr, and an exit code."""

import errno
import math
import sys
from contextlib import suppress
from typing import Any

from pipeline.config import Existing

from . import json_log
from .encoding import visible

EXIT_FATAL = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_STOPPED = 4
EXIT_ALREADY_SUBMITTED = 5

RESUMING = ("run", "retry", "compare", "prior")
"""Commands that keep what was done before they were stopped."""

_AGAIN = f"run the same command again: {', '.join(RESUMING[:-1])} and {RESUMING[-1]} resume, the others begin anew."

RESUME = "run the same command to resume"


def how_to_resume(existing: Existing) -> str:
    """Return what to do after a run was stopped, by the option with which it was begun."""
    if existing is Existing.RESUME:
        return RESUME
    return (
        "run the same command with --existing resume to go on; an image that this run did not reach then counts as done"
        " if an earlier run did it with the same settings"
    )


EXIT_CODES = {
    0: "Everything that was asked for is done.",
    EXIT_FATAL: "It was broken off, because the output's storage failed, another run took the output over, or by a bug;"
    " run it again.",
    EXIT_USAGE: "It could not begin, and no result was written; the sentence on stderr says what to change."
    " On a cluster a node that cannot take part ends a run so, too, and `compare` a later method that cannot begin;"
    " what is done by then is kept. Of `retry`, also: nothing failed that it repeats.",
    EXIT_SOME_FAILED: "It finished, and some rows failed or are over a limit that you set; their records say why."
    " Of `report`: a result that it shows is missing or damaged; the page says which.",
    EXIT_STOPPED: f"A limit that you set stopped it, or no worker gave an answer for 6 hours or more; {RESUME}.",
    EXIT_ALREADY_SUBMITTED: "With `--no-wait`: the slot was submitted before, and nothing was started.",
    129: f"SIGHUP stopped it, the end of its terminal; {_AGAIN}",
    130: f"SIGINT stopped it, as Ctrl-C sends it; {_AGAIN}",
    143: f"SIGTERM stopped it; {_AGAIN}",
}
"""The meaning of each exit code."""


WITHOUT_A_READER = (errno.EPIPE, errno.EIO)
"""Errors of a stream whose reader, a program or a terminal, has gone away."""


def print_result(text: str) -> None:
    """Print the requested line or JSON object, unless nobody wants it any more."""
    try:
        print(text)  # noqa: T201
    except OSError as error:
        if error.errno not in WITHOUT_A_READER:
            raise


def finite(value: Any) -> Any:
    """Return a plain value with None in place of nan and infinity, which JSON cannot hold, at any depth."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tell(line: str) -> None:
    """Report progress on stderr."""
    if json_log.write_line("info", "note", line):
        return
    with suppress(OSError):  # the terminal is gone, and with it the reader
        print(visible(line), file=sys.stderr)  # noqa: T201


def tell_reason(sentence: str) -> None:
    """Report why the command ended, in one line after the program's name."""
    if not json_log.write_line("error", "ended", sentence):
        tell(f"srpipe: {sentence}")
