"""The beginning and the end of a remote file, which suffice for a picture's header."""

from collections.abc import Iterator
from contextlib import contextmanager

from .access import on_disk
from .scratch import named_if_full, temporary_file
from .sides import as_os_errors, filesystem
from .uris import scheme

_BEGINNING, _END = 256 << 10, 64 << 10
"""Bytes. Headers are at the beginning, with colour profile and EXIF; some TIFFs have their directory at the end."""


def is_outlined(uri: str, size: int) -> bool:
    """Return whether a file of `size` bytes is worth fetching in part; `size` is 0 if unknown."""
    return scheme(uri) == "s3" and size > 2 * (_BEGINNING + _END)


@contextmanager
def outline_on_disk(uri: str, size: int) -> Iterator[str]:
    """Yield the path of a local file with the content of `uri`; if `is_outlined`, with zeros between both ends.

    Raises OSError, as `on_disk` does.
    """
    if not is_outlined(uri, size):
        with on_disk(uri) as path:
            yield path
        return
    with as_os_errors(uri), temporary_file() as path:
        files = filesystem(uri)
        with named_if_full(), open(path, "wb") as file:
            file.write(files.cat_file(uri, start=0, end=_BEGINNING))
            file.seek(size - _END)
            file.write(files.cat_file(uri, start=size - _END, end=size))
        yield path
