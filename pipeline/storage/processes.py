"""The owner process of a lease or a temporary file, and whether that process still runs."""

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

TEMPORARY = "srpipe-"
"""Prefix of names in the temporary folder."""

_ZOMBIE = "ended"

_TAG = re.compile(r"-([0-9a-f]{8})-(\d+)-(\d+)(?:-|$)")


def machine() -> str:
    """Identify the scope of process numbers: the boot of the machine, and the container. "" if unknown.

    Two containers may have the same host name and yet not see each other's processes.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """Identify a process among later ones of the same number, by its start time in ticks since boot.

    Returns "" if the system does not say, and a word for a process that has ended but was not yet reaped.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return _ZOMBIE if state in "ZX" else fields[18]


def is_gone(pid: int, began: str) -> bool:
    """Return whether a process of this machine has ended, or its number was reused; False if that is unknown.

    Args:
        began: what `started` returned for it.
    """
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    found = started(pid)
    return found == _ZOMBIE or (bool(found) and found != began)


def tag() -> str:
    """Return the part of temporary names that identifies their owner, this process; at most 27 bytes."""
    return _tag(os.getpid())


def temporary_prefix() -> str:
    """Return the prefix of this process's names in the temporary folder."""
    return f"{TEMPORARY}{tag()}-"


def has_owner(name: str) -> bool:
    """Return whether a name holds a `tag`."""
    return bool(_TAG.search(name))


def is_owner_gone(name: str) -> bool | None:
    """Return whether the process whose `tag` is in a name has ended; None if unknown, as for another machine."""
    found = _TAG.search(name)
    if found is None or found[1] != _hashed(machine()) or not machine():
        return None
    return is_gone(int(found[2]), found[3])


@lru_cache
def _tag(pid: int) -> str:
    return f"{_hashed(machine())}-{pid}-{started(pid) or 0}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
