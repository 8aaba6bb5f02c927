"""A local disk: listings that leave nothing out, and atomic and durable writes, where a file is complete or missing,
also after a power failure."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from . import processes

_NO_LINKS = {errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system without hard links, such as FAT."""

_NO_SYNC = {errno.EINVAL, errno.EBADF, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Errors of a file system that cannot sync a folder, such as some that are mounted over a network."""


class Disk(LocalFileSystem):  # type: ignore[misc]
    """fsspec's files of this machine, but nothing of a listing is left out.

    A folder that cannot be listed is an error, and a link is what it leads to, a folder too. Type "other" has a link
    that leads nowhere or in a circle.
    """

    def ls(self, path: str, detail: bool = False, **kwargs: Any) -> list[Any]:
        infos = super().ls(path, detail=detail, **kwargs)
        return [self._followed(info) if info["islink"] else info for info in infos] if detail else infos

    def walk(self, path: str, maxdepth: int | None = None, topdown: bool = True, **kwargs: Any) -> Any:
        return super().walk(path, maxdepth, topdown, **{**kwargs, "on_error": _unless_gone})

    def _followed(self, info: dict[str, Any]) -> dict[str, Any]:
        """Return what is behind a link that a listing met."""
        try:
            behind: dict[str, Any] = self.info(info["name"])
        except OSError:  # opening it will fail with a message
            return info
        leads_back = behind["type"] == "directory" and os.path.realpath(info["name"]) in _above(info["name"])
        return info if leads_back else behind


def _unless_gone(error: OSError) -> None:
    """Raise the error of a listing, unless the folder was removed or never there."""
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise error


def _above(path: str) -> set[str]:
    """Return the real paths of the folders through which a listing came here."""
    folders = path.split("/")
    return {os.path.realpath("/".join(folders[:count]) or "/") for count in range(1, len(folders))}


def write(path: str, data: bytes) -> None:
    """Store `data` atomically, replacing what was there. Folders are created as needed."""
    with _synced_beside(path, data) as temporary:
        os.replace(temporary, path)


def copy(source: str, path: str) -> None:
    """Store the content of another file as `write` does."""
    with _synced_beside(path, source) as temporary:
        os.replace(temporary, path)


def names_below(folder: str) -> Iterator[str]:
    """Yield the paths of all files below a folder, in no order; none when there is no folder. Raises OSError."""
    folders = [folder]
    while folders:
        with suppress(FileNotFoundError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
                else:
                    yield entry.path


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
        data: bytes, or the path of a file to copy.
    """
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
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(entry)
