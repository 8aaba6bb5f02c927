"""Measuring: a few images of the collection are really enlarged, in processes like workers, into a temporary folder."""

import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from ..codec import from_json, to_json, to_plain
from ..config import Existing, RunConfig
from ..errors import UsageError
from ..storage import processes
from ..work import calibrating
from ..work.calibrating import Measured, Ready, Task
from ..work.units import Row, unit_to_json

_SECONDS = 60.0
"""After which no other image is begun."""


_Units = queue.SimpleQueue[Sequence[Row]]

_Answers = queue.SimpleQueue["list[Measured] | Exception"]


@dataclass(frozen=True)
class Calibration:
    """What was measured."""

    device: str
    """"cpu" or "cuda"."""
    gpus: int
    """Of this machine."""
    at_once: int
    """Processes that worked beside each other."""
    start_s: float
    """Seconds until a worker does its first image."""
    seconds: float
    """All of it, from start to end."""
    images: tuple[Measured, ...]


def calibrate(
    config: RunConfig, units: Sequence[Sequence[Row]], at_once: int, looking: Callable[[int, int], None]
) -> Calibration:
    """What the images of some units take, done by so many processes at once; of a GPU by one.

    Args:
        config: of the run, whose output is left alone.
        looking: called with how many units are done, and of how many.

    Raises:
        UsageError: no process could begin, as without a GPU that was asked for.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=processes.temporary_prefix()) as folder:
        output = os.path.join(folder, "out")
        os.mkdir(output)
        config = replace(config, output=output, existing=Existing.OVERWRITE)
        waiting: _Units = queue.SimpleQueue()
        for unit in units:
            waiting.put([replace(row, redo=True, stale=()) for row in unit])
        answers: _Answers = queue.SimpleQueue()
        with ThreadPoolExecutor(at_once) as pool, _processes(folder) as start:
            processes_here = min(at_once, len(units))
            begin = partial(_Process, task=Task(to_plain(config), _SECONDS / 2 * processes_here / len(units)))
            first = begin(start())
            start_s = time.monotonic() - started
            others = [] if first.ready.device == "cuda" else [start() for _ in range(processes_here - 1)]
            ends = time.monotonic() + _SECONDS
            pool.submit(_serve, lambda: first, waiting, answers, ends)
            for other in others:
                pool.submit(_serve, partial(begin, other), waiting, answers, ends)
            measured: list[Measured] = []
            for done in range(1, len(units) + 1):
                measured += _unless_an_error(answers.get())
                looking(done, len(units))
    ready, seconds = first.ready, time.monotonic() - started
    return Calibration(ready.device, ready.gpus, 1 + len(others), start_s, seconds, tuple(measured))


def _serve(begin: "Callable[[], _Process]", waiting: _Units, answers: _Answers, ends: float) -> None:
    """Have units done while there are some and it is not too late: an answer each, empty for those left undone."""
    try:
        process = begin()
        while True:
            unit = waiting.get_nowait()
            answers.put(process(unit) if time.monotonic() < ends else [])
    except queue.Empty:
        pass
    except Exception as error:  # noqa: BLE001 - it is raised where the answers are waited for
        answers.put(error)


def _unless_an_error(answer: "list[Measured] | Exception") -> list[Measured]:
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def _processes(folder: str) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Starts processes, whose temporary files lie in a folder; all are ended with the context."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        command = [sys.executable, "-P", "-m", calibrating.__name__]
        environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": folder}
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


class _Process:
    """One that measures."""

    def __init__(self, process: "subprocess.Popen[bytes]", task: Task) -> None:
        """Raises UsageError when it cannot begin."""
        self._process = process
        line = self._ask(to_json(task))
        if not line:
            raise UsageError(f"the process that measures ended ({process.wait()}) before it began; use --calibrate 0")
        self.ready = from_json(Ready, line)
        if self.ready.problem is not None:
            raise UsageError(self.ready.problem)

    def __call__(self, unit: Sequence[Row]) -> list[Measured]:
        """Of each row; one that takes the process with it is told as a problem."""
        line = self._ask(unit_to_json(unit).encode())
        if not line:
            problem = f"the process that enlarged it ended ({self._process.wait()})"
            return [Measured(row.key, 0.0, 0.0, 0, 0, problem) for row in unit]
        return from_json(list[Measured], line)

    def _ask(self, line: bytes) -> bytes:
        """Empty when the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return b""
        return self._process.stdout.readline()
