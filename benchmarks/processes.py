"""A process and its descendants, as Linux tells of them."""

import os


def tree(root: int) -> list[int]:
    """The ids of a process and of all that descend from it; itself first."""
    parents: dict[int, list[int]] = {}
    for process in filter(str.isdigit, os.listdir("/proc")):
        stat = _read(process, "stat")
        if stat:
            parents.setdefault(int(stat.rpartition(b")")[2].split()[1]), []).append(int(process))
    found = [root]
    for parent in found:
        found += parents.get(parent, [])
    return found


def resident(process: int) -> int:
    """Bytes of memory that a process holds; 0 for one that ended."""
    fields = _read(process, "statm").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") if fields else 0


def command_line(process: int) -> bytes:
    """What a process was started as; empty for one that ended."""
    return _read(process, "cmdline")


def _read(process: int | str, name: str) -> bytes:
    """A file of a process; empty for one that ended."""
    try:
        with open(f"/proc/{process}/{name}", "rb") as file:
            return file.read()
    except OSError:
        return b""
