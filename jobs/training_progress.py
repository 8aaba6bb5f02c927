"""The progress of a training on stderr: a bar per head on a terminal, else a line every few seconds."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from . import stopping
from .answers import tell
from .console import Console

_LINE_SECONDS = 5.0

Tell = Callable[[tuple[int, int], int, float], None]
"""Called with a head (scale and bands), the steps done, and the loss."""


@contextmanager
def training_progress(steps: int) -> Iterator[Tell]:
    """Yield what `train_prior_file` calls after each of `steps` steps, from several threads.

    It raises what a lost signal asked for, as `stopping.check` does.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(steps)
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("loss {task.fields[loss]}"), TimeRemainingColumn())
    with Progress(TextColumn("{task.description}"), *columns, console=console) as bar:
        tasks: dict[tuple[int, int], TaskID] = {}

        def told(head: tuple[int, int], done: int, loss: float) -> None:
            stopping.check()
            if head not in tasks:
                tasks[head] = bar.add_task(_name(head), total=steps, completed=done, loss="")
            bar.update(tasks[head], completed=done, loss=f"{loss:.5f}")

        yield told


def _lines(steps: int) -> Tell:
    began: dict[tuple[int, int], tuple[float, int]] = {}
    said_at: dict[tuple[int, int], float] = {}

    def told(head: tuple[int, int], done: int, loss: float) -> None:
        stopping.check()
        moment = time.monotonic()
        first_moment, first_done = began.setdefault(head, (moment, done))
        if done == steps or moment - said_at.setdefault(head, moment) >= _LINE_SECONDS:
            said_at[head] = moment
            eta = (moment - first_moment) / max(1, done - first_done) * (steps - done)
            tell(f"{_name(head)}: step {done}/{steps}, loss {loss:.5f}, eta {eta:.0f} s")

    return told


def _name(head: tuple[int, int]) -> str:
    scale, bands = head
    return f"x{scale}, {'one band' if bands == 1 else f'{bands} bands'}"
