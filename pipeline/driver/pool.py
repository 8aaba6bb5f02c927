"""The pool that processes units, as a run sees it: Ray's, or a worker in this process."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ..output.heartbeat import Heartbeat
from ..output.record import Record
from ..work.units import Answer, Row
from .capacity import Workers

Execute = Callable[[Sequence[Sequence[Row]]], Iterator[Record]]
"""Processes units; records come as they are ready, in any order."""

OnAnswer = Callable[[Answer], None]
"""Called with each answer of a worker as it comes, before it becomes a record."""


@dataclass(frozen=True)
class Pool:
    """A pool, usable within its context."""

    execute: Execute
    workers: Workers
    alive: Callable[[], int | None] = lambda: None
    """Returns how many workers gave a sign of life in the last seconds; None if unknown."""
    publish: Callable[[Heartbeat], None] = lambda _heartbeat: None
    """Passes metrics on to the monitoring of the machines."""
