"""How much memory a command and all that it starts hold, sampled from /proc while it runs."""

import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path

_PAGE = resource.getpagesize()

_PAUSE = 0.05
"""Seconds between two samples."""


@dataclass(frozen=True)
class Usage:
    """How a command ended and the most that its processes held, in bytes of resident memory."""

    code: int
    seconds: float
    worker: int
    """Of all but the decoders."""
    decoder: int
    """Of the decoders together."""
    together: int
    """At one moment."""


def run_limited(command: list[str], limit: int) -> Usage:
    """Run a command whose processes may each hold `limit` bytes of data, and no more.

    The limit is the system's RLIMIT_DATA: heap and private maps, touched or not; a process that asks for more is
    refused it. Unlike a control group it needs no privileges; a sum is bounded by the number of processes.
    """
    started = time.monotonic()
    # what Arrow's own allocator reserves, a gigabyte, would count although it is never touched
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (limit, limit))  # what it starts inherits it
    peaks = _Peaks(process.pid)
    done = threading.Event()
    thread = threading.Thread(target=peaks.watch, args=(done,))
    thread.start()
    code = process.wait()
    done.set()
    thread.join()
    return Usage(code, time.monotonic() - started, peaks.worker, peaks.decoder, peaks.together)


class _Peaks:
    """Of the tree of processes below one."""

    def __init__(self, root: int) -> None:
        self._root = root
        self.worker = self.decoder = self.together = 0

    def watch(self, done: threading.Event) -> None:
        while not done.wait(_PAUSE):
            self._sample()

    def _sample(self) -> None:
        worker = _resident(self._root)
        own_name = _command(self._root)
        decoder = 0
        for child in _below(self._root):
            name = _command(child)
            if name == own_name:  # about to become another program: until then it shares all memory with its parent
                continue
            if b"pipeline.imagery.reading.decoder" in name:
                decoder += _resident(child)
            else:
                worker += _resident(child)
        self.worker = max(self.worker, worker)
        self.decoder = max(self.decoder, decoder)
        self.together = max(self.together, worker + decoder)


def _below(pid: int) -> list[int]:
    """All descendants of a process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in map(int, _read(task).split()):
            found += [child, *_below(child)]
    return found


def _resident(pid: int) -> int:
    fields = _read(Path(f"/proc/{pid}/statm")).split()
    return int(fields[1]) * _PAGE if fields else 0


def _command(pid: int) -> bytes:
    return _read(Path(f"/proc/{pid}/cmdline"))


def _read(path: Path) -> bytes:
    """Empty for what a process that has ended leaves no more."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
