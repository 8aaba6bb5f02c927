"""Which images were begun and never ended: an image that kills its worker's process must not be begun for ever.

Ray starts a dead process anew and gives it the same unit again, without end. So a worker writes down what it begins and
ends. What was begun on a machine that is still there, and did not end, died with its process. A machine that is gone
took its images with it through no fault of theirs.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol

MOST_DEATHS = 2
"""Of processes by one image, before it is given up."""


class Ledger(Protocol):
    """What a worker tells and asks."""

    def suspects(self, keys: Iterable[str]) -> bool:
        """Whether a process died while it was at work on one of these."""

    def begin(self, key: str) -> int:
        """Write down that the work begins; the number of processes that died of it before."""

    def end(self, key: str) -> None:
        """Write down that the process outlived it."""


class NoLedger:
    """For a process that is not started anew."""

    def suspects(self, keys: Iterable[str]) -> bool:  # noqa: ARG002
        return False

    def begin(self, key: str) -> int:  # noqa: ARG002
        return 0

    def end(self, key: str) -> None:
        pass


class CrashLedger:
    """The book itself; one for all workers of a run."""

    def __init__(self, living: Callable[[], set[str]]) -> None:
        """`living` gives the machines that are still there."""
        self._living = living
        self._begun: defaultdict[str, list[str]] = defaultdict(list)

    def suspects(self, keys: Iterable[str]) -> bool:
        return any(self._deaths(key) for key in keys)

    def begin(self, key: str, machine: str) -> int:
        deaths = self._deaths(key)
        if deaths < MOST_DEATHS:
            self._begun[key].append(machine)
        return deaths

    def end(self, key: str) -> None:
        self._begun.pop(key, None)

    def _deaths(self, key: str) -> int:
        if key not in self._begun:
            return 0
        living = self._living()
        return sum(machine in living for machine in self._begun[key])


class SignsOfLife:
    """Of worker processes: who is silent for too long is gone, or hangs."""

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def sign(self, name: str) -> None:
        """A process lives."""
        self._last[name] = time.monotonic()

    def alive(self, seconds: float) -> int:
        """How many gave a sign in the last seconds; the others are forgotten."""
        since = time.monotonic() - seconds
        self._last = {name: last for name, last in self._last.items() if last >= since}
        return len(self._last)


class Book(CrashLedger, SignsOfLife):
    """All that is written down of a run's workers while they are at work."""

    def __init__(self, living: Callable[[], set[str]]) -> None:
        """`living` as of CrashLedger."""
        CrashLedger.__init__(self, living)
        SignsOfLife.__init__(self)
