"""Folders of an output: whether it can be written to, and none left behind that is empty."""

import os
import secrets
from collections.abc import Iterable
from contextlib import suppress

from ..errors import UsageError
from . import processes
from .access import remove, write
from .failures import reason
from .sides import check_service
from .uris import join, parent, scheme


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


def lies_where_case_folds(folder: str) -> bool:
    """What `folds_case` says, found without writing: by the names of the folders that exist around it.

    A disk that is mounted at `folder` itself may be of another kind.
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


def remove_empty_folders(folder: str) -> None:
    """Delete a folder and those below it that hold no file; nothing to do on S3, which knows no folders."""
    if scheme(folder) == "file":
        for path, _, _ in os.walk(folder, topdown=False):
            with suppress(OSError):  # not empty
                os.rmdir(path)
