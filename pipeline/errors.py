"""The two kinds of error a person meets: one stops the command, the other is the result of one image."""

from enum import StrEnum


class UsageError(Exception):
    """The command cannot be carried out as given: one sentence that names the thing and the remedy. Exit code 2."""


class LostLockError(Exception):
    """Another run has taken the output over: this one was silent for longer than its lease. Exit code 1."""


class ErrorType(StrEnum):
    """Why an image failed; the `error_type` of its record."""

    BAD_ROW = "bad_row"
    """The manifest's row cannot be carried out."""
    MISSING = "missing"
    """Nothing is at the uri."""
    READ = "read"
    """The bytes could not be fetched."""
    CORRUPT = "corrupt"
    """The bytes are not, or not wholly, an image."""
    UNSUPPORTED = "unsupported"
    """An image of a kind that would not come out as it went in."""
    TOO_LARGE = "too_large"
    """More pixels than the limit."""
    WRITE = "write"
    """The result could not be stored."""
    MEMORY = "memory"
    """The machine or its GPU ran out of memory."""
    DEADLINE = "deadline"
    """The work on it took longer than it may."""
    CRASHED = "crashed"
    """It took its worker process down with it, twice."""
    LOST = "lost"
    """The worker that held the image gave no answer."""
    INTERNAL = "internal"
    """A bug in srpipe."""


class ImageError(Exception):
    """One image cannot be done; becomes its record. The message is a sentence that tells what to do."""

    def __init__(self, error_type: ErrorType, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
