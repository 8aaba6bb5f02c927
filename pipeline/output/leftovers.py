"""Temporary files left by killed processes, recognised by the owner in their names.

Files of living processes are kept. Those in an output are removed by the run that holds its lock; those in the
temporary folder by any process, owner by owner.
"""

import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from .. import storage
from ..storage import processes
from . import layout

_IN_OUTPUT = re.compile(r"\.(tmp|probe)-([0-9a-f]{8}-\d+-\d+-)?[0-9a-f]{8,16}")

_FORGOTTEN_SECONDS = 48 * 3600
"""Age from which a temporary file of another machine, or from before the last boot, counts as abandoned."""


def sweep_output(output: str) -> None:
    """Remove half-written files of dead processes; call it under the output's lock. Does nothing on S3.

    Outputs of other runs within this one are left to these runs.
    """
    if storage.scheme(output) != "file":
        return
    marks = {os.path.basename(layout.run_json(output)), os.path.basename(layout.locks_folder(output))}
    for folder, folders, files in os.walk(output):
        if folder != output and marks & {*folders, *files}:
            folders.clear()
            continue
        for name in files:
            if _IN_OUTPUT.fullmatch(name) and processes.is_owner_gone(name) is not False:
                with suppress(OSError):  # the next run tries again
                    os.unlink(os.path.join(folder, name))


def sweep_temporary(folder: str | None = None) -> None:
    """Remove files of dead processes from the machine's temporary folder, or from another folder."""
    with suppress(OSError):  # the next process tries again
        for path in Path(folder or tempfile.gettempdir()).glob(f"{processes.TEMPORARY}*"):
            if _is_left(path):
                _remove(path)


def _is_left(path: Path) -> bool:
    if not processes.has_owner(path.name):  # a person's file, such as the folder of a demo
        return False
    gone = processes.is_owner_gone(path.name)
    if gone is None:
        with suppress(OSError):
            return time.time() - path.lstat().st_mtime > _FORGOTTEN_SECONDS
    return bool(gone)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
