"""The interface for showing a run in progress."""

from collections.abc import Callable

from ..manifest.manifest import Manifest
from ..output.heartbeat import Heartbeat
from ..output.record import Record
from ..work.units import Answer
from .plan import Plan

Looking = Callable[[str, int, int], None]
"""Called with what is done with images, as in "read", how many are done, and of how many."""


class Observer:
    """Called by a run, in its thread, in the order of the methods below; subclasses override what they need."""

    def looking(self, what: str, done: int, todo: int) -> None:
        """Called earlier, for each image examined for its camera; `what` says what is done with it, such as "asked"."""

    def starting(self, plan: Plan) -> None:
        """Called once before workers are started, which may still be refused."""

    def planned(self, plan: Plan, manifest: Manifest) -> None:
        """Called once before any image is worked on."""

    def working(self, heartbeat: Callable[[], Heartbeat]) -> None:
        """Called once as work begins. The argument returns the current state, from any thread, also after the end."""

    def answered(self, answer: Answer) -> None:
        """Called for every answer of a worker: an image, the fit of a scene, a group of its tiles."""

    def finished(self, record: Record) -> None:
        """Called for every image worked on, when it ends."""
