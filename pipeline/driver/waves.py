"""Units in waves, with scenes among them: a scene's groups come first in the wave after its fit."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..output.record import Record
from ..storage.patience import Patience
from ..work import scene
from ..work.units import Answer, GroupRecord, Row, Scene, Unit
from .pool import Execute, OnAnswer


def in_waves(
    work_off: Callable[[Sequence[Unit]], Iterable[Answer]],
    output: str,
    wave: int,
    patiently: Patience,
    check: Callable[[], None],
    on_answer: OnAnswer,
) -> Execute:
    """Return a function that yields a record for every row of its units, handing out at most `wave` units at a time.

    A row whose unit or group was never answered gets none; if it is handed out again, a scene resumes where it stopped.

    Args:
        work_off: hands out units and yields the answers as they are ready, one per row and one per group.
        patiently: repeats the commit of a scene if its failure is transient.
        check: raises if the output no longer belongs to this run; called before a scene is committed.
    """

    def execute(units: Sequence[Sequence[Row]]) -> Iterator[Record]:
        scenes = _Scenes(output, patiently)
        queue: list[Unit] = list(units)
        while queue:
            handed_out, queue = queue[:wave], queue[wave:]
            groups: list[Unit] = []
            for answer in work_off(handed_out):
                on_answer(answer)
                if isinstance(answer, Scene):
                    groups += scenes.begin(answer)
                    continue
                check()
                record = scenes.settle(answer)
                if record is not None:
                    yield record
            queue = groups + queue

    return execute


class _Scenes:
    """The scenes in progress, and the results of their groups so far."""

    def __init__(self, output: str, patiently: Patience) -> None:
        self._output = output
        self._patiently = patiently
        self._begun: dict[str, tuple[Scene, dict[tuple[int, int], GroupRecord]]] = {}
        self._failed: set[str] = set()

    def begin(self, begun: Scene) -> list[Unit]:
        """Return the groups of a scene, which are to be handed out next."""
        self._begun[begun.row.key] = begun, {}
        return begun.units()

    def settle(self, answer: Record | GroupRecord) -> Record | None:
        """Return the record that an answer is or completes; of a failing scene only the first failure."""
        key = (answer if isinstance(answer, Record) else answer.record).key or ""
        if key in self._failed:
            return None
        if key not in self._begun:
            return answer if isinstance(answer, Record) else None
        begun, done = self._begun[key]
        if isinstance(answer, Record):
            self._failed.add(key)
            scene.fail(self._output, begun, answer)
            return answer
        done[answer.start, answer.stop] = answer
        if len(done) < len(begun.groups):
            return None
        del self._begun[key]
        return scene.finish(self._output, begun, [done[group] for group in begun.groups], self._patiently)
