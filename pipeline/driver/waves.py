"""Units in waves, and the scenes among them: their groups go first in the wave after the one that fitted them."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from ..output.record import Record
from ..storage.patience import Patience
from ..work import scene
from ..work.units import Answer, GroupRecord, Row, Scene, Unit
from .pool import Execute, Told, nothing_told


def in_waves(
    work_off: Callable[[Sequence[Unit]], Iterable[Answer]],
    output: str,
    wave: int,
    patiently: Patience,
    check: Callable[[], None],
    told: Told = nothing_told,
) -> Execute:
    """What gives a record for every row of its units, by handing out at most `wave` units at a time.

    A row for which a unit or a group was never answered gets none; asked for again, a scene goes on where it stopped.

    Args:
        work_off: hands units out and gives the answers as they are ready, one for each row and one for each group.
        patiently: calls what commits a scene again where its failure may pass.
        check: raises when the output is no longer ours to write to; called before a scene is committed.
    """

    def execute(units: Sequence[Sequence[Row]]) -> Iterator[Record]:
        scenes = _Scenes(output, patiently)
        queue: list[Unit] = list(units)
        while queue:
            handed_out, queue = queue[:wave], queue[wave:]
            groups: list[Unit] = []
            for answer in work_off(handed_out):
                told(answer)
                if isinstance(answer, Scene):
                    groups += scenes.begin(answer)
                    continue
                check()
                record = scenes.settle(answer)
                if record is not None:
                    yield record
            queue = groups + queue

    return execute


def one_by_one(
    worker: Callable[[Unit], Iterable[Answer]],
    output: str,
    patiently: Patience,
    check: Callable[[], None] = lambda: None,
    told: Told = nothing_told,
) -> Execute:
    """Everything by one worker in this process, a scene from its beginning to its end."""
    return in_waves(lambda units: (it for unit in units for it in worker(unit)), output, 1, patiently, check, told)


class _Scenes:
    """The scenes that are begun, and what became of their groups so far."""

    def __init__(self, output: str, patiently: Patience) -> None:
        self._output = output
        self._patiently = patiently
        self._begun: dict[str, tuple[Scene, dict[tuple[int, int], GroupRecord]]] = {}
        self._failed: set[str] = set()

    def begin(self, begun: Scene) -> list[Unit]:
        self._begun[begun.row.key] = begun, {}
        return begun.units()

    def settle(self, answer: Record | GroupRecord) -> Record | None:
        """The record that an answer is, or that it completes; of a scene that fails only the first failure."""
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
