"""One way to reach files, local or on S3: absolute uris in, bytes and listings out.

A local file's uri is its absolute path; any other uri keeps its scheme. How S3 is reached is told once a process, by
`use`; without it the environment (AWS_*) says so, as for boto. Nothing is cached: another process may change what is
listed here.
"""

import errno
import hashlib
import os
import posixpath
import secrets
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import fsspec

from . import local_disk, processes, s3
from .errors import UsageError
from .storage_options import S3Options, StorageOptions

SCHEMES = ("file", "s3")

_AT_ONCE = 16
"""Requests: as long as this many files take to be asked for, a page of a listing takes."""

_BLOCK = 1 << 20
"""Bytes of a file that are held when it may be large."""

_READ_AHEAD = 256
"""Files held in memory when many are read."""

_TRANSIENT = {
    *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EPIPE),
    *(errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET),
    *(errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETRESET, errno.ENETUNREACH),
}
"""Of a network file system or a disk that is busy: the next call may find it well."""

_options = StorageOptions()
_output: str | None = None


def use(options: StorageOptions, output: str | None) -> None:
    """From now on, in this process, `output` and all below it are reached as the output's options say.

    Everything else is reached by the input's. Credentials are looked up in the process that uses them.
    """
    global _options, _output
    _options, _output = options, output


def is_output(uri: str) -> bool:
    """Whether a uri is the output given to `use`, or below it."""
    return _output is not None and f"{uri}/".startswith(f"{_output}/")


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
    with ThreadPoolExecutor(16) as pool:
        known = zip(uris, pool.map(_try_content, uris), strict=True)
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


@contextmanager
def on_disk(uri: str) -> Iterator[str]:
    """The path of a local file with what is at `uri`: itself, or a copy for as long as the context lasts."""
    with _as_os_errors(uri):
        if scheme(uri) == "file":
            with open(uri, "rb"):  # tells now that it cannot be read
                pass
            yield uri
            return
        handle, path = tempfile.mkstemp(prefix=processes.temporary_prefix())
        os.close(handle)
        try:
            _filesystem(uri).get_file(uri, path)
            yield path
        finally:
            os.unlink(path)


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
            local_disk.write(uri, data)
        else:
            s3.put(uri, data, _options_for(uri), "overwrite")


def upload(path: str, uri: str) -> None:
    """As `write`, what is in a local file, however large."""
    with _as_os_errors(uri):
        if scheme(uri) == "file":
            local_disk.copy(path, uri)
        else:
            s3.upload(path, uri, _options_for(uri))


def create(uri: str, data: bytes) -> bool:
    """Store `data` whole where nothing is yet; False when something is there, which is left as it is.

    Of several that try at once one gets True, wherever the store keeps to If-None-Match (AWS and most others do). An
    answer that got lost on the way may turn True into False: read who is there, when it matters.
    """
    with _as_os_errors(uri):
        try:
            if scheme(uri) == "file":
                local_disk.create(uri, data)
            else:
                s3.put(uri, data, _options_for(uri), "create")
        except OSError as error:
            if isinstance(error, FileExistsError) or (s3.answer(error) or (0, ""))[0] == 412:
                return False
            raise
    return True


def remove(uri: str) -> None:
    """Delete one file; no error when there is none."""
    with _as_os_errors(uri), suppress(FileNotFoundError):
        _filesystem(uri).rm_file(uri)


def check_service(uri: str) -> bool:
    """Whether the bucket of an S3 uri is there; True for a local path.

    Raises:
        UsageError: S3 does not answer within seconds, or not with these credentials and options.
    """
    return scheme(uri) != "s3" or s3.check(uri, _options_for(uri), "output-" if is_output(uri) else "")


def remove_empty_folders(folder: str) -> None:
    """Delete a folder and those below it that hold no file; nothing to do on S3, which knows no folders."""
    if scheme(folder) == "file":
        for path, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # not empty
                os.rmdir(path)


def check_writable(folder: str) -> None:
    """Put a small file into `folder` and take it away again. Raises UsageError when that cannot be done."""
    if not check_service(folder):
        raise UsageError(f"cannot write to the output {folder}: there is no such bucket; choose another with --output")
    probe = join(folder, f".probe-{processes.tag()}-{secrets.token_hex(4)}")
    try:
        missing = missing_folders(folder)
        write(probe, b"")
        remove(probe)
        remove_empty(missing)
    except OSError as error:
        raise UsageError(
            f"cannot write to the output {folder}: {reason(error)}; choose another with --output"
        ) from error


def folds_case(folder: str) -> bool:
    """Whether a folder takes names that differ in case alone for one, as on macOS; never on S3. Raises OSError."""
    if scheme(folder) != "file":
        return False
    name = f".probe-{processes.tag()}-{secrets.token_hex(4)}"
    write(join(folder, name), b"")
    try:
        return os.path.exists(join(folder, name.upper()))
    finally:
        remove(join(folder, name))


def missing_folders(folder: str) -> list[str]:
    """The local folders that a write below `folder` would make, innermost first; none on S3."""
    missing = []
    while scheme(folder) == "file" and not os.path.exists(folder):
        missing.append(folder)
        folder = parent(folder)
    return missing


def remove_empty(folders: Iterable[str]) -> None:
    """Take local folders away, innermost first, up to one with something in it."""
    with suppress(OSError):
        for folder in folders:
            os.rmdir(folder)


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


def _options_for(uri: str) -> S3Options:
    return _options.output if is_output(uri) else _options.input


def _filesystem(uri: str) -> Any:
    if scheme(uri) == "s3":
        return s3.filesystem(_options_for(uri))
    return fsspec.filesystem("file")


_LEADS_NOWHERE = Source(0, "link")


def _found(where: str, infos: dict[str, dict[str, Any]]) -> dict[str, Source]:
    prefix = "s3://" if scheme(where) == "s3" else ""
    found = {}
    for path in sorted(infos):
        info = infos[path]
        if info.get("islink"):  # of a local folder: what it leads to counts
            try:
                info = _filesystem(where).info(path)
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
    with suppress(OSError), _as_os_errors(folder):
        for number, page in enumerate(s3.pages(folder, min(uris), max(uris), _options_for(folder)), 1):
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


def _as_os_errors(uri: str) -> AbstractContextManager[None]:
    return s3.as_os_errors() if scheme(uri) == "s3" else nullcontext()
