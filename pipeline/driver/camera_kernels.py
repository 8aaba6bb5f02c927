"""`--kernel estimate-collection`: estimates the kernel of each camera from some images, before work begins."""

import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from sr_ops.estimation.estimate import Estimate
from sr_ops.networks.exact import exactly, threads
from sr_ops.settings import COLLECTION_KERNEL

from .. import storage
from ..config import Executor, Existing, RunConfig
from ..errors import ImageError
from ..imagery.maker import maker_of
from ..imagery.reading.decoder_processes import MOST_IDLE, end_all
from ..output import layout, records
from ..output.kernel_columns import Found
from ..output.saved_kernels import SavedKernel, make_saved, read_saved, save
from ..storage import Source
from ..storage.patience import Patience
from ..work.fetching import Fetcher
from ..work.looking import look_at
from ..work.units import Row
from .cameras import recorded_cameras, to_look_at, with_cameras
from .observer import Looking

ASKED, LOOKED_AT = "asked for their camera", "looked at for their camera's kernel"
"""What is done with images before the plan, for `Observer.looking`."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class CameraKernels:
    """Estimates the kernels of a run's cameras, or reads saved ones."""

    def __init__(self, config: RunConfig, table: pa.Table, check: Callable[[], None], looking: Looking) -> None:
        """Keep what the calls share.

        Args:
            table: the latest records of earlier runs.
            check: raises if the output no longer belongs to this run.
            looking: `Observer.looking`.

        Raises:
            OSError: the saved kernels cannot be listed.
        """
        self._config = config
        self._table = table
        self._check = check
        self._looking = looking
        self._anew = config.existing is Existing.OVERWRITE
        self._fetcher = Fetcher(config, Patience(config.retries))
        self._saved = set(storage.find(layout.kernels_folder(config.output)))

    def __call__(self, rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
        """Return the rows, with the kernel's text where they ask for that of their camera; save what is found.

        Torch computes as in a worker, so that sums are equal, and then as before.

        Raises:
            UsageError: a saved kernel is damaged, or a new one cannot be saved.
            LostLockError: another run took over the output.
        """
        asking = [row for row in rows if row.kernel == COLLECTION_KERNEL]
        cameras: defaultdict[str, list[Row]] = defaultdict(list)
        for row in self._with_cameras(asking, sources):
            cameras[row.camera].append(row)
        kept = dict(zip(cameras, _in_threads(self._kept, [*cameras]), strict=True))  # before any is saved
        chosen = {camera: to_look_at(members) for camera, members in cameras.items() if kept[camera] is None}
        looks = self._watched(LOOKED_AT, self._estimates, [row for some in chosen.values() for row in some])
        answers: dict[int, Row] = {}
        with exactly(), threads(self._config.threads), closing(looks):
            for camera, members in cameras.items():
                saved = kept[camera] or self._found(camera, members, [*islice(looks, len(chosen[camera]))])
                answers.update((row.index, _with_kernel(row, saved)) for row in members)
        if self._config.executor is Executor.RAY:
            end_all()  # leave the memory of idle decoders to the workers
        return [answers.get(row.index, row) for row in rows]

    def _with_cameras(self, rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
        recorded: dict[tuple[str, str], str] = {}
        if not all(row.camera for row in rows):
            recorded = recorded_cameras(self._table, {row.key for row in rows})
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
        """Estimate a camera's kernel, and save it unless no image could be read."""
        estimates = [estimate for answer in answers for estimate in answer]
        scale = max(row.scale for row in members)
        kernel = make_saved(camera, estimates, len(answers) - len(estimates), scale)
        if estimates:
            self._check()
            save(self._config.output, kernel, scale)
        return kernel

    def _estimates(self, row: Row) -> tuple[Estimate | None, ...]:
        """Return the estimate of one image, opened as by a worker; empty if it cannot be read."""
        try:
            return (look_at(row, self._config.settings, self._fetcher).estimate,)
        except (ImageError, MemoryError):  # its record will tell, when its turn comes
            return ()
        except Exception as error:  # noqa: BLE001 - a bug in one image must not stop the others; it is reported in full
            traceback.print_exception(error, file=sys.stderr)
            return ()


def _with_kernel(row: Row, saved: SavedKernel) -> Row:
    guessed = saved.guess(row.scale)
    return replace(row, kernel=guessed.kernel, found=Found(guessed.confidence, guessed.reason))


def _in_threads(do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """Yield the result for each item, in order. When closed, it does not begin further items."""
    with ThreadPoolExecutor(MOST_IDLE) as pool:
        try:
            yield from pool.map(do, items)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def with_saved_kernels(config: RunConfig, rows: Sequence[Row], sources: Mapping[str, Source]) -> list[Row]:
    """Return the rows with saved kernels of their cameras filled in, without opening any image.

    Other rows keep asking for a kernel: nothing can be done with them yet. These may include rows whose file would name
    the camera but which have no record.
    """
    saved = set(storage.find(layout.kernels_folder(config.output)))
    asking = [row for row in rows if row.kernel == COLLECTION_KERNEL]
    if not saved or config.existing is Existing.OVERWRITE:
        return list(rows)

    def is_saved(camera: str) -> bool:
        return layout.kernel_json(config.output, camera) in saved

    recorded = recorded_cameras(records.latest(config.output, ""), {row.key for row in asking})
    named = with_cameras(asking, recorded, sources, is_saved, lambda uris: [""] * len(uris))
    cameras = [camera for camera in {row.camera for row in named} if is_saved(camera)]
    kernels = dict(zip(cameras, _in_threads(partial(read_saved, config.output), cameras), strict=True))
    answers = {row.index: _with_kernel(row, kept) for row in named if (kept := kernels.get(row.camera)) is not None}
    return [answers.get(row.index, row) for row in rows]
