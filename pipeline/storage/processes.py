"""Which process a thing belongs to, and whether that process is still there: of leases and of temporary files."""

import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

TEMPORARY = "srpipe-"
"""Names in the temporary folder begin with it."""

_ZOMBIE = "ended"

_TAG = re.compile(r"-([0-9a-f]{8})-(\d+)-(\d+)(?:-|$)")


def machine() -> str:
    """Within it process numbers mean something: this start of it, and of its container; "" where it does not say.

    Two containers may have one host name, and not see each other's processes.
    """
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return ""


def started(pid: int) -> str:
    """Tells a process from a later one of its number, where /proc tells: the ticks from the machine's start to its own.

    "" where the system does not say, and a word for one that has ended and is not yet buried.
    """
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return _ZOMBIE if state in "ZX" else fields[18]


def is_gone(pid: int, began: str) -> bool:
    """Whether a process of this machine has ended, or its number is another's by now; what cannot be told is there.

    Args:
        began: what `started` said of it.
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
    """What names of this process's temporary files hold, so that others can tell whose they are; 27 bytes at most."""
    return _tag(os.getpid())


def temporary_prefix() -> str:
    """How names in the temporary folder begin that are of this process."""
    return f"{TEMPORARY}{tag()}-"


def has_owner(name: str) -> bool:
    """Whether there is a `tag` in a name."""
    return bool(_TAG.search(name))


def is_owner_gone(name: str) -> bool | None:
    """Whether the process whose `tag` is in a name has ended; None where that cannot be told: of another machine."""
    found = _TAG.search(name)
    if found is None or found[1] != _hashed(machine()) or not machine():
        return None
    return is_gone(int(found[2]), found[3])


@lru_cache
def _tag(pid: int) -> str:
    return f"{_hashed(machine())}-{pid}-{started(pid) or 0}"


def _hashed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
