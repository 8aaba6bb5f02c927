"""What became of a row."""

from enum import StrEnum


class Status(StrEnum):
    DONE = "done"
    DEGRADED = "degraded"
    """Written, but over a limit that the user set (`judging`)."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not attempted: beyond a limit."""


WRITTEN = (Status.DONE, Status.DEGRADED)
"""Of rows whose result is in the output and committed."""
