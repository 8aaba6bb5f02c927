"""The progress of a run on stderr: a bar on a terminal; elsewhere a plain line every few seconds, as images end."""

import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from pipeline.config import RunConfig
from pipeline.driver.observer import Observer
from pipeline.driver.plan import Plan
from pipeline.driver.run import Summary, run
from pipeline.manifest.manifest import Manifest
from pipeline.output.heartbeat import Heartbeat
from pipeline.output.record import Record
from pipeline.output.status import Status
from pipeline.work.units import Answer, GroupRecord, Scene

from . import json_log, stopping
from .amounts import counted, pixels
from .bar import Bar, drawn, drawn_looking, images, work
from .console import Console
from .json_log import LogFormat, Shown
from .run_log import JsonLog, Log, TextLog

_LINE_SECONDS = 5.0

_LONGEST_LINE_SECONDS = 60.0

_LINE_SHARE = 0.02
"""Share of the run's time so far between two lines, so that a long log does not have ten thousand of them."""

_SHORTEST_PHASE = 0.0005
"""In seconds; shorter phases did not take place."""

PHASES = {"read_s": "read", "fit_s": "fit", "infer_s": "infer", "back_project_s": "back_project", "write_s": "write"}
"""Columns of a record with seconds, and their names in a line."""


def run_with_progress(config: RunConfig, only: Container[str] | None = None, shown: Shown = Shown()) -> Summary:  # noqa: B008
    """Call `pipeline.driver.run.run`, showing its progress on stderr."""
    with progress(shown) as observer:
        return run(config, observer, only)


@contextmanager
def progress(shown: Shown) -> Iterator[Observer]:
    """Yield the observer that suits stderr."""
    if shown.log_format is LogFormat.JSON:
        json_log.begin()
        yield _Lines(JsonLog(shown.verbose))
        return
    console = Console(stderr=True)
    log = TextLog(console, shown.verbose)
    if not console.is_terminal:
        yield _Lines(log)
        return
    bar = Bar()
    with Live(bar, console=console, refresh_per_second=4):
        yield _OnTerminal(log, bar)


class _Teller(Observer):
    """What all forms report."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def looking(self, what: str, done: int, todo: int) -> None:  # noqa: ARG002 - subclasses show it
        stopping.check()

    def planned(self, plan: Plan, manifest: Manifest) -> None:
        if manifest.ignored:
            names = ", ".join(uri.rpartition("/")[2] for uri in manifest.ignored[:3])
            more = ", ..." if len(manifest.ignored) > 3 else ""
            number = len(manifest.ignored)
            sentence = f"left out {counted(number, 'file')} that are not images by their names: {names}{more}"
            self.log.info("ignored", sentence, images=number)
        if plan.duplicates:
            sentence = f"left out {counted(plan.duplicates, 'row')} that repeat an earlier one"
            self.log.info("duplicates", sentence, images=plan.duplicates)
        if plan.committed:
            number = len(plan.committed)
            self.log.info("already_done", f"{counted(number, 'image')} already done", images=number)
        for rejected in plan.rejected:
            self.log.failed(f"line {rejected.line}: {rejected.message}", key=rejected.key, error_type="bad_row")
        if plan.units:
            self.log.info("planned", f"{counted(plan.todo, 'image')} to do", images=plan.todo)

    def answered(self, answer: Answer) -> None:
        if not isinstance(answer, Record):  # records must be stored first
            stopping.check()
        record = answer if isinstance(answer, Record) else answer.record
        part = _part(answer)
        label = f"{record.key}{f', {part}' if part else ''}"
        for column, phase in PHASES.items():
            seconds = getattr(record, column)
            if seconds is not None and seconds >= _SHORTEST_PHASE:
                sentence = f"{label}: {phase} {seconds:.2f} s"
                fields = {"key": record.key, "part": part, "phase": phase, "seconds": round(seconds, 6)}
                self.log.debug("phase", sentence, **fields, worker=record.worker)

    def finished(self, record: Record) -> None:
        stopping.check()
        if record.status == Status.FAILED:
            self.log.failed(
                f"{record.key}: {record.error_message}",
                key=record.key,
                error_type=record.error_type,
                seconds=record.total_s,
                worker=record.worker,
            )
            return
        if record.status == Status.DEGRADED:
            self.log.info("degraded", f"degraded: {record.key}: {record.error_message}", key=record.key)
        megapixels = (record.sr_width or 0) * (record.sr_height or 0) / 1e6
        sentence = f"{record.key}: {record.status} in {record.total_s or 0:.2f} s, {pixels(megapixels)} Mpx"
        self.log.debug(
            "done",
            f"{sentence} by {record.method_used}" if record.method_used else sentence,
            key=record.key,
            seconds=record.total_s,
            megapixels=megapixels,
            method=record.method_used,
            worker=record.worker,
        )


def _part(answer: Answer) -> str | None:
    """Return the part of an image that an answer is about; None if it is the whole."""
    if isinstance(answer, Scene):
        return "fit"
    return f"tiles {answer.start} to {answer.stop - 1}" if isinstance(answer, GroupRecord) else None


class _OnTerminal(_Teller):
    def __init__(self, log: Log, bar: Bar) -> None:
        super().__init__(log)
        self._bar = bar

    def looking(self, what: str, done: int, todo: int) -> None:
        super().looking(what, done, todo)
        self._bar.show(lambda: drawn_looking(what, done, todo))

    def starting(self, plan: Plan) -> None:
        if plan.units:
            self._bar.show(lambda: Text(f"starting workers for {counted(plan.todo, 'image')}"))

    def working(self, heartbeat: Callable[[], Heartbeat]) -> None:
        self._bar.show(lambda: drawn(heartbeat()))


class _Lines(_Teller):
    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._began = self._said_at = time.monotonic()
        self._heartbeat: Callable[[], Heartbeat] | None = None

    def looking(self, what: str, done: int, todo: int) -> None:
        super().looking(what, done, todo)
        if self._is_time() or done == todo:
            self.log.info("looking", f"{done:,}/{todo:,} images {what}", done=done, images=todo)

    def working(self, heartbeat: Callable[[], Heartbeat]) -> None:
        self._heartbeat = heartbeat
        self._began = self._said_at = time.monotonic()

    def answered(self, answer: Answer) -> None:
        super().answered(answer)
        if not isinstance(answer, Record):
            self._say(last=False)

    def finished(self, record: Record) -> None:
        super().finished(record)
        self._say(last=True)

    def _say(self, last: bool) -> None:
        """Write one line if it is due, or after the last image."""
        if self._heartbeat is None:
            return
        beat = self._heartbeat()
        if self._is_time() or (last and not beat.images.left):
            self.log.info(
                "progress",
                f"{images(beat)}: {work(beat)}",
                done=beat.images.done,
                failed=beat.images.failed,
                left=beat.images.left,
                megapixels=beat.megapixels.done,
                megapixels_total=beat.megapixels.total,
                fraction=beat.fraction,
                eta_seconds=beat.eta_seconds,
                workers_alive=beat.workers.alive,
                seconds=beat.seconds,
            )

    def _is_time(self) -> bool:
        """Return whether another line is due; if so, it counts as written."""
        now = time.monotonic()
        wait = min(max(_LINE_SECONDS, _LINE_SHARE * (now - self._began)), _LONGEST_LINE_SECONDS)
        due = now - self._said_at >= wait
        self._said_at = now if due else self._said_at
        return due
