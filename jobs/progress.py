"""How a run shows itself on stderr: a bar on a terminal; elsewhere a plain line every few seconds, as images end."""

import time
from collections.abc import Container, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from pipeline.config import RunConfig
from pipeline.driver.manifest import Manifest
from pipeline.driver.plan import Plan
from pipeline.driver.run import Observer, Summary, run
from pipeline.output.records import Record, Status

from . import stopping

_LINE_SECONDS = 5.0


def run_with_progress(config: RunConfig, only: Container[str] | None = None) -> Summary:
    """`pipeline.driver.run.run`, which shows itself on stderr while it goes on."""
    with progress() as observer:
        return run(config, observer, only)


@contextmanager
def progress() -> Iterator[Observer]:
    """The observer that suits stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TextColumn("eta"),
        TimeRemainingColumn(),
        console=console,
    )
    with bar:
        yield _Bar(console, bar)


class _Counts:
    """What both forms count and say."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.todo = self.finished_rows = self.failed = 0
        self.pixels = 0
        self.started = time.monotonic()

    def looking(self, what: str, done: int, todo: int) -> None:  # noqa: ARG002 - shown by either form in its way
        stopping.check()

    def planned(self, plan: Plan, manifest: Manifest) -> None:
        self.todo = plan.todo
        self.started = time.monotonic()  # what was looked at before is no work on images
        if manifest.ignored:
            names = ", ".join(uri.rpartition("/")[2] for uri in manifest.ignored[:3])
            self.say(f"{len(manifest.ignored)} files are not images by name and left out: {names}, ...")
        if plan.duplicates:
            self.say(f"{plan.duplicates} rows repeat an earlier one and are one with it")
        if plan.committed:
            self.say(f"{len(plan.committed)} images are already done")
        for rejected in plan.rejected:
            self.say(f"failed: line {rejected.line}: {rejected.message}")
        if plan.units:
            self.say(f"{plan.todo} images to do")

    def finished(self, record: Record) -> None:
        stopping.check()
        self.finished_rows += 1
        self.pixels += (record.sr_width or 0) * (record.sr_height or 0)
        if record.status == Status.FAILED:
            self.failed += 1
            self.say(f"failed: {record.key}: {record.error_message}")
        if record.status == Status.DEGRADED:
            self.say(f"degraded: {record.key}: {record.error_message}")

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def note(self) -> str:
        megapixels = self.pixels / 1e6 / max(1e-9, time.monotonic() - self.started)
        return f"{self.failed} failed, {megapixels:.2f} Mpx/s"


class _Bar(_Counts):
    def __init__(self, console: Console, bar: Progress) -> None:
        super().__init__(console)
        self._bar = bar
        self._task = bar.add_task("starting", total=None, note="")

    def looking(self, what: str, done: int, todo: int) -> None:
        super().looking(what, done, todo)
        if done == 1:
            self._bar.reset(self._task, description=f"images {what}", total=todo)
        self._bar.update(self._task, completed=done)

    def planned(self, plan: Plan, manifest: Manifest) -> None:
        super().planned(plan, manifest)
        self._bar.reset(self._task, description="images", total=self.todo)

    def finished(self, record: Record) -> None:
        super().finished(record)
        self._bar.update(self._task, completed=self.finished_rows, note=self.note())


class _Lines(_Counts):
    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._said_at = time.monotonic()

    def looking(self, what: str, done: int, todo: int) -> None:
        super().looking(what, done, todo)
        if self._is_time() or done == todo:
            self.say(f"{done}/{todo} images {what}")

    def finished(self, record: Record) -> None:
        super().finished(record)
        if self._is_time() or self.finished_rows == self.todo:
            remaining = (self._said_at - self.started) / self.finished_rows * (self.todo - self.finished_rows)
            self.say(f"{self.finished_rows}/{self.todo} images, {self.note()}, eta {remaining:.0f} s")

    def _is_time(self) -> bool:
        """Whether another line is due; then it is taken to be said now."""
        now = time.monotonic()
        due = now - self._said_at >= _LINE_SECONDS
        self._said_at = now if due else self._said_at
        return due
