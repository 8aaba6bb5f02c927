"""Calibration: processes like workers really enlarge a few images of the collection, into a temporary folder."""

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial

from .. import storage
from ..codec import from_json, to_json
from ..config import Existing, RunConfig
from ..errors import UsageError
from ..work.units import Row, unit_to_json
from . import measuring_process
from .measuring_process import Measured, Ready, Task

_SECONDS = 60.0
"""Time after which no other image is begun."""

_ENOUGH = 20.0
"""The same once the images that are needed are measured: a machine's pace changes within seconds."""

_LOADING = 2.0
"""Seconds below which a process does its first images again: what it loads for the first would be much of them."""


_Units = queue.SimpleQueue[tuple[Sequence[Row], float]]

_Answers = queue.SimpleQueue["list[Measured] | Exception"]


@dataclass(frozen=True)
class Calibration:
    """The results of a calibration."""

    device: str
    """"cpu" or "cuda"."""
    gpus: int
    """Number of GPUs of this machine."""
    start_s: float
    """Seconds until a worker begins its first image."""
    seconds: float
    """Seconds of the whole calibration."""
    images: tuple[Measured, ...]


def calibrate(
    config: RunConfig,
    units: Sequence[Sequence[Row]],
    needed: int,
    at_once: int,
    looking: Callable[[int, int], None],
) -> Calibration:
    """Measure the images of some units, in this order, with `at_once` processes; on a GPU with one.

    Args:
        config: of the run, whose output is not touched.
        needed: number of units to be measured; more are while that takes no more than some seconds.
        looking: called with the number of units measured, and of those needed or measured.

    Raises:
        UsageError: no process could start, for example without a GPU that was requested.
    """
    started, needed = time.monotonic(), min(needed, len(units))
    with storage.temporary_folder() as folder:
        output = os.path.join(folder, "out")
        os.mkdir(output)
        config = replace(config, output=output, existing=Existing.OVERWRITE)
        with ThreadPoolExecutor(at_once) as pool, _processes(folder) as start:
            processes_here = min(at_once, len(units))
            begin = partial(_Process, task=Task(config, _SECONDS / 2 * processes_here / needed))
            first = begin(start())
            start_s = time.monotonic() - started
            others = [] if first.ready.device == "cuda" else [start() for _ in range(processes_here - 1)]
            work = _Work(units, needed, 1 + len(others), lambda: begin(start()))
            pool.submit(work.served_by, lambda: first)
            for other in others:
                pool.submit(work.served_by, partial(begin, other))
            measured: list[Measured] = []
            done = 0
            try:
                for _ in units:
                    answer = _unless_an_error(work.answers.get())
                    measured, done = measured + answer, done + bool(answer)
                    looking(done, max(done, needed))
            finally:
                work.measured.set()
    ready, seconds = first.ready, time.monotonic() - started
    return Calibration(ready.device, ready.gpus, start_s, seconds, tuple(measured))


class _Work:
    """The units to be measured. As long as one is measured, every process works, as every worker does in a run."""

    def __init__(
        self, units: Sequence[Sequence[Row]], needed: int, processes: int, begin_anew: "Callable[[], _Process]"
    ) -> None:
        self._begin_anew = begin_anew
        self.answers: _Answers = queue.SimpleQueue()
        """One for each unit, empty for those not done; or an error."""
        self.measured = threading.Event()
        """Set when no more answers are needed."""
        self._waiting: _Units = queue.SimpleQueue()
        for number, unit in enumerate(units):
            rows = [replace(row, redo=True, stale=(), begun=()) for row in unit]
            self._waiting.put((rows, _SECONDS if number < needed else _ENOUGH))
        self._ready = threading.Barrier(processes)  # a process that starts would slow down one that measures

    def served_by(self, begin: "Callable[[], _Process]") -> None:
        """Process units while there are some and there is time; each process has a thread for this."""
        try:
            process = begin()
            self._ready.wait()
            self._measure(process)
        except threading.BrokenBarrierError:
            pass  # another process could not begin, and its error is an answer
        except Exception as error:  # noqa: BLE001 - it is raised by the thread that waits for the answers
            self.answers.put(error)
            self._ready.abort()

    def _measure(self, process: "_Process") -> None:
        started, loaded = time.monotonic(), False
        unit: Sequence[Row] = ()
        try:
            while not self.measured.is_set():
                unit, seconds = self._waiting.get_nowait()
                answer = process(unit) if time.monotonic() < started + seconds else []
                if answer and not loaded and sum(image.seconds for image in answer) < _LOADING:
                    answer = process(unit)
                loaded = True
                self.answers.put(answer)
                if process.has_ended and not (self._waiting.empty() or self.measured.is_set()):
                    process, loaded = self._begin_anew(), False
        except queue.Empty:
            while unit and not self.measured.is_set() and all(image.problem is None for image in process(unit)):
                pass


def _unless_an_error(answer: "list[Measured] | Exception") -> list[Measured]:
    if isinstance(answer, Exception):
        raise answer
    return answer


@contextmanager
def _processes(folder: str) -> Iterator[Callable[[], "subprocess.Popen[bytes]"]]:
    """Yield a function that starts processes with temporary files in a folder; all are killed with the context."""
    started: list[subprocess.Popen[bytes]] = []

    def start() -> "subprocess.Popen[bytes]":
        path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
        command = [sys.executable, "-P", "-m", measuring_process.__name__]
        environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": folder}
        with _without_interrupts():
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Block SIGINT, also in processes that are started meanwhile: a terminal sends it to them, too, as they load."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class _Process:
    """A process that measures."""

    def __init__(self, process: "subprocess.Popen[bytes]", task: Task) -> None:
        """Raises UsageError if it cannot start."""
        self._process = process
        line = self._ask(to_json(task))
        if not line:
            raise UsageError(f"the process that measures ended ({process.wait()}) before it began; use --calibrate 0")
        self.ready = from_json(Ready, line)
        if self.ready.problem is not None:
            raise UsageError(self.ready.problem)

    @property
    def has_ended(self) -> bool:
        """Whether an image killed it."""
        return self._process.poll() is not None

    def __call__(self, unit: Sequence[Row]) -> list[Measured]:
        """Measure each row; if one kills the process, that is reported as a problem."""
        line = self._ask(unit_to_json(unit).encode())
        if not line:
            problem = f"the process that enlarged it ended ({self._process.wait()})"
            return [Measured(row.key, 0.0, 0.0, 0, problem) for row in unit]
        return from_json(list[Measured], line)

    def _ask(self, line: bytes) -> bytes:
        """Return the answer; empty if the process has ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return b""
        return self._process.stdout.readline()
