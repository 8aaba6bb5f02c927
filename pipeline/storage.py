"""One way to reach files, local or on S3: absolute uris in, bytes and listings out.

A local file's uri is its absolute path; any other uri keeps its scheme. Credentials, region and endpoint of S3 come
from the environment (AWS_*), as boto's do. Nothing is cached: another process may change what is listed here.
"""

import hashlib
import os
import posixpath
import secrets
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import fsspec

from .errors import UsageError

SCHEMES = ("file", "s3")

_LIST_FROM = 16
"""Files of one folder from which on one listing is cheaper than asking for each."""

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


def scheme(uri: str) -> str:
    """The scheme of a uri, "file" for a path. Raises UsageError for one that is not in SCHEMES."""
    name, separator, _ = uri.partition("://")
    if not separator:
        return "file"
    if name.lower() not in SCHEMES:
        raise UsageError(f"{uri}: the scheme {name!r} is not supported; use a local path or an s3:// uri")
    return name.lower()


def absolute(uri: str, folder: str | None = None) -> str:
    """The absolute form of a uri; a relative path is taken from `folder`, by default the working directory.

    Raises:
        UsageError: unknown scheme.
    """
    if scheme(uri) != "file":
        return f"{scheme(uri)}://{uri.partition('://')[2].rstrip('/')}"
    path = uri.partition("://")[2] if "://" in uri else uri
    if os.path.isabs(path):
        return os.path.normpath(path)
    if folder is not None and scheme(folder) != "file":
        bucket, _, prefix = folder.removeprefix("s3://").partition("/")
        inside = posixpath.normpath(posixpath.join("/", prefix, path))
        return f"s3://{bucket}{inside}"
    return os.path.normpath(os.path.join(folder or os.getcwd(), path))


def join(folder: str, *parts: str) -> str:
    return posixpath.join(folder, *parts)


def parent(uri: str) -> str:
    return posixpath.dirname(uri)


def stat(uri: str) -> Source:
    """Raises FileNotFoundError when nothing is there, OSError when it cannot be known."""
    with _as_os_errors(uri):
        return _source(_filesystem(uri).info(uri))


def stat_all(uris: Iterable[str]) -> dict[str, Source]:
    """The source of every uri that can be known; folders with many of them are listed, not asked file by file.

    What cannot be known is left out: the worker meets the same error and makes it the image's record.
    """
    folders: dict[str, list[str]] = {}
    for uri in uris:
        folders.setdefault(parent(uri), []).append(uri)
    with ThreadPoolExecutor(16) as pool:
        listed = dict(item for part in pool.map(_try_list, folders, folders.values()) for item in part.items())
        asked = [uri for uris in folders.values() for uri in uris if uri not in listed]
        answers = dict(zip(asked, pool.map(_try_stat, asked), strict=True))
    known = ((uri, listed.get(uri) or answers.get(uri)) for uris in folders.values() for uri in uris)
    return {uri: source for uri, source in known if source is not None}


def exists(uri: str) -> bool:
    with _as_os_errors(uri):
        return bool(_filesystem(uri).exists(uri))


def is_folder(uri: str) -> bool:
    """True for a local directory or an S3 prefix with something below it."""
    with _as_os_errors(uri):
        return bool(_filesystem(uri).isdir(uri))


def list_folder(folder: str) -> dict[str, Source]:
    """The files directly in a folder, as `find` gives them. Raises FileNotFoundError when there is none."""
    with _as_os_errors(folder):
        infos = _filesystem(folder).ls(folder, detail=True)
        return _found(folder, {info["name"]: info for info in infos})


def find(folder: str) -> dict[str, Source]:
    """Every file below a folder, as uri -> source, in the order of their names; empty when there is no folder."""
    with _as_os_errors(folder):
        return _found(folder, _filesystem(folder).find(folder, detail=True))


def glob(pattern: str) -> dict[str, Source]:
    """Every file that a pattern with *, **, ? or [] names, as `find` gives it."""
    with _as_os_errors(pattern):
        return _found(pattern, _filesystem(pattern).glob(pattern, detail=True))


def read(uri: str) -> bytes:
    with _as_os_errors(uri):
        data: bytes = _filesystem(uri).cat_file(uri)
        return data


def read_all(uris: Sequence[str]) -> Iterator[bytes]:
    """What `read` gives for each, in their order; some are fetched at a time, since S3 takes as long for one."""
    with ThreadPoolExecutor(16) as pool:
        for start in range(0, len(uris), _READ_AHEAD):
            yield from pool.map(read, uris[start : start + _READ_AHEAD])


def write(uri: str, data: bytes) -> None:
    """Store `data` whole or not at all, replacing what was there; folders are made as needed.

    Local: a temporary file, synced, then renamed. S3: one put (a stream would commit half an object on an error).
    """
    with _as_os_errors(uri):
        if scheme(uri) == "file":
            _write_local(uri, data)
        else:
            _filesystem(uri).pipe_file(uri, data)


def remove(uri: str) -> None:
    """Delete one file; no error when there is none."""
    with _as_os_errors(uri), suppress(FileNotFoundError):
        _filesystem(uri).rm_file(uri)


def check_writable(folder: str) -> None:
    """Put a small file into `folder` and take it away again. Raises UsageError when that cannot be done."""
    probe = join(folder, f".probe-{secrets.token_hex(4)}")
    try:
        missing = _missing_folders(folder)
        write(probe, b"")
        remove(probe)
        for created in missing:
            os.rmdir(created)
    except OSError as error:
        raise UsageError(
            f"cannot write to the output {folder}: {reason(error)}; choose another with --output"
        ) from error


def reason(error: OSError) -> str:
    """What went wrong, in a few words, without the path that the caller names anyway."""
    answer = getattr(error.__cause__, "response", {}).get("Error", {})  # of S3; some servers send no more than a code
    if answer and not answer.get("Message"):
        return str(answer.get("Code"))
    return error.strerror or str(error) or type(error).__name__


def _filesystem(uri: str) -> Any:
    if scheme(uri) == "s3":
        return fsspec.filesystem("s3", use_listings_cache=False)
    return fsspec.filesystem("file")


def _found(where: str, infos: dict[str, dict[str, Any]]) -> dict[str, Source]:
    prefix = "s3://" if scheme(where) == "s3" else ""
    found = {}
    for path in sorted(infos):
        info = infos[path]
        if info.get("islink"):  # of a local folder: what it leads to counts, and a dead one leads nowhere
            with suppress(FileNotFoundError):
                info = _filesystem(where).info(path)
        if info["type"] == "file" and not path.endswith("/"):  # S3 consoles mark a folder by an empty object
            found[prefix + path] = _source(info)
    return found


def _source(info: dict[str, Any]) -> Source:
    if info["type"] != "file":
        raise IsADirectoryError(None, "it is a folder, not a file")
    etag = info.get("ETag")
    return Source(int(info["size"]), etag.strip('"') if etag else repr(info["mtime"]))


def _try_list(folder: str, uris: list[str]) -> dict[str, Source]:
    """The files of a folder when it is worth listing and can be."""
    if len(uris) >= _LIST_FROM:
        with suppress(OSError):
            return list_folder(folder)
    return {}


def _try_stat(uri: str) -> Source | None:
    with suppress(OSError):
        return stat(uri)
    return None


def _missing_folders(folder: str) -> list[str]:
    """The local folders that a write below `folder` would have to make, innermost first."""
    missing = []
    while scheme(folder) == "file" and not os.path.exists(folder):
        missing.append(folder)
        folder = parent(folder)
    return missing


def _write_local(path: str, data: bytes) -> None:
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    temporary = os.path.join(folder, f".tmp-{secrets.token_hex(8)}")
    try:
        with open(temporary, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
    entry = os.open(folder, os.O_RDONLY)  # the name is durable only when the folder is
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


@contextmanager
def _as_os_errors(uri: str) -> Iterator[None]:
    """botocore's own exceptions (no credentials, no connection) are not OSErrors: make them so."""
    if scheme(uri) != "s3":
        yield
        return
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except BotoCoreError as error:
        raise OSError(None, f"{type(error).__name__}: {error}") from error
