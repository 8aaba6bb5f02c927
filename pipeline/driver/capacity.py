"""How many workers there is room for: by processors and by memory, of the container where control groups say so."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_ops.settings import Settings

RUN_BYTES = 1.0e9
"""Of a run beside its workers: the driver, and the processes of a local Ray (measured: 0.98 GB with two workers)."""

_WORKER_BYTES = 0.84e9
"""Of a worker and its decoder whatever the scale: docs/fidelity.md, memory; 1.0 GB in all at x2, 1.5 GB at x4."""

_WINDOWS_HELD = 9.8
"""Enlarged windows of three bands in float32 that a worker holds beside that: the difference of x2 and x4 there."""


@dataclass(frozen=True)
class Room:
    """What a machine, or the container that this process is in, has to give now."""

    processors: float
    memory: float | None
    """Bytes that are free, or could be; None where the system does not say."""


@dataclass(frozen=True)
class Workers:
    """How many worker processes a run may have at once, and a few words that say why."""

    count: int
    why: str


HALO = 64
"""LR pixels that are read around a tile, about: the true number hangs on the kernel (`stages.halo`)."""


def worker_bytes(settings: Settings, scale: int) -> float:
    """What a worker and its decoder hold at most, of images that are read window by window."""
    window = (settings.tile_size + 2 * HALO) * scale
    return _WORKER_BYTES + _WINDOWS_HELD * window**2 * 3 * 4


def workers_for(nodes: Sequence[tuple[int, float | None]], what: str, each: float) -> Workers:
    """As many workers as have a place and memory, node by node, but at least one.

    Args:
        nodes: of each how many workers its `what` ("processors", "GPUs") would do for, and the bytes that all may take;
            None where those are not known.
        each: bytes of a worker.
    """
    nodes = [(place, memory) for place, memory in nodes if place]
    places = sum(place for place, _ in nodes)
    known = [memory for _, memory in nodes if memory is not None]
    fitting = [place if memory is None else min(place, _whole(memory / each)) for place, memory in nodes]
    why = f"{what} for {places}"
    if known:
        why += f", memory for {sum(_whole(memory / each) for memory in known)} of {each / 1e9:.1f} GB each"
    if len(nodes) > 1:
        why += f", on {len(nodes)} nodes"
    return Workers(max(1, sum(fitting)), why)


def _whole(number: float) -> int:
    return max(0, int(number))


def room_here(root: Path = Path("/")) -> Room:
    """The room of this machine; less where a control group of this process, or one around it, allows less.

    Args:
        root: where the system's files lie, as "proc/meminfo".
    """
    groups = list(_control_groups(root))
    processors = [_processors(), *(quota for group in groups if (quota := _quota(group)) is not None)]
    memory = [free for free in (_free(root), *map(_allowed, groups)) if free is not None]
    return Room(min(processors), min(memory, default=None))


def _processors() -> int:
    """That this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free(root: Path) -> float | None:
    """Bytes of the machine that are free, or could be."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _control_groups(root: Path) -> Iterator[Path]:
    """The folders of this process's groups and of those around them, as far as they can be seen from here.

    Of version 1 there is one tree for each controller, of version 2 one for all; a system may have both.
    """
    groups = [line.split(":", 2) for line in _text(root / "proc/self/cgroup").splitlines() if line.count(":") >= 2]
    for line in _text(root / "proc/self/mountinfo").splitlines():
        mount, _, source = line.partition(" - ")
        kind, _, options = (*source.split(), "", "", "")[:3]
        mounted, place = (*mount.split(), "", "", "", "", "")[3:5]
        for _, controllers, path in groups:
            ours = not controllers if kind == "cgroup2" else set(controllers.split(",")) & set(options.split(","))
            if place and kind in ("cgroup", "cgroup2") and ours:
                top = root / place.lstrip("/")
                inside = path.removeprefix(mounted).strip("/") if path.startswith(mounted) else ""
                folder = top / inside
                yield from (level for level in (folder, *folder.parents) if level == top or top in level.parents)


def _quota(group: Path) -> float | None:
    """Processors' time that a group may take, in processors."""
    quota, period, *_ = (*_text(group / "cpu.max").split(), "", "")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _allowed(group: Path) -> float | None:
    """Bytes that a group may still take; files that the system keeps in memory make room."""
    limits = (_text(group / name).strip() for name in ("memory.max", "memory.high", "memory.limit_in_bytes"))
    allowed = [int(limit) for limit in limits if limit.isdigit()]
    if not allowed:
        return None
    used = _text(group / "memory.current").strip() or _text(group / "memory.usage_in_bytes").strip()
    cached = 0
    for line in _text(group / "memory.stat").splitlines():
        match line.split():
            case ["inactive_file" | "total_inactive_file", count] if count.isdigit():
                cached = max(cached, int(count))  # of version 1 the first leaves out the groups within
    return max(0, min(allowed) - (int(used) if used.isdigit() else 0) + cached)


def _text(path: Path) -> str:
    """Empty where there is nothing to read."""
    try:
        return path.read_text()
    except OSError:
        return ""
