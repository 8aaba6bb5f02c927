"""The errors that users meet: some stop the command, ImageError is the result of one image."""

import math
from enum import Enum, EnumType, StrEnum
from types import NoneType
from typing import Any, get_args

from sr_ops.registry import unknown


class UsageError(Exception):
    """The command cannot be carried out as given. One sentence that names the problem and the remedy. Exit code 2."""


def not_taken(name: str, value: object, kind: Any, low: float = -math.inf, high: float = math.inf) -> str:
    """Return the sentence that an option does not take `value`, and what it takes.

    Args:
        kind: the option's type: an Enum, bool, int, float or str, or such a type or None.
    """
    (kind,) = (one for one in get_args(kind) or (kind,) if one is not NoneType)
    if isinstance(kind, EnumType):
        words: list[Enum] = list(kind)
        return unknown(name, str(value), [str(word.value) for word in words])
    wanted = {bool: "true or false", int: "a whole number", float: "a number"}.get(kind, "a text")
    wanted += f" from {low:g}" if low > -math.inf else ""
    wanted += f" to {high:g}" if high < math.inf else ""
    return f"{value!r} cannot be taken; give {wanted}"


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
