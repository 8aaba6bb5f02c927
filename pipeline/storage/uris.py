"""What an absolute uri is made of. A local file's uri is its absolute path; any other keeps its scheme."""

import os
import posixpath

from ..errors import UsageError

SCHEMES = ("file", "s3")


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
