"""Bytes and listings of files, local or on S3, by their absolute uris.

Nothing is cached: another process may change what is listed here.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from . import local_disk, processes, s3
from .sides import as_os_errors, filesystem, options_for
from .uris import parent, scheme

_AT_ONCE = 16
"""Requests: as long as this many files take to be asked for, a page of a listing takes."""

_BLOCK = 1 << 20
"""Bytes of a file that are held when it may be large."""

_READ_AHEAD = 256
"""Files held in memory when many are read."""


@dataclass(frozen=True, slots=True)
class Source:
    """What tells one version of a file from another, as a listing gives it."""

    size: int
    """Bytes."""
    version: str
    """S3: the ETag; local: the time of the last change."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits of sha256 over size and version."""
        return hashlib.sha256(f"{self.size} {self.version}".encode()).hexdigest()[:16]


def stat(uri: str) -> Source:
    """Raises FileNotFoundError when nothing is there, OSError when it cannot be known."""
    with as_os_errors(uri):
        return _source(filesystem(uri).info(uri))


def stat_all(uris: Iterable[str]) -> dict[str, Source]:
    """The source of every uri that can be known; S3 folders with many of them are listed, not asked file by file.

    However much else lies in a folder, it takes no more requests than twice those for its uris alone. What cannot be
    known is left out: the worker meets the same error and makes it the image's record.
    """
    folders: dict[str, list[str]] = {}
    for uri in uris:
        folders.setdefault(parent(uri), []).append(uri)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        listed = dict(item for part in pool.map(_try_list, folders, folders.values()) for item in part.items())
        asked = [uri for uris in folders.values() for uri in uris if uri not in listed]
        answers = dict(zip(asked, pool.map(_try_stat, asked), strict=True))
    known = ((uri, listed.get(uri) or answers.get(uri)) for uris in folders.values() for uri in uris)
    return {uri: source for uri, source in known if source is not None}


def content_source(path: str) -> Source:
    """The source that the bytes of a local file are, whatever a listing says of it; they are not held in memory."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return Source(size, digest.hexdigest())


def content_sources(uris: Iterable[str]) -> dict[str, Source]:
    """`content_source` of every file that can be read: what cannot is left out, as by `stat_all`. Reads all of them."""
    uris = list(uris)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        known = zip(uris, pool.map(_try_content, uris), strict=True)
        return {uri: source for uri, source in known if source is not None}


def exists(uri: str) -> bool:
    with as_os_errors(uri):
        return bool(filesystem(uri).exists(uri))


def lies_beside(uri: str, names: Sequence[str]) -> tuple[str, ...]:
    """Which of some names are those of files in the folder of one; all begin as its own does up to its last point.

    One request to S3. Raises OSError.
    """
    folder = parent(uri)
    if scheme(uri) == "file":
        return tuple(name for name in names if os.path.lexists(f"{folder}/{name}"))
    stem = os.path.splitext(os.path.basename(uri))[0]
    with as_os_errors(uri):
        listed = {os.path.basename(path) for path in filesystem(uri).find(folder, prefix=f"{stem}.")}
    return tuple(name for name in names if name in listed)


def is_folder(uri: str) -> bool:
    """True for a local directory or an S3 prefix with something below it."""
    with as_os_errors(uri):
        return bool(filesystem(uri).isdir(uri))


def list_folder(folder: str) -> dict[str, Source]:
    """The files directly in a folder, as `find` gives them. Raises FileNotFoundError when there is none."""
    with as_os_errors(folder):
        infos = filesystem(folder).ls(folder, detail=True)
        return _found(folder, {info["name"]: info for info in infos})


def find(folder: str) -> dict[str, Source]:
    """Every file below a folder, as uri -> source, in the order of their names; empty when there is no folder."""
    with as_os_errors(folder):
        return _found(folder, filesystem(folder).find(folder, detail=True))


def glob(pattern: str) -> dict[str, Source]:
    """Every file that a pattern with *, **, ? or [] names, as `find` gives it."""
    with as_os_errors(pattern):
        return _found(pattern, filesystem(pattern).glob(pattern, detail=True))


def read(uri: str) -> bytes:
    with as_os_errors(uri):
        data: bytes = filesystem(uri).cat_file(uri)
        return data


@contextmanager
def on_disk(uri: str) -> Iterator[str]:
    """The path of a local file with what is at `uri`: itself, or a copy for as long as the context lasts."""
    with as_os_errors(uri):
        if scheme(uri) == "file":
            with open(uri, "rb"):  # tells now that it cannot be read
                pass
            yield uri
            return
        handle, path = tempfile.mkstemp(prefix=processes.temporary_prefix())
        os.close(handle)
        try:
            filesystem(uri).get_file(uri, path)
            yield path
        finally:
            os.unlink(path)


def read_all(uris: Sequence[str]) -> Iterator[bytes]:
    """What `read` gives for each, in their order; some are fetched at a time, since S3 takes as long for one."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for start in range(0, len(uris), _READ_AHEAD):
            yield from pool.map(read, uris[start : start + _READ_AHEAD])


def write(uri: str, data: bytes, content_type: str | None = None) -> None:
    """Store `data` whole or not at all, replacing what was there; folders are made as needed.

    A store tells a browser `content_type`, without which it offers a page for download; a disk does not keep it.

    Local: a temporary file, synced, then renamed. S3: one put (a stream would commit half an object on an error).
    """
    with as_os_errors(uri):
        if scheme(uri) == "file":
            local_disk.write(uri, data)
        else:
            s3.put(uri, data, options_for(uri), "overwrite", content_type)


def upload(path: str, uri: str) -> None:
    """As `write`, what is in a local file, however large."""
    with as_os_errors(uri):
        if scheme(uri) == "file":
            local_disk.copy(path, uri)
        else:
            s3.upload(path, uri, options_for(uri))


def create(uri: str, data: bytes) -> bool:
    """Store `data` whole where nothing is yet; False when something is there, which is left as it is.

    Of several that try at once one gets True, wherever the store keeps to If-None-Match (AWS and most others do). An
    answer that got lost on the way may turn True into False: read who is there, when it matters.
    """
    with as_os_errors(uri):
        try:
            if scheme(uri) == "file":
                local_disk.create(uri, data)
            else:
                s3.put(uri, data, options_for(uri), "create")
        except OSError as error:
            if isinstance(error, FileExistsError) or (s3.answer(error) or (0, ""))[0] == 412:
                return False
            raise
    return True


def remove(uri: str) -> None:
    """Delete one file; no error when there is none."""
    with as_os_errors(uri), suppress(FileNotFoundError):
        filesystem(uri).rm_file(uri)


_LEADS_NOWHERE = Source(0, "link")


def _found(where: str, infos: dict[str, dict[str, Any]]) -> dict[str, Source]:
    prefix = "s3://" if scheme(where) == "s3" else ""
    found = {}
    for path in sorted(infos):
        info = infos[path]
        if info.get("islink"):  # of a local folder: what it leads to counts
            try:
                info = filesystem(where).info(path)
            except OSError:  # it leads nowhere, or in a circle: whoever opens it is told so
                found[prefix + path] = _LEADS_NOWHERE
                continue
        if info["type"] == "file" and not path.endswith("/"):  # S3 consoles mark a folder by an empty object
            found[prefix + path] = _source(info)
    return found


def _source(info: dict[str, Any]) -> Source:
    if info["type"] != "file":
        raise IsADirectoryError(None, "it is a folder, not a file")
    etag = info.get("ETag")
    return Source(int(info["size"]), etag.strip('"') if etag else repr(info["mtime"]))


def _try_list(folder: str, uris: list[str]) -> dict[str, Source]:
    """What a listing tells of files of one folder, for as long as it is worth it: many in a page, and S3."""
    found: dict[str, Source] = {}
    if scheme(folder) != "s3" or len(uris) < _AT_ONCE:
        return found
    wanted = set(uris)
    with suppress(OSError), as_os_errors(folder):
        for number, page in enumerate(s3.pages(folder, min(uris), max(uris), options_for(folder)), 1):
            found.update((uri, _source(info)) for uri, info in page.items() if uri in wanted)
            if len(found) < number * _AT_ONCE:
                break
    return found


def _try_stat(uri: str) -> Source | None:
    with suppress(OSError):
        return stat(uri)
    return None


def _try_content(uri: str) -> Source | None:
    with suppress(OSError), on_disk(uri) as path:
        return content_source(path)
    return None
