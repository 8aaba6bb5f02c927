"""The progress of a run and its remaining time, from the answers of workers; may be read from any thread."""

import os
import socket
import threading
import time
from collections import Counter, deque
from dataclasses import replace
from datetime import datetime

from sr_ops.settings import Settings

from ..config import VERSION
from ..errors import ErrorType
from ..output import heartbeat
from ..output.clock import now
from ..output.heartbeat import Failure, Heartbeat, Images, Living, Megapixels, State
from ..output.record import Record
from ..output.status import Status
from ..work.units import Answer, GroupRecord, Scene
from .capacity import Workers
from .observer import Observer
from .pace import Pace
from .plan import Plan
from .work_left import Work, WorkLeft

_LAST_FAILURES = 5

_OVERDUE = 0.1
"""Share of the time since the last answer that late work is expected to take at least."""


class Progress:
    """The progress of one run; passes what it counts on to an observer."""

    def __init__(
        self, run_id: str, started: datetime, plan: Plan, settings: Settings, interval: float, observer: Observer
    ) -> None:
        """`settings` are those of the run; `interval` is the time between two heartbeats in seconds."""
        self._lock = threading.Lock()
        self._observer = observer
        self._run_id = run_id
        self._interval = interval
        self._started = started
        self._began, self._answered_at = started, time.monotonic()
        self._state = State.RUNNING
        self._stopped_by: str | None = None
        self._ended: datetime | None = None
        total = plan.todo + len(plan.committed) + len(plan.rejected) + len(plan.skipped)
        self._images = Images(total, 0, len(plan.committed), len(plan.rejected), len(plan.skipped))
        self._failed_by = Counter([ErrorType.BAD_ROW.value] * len(plan.rejected))
        rejected = [Failure(row.key, ErrorType.BAD_ROW.value, row.message) for row in plan.rejected[-_LAST_FAILURES:]]
        self._last_failures = deque(rejected, _LAST_FAILURES)
        self._left = WorkLeft((row for unit in plan.units for row in unit), settings)
        self._done = Work()
        self._pace = Pace()
        self._units, self._most_workers = len(plan.units), 0
        self._worked_until: dict[str, datetime] = {}
        self._workers = Living(0 if plan.units else None)
        self._eta: float | None = None
        self._expect()

    def begin(self, workers: Workers) -> None:
        """Note that the first images are handed out. Until a scene is divided, there are no more workers than units."""
        with self._lock:
            self._began, self._answered_at = now(), time.monotonic()
            self._most_workers = workers.count
            self._workers = replace(self._workers, planned=min(workers.count, self._units), why=workers.why)
            self._expect()

    def living_workers(self, alive: int | None) -> None:
        with self._lock:
            self._workers = replace(self._workers, alive=alive)

    def answered(self, answer: Answer) -> None:
        """Count a worker's answer: an image done or failed, a scene begun, a group done."""
        with self._lock:
            if isinstance(answer, Scene):
                self._workers = replace(self._workers, planned=self._most_workers)
                self._count(self._left.begun(answer), answer.record)
            elif isinstance(answer, GroupRecord):
                self._count(self._left.grouped(answer), answer.record)
            else:
                self._count(self._left.finished(answer), answer)
        self._observer.answered(answer)

    def finished(self, record: Record) -> None:
        """Count the record of a row; for a scene it comes after its last group."""
        with self._lock:
            self._left.finished(record)
            if record.status == Status.FAILED:
                self._images = replace(self._images, failed=self._images.failed + 1)
                failure = Failure(record.key, record.error_type or "", record.error_message or "")
                self._failed_by[failure.error_type] += 1
                self._last_failures.append(failure)
            else:
                self._images = replace(self._images, done=self._images.done + 1)
            self._expect()
        self._observer.finished(record)

    def judged(self, degraded: int) -> None:
        """Set the number of results over a limit, once all records are there."""
        with self._lock:
            self._images = replace(self._images, degraded=degraded)

    def end(self, state: State, stopped_by: str | None) -> None:
        """Set the final state."""
        with self._lock:
            self._state, self._stopped_by, self._ended = state, stopped_by, now()

    def now(self) -> Heartbeat:
        with self._lock:
            left, running = self._left.left(), self._state is State.RUNNING
            moment = self._ended or now()
            return Heartbeat(
                version=heartbeat.VERSION,
                run_id=self._run_id,
                srpipe_version=VERSION,
                state=self._state,
                started=self._started,
                updated=moment,
                interval_seconds=self._interval,
                seconds=(moment - self._started).total_seconds(),
                images=self._images,
                failed_by=dict(self._failed_by),
                megapixels=Megapixels(
                    self._done.megapixels,
                    self._done.megapixels + left.megapixels,
                    self._done.megapixels / max(1e-3, (moment - self._began).total_seconds()),
                ),
                fraction=self._fraction(left),
                eta_seconds=self._remaining() if running else None,
                eta_is_measured=self._pace.parts > 0,
                workers=self._workers if running else replace(self._workers, alive=0),
                host=socket.gethostname(),
                pid=os.getpid(),
                stopped_by=self._stopped_by,
                last_failures=list(self._last_failures),
            )

    def _count(self, work: Work, record: Record) -> None:
        self._done = Work(
            self._done.guess + work.guess,
            self._done.images + work.images,
            self._done.parts + work.parts,
            self._done.megapixels + work.megapixels,
        )
        taken = self._taken(record)
        if work.parts and taken is not None:
            self._pace.learn(work.guess, taken, work.images)
        self._answered_at = time.monotonic()
        self._expect()

    def _taken(self, record: Record) -> float | None:
        """Return the seconds that the worker spent on this alone, by its clock; None for work of an earlier run."""
        begun, ended, worker = record.started_at, record.finished_at, record.worker
        if begun is None or ended is None or worker is None or begun < self._started:
            return None
        begun = max(begun, self._worked_until.get(worker, begun))
        self._worked_until[worker] = max(begun, ended)
        return max(0.0, (ended - begun).total_seconds())

    def _expect(self) -> None:
        """Estimate the time left from the last answer on; other work in progress is half done on average."""
        left = self._left.left()
        busy = min(self._workers.alive or self._workers.planned or 1, max(1, left.parts))
        seconds = self._pace.seconds(left.guess, left.images) / busy
        self._eta = seconds * (1 - (busy - 1) / 2 / max(1, left.parts))

    def _remaining(self) -> float | None:
        if self._eta is None:
            return None
        waited = time.monotonic() - self._answered_at
        if not self._pace.parts and waited > self._eta:
            return None  # the rule of thumb does not fit this machine or these files
        return max(self._eta - waited, _OVERDUE * waited if self._images.left else 0.0)

    def _fraction(self, left: Work) -> float:
        if not self._images.left:
            return 1.0
        done = self._pace.seconds(self._done.guess, self._done.images)
        rest = self._pace.seconds(left.guess, left.images)
        return done / (done + rest) if done + rest > 0 else 0.0
