"""A run's heartbeat drawn for a terminal, by `srpipe run` as it goes and by `srpipe watch` from elsewhere."""

from collections.abc import Callable

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from pipeline.output.heartbeat import Heartbeat, State

from .amounts import duration, kinds, pixels


def drawn(heartbeat: Heartbeat) -> RenderableType:
    """Return two lines: a bar of the work with pixels and time, and the numbers of images and workers."""
    bar = ProgressBar(total=1.0, completed=heartbeat.fraction)
    return _lines(bar, work(heartbeat), images(heartbeat))


def drawn_looking(what: str, done: int, todo: int) -> RenderableType:
    """Return the bar of what precedes the work: images examined for their cameras."""
    return _lines(ProgressBar(total=todo, completed=done), f"{done:,}/{todo:,} images {what}")


def _lines(bar: ProgressBar, beside: str, below: str = "") -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1, 0, 0))
    grid.add_column(ratio=1)
    grid.add_column(no_wrap=True)
    grid.add_row(bar, Text(beside))
    return Group(grid, Text(below, no_wrap=True, overflow="ellipsis")) if below else grid


def work(heartbeat: Heartbeat) -> str:
    """Return a text such as "41 %, 12.3 of about 30 Mpx, 0.52 Mpx/s, 3:05 min left"."""
    made = heartbeat.megapixels
    parts = [f"{100 * heartbeat.fraction:.0f} %"]
    if heartbeat.state is State.RUNNING and heartbeat.images.left:
        parts.append(f"{pixels(made.done)} of about {pixels(made.total)} Mpx")
    else:
        parts.append(f"{pixels(made.done)} Mpx")
    if made.done:
        parts.append(f"{pixels(made.per_second)} Mpx/s")
    if heartbeat.state is State.RUNNING:
        parts.append(remaining(heartbeat))
    return ", ".join(parts)


def remaining(heartbeat: Heartbeat) -> str:
    if not heartbeat.images.left:
        return "writing the table"
    if heartbeat.eta_seconds is None:
        return "time left not known yet"
    left = duration(max(1.0, heartbeat.eta_seconds))
    return f"{left} left" if heartbeat.eta_is_measured else f"at a guess {left}"


def images(heartbeat: Heartbeat) -> str:
    """Return a text such as "3 of 12 images done, 1 failed (1 missing), 2 of 2 workers alive, 1:20 min"."""
    counted = heartbeat.images
    parts = [f"{counted.done + counted.already_done} of {counted.total} images done"]
    if counted.already_done:
        parts[0] += f" ({counted.already_done} before)"
    if counted.failed:
        parts.append(f"{counted.failed} failed ({kinds(heartbeat.failed_by)})")
    if counted.skipped:
        parts.append(f"{counted.skipped} skipped")
    workers = heartbeat.workers
    if heartbeat.state is State.RUNNING and workers.planned:
        alive = workers.alive or 0
        none_yet = not alive and not counted.done and not heartbeat.megapixels.done
        parts.append("workers are starting" if none_yet else f"{alive} of {workers.planned} workers alive")
    parts.append(duration(heartbeat.seconds))
    return ", ".join(parts)


class Bar:
    """What rich redraws repeatedly: the latest thing that it was given."""

    def __init__(self) -> None:
        self._draw: Callable[[], RenderableType] = lambda: Text("reading the manifest")

    def show(self, draw: Callable[[], RenderableType]) -> None:
        """Draw this from now on; it is called for each drawing, from another thread."""
        self._draw = draw

    def __rich__(self) -> RenderableType:
        return self._draw()
