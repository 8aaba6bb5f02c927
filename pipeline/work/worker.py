"""Doing one image: read, fit, enlarge tile by tile, write, commit. A plain class that knows nothing of Ray.

A scene is fitted here as one unit, and its tiles are done in groups, each another unit: see units.py and scene.py.
"""

import os
import resource
import socket
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import islice

import torch

from sr_ops.networks import ResidualNetwork
from sr_ops.settings import Settings
from sr_ops.super_resolve import Fitted, fit_stages, fit_stages_together

from .. import storage
from ..config import VERSION, Device, RunConfig
from ..errors import ErrorType, ImageError, UsageError
from ..imagery.header import Header
from ..imagery.picture import Picture
from ..imagery.writing.georef import name_of_crs
from ..output import leftovers
from ..output.clock import now
from ..output.layout import Commit
from ..output.records import Record, Status
from ..output.sinks import made_header, open_sink, place_of, store
from ..output.tidying import finish_tiles, remove_other_forms
from ..output.written_tile import WrittenTile
from ..priors.prior_file import PriorFile, weights
from ..storage.patience import Patience
from . import scene
from .enlarging import tiles_of, write_tiles
from .ledger import Ledger, NoLedger
from .opening import Opened, Opener, place
from .scene_weights import networks_to_bytes
from .stopwatch import DeadlineError, Stopwatch
from .units import DIVISION, Answer, Division, Group, GroupRecord, Row, Scene, Unit, divide, with_tiles

_OUT_OF_MEMORY = "out of memory, in the smallest pieces too; use fewer --workers, or cut the image"

_FIT_PHASES = ("fit", "infer", "back_project")
"""That the fit of all stages takes part in: the later ones learn from what the earlier made of the image."""

_SMALLEST_PIECE = 32
"""Side in LR pixels: below, it is nearly all halo."""


class Worker:
    """Turns units into answers. An image's failure is its record; only the death of the process escapes."""

    def __init__(
        self,
        config: RunConfig,
        prior: PriorFile | None,
        device: str,
        division: Division = DIVISION,
        ledger: Ledger | None = None,
    ) -> None:
        """Thread count and storage options of `config` hold for the whole process from now on.

        Args:
            prior: the weights whose sha256 the settings name.
            device: "cpu" or "cuda".
            ledger: None where nobody starts this process anew.
        """
        torch.set_num_threads(config.threads)
        storage.use(config.storage, config.output)  # credentials are found here, where they are used
        leftovers.sweep_temporary()
        self._config = config
        self._output = config.output
        self._settings = config.settings
        self._prior = None if prior is None else weights(prior.data)
        self._device = torch.device(device)
        self._division = division
        self._restarted = ledger is not None
        self._ledger = ledger or NoLedger()
        self._patiently = Patience(config.retries)
        self._opener = Opener(config, self._device, division, self._ledger, self._patiently)
        torch.backends.cudnn.deterministic = True  # the same image must give the same pixels again

    def __call__(self, unit: Unit) -> Iterator[Answer]:
        """One answer for a group; else one per row, in the order of the rows, each as soon as its image is committed.

        A scene is answered with its groups instead, as soon as its networks are stored.
        """
        if isinstance(unit, Group):
            yield self._group(unit)
        else:
            self._opener.release()
            yield from self._rows(unit)

    def _rows(self, unit: Sequence[Row]) -> Iterator[Answer]:
        """As many as a stack holds are fitted at once, and while they are worked on, the next ones are fetched.

        After a process died over this unit, each image is done with none beside it, so that the next death tells which.
        """
        alone = self._ledger.suspects(row.key for row in unit)
        stack = 1 if alone else self._settings.stack
        rows = iter(unit)
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            ready: list[_Job] = []
            following: list[_Job] = []
            try:
                while True:
                    if alone:
                        yield from self._together(ready)
                        ready = []
                    following = [(row, reader.submit(self._opener.open, row)) for row in islice(rows, stack)]
                    yield from self._together(ready)
                    if not following:
                        return
                    ready = following
            finally:
                for _, opened in (*ready, *following):  # nobody may have asked for all answers
                    if not opened.cancel() and opened.exception() is None:
                        opened.result().close()

    def close(self) -> None:
        """Let go of what is kept for a next unit."""
        self._opener.release()

    def _group(self, group: Group) -> Answer:
        begun = replace(self._blank(group.row), started_at=now())
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            answer = self._process(group.row, reader.submit(self._opener.open_group, group), None, begun)
        self._ended(place(group), answer)
        return answer

    def _together(self, jobs: "list[_Job]") -> Iterator[Answer]:
        started = now()
        fits = self._stacked_fits(jobs) if len(jobs) > 1 else {}
        for row, opened in jobs:
            begun = replace(self._blank(row), started_at=started if row.key in fits else now())
            answer = self._process(row, opened, fits.get(row.key), begun)
            self._ended(row.key, answer)
            yield answer

    def _stacked_fits(self, jobs: "list[_Job]") -> dict[str, Fitted]:
        """The fits of a stack by key. Whatever cannot be done together is left out, and done or told in its turn."""
        stacks: defaultdict[int, list[tuple[str, Opened]]] = defaultdict(list)
        for row, opened in jobs:
            if opened.exception() is None and opened.result().picture is not None:
                stacks[row.scale].append((row.key, opened.result()))
        fits: dict[str, Fitted] = {}
        for members in stacks.values():
            pictures = [opened.picture for _, opened in members if opened.picture is not None]
            watches = [opened.watch for _, opened in members]
            try:
                lrs, domains = zip(*(picture.lesson(self._device) for picture in pictures), strict=True)
                for watch in watches:
                    watch.limit(self._config.max_seconds)
                check = watches[0].check  # all have the same limit
                fitted = fit_stages_together(lrs, members[0][1].settings, self._prior, watches, check, domains)
            except DeadlineError:
                pass  # each is done alone, in its turn: of many together the time of one may be too little
            except Exception as error:  # noqa: BLE001 - each is fitted alone then, and told if that fails too
                traceback.print_exception(error, file=sys.stderr)
            else:
                fits.update(zip((key for key, _ in members), fitted, strict=True))
        return fits

    def _process(self, row: Row, opened: Future[Opened], fitted: Fitted | None, begun: Record) -> Answer:
        try:
            found = opened.result()
            with closing(found):
                return self._in_memory(row, found, fitted, replace(begun, attempt=1 + found.deaths))
        except ImageError as error:
            return _failed(begun, error.error_type, str(error))
        except DeadlineError:
            message = f"not done within {self._config.max_seconds:g} s; raise --max-seconds-per-image or cut the image"
            return _failed(begun, ErrorType.DEADLINE, message)
        except (MemoryError, torch.OutOfMemoryError):  # while it was opened
            return _failed(begun, ErrorType.MEMORY, _OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - a bug in one image must not stop the others; it is told in full
            if self._restarted and _is_broken_gpu(error):
                os._exit(1)  # no later image of this process could be done; a new one is started in its place
            return _bug(begun, error)

    def _in_memory(self, row: Row, opened: Opened, fitted: Fitted | None, begun: Record) -> Answer:
        """Where memory runs out, the image is computed in smaller and smaller pieces, all within its time.

        A fit in a stack was the beginning of that time; until its turn came the image waited for others.
        """
        opened.watch.limit(self._config.max_seconds, spent=0.0 if fitted is None else opened.watch.total(*_FIT_PHASES))
        for piece in _halvings(opened.settings.tile_size):
            try:
                return self._attempt(row, opened, fitted, begun, piece)
            except (torch.OutOfMemoryError, MemoryError):
                pass
            except RuntimeError as error:
                if "DefaultCPUAllocator" not in str(error):  # torch's CPU has no class of its own for it
                    raise
            if self._device.type == "cuda":
                torch.cuda.empty_cache()
            begun = replace(begun, attempt=begun.attempt + 1)
        raise ImageError(ErrorType.MEMORY, _OUT_OF_MEMORY)

    def _ended(self, key: str, answer: Answer) -> None:
        if not (isinstance(answer, Record) and answer.error_type == ErrorType.CRASHED):  # that stays in the ledger
            self._ledger.end(key)

    def _attempt(self, row: Row, opened: Opened, fitted: Fitted | None, begun: Record, piece: int) -> Answer:
        """Computed in pieces of `piece` pixels a side, which divides that of a tile."""
        settings, commit, picture, watch = opened.settings, opened.commit, opened.picture, opened.watch
        if picture is None:
            assert opened.earlier is not None
            return opened.earlier
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        if opened.group is not None:
            return self._attempt_group(*opened.group, opened, picture, begun, piece)
        form, header = self._config.form, picture.header
        made = made_header(header, form, row.scale)
        if fitted is None:
            lr, domain = picture.lesson(self._device)
            in_pieces = replace(settings, tile_size=piece)
            fitted = fit_stages(lr, in_pieces, self._prior, watch, watch.check, domain)
        self._withdraw(row)
        record = replace(
            begun,
            source_fingerprint=commit.source,
            output_uri=place_of(self._output, row.key, header, form),
            method_used=fitted.method,
            network=settings.network if fitted.networks else None,
            width=header.width,
            height=header.height,
            bands=len(header.bands),
            dtype=header.dtype,
            sr_width=made.width,
            sr_height=made.height,
            crs=name_of_crs(made),
            transform=None if made.georef is None else made.georef.transform,
            nodata=made.nodata,
            notes="; ".join(made.notes) or None,
            prior_bands=fitted.networks[0].bands if fitted.networks and self._prior is not None else None,
            steps=settings.fit.steps if fitted.networks else 0,
            final_loss=_finite(fitted.final_loss),
            reconstruction_psnr=_finite(fitted.reconstruction_psnr),
            bicubic_reconstruction_psnr=_finite(fitted.bicubic_reconstruction_psnr),
            fit_s=watch["fit"],
            config_fingerprint=commit.settings,
        )
        groups = () if form.one_file else divide(header.height, header.width, settings, self._division)
        if groups:
            return self._begin(Scene(row, self._timed(record, watch), groups), picture, commit, fitted)
        tiles = tiles_of(header, settings)
        with open_sink(self._output, row.key, header, form, row.scale, watch, self._patiently) as sink:
            written = write_tiles(picture, tiles, fitted.networks, settings, self._device, watch, sink, piece)
        with watch("write"):
            self._tidy(row, header, made, written, settings)
        empty = 0 if form.one_file else len(tiles) - len(written)
        record = self._timed(replace(with_tiles(record, written, empty), status=Status.DONE), watch)
        store(commit.uri(self._output), record.to_json().encode(), self._patiently)
        return record

    def _begin(self, begun: Scene, picture: Picture, commit: Commit, fitted: Fitted) -> Scene:
        """Store the fit of a scene."""
        folder = commit.scene_folder(self._output)
        try:
            self._patiently(lambda: scene.clear(self._output, commit))
        except OSError as error:
            message = f"cannot remove old work from {folder}: {storage.reason(error)}; run again"
            raise ImageError(ErrorType.WRITE, message) from error
        made = made_header(picture.header, self._config.form, begun.row.scale)
        side = self._settings.tile_size * begun.row.scale
        store(scene.result_uri(self._output, commit), scene.result_to_json(made, side), self._patiently)
        store(scene.scaling_uri(self._output, commit), picture.scaling.to_json(), self._patiently)
        store(scene.weights_uri(self._output, commit), networks_to_bytes(fitted.networks), self._patiently)
        store(scene.fit_uri(self._output, commit), begun.record.to_json().encode(), self._patiently)
        return begun

    def _attempt_group(
        self,
        group: Group,
        networks: tuple[ResidualNetwork, ...],
        opened: Opened,
        picture: Picture,
        begun: Record,
        piece: int,
    ) -> GroupRecord:
        settings, commit, watch = opened.settings, opened.commit, opened.watch
        tiles = tiles_of(picture.header, settings)[group.start : group.stop]
        key, scale = group.row.key, group.row.scale
        with open_sink(self._output, key, picture.header, self._config.form, scale, watch, self._patiently) as sink:
            written = write_tiles(picture, tiles, networks, settings, self._device, watch, sink, piece)
        timed = self._timed(replace(begun, status=Status.DONE), watch)
        record = GroupRecord(group.start, group.stop, written, timed)
        store(
            scene.group_uri(self._output, commit, group.start, group.stop), record.to_json().encode(), self._patiently
        )
        return record

    def _timed(self, record: Record, watch: Stopwatch) -> Record:
        """The record of work that ends now."""
        finished = now()
        assert record.started_at is not None
        return replace(
            record,
            read_s=watch["read"],
            infer_s=watch["infer"],
            back_project_s=watch["back_project"],
            write_s=watch["write"],
            total_s=(finished - record.started_at).total_seconds(),
            peak_memory_bytes=_peak_memory(self._device),
            finished_at=finished,
        )

    def _tidy(self, row: Row, header: Header, made: Header, written: Sequence[WrittenTile], settings: Settings) -> None:
        one_file, names = self._config.form.one_file, [tile.name for tile in written]
        where = place_of(self._output, row.key, header, self._config.form)
        planned, side = len(tiles_of(header, settings)), settings.tile_size * settings.scale
        try:
            if not one_file:
                self._patiently(lambda: finish_tiles(self._output, row.key, made, names, planned, side))
            if row.stale:
                self._patiently(lambda: remove_other_forms(self._output, row.key, where if one_file else None))
        except OSError as error:
            message = f"cannot tidy up {where}: {storage.reason(error)}; check space and access, then run again"
            raise ImageError(ErrorType.WRITE, message) from error

    def _withdraw(self, row: Row) -> None:
        """Before the first tile is overwritten, take back what earlier work says about them."""
        for uri in row.stale:
            try:
                self._patiently(partial(storage.remove, uri))
            except OSError as error:
                raise ImageError(ErrorType.WRITE, f"cannot remove {uri}: {storage.reason(error)}; run again") from error

    def _blank(self, row: Row) -> Record:
        return Record(
            key=row.key,
            manifest_line=row.line,
            source_uri=row.uri,
            status=Status.FAILED,
            scale=row.scale,
            device=_device_name(self._device),
            threads=self._config.threads,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            seed=self._settings.seed,
            prior=self._settings.prior,
            srpipe_version=VERSION,
        )


def inline_device(wanted: Device) -> str:
    """The device of a worker in this process. Raises UsageError when CUDA is wanted and there is none."""
    if wanted is not Device.CPU and torch.cuda.is_available():
        return "cuda"
    if wanted is Device.CUDA:
        raise UsageError("--device cuda: there is no GPU here; use --device auto or cpu")
    return "cpu"


_Job = tuple[Row, Future[Opened]]


def _halvings(tile_size: int) -> Iterator[int]:
    """The side of a tile, and whole halves of it."""
    yield tile_size
    while tile_size % 2 == 0 and tile_size // 2 >= _SMALLEST_PIECE:
        tile_size //= 2
        yield tile_size


def _is_broken_gpu(error: Exception) -> bool:
    """Whether the process can use its GPU no more: such an error of CUDA comes back at every later call."""
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _bug(begun: Record, error: Exception) -> Record:
    traceback.print_exception(error, file=sys.stderr)
    what = " ".join(str(error).split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
    message = f"a bug in srpipe, please report it: {type(error).__name__}: {what} (at {where})"
    return _failed(begun, ErrorType.INTERNAL, message)


def _failed(begun: Record, error_type: ErrorType, message: str) -> Record:
    finished = now()
    assert begun.started_at is not None
    seconds = (finished - begun.started_at).total_seconds()
    return replace(begun, error_type=error_type, error_message=message, finished_at=finished, total_s=seconds)


def _finite(value: float) -> float | None:
    """None for nan and inf, which JSON and most tables cannot say."""
    return value if abs(value) < float("inf") else None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
