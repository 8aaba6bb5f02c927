"""Folders of an output: whether they are writable, and removal of empty ones."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress

from ..errors import UsageError
from . import processes
from .access import is_folder, remove, write
from .failures import reason
from .sides import check_service
from .uris import join, parent, scheme


def check_file(uri: str, option: str) -> None:
    """Check that a file can be written. Raises UsageError with the option that names it."""
    if "://" in uri and "/" not in uri.partition("://")[2]:
        raise UsageError(f"{option}: {uri} is a bucket; name a file in it")
    check_service(uri)
    if is_folder(uri):
        raise UsageError(f"{option}: {uri} is a folder; name a file in it")
    check_writable(parent(uri), option)


def check_writable(folder: str, option: str = "--output") -> None:
    """Write a small file to `folder` and delete it. Raises UsageError with the option that names it if that fails."""
    if not check_service(folder):
        raise UsageError(f"cannot write to the output {folder}: there is no such bucket; choose another with {option}")
    probe = join(folder, f".probe-{processes.tag()}-{secrets.token_hex(4)}")
    try:
        missing = missing_folders(folder)
        write(probe, b"")
        remove(probe)
        remove_empty(missing)
    except OSError as error:
        raise UsageError(
            f"cannot write to the output {folder}: {reason(error)}; choose another with {option}"
        ) from error


def folds_case(folder: str) -> bool:
    """Return whether a folder ignores case in names, as on macOS; never on S3. Raises OSError."""
    if scheme(folder) != "file":
        return False
    name = f".probe-{processes.tag()}-{secrets.token_hex(4)}"
    write(join(folder, name), b"")
    try:
        return os.path.exists(join(folder, name.upper()))
    finally:
        remove(join(folder, name))


def lies_where_case_folds(folder: str) -> bool:
    """Return what `folds_case` would, without writing: judged by the names of existing parent folders.

    A disk that is mounted at `folder` itself may differ.
    """
    if scheme(folder) != "file":
        return False
    for missing in missing_folders(folder)[-1:]:
        folder = parent(missing)
    while os.path.basename(folder).swapcase() == os.path.basename(folder) and folder != parent(folder):
        folder = parent(folder)
    other = join(parent(folder), os.path.basename(folder).swapcase())
    return os.path.exists(other) and os.path.samefile(folder, other) and folder != other


def missing_folders(folder: str) -> list[str]:
    """Return the local folders that a write below `folder` would create, innermost first; none on S3."""
    missing = []
    while scheme(folder) == "file" and not os.path.exists(folder):
        missing.append(folder)
        folder = parent(folder)
    return missing


def remove_empty(folders: Iterable[str]) -> None:
    """Delete local folders, innermost first, up to the first that is not empty."""
    with suppress(OSError):
        for folder in folders:
            os.rmdir(folder)


def remove_empty_folders(folder: str) -> None:
    """Delete a folder and those below it that hold no file. Does nothing on S3, which has no folders."""
    if scheme(folder) == "file":
        for path, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # not empty
                os.rmdir(path)
