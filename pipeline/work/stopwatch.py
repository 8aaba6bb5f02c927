"""The time spent on one image by phase, and its time limit."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager


class DeadlineError(Exception):
    """The work on an image took longer than allowed."""


class Stopwatch:
    """Wall-clock seconds by phase; a phase belongs to one thread at a time."""

    def __init__(self) -> None:
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._deadline: float | None = None

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Measure a phase. Raises DeadlineError before it if the time is up."""
        self.check()
        started = time.perf_counter()
        yield
        self._seconds[phase] += time.perf_counter() - started

    def __getitem__(self, phase: str) -> float:
        return self._seconds[phase]

    def total(self, *phases: str) -> float:
        """Return the seconds of some phases together."""
        return sum(self._seconds[phase] for phase in phases)

    def limit(self, seconds: float | None, spent: float = 0.0) -> None:
        """Set the time limit from now on, minus what is already spent; None for no limit."""
        self._deadline = None if seconds is None else time.perf_counter() + seconds - spent

    def check(self, _steps: int = 0) -> None:
        """Raise DeadlineError if the time is up."""
        if self._deadline is not None and time.perf_counter() > self._deadline:
            raise DeadlineError
