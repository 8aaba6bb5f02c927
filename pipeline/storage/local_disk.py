"""Atomic and durable writes to a local disk: a file is complete or missing, also after a power failure."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from . import processes

_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system without hard links, such as FAT."""


def write(path: str, data: bytes) -> None:
    """Store `data` atomically, replacing what was there. Folders are created as needed."""
    with _synced_beside(path, data) as temporary:
        os.replace(temporary, path)


def names_below(folder: str) -> Iterator[str]:
    """The paths of all files below a folder, in no order; none when there is no folder. Raises OSError."""
    folders = [folder]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    yield entry.path


def copy(source: str, path: str) -> None:
    """Store the content of another file as `write` does."""
    with _synced_beside(path, source) as temporary:
        os.replace(temporary, path)


def create(path: str, data: bytes) -> None:
    """Store `data` atomically if nothing is there. Raises FileExistsError if something is."""
    with _synced_beside(path, data) as temporary:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with open(path, "xb") as file:  # still only one succeeds, but others may see half of its data
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _synced_beside(path: str, data: bytes | str) -> Iterator[str]:
    """Yield a synced temporary file beside `path`, to be renamed or linked; then make that durable.

    Args:
        data: bytes, or the path of a file to copy."""
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".tmp-{processes.tag()}-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            if isinstance(data, str):
                with open(data, "rb") as source:
                    shutil.copyfileobj(source, file)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    entry = os.open(folder, os.O_RDONLY)  # the name is durable only once the folder is synced
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
