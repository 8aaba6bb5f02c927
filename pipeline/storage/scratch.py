"""Files in the machine's temporary folder, with errors that name it where it is full or gone."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from . import processes

_FULL = {errno.ENOSPC, errno.EDQUOT}


class ScratchError(OSError):
    """The temporary folder is full or gone; its `strerror` says what to do."""


@contextmanager
def temporary_file() -> Iterator[str]:
    """Yield the path of a new file, which is deleted later. Raises OSError, but never that the image is missing."""
    with named_if_full():
        handle, path = tempfile.mkstemp(prefix=processes.temporary_prefix())
    os.close(handle)
    try:
        yield path
    finally:
        with suppress(FileNotFoundError):  # whoever tidied the folder up may have been earlier
            os.unlink(path)


def temporary_folder() -> "tempfile.TemporaryDirectory[str]":
    """Create a folder. Raises OSError."""
    with named_if_full():
        return tempfile.TemporaryDirectory(prefix=processes.temporary_prefix())


@contextmanager
def named_if_full() -> Iterator[None]:
    """Raise ScratchError in place of an error of writing that the temporary folder is the cause of."""
    try:
        yield
    except OSError as error:
        folder = tempfile.tempdir or os.environ.get("TMPDIR") or "/tmp"
        if error.errno in _FULL:
            words = f"the temporary folder {folder} is full; make room there, or set TMPDIR to a larger one"
            raise ScratchError(None, words) from error
        if isinstance(error, FileNotFoundError) and not os.path.isdir(folder):
            raise ScratchError(None, f"there is no temporary folder {folder}; set TMPDIR to one") from error
        raise
