"""The number of workers that fit: by processors and memory, of the container where control groups limit them."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_ops.settings import Settings

RUN_BYTES = 1.0e9
"""Memory of a run besides its workers: the driver and a local Ray (measured: 0.98 GB with two workers)."""

_WORKER_BYTES = 0.84e9
"""Memory of a worker and its decoder at any scale (docs/fidelity.md, memory); in all 1.0 GB at x2, 1.5 GB at x4."""

_WINDOWS_HELD = 9.8
"""Enlarged windows of three float32 bands that a worker holds in addition: the difference of x2 and x4 there."""


@dataclass(frozen=True)
class Room:
    """What this machine, or the container of this process, has to offer now."""

    processors: float
    memory: float | None
    """Bytes that are free, or can be freed; None if the system does not say."""


@dataclass(frozen=True)
class Workers:
    """How many worker processes a run may have at once, and why, in a few words."""

    count: int
    why: str


HALO = 64
"""Approximate LR pixels read around a tile; the exact number depends on the kernel (`stages.halo`)."""


def worker_bytes(settings: Settings, scale: int) -> float:
    """Return the most memory of a worker and its decoder, for images that are read window by window."""
    window = (settings.tile_size + 2 * HALO) * scale
    return _WORKER_BYTES + _WINDOWS_HELD * window**2 * 3 * 4


def workers_for(nodes: Sequence[tuple[int, float | None]], what: str, each: float) -> Workers:
    """Return as many workers as have a place and memory, node by node, but at least one.

    Args:
        nodes: for each node, the number of workers that its `what` ("processors", "GPUs") suffices for, and the bytes
            that all may use; None if unknown.
        each: bytes per worker.
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


def workers_here(places: int, what: str, each: float) -> Workers:
    """Return how many workers fit on this machine, beside the run itself; arguments as for `workers_for`."""
    memory = room_here().memory
    return workers_for([(places, None if memory is None else memory - RUN_BYTES)], what, each)


def _whole(number: float) -> int:
    return max(0, int(number))


def room_here(root: Path = Path("/")) -> Room:
    """Return the room of this machine, or less if a control group of this process or above it limits it.

    Args:
        root: folder of the system's files, such as "proc/meminfo".
    """
    groups = list(_control_groups(root))
    processors = [_processors(), *(quota for group in groups if (quota := _quota(group)) is not None)]
    memory = [free for free in (_free(root), *map(_allowed, groups)) if free is not None]
    return Room(min(processors), min(memory, default=None))


def _processors() -> int:
    """Return the processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _free(root: Path) -> float | None:
    """Return the bytes of the machine that are free, or can be freed."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _control_groups(root: Path) -> Iterator[Path]:
    """Yield the folders of this process's groups and of those above them, as far as visible.

    Version 1 has a tree per controller, version 2 a single one; a system may have both.
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
    """Return the processor time that a group may use, in processors."""
    quota, period, *_ = (*_text(group / "cpu.max").split(), "", "")
    if not quota:
        quota, period = _text(group / "cpu.cfs_quota_us").strip(), _text(group / "cpu.cfs_period_us").strip()
    return int(quota) / int(period) if quota.isdigit() and period.isdigit() and int(period) else None


def _allowed(group: Path) -> float | None:
    """Return the bytes that a group may still use; the system's file cache can be freed."""
    limits = (_text(group / name).strip() for name in ("memory.max", "memory.high", "memory.limit_in_bytes"))
    allowed = [int(limit) for limit in limits if limit.isdigit()]
    if not allowed:
        return None
    used = _text(group / "memory.current").strip() or _text(group / "memory.usage_in_bytes").strip()
    cached = 0
    for line in _text(group / "memory.stat").splitlines():
        match line.split():
            case ["inactive_file" | "total_inactive_file", count] if count.isdigit():
                cached = max(cached, int(count))  # in version 1 the first excludes inner groups
    return max(0, min(allowed) - (int(used) if used.isdigit() else 0) + cached)


def _text(path: Path) -> str:
    """Return the content of a file, or "" if it cannot be read."""
    try:
        return path.read_text()
    except OSError:
        return ""
