"""What tells a picture's header, of a file that is elsewhere: its beginning and its end, without what lies between."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from . import processes
from .access import on_disk
from .sides import as_os_errors, filesystem
from .uris import scheme

_BEGINNING, _END = 256 << 10, 64 << 10
"""Bytes: headers stand in front, with a colour profile and the EXIF; the directory of some TIFFs at the end."""


def is_outlined(uri: str, size: int) -> bool:
    """Whether a file of so many bytes is worth fetching in part; 0 for a size that is not known."""
    return scheme(uri) == "s3" and size > 2 * (_BEGINNING + _END)


@contextmanager
def outline_on_disk(uri: str, size: int) -> Iterator[str]:
    """The path of a local file with what is at `uri`; of one that `is_outlined` with zeros for all but both ends.

    Raises OSError, as `on_disk` does.
    """
    if not is_outlined(uri, size):
        with on_disk(uri) as path:
            yield path
        return
    with as_os_errors(uri):
        files = filesystem(uri)
        handle, path = tempfile.mkstemp(prefix=processes.temporary_prefix())
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(files.cat_file(uri, start=0, end=_BEGINNING))
                file.seek(size - _END)
                file.write(files.cat_file(uri, start=size - _END, end=size))
            yield path
        finally:
            os.unlink(path)
