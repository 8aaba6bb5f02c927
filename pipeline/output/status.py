"""The outcome of a row."""

from enum import StrEnum


class Status(StrEnum):
    DONE = "done"
    DEGRADED = "degraded"
    """Written, but over a limit set by the user (`judging`)."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not attempted, because of a limit."""


WRITTEN = (Status.DONE, Status.DEGRADED)
"""Status of rows whose result is in the output and committed."""
