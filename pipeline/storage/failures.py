"""What an OSError of storage means: in words, and whether it may pass."""

import errno

from . import s3

_TRANSIENT = {
    *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH),
}
"""Of a network file system or a disk that is busy: the next call may find it well."""


def reason(error: OSError) -> str:
    """What went wrong, in a few words, without the path that the caller names anyway."""
    return s3.code_without_words(error) or error.strerror or str(error) or type(error).__name__


def is_transient(error: OSError) -> bool:
    """Whether the same call may succeed a while later: no answer, an overloaded store, a network disk that hangs.

    False for what only a person can change: not there, not allowed, full, read-only, wrong credentials.
    """
    answered = s3.answer(error)
    if answered is not None:
        return s3.is_transient(*answered)
    return isinstance(error, ConnectionError | TimeoutError) or error.errno in _TRANSIENT
