"""The folder for a local Ray's sockets, whose paths must be short, while Ray would put them below TMPDIR."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UsageError
from ..output.leftovers import sweep_temporary
from ..storage import processes

_LONGEST = 107 if sys.platform.startswith("linux") else 103
"""Most bytes of a socket's path."""

_BELOW = len("/session_2026-11-26_10-44-07_123456_4194304/sockets/plasma_store")

_SHORT = ("/tmp", "/var/tmp", "/dev/shm")


@contextmanager
def ray_folder() -> Iterator[str | None]:
    """Yield None if Ray's default is short enough; else a short folder of this process, deleted at the end.

    Raises UsageError if there is none.
    """
    temporary = os.environ.get("TMPDIR", "/tmp") if sys.platform.startswith("linux") else "/tmp"
    given = os.environ.get("RAY_TMPDIR", temporary)
    if _is_short(os.path.join(given, "ray")):
        yield None
        return
    folder = next(filter(None, map(_made, _SHORT)), None)
    if folder is None:
        raise UsageError(
            f"the temporary folder {given} is too long for the sockets of Ray; set TMPDIR to one of at most"
            f" {_LONGEST - _BELOW - len('/ray')} bytes, or use --executor inline"
        )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # the next run deletes what a Ray process still holds


def _is_short(folder: str) -> bool:
    return len(os.fsencode(folder)) + _BELOW <= _LONGEST


def _made(parent: str) -> str | None:
    """Create a folder for this process alone; None if that is not possible."""
    sweep_temporary(parent)
    folder = f"{parent}/{processes.temporary_prefix().rstrip('-')}"
    if not _is_short(folder):
        return None
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return folder if os.lstat(folder).st_uid == os.getuid() else None
    except OSError:
        return None
    return folder
