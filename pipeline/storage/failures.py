"""The meaning of an OSError of storage: its reason in words, and whether it is transient."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UsageError
from . import s3
from .scratch import ScratchError

_TRANSIENT = {
    *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH),
}
"""Errors of a busy network file system or disk; the next call may succeed."""


def reason(error: OSError) -> str:
    """Return what went wrong in a few words, without the path, which the caller names."""
    return s3.code_without_words(error) or error.strerror or str(error) or type(error).__name__


def place_and_reason(error: OSError) -> str:
    """Return which file or folder an error is about, where it says so, and what went wrong."""
    return f"{error.filename}: {reason(error)}" if error.filename else reason(error)


def to_correct(error: OSError) -> str:
    """Return the reason why a file cannot be read or written, and what to do about it."""
    if isinstance(error, IsADirectoryError):
        return "it is a folder; name a file in it"
    if isinstance(error, ScratchError):
        return reason(error)
    return f"{reason(error)}; check access"


@contextmanager
def refusing(uri: str, option: str, remedy: str) -> Iterator[None]:
    """Turn errors about a file that an option names into UsageErrors.

    They are those of storage, and ValueErrors worded to follow "the file ...".

    Args:
        remedy: what to do if there is no such file.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise UsageError(f"{option}: nothing is at {uri}; {remedy}") from error
    except OSError as error:
        raise UsageError(f"{option}: cannot read {uri}: {to_correct(error)}") from error
    except ValueError as error:
        raise UsageError(f"{option}: {uri} {error}") from error


def is_transient(error: OSError) -> bool:
    """Return whether the same call may succeed later: no answer, an overloaded store, a hanging network disk.

    False for what only a person can change: missing, not allowed, full, read-only, wrong credentials.
    """
    answered = s3.answer(error)
    if answered is not None:
        return s3.is_transient(*answered)
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in _TRANSIENT
