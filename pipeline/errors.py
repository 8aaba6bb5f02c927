"""The errors that users meet: some stop the command, ImageError is the result of one image."""

from enum import StrEnum


class UsageError(Exception):
    """The command cannot be carried out as given. One sentence that names the problem and the remedy. Exit code 2."""


class LostLockError(Exception):
    """Another run has taken over the output, because this one did not renew its lease in time. Exit code 1."""


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out, of the machine or of a GPU. Does not load torch."""
    of_gpu = type(error).__name__ == "OutOfMemoryError"
    of_cpu = "DefaultCPUAllocator" in str(error)  # torch has no class for it
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and (of_gpu or of_cpu))


class ErrorType(StrEnum):
    """Why an image failed; the `error_type` of its record."""

    BAD_ROW = "bad_row"
    """The row of the manifest is invalid."""
    MISSING = "missing"
    """Nothing is at the uri."""
    READ = "read"
    """The bytes could not be fetched."""
    CORRUPT = "corrupt"
    """The bytes are no image, or a damaged one."""
    UNSUPPORTED = "unsupported"
    """An image of a kind that would not be reproduced faithfully."""
    TOO_LARGE = "too_large"
    """More pixels than the limit."""
    WRITE = "write"
    """The result could not be stored."""
    MEMORY = "memory"
    """The machine or its GPU ran out of memory."""
    DEADLINE = "deadline"
    """The image took longer than allowed."""
    CRASHED = "crashed"
    """The image crashed its worker process twice."""
    LOST = "lost"
    """The worker that held the image did not answer."""
    INTERNAL = "internal"
    """A bug in srpipe."""


RETRIED = tuple(error_type for error_type in ErrorType if error_type is not ErrorType.BAD_ROW)
"""Failures that `srpipe retry` repeats; it does not know which result a bad row would be."""


class ImageError(Exception):
    """One image cannot be processed; the error becomes its record. The message is a sentence that says what to do."""

    def __init__(self, error_type: ErrorType, message: str) -> None:
        super().__init__(message)
        self.error_type = error_type
