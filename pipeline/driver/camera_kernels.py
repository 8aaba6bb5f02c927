"""`--kernel estimate-collection`: the kernel of each camera, found in some of its images before any is worked on."""

import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import TypeVar

import torch

from sr_ops.estimate import Estimate
from sr_ops.settings import COLLECTION_KERNEL

from .. import storage
from ..config import Executor, Existing, RunConfig
from ..errors import ImageError
from ..imagery.maker import maker_of
from ..imagery.reading.decoder_processes import end_all
from ..output import layout, records
from ..output.kernel_columns import Found
from ..output.saved_kernels import SavedKernel, make_saved, read_saved, save
from ..storage import Source
from ..storage.patience import Patience
from ..work.fetching import Fetcher
from ..work.looking import look_at
from ..work.units import Row
from .cameras import recorded_cameras, to_look_at, with_cameras

ASKED, LOOKED_AT = "asked for their camera", "looked at for their camera's kernel"
"""What is done with images before the plan, as `Observer.looking` is told."""

_AT_ONCE = 3
"""Images that are opened at a time: as many decoders are kept."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class CameraKernels:
    """Finds, or finds saved, the kernels of one run's cameras."""

    def __init__(
        self, config: RunConfig, run_id: str, check: Callable[[], None], looking: Callable[[str, int, int], None]
    ) -> None:
        """Thread count of `config` holds for the whole process from now on, as in a worker: sums are then the same.

        Args:
            check: raises when the output is no longer ours to write to.
            looking: `Observer.looking`.

        Raises:
            OSError: what is saved cannot be listed.
        """
        torch.set_num_threads(config.threads)
        self._config = config
        self._run_id = run_id
        self._check = check
        self._looking = looking
        self._anew = config.existing is Existing.OVERWRITE
        self._fetcher = Fetcher(config, Patience(config.retries))
        self._saved = set(storage.find(layout.kernels_folder(config.output)))

    def __call__(self, rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
        """The rows, those that ask for the kernel of their camera with its text; what is found is saved.

        Raises:
            UsageError: what was saved is damaged, or what is found cannot be saved.
            LostLockError: another run took the output over.
        """
        asking = [row for row in rows if row.kernel == COLLECTION_KERNEL]
        cameras: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self._with_cameras(asking, sources):
            cameras[row.camera].append(row)
        kept = dict(zip(cameras, _in_threads(self._kept, [*cameras]), strict=True))  # before any is written
        chosen = {camera: to_look_at(members) for camera, members in cameras.items() if kept[camera] is None}
        looks = self._watched(LOOKED_AT, self._estimates, [row for some in chosen.values() for row in some])
        answers: dict[int, Row] = {}
        with closing(looks):
            for camera, members in cameras.items():
                saved = kept[camera] or self._found(camera, members, [*islice(looks, len(chosen[camera]))])
                answers.update((row.index, _with_kernel(row, saved)) for row in members)
        if self._config.executor is Executor.RAY:
            end_all()  # what idle decoders hold is the workers'
        return [answers.get(row.index, row) for row in rows]

    def _with_cameras(self, rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
        recorded: dict[tuple[str, str], str] = {}
        if not all(row.camera for row in rows):
            table = records.latest(self._config.output, self._run_id)
            recorded = recorded_cameras(table, {row.key for row in rows})
        return with_cameras(
            rows, recorded, sources, self._is_saved, lambda uris: list(self._watched(ASKED, self._maker, uris))
        )

    def _is_saved(self, camera: str) -> bool:
        return layout.kernel_json(self._config.output, camera) in self._saved

    def _kept(self, camera: str) -> SavedKernel | None:
        return None if self._anew or not self._is_saved(camera) else read_saved(self._config.output, camera)

    def _maker(self, uri: str) -> str:
        try:
            return maker_of(self._fetcher.header(uri))
        except (ImageError, MemoryError):  # its record will tell, when its turn comes
            return ""

    def _watched(self, what: str, do: Callable[[Item], Result], items: Sequence[Item]) -> Generator[Result, None, None]:
        for done, answer in enumerate(_in_threads(do, items), 1):
            self._looking(what, done, len(items))
            yield answer

    def _found(
        self, camera: str, members: Sequence[Row], answers: Sequence[tuple[Estimate | None, ...]]
    ) -> SavedKernel:
        """What images of a camera tell, saved, unless none could be read."""
        told = [estimate for answer in answers for estimate in answer]
        scale = max(row.scale for row in members)
        found = make_saved(camera, told, len(answers) - len(told), scale)
        if told:
            self._check()
            save(self._config.output, found, scale)
        return found

    def _estimates(self, row: Row) -> tuple[Estimate | None, ...]:
        """What one image tells, opened as a worker opens it; nothing where it cannot be read."""
        try:
            return (look_at(row, self._config.settings, self._fetcher).estimate,)
        except (ImageError, MemoryError):  # its record will tell, when its turn comes
            return ()
        except Exception as error:  # noqa: BLE001 - a bug in one image must not stop the others; it is told in full
            traceback.print_exception(error, file=sys.stderr)
            return ()


def _with_kernel(row: Row, saved: SavedKernel) -> Row:
    guessed = saved.guess(row.scale)
    return replace(row, kernel=guessed.kernel, found=Found(guessed.confidence, guessed.reason))


def _in_threads(do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """What it gives for each, in their order. Stopped, it does not begin with the others."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        try:
            yield from pool.map(do, items)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def with_saved_kernels(config: RunConfig, rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
    """The rows, those whose camera's kernel is saved with its text, found without opening any image.

    Others keep asking for it: nothing can be done of them yet. So may some whose file would have told the camera, and
    that no record knows.
    """
    saved = set(storage.find(layout.kernels_folder(config.output)))
    asking = [row for row in rows if row.kernel == COLLECTION_KERNEL]
    if not saved or config.existing is Existing.OVERWRITE:
        return list(rows)

    def is_saved(camera: str) -> bool:
        return layout.kernel_json(config.output, camera) in saved

    recorded = recorded_cameras(records.latest(config.output, ""), {row.key for row in asking})
    named = with_cameras(asking, recorded, sources, is_saved, lambda uris: [""] * len(uris))
    kernels = {row.camera: read_saved(config.output, row.camera) for row in named if is_saved(row.camera)}
    answers = {row.index: _with_kernel(row, kept) for row in named if (kept := kernels.get(row.camera)) is not None}
    return [answers.get(row.index, row) for row in rows]
