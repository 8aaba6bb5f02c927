"""Who works units off, as a run sees them: a pool of Ray's, or a worker in this process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..output.heartbeat import Heartbeat
from ..output.record import Record
from ..work.units import Answer, Row
from .capacity import Workers

Execute = Callable[[Sequence[Sequence[Row]]], Iterator[Record]]
"""Works units off; records come as they are ready, in any order."""

Told = Callable[[Answer], None]
"""Called with each answer of a worker as it comes, before it becomes a record."""


def nothing_told(_answer: Answer) -> None:
    """For whom answers are of no interest."""


def _published_nowhere(_heartbeat: Heartbeat) -> None:
    pass


@dataclass(frozen=True)
class Pool:
    """As long as its context lasts."""

    execute: Execute
    workers: Workers
    alive: Callable[[], int | None] = lambda: None
    """How many workers gave a sign of life in the last seconds; None where that cannot be told now."""
    publish: Callable[[Heartbeat], None] = _published_nowhere
    """Hands figures on to who watches the machines."""
