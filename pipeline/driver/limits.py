"""Limits that stop a run early: too many failures, or too many hours."""

import signal
import threading
import time
from collections.abc import Container, Generator, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from ..output.record import Record
from ..output.status import Status

Item = TypeVar("Item")

_LONGEST_ALARM = 1e9
"""Seconds: a timer takes no infinite number."""

ENOUGH = 20
"""Images after which the failure rate is meaningful."""


class LimitReachedError(BaseException):
    """The run must stop; the message names the limit. Not an Exception, lest an image take it for its own failure."""


class RunLimits:
    """Checks the limits of one run."""

    def __init__(
        self, max_failure_rate: float | None, max_hours: float | None, failed_before: Container[str] = ()
    ) -> None:
        """`failed_before` holds the keys of images that failed when they were last tried."""
        self._failed_before = failed_before
        self._max_failure_rate = max_failure_rate
        self._max_hours = max_hours
        self._worked = self._failed = 0
        self._waiting = False
        self._rung: LimitReachedError | None = None
        """What the alarm raised."""
        self._ends_at = None if max_hours is None else time.monotonic() + 3600 * max_hours

    def watch(self, items: Iterator[Item]) -> Generator[Item, None, None]:
        """Yield the items. Raises LimitReachedError when the time is up, also while waiting for the next item."""
        with self._alarm():
            while True:
                try:
                    self._waiting = True
                    self._check_time()
                    item = next(items)
                except StopIteration:
                    return
                except Exception as error:
                    if self._rung is not None:  # on its way through Ray it can become another one
                        raise self._rung from error
                    raise
                finally:
                    self._waiting = False
                yield item

    def count(self, record: Record) -> None:
        """Count an image that was worked on, unless it failed again. Raises LimitReachedError if too many failed."""
        if record.status == Status.FAILED and record.key in self._failed_before:
            return  # it tells nothing of this run, and the same files would stop every night's
        self._worked += 1
        self._failed += record.status == Status.FAILED
        if self._max_failure_rate is None or self._worked < ENOUGH:
            return
        if self._failed > self._max_failure_rate * self._worked:
            raise LimitReachedError(
                f"{self._failed} of {self._worked} images failed, over --max-failure-rate {self._max_failure_rate:g}"
            )

    def _check_time(self) -> None:
        if self._ends_at is not None and time.monotonic() >= self._ends_at:
            raise self._time_is_up()

    def _time_is_up(self) -> LimitReachedError:
        return LimitReachedError(f"--max-hours {self._max_hours:g} are over")

    @contextmanager
    def _alarm(self) -> Iterator[None]:
        """Set an alarm that interrupts the wait for an image; only possible in the main thread of a Unix process."""
        possible = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        if self._ends_at is None or not possible:
            yield
            return
        before = signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, min(max(1e-3, self._ends_at - time.monotonic()), _LONGEST_ALARM))
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _ring(self, _signal: int, _frame: FrameType | None) -> None:
        if self._waiting:  # otherwise a record is being stored; `watch` checks the time before it waits again
            self._rung = self._time_is_up()
            raise self._rung
