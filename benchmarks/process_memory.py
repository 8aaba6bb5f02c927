"""How much memory a command and all that it starts hold, sampled from /proc while it runs."""

import os
import resource
import subprocess
import threading
import time
from dataclasses import dataclass

from .processes import command_line, resident, tree

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
        root, *children = tree(self._root)
        worker, own_name = resident(root), command_line(root)
        decoder = 0
        for child in children:
            name = command_line(child)
            if name == own_name:  # about to become another program: until then it shares all memory with its parent
                continue
            if b"pipeline.imagery.reading.decoder" in name:
                decoder += resident(child)
            else:
                worker += resident(child)
        self.worker = max(self.worker, worker)
        self.decoder = max(self.decoder, decoder)
        self.together = max(self.together, worker + decoder)
