"""Bytes and listings of files, local or on S3, by absolute uri.

Nothing is cached, since another process may change what is listed.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from . import local_disk, s3
from .scratch import named_if_full, temporary_file
from .sides import as_os_errors, filesystem, options_for
from .uris import parent, scheme

_AT_ONCE = 16
"""Parallel requests. This many requests for single files take as long as one page of a listing."""

_BLOCK = 1 << 20
"""Bytes of a possibly large file that are held at a time."""

_AHEAD = 256
"""Files that are read, or asked about, together: their answers, or 1.5 kB for each question, are held in memory."""


Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Source:
    """Identifies one version of a file, as a listing reports it."""

    size: int
    """Bytes."""
    version: str
    """S3: the ETag; local: the modification time."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits of the sha256 of size and version."""
        return hashlib.sha256(f"{self.size} {self.version}".encode()).hexdigest()[:16]


def stat(uri: str) -> Source:
    """Return the source of a file. Raises FileNotFoundError if nothing is there, OSError if it cannot be determined."""
    with as_os_errors(uri):
        return _source(filesystem(uri).info(uri))


def stat_all(uris: Iterable[str]) -> dict[str, Source]:
    """Return the source of every uri for which it can be determined; S3 folders with many of them are listed.

    However much else a folder holds, this takes at most twice the requests that its uris alone would take. Uris that
    fail are left out: the worker meets the same error and records it for the image.
    """
    folders: dict[str, list[str]] = {}
    for uri in dict.fromkeys(uris):
        folders.setdefault(parent(uri), []).append(uri)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        answered = _each(pool, lambda folder: _try_list(folder, folders[folder]), [*folders])
        listed = {uri: source for part in answered for uri, source in part.items()}
        asked = [uri for uris in folders.values() for uri in uris if uri not in listed]
        answers = dict(zip(asked, _each(pool, _try_stat, asked), strict=True))
    known = ((uri, listed.get(uri) or answers.get(uri)) for uris in folders.values() for uri in uris)
    return {uri: source for uri, source in known if source is not None}


def content_source(path: str) -> Source:
    """Return a source for the bytes of a local file, whatever a listing says. The file is not held in memory."""
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return Source(size, digest.hexdigest())


def content_sources(uris: Iterable[str]) -> dict[str, Source]:
    """Return `content_source` of every file; unreadable ones are left out, as in `stat_all`. Reads all files."""
    uris = list(uris)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        known = zip(uris, _each(pool, _try_content, uris), strict=True)
        return {uri: source for uri, source in known if source is not None}


def exists(uri: str) -> bool:
    with as_os_errors(uri):
        return bool(filesystem(uri).exists(uri))


def is_read_once(uri: str) -> bool:
    """Return True for a pipe, a terminal or another device of this machine, from which nothing can be read twice."""
    return scheme(uri) == "file" and os.path.exists(uri) and not os.path.isfile(uri) and not os.path.isdir(uri)


def lies_beside(uri: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return those of `names` that exist in the folder of `uri`.

    On S3 this is one request, which finds only names that begin with the stem of the file and a dot. Raises OSError.
    """
    folder = parent(uri)
    if scheme(uri) == "file":
        return tuple(name for name in names if os.path.lexists(f"{folder}/{name}"))
    stem = os.path.splitext(os.path.basename(uri))[0]
    with as_os_errors(uri):
        listed = {os.path.basename(path) for path in filesystem(uri).find(folder, prefix=f"{stem}.")}
    return tuple(name for name in names if name in listed)


def is_folder(uri: str) -> bool:
    """Return True for a local directory, or an S3 prefix with something below it."""
    with as_os_errors(uri):
        return bool(filesystem(uri).isdir(uri))


def list_folder(folder: str) -> dict[str, Source]:
    """Return the files directly in a folder, as `find` does. Raises FileNotFoundError if there is no such folder."""
    with as_os_errors(folder):
        infos = filesystem(folder).ls(folder, detail=True)
        return _found(folder, {info["name"]: info for info in infos})


def find(folder: str) -> dict[str, Source]:
    """Return every file below a folder as uri -> source, sorted by name; empty if there is no such folder."""
    with as_os_errors(folder):
        return _found(folder, filesystem(folder).find(folder, detail=True))


def names_below(folder: str) -> Iterator[str]:
    """Yield the uri of every file below a folder, in no order; none when there is no folder. Raises OSError."""
    with as_os_errors(folder):
        if scheme(folder) == "file":
            yield from local_disk.names_below(folder)
        else:
            with suppress(FileNotFoundError):  # there is no bucket
                yield from s3.names_below(folder, options_for(folder))


def glob(pattern: str) -> dict[str, Source]:
    """Return every file that matches a pattern with *, **, ? or [], as `find` does."""
    with as_os_errors(pattern):
        return _found(pattern, filesystem(pattern).glob(pattern, detail=True))


def read(uri: str) -> bytes:
    with as_os_errors(uri):
        data: bytes = filesystem(uri).cat_file(uri)
        return data


@contextmanager
def on_disk(uri: str) -> Iterator[str]:
    """Yield the path of a local file with the content of `uri`: the file itself, or a copy that is deleted later."""
    with as_os_errors(uri):
        if scheme(uri) == "file":
            if is_read_once(uri):
                raise OSError(None, _NO_FILE)  # it might be waited for without end
            with open(uri, "rb"):  # raises now if it cannot be read
                pass
            yield uri
            return
        with temporary_file() as path:
            with named_if_full():
                filesystem(uri).get_file(uri, path)
            yield path


def read_all(uris: Sequence[str]) -> Iterator[bytes]:
    """Yield the content of each file in order. Several are fetched in parallel, which S3 does in the time of one."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from _each(pool, read, uris)


def write(uri: str, data: bytes, content_type: str | None = None) -> None:
    """Store `data` atomically, replacing what was there. Folders are created as needed.

    A store serves `content_type` to browsers, which would otherwise download a page; a local disk ignores it.

    Local: a temporary file, synced, then renamed. S3: one put (a stream would commit half an object on an error).
    """
    with as_os_errors(uri):
        if scheme(uri) == "file":
            local_disk.write(uri, data)
        else:
            s3.put(uri, data, options_for(uri), "overwrite", content_type)


def upload(path: str, uri: str) -> None:
    """Store the content of a local file as `write` does, however large it is."""
    with as_os_errors(uri):
        if scheme(uri) == "file":
            local_disk.copy(path, uri)
        else:
            s3.upload(path, uri, options_for(uri))


def create(uri: str, data: bytes) -> bool:
    """Store `data` atomically if nothing is there. Returns False, and changes nothing, if something is.

    Of several concurrent calls one gets True, if the store supports If-None-Match (AWS and most others do). If the
    answer is lost on the way, True may become False: read who is there where that matters.
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
    """Delete one file; no error if it does not exist."""
    with as_os_errors(uri), suppress(FileNotFoundError):
        filesystem(uri).rm_file(uri)


_NO_FILE = "it is a pipe or a device, not a file"

_LEADS_NOWHERE = Source(0, "link")


def _found(where: str, infos: dict[str, dict[str, Any]]) -> dict[str, Source]:
    prefix = "s3://" if scheme(where) == "s3" else ""
    found = {}
    for path in sorted(infos):
        info = infos[path]
        if info["type"] == "other" and info["islink"]:
            found[prefix + path] = _LEADS_NOWHERE  # opening it will fail with a message
        elif info["type"] == "file" and not path.endswith("/"):  # S3 consoles mark a folder with an empty object
            found[prefix + path] = _source(info)
    return found


def _source(info: dict[str, Any]) -> Source:
    if info["type"] == "directory":
        raise IsADirectoryError(None, "it is a folder, not a file")
    if info["type"] != "file":
        raise OSError(None, _NO_FILE)
    etag = info.get("ETag")
    return Source(int(info["size"]), etag.strip('"') if etag else repr(info["mtime"]))


def _each(pool: ThreadPoolExecutor, answer: Callable[[str], Answer], uris: Sequence[str]) -> Iterator[Answer]:
    """Yield the answer for each uri in order. Unlike `pool.map` it does not hold a question for each of a million."""
    for start in range(0, len(uris), _AHEAD):
        yield from pool.map(answer, uris[start : start + _AHEAD])


def _try_list(folder: str, uris: list[str]) -> dict[str, Source]:
    """Return the sources that a listing of one S3 folder gives, for as long as its pages hold many of the uris."""
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
