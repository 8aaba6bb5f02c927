"""Absolute uris. For a local file the uri is its absolute path; any other uri keeps its scheme."""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from urllib.parse import unquote

from ..errors import UsageError

SCHEMES = ("file", "s3")


def scheme(uri: str) -> str:
    """Return the scheme of a uri, "file" for a path. Raises UsageError if it is not in SCHEMES."""
    name, separator, _ = uri.partition("://")
    if not separator or is_file_uri(uri):
        return "file"
    if name.lower() not in SCHEMES:
        raise UsageError(
            f"{uri_without_secrets(uri)}: the scheme {name!r} is not supported; use a local path or an s3:// uri"
        )
    return name.lower()


def without_secrets(text: str) -> str:
    """Remove user and password from the uris in a text, and the query from its urls, because signatures are there."""
    # A secret of AWS may hold slashes.
    text = re.sub(r"(?<=s3://)(?!arn:)[^/\s:]*:\S{0,300}@", "", text, flags=re.IGNORECASE)
    text = re.sub(r"(?<=[a-z0-9+.-]://)[^/\s]*@", "", text, flags=re.IGNORECASE)
    return re.sub(r"(https?://[^?\s\"']*)(?:\?[^\s\"']*)?", r"\1", text, flags=re.IGNORECASE)


def uri_without_secrets(uri: str) -> str:
    """Remove user, password and query from a uri, which may hold blanks and quotes, as no uri within a text can."""
    uri = re.sub(r"^(\w[\w+.-]*://)[^/]*@", r"\1", uri)
    return without_secrets(re.sub(r"^(https?://[^?]*)\?.*", r"\1", uri, flags=re.IGNORECASE | re.DOTALL))


def is_file_uri(uri: str) -> bool:
    """Return whether this is the uri of a local file (RFC 8089), not a path."""
    return re.match("file:/", uri, re.IGNORECASE) is not None


def absolute(uri: str, folder: str | None = None, what: str = "a path") -> str:
    """Return the absolute form of a uri; a relative path is relative to `folder`, by default the working directory.

    A file: uri is decoded to the path that it names: %20 is a space, and `localhost` is this machine.

    Args:
        what: names the uri in messages.

    Raises:
        UsageError: an empty text, unknown scheme, a file: uri of another machine, or a secret before a bucket.
    """
    if not uri:
        raise UsageError(f"{what} is an empty text, as of a variable that is not set; name a file or folder")
    if scheme(uri) != "file":
        rest = uri.partition("://")[2]
        bucket = rest.partition("/")[0]
        if "@" in bucket or (":" in bucket and "@" in rest and not bucket.startswith("arn:")):
            raise UsageError(
                f"{uri_without_secrets(uri)} was given with a key or secret before its bucket; take them out, and put"
                " them into the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) or a profile"
            )
        return f"{scheme(uri)}://{rest.rstrip('/')}"
    path = _path_of(uri) if is_file_uri(uri) else uri
    if os.path.isabs(path):
        return os.path.normpath(path)
    if folder is not None and scheme(folder) != "file":
        bucket, _, prefix = folder.removeprefix("s3://").partition("/")
        inside = posixpath.normpath(posixpath.join("/", prefix, path))
        return f"s3://{bucket}{inside}"
    return os.path.normpath(os.path.join(folder or os.getcwd(), path))


def resolved(uri: str) -> str:
    """Return where an absolute uri leads: a path without symbolic links; any other uri as it is."""
    return os.path.realpath(uri) if scheme(uri) == "file" else uri


def each_resolved(uris: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield absolute uris, each with where it leads; the links of a folder are followed once for all of its files."""
    folder_of = lru_cache(1000)(resolved)
    for uri in uris:
        folder, _, name = uri.rpartition("/")
        yield uri, resolved(uri) if "://" in uri or os.path.islink(uri) else join(folder_of(folder or "/"), name)


def is_below(uri: str, folder: str) -> bool:
    """Return whether a uri is a folder or lies anywhere below it, by their names."""
    return f"{uri}/".startswith(f"{folder}/")


def _path_of(uri: str) -> str:
    rest = uri[len("file:") :]
    if rest.startswith("//"):
        host, slash, path = rest[2:].partition("/")
        if host.lower() not in ("", "localhost"):
            shown = re.sub(r"(?<=//)[^/]*:.*@", "", uri)  # a password may hold slashes
            raise UsageError(f"{shown} names a file of another machine; give a path on this one, or an s3:// uri")
        rest = slash + path
    return unquote(rest, errors="surrogateescape")


def join(folder: str, *parts: str) -> str:
    return posixpath.join(folder, *parts)


def parent(uri: str) -> str:
    return posixpath.dirname(uri)
