"""Writing on a local disk so that a file is whole or not there, also after the power fails."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from . import processes

_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""How a file system says that it has no hard links, as FAT has none."""


def write(path: str, data: bytes) -> None:
    """Store `data` whole or not at all, replacing what was there; folders are made as needed."""
    with _synced_beside(path, data) as temporary:
        os.replace(temporary, path)


def copy(source: str, path: str) -> None:
    """As `write`, what is in another file."""
    with _synced_beside(path, source) as temporary:
        os.replace(temporary, path)


def create(path: str, data: bytes) -> None:
    """Store `data` whole where nothing is yet. Raises FileExistsError when something is."""
    with _synced_beside(path, data) as temporary:
        try:
            os.link(temporary, path)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with open(path, "xb") as file:  # still one winner, but its data may be seen half
                file.write(data)
                file.flush()
                os.fsync(file.fileno())


@contextmanager
def _synced_beside(path: str, data: bytes | str) -> Iterator[str]:
    """Bytes, or what is in a file, in a temporary file beside `path`, to be renamed or linked; then made durable."""
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
    entry = os.open(folder, os.O_RDONLY)  # the name is durable only when the folder is
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
