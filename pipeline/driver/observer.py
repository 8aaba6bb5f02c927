"""Who wants to see a run as it goes."""

from collections.abc import Callable

from ..output.heartbeat import Heartbeat
from ..output.record import Record
from ..work.units import Answer
from .manifest import Manifest
from .plan import Plan


class Observer:
    """Told of a run, in its thread, in the order of the methods here; who derives from it need not listen to all."""

    def looking(self, what: str, done: int, todo: int) -> None:
        """Called before, with each image that is looked at for its camera; `what` is done with it, as in "asked"."""

    def starting(self, plan: Plan) -> None:
        """Called once, before workers are started, which may yet be refused."""

    def planned(self, plan: Plan, manifest: Manifest) -> None:
        """Called once, before any image is worked on."""

    def working(self, heartbeat: Callable[[], Heartbeat]) -> None:
        """Called once, as the work begins. The argument tells how far it is, in any thread, also when it has ended."""

    def answered(self, answer: Answer) -> None:
        """Called for every answer of a worker: an image, the fit of a scene, a group of its tiles."""

    def finished(self, record: Record) -> None:
        """Called for every image worked on, as it ends."""
