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
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch

from sr_ops.networks import ResidualNetwork
from sr_ops.settings import Settings
from sr_ops.super_resolve import Fitted, fit_stages, fit_stages_together
from sr_ops.tiles import plan_tiles

from . import scene, storage
from .config import VERSION, Device, RunConfig, fingerprint, for_scale
from .enlarging import write_tiles
from .errors import ErrorType, ImageError, UsageError
from .images import Picture, decode
from .layout import Commit, remove_other_tiles, tiles_folder
from .ledger import MOST_DEATHS, Ledger, NoLedger
from .patience import Patience
from .plan import Row
from .prior import PriorFile, weights
from .records import Record, Status, now
from .scene_weights import networks_from_bytes, networks_to_bytes
from .stopwatch import DeadlineError, Stopwatch
from .storage import Source
from .tile_writer import store
from .units import DIVISION, Answer, Division, Group, GroupRecord, Scene, Unit, divide, with_tiles
from .waves import one_by_one

_OUT_OF_MEMORY = "out of memory, in the smallest pieces too; use fewer --workers, or cut the image"

_CRASHED = "{} worker processes died at work on it, of its pixels or for want of memory; check the file, or cut it"

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
        self._config = config
        self._output = config.output
        self._settings = config.settings
        self._prior = None if prior is None else weights(prior.data)
        self._device = torch.device(device)
        self._division = division
        self._restarted = ledger is not None
        self._ledger = ledger or NoLedger()
        self._patiently = Patience(config.retries)
        self._held: _Held | None = None
        torch.backends.cudnn.deterministic = True  # the same image must give the same pixels again

    def __call__(self, unit: Unit) -> Iterator[Answer]:
        """One answer for a group; else one per row, in the order of the rows, each as soon as its image is committed.

        A scene is answered with its groups instead, as soon as its networks are stored.
        """
        if isinstance(unit, Group):
            yield self._group(unit)
        else:
            self._held = None
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
            while True:
                if alone:
                    yield from self._together(ready)
                    ready = []
                following = [(row, reader.submit(self._open, row)) for row in islice(rows, stack)]
                yield from self._together(ready)
                if not following:
                    return
                ready = following

    def process(self, row: Row) -> Record:
        """Do one image, or tell how it failed. What is committed already is answered from its commit record."""
        (record,) = one_by_one(self, self._output)([(row,)])
        return record

    def _group(self, group: Group) -> Answer:
        begun = replace(self._blank(group.row), started_at=now())
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            answer = self._process(group.row, reader.submit(self._open_group, group), None, begun)
        self._ended(_place(group), answer)
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
        stacks: defaultdict[int, list[tuple[str, _Opened]]] = defaultdict(list)
        for row, opened in jobs:
            if opened.exception() is None and opened.result().picture is not None:
                stacks[row.scale].append((row.key, opened.result()))
        fits: dict[str, Fitted] = {}
        for members in stacks.values():
            pictures = [opened.picture for _, opened in members if opened.picture is not None]
            watches = [opened.watch for _, opened in members]
            try:
                lrs = [picture.lr.to(self._device) for picture in pictures]
                for watch in watches:
                    watch.limit(self._config.max_seconds)
                fitted = fit_stages_together(lrs, members[0][1].settings, self._prior, watches)
            except DeadlineError:
                pass  # each is done alone, in its turn
            except Exception as error:  # noqa: BLE001 - each is fitted alone then, and told if that fails too
                traceback.print_exception(error, file=sys.stderr)
            else:
                fits.update(zip((key for key, _ in members), fitted, strict=True))
        return fits

    def _process(self, row: Row, opened: "Future[_Opened]", fitted: Fitted | None, begun: Record) -> Answer:
        try:
            found = opened.result()
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

    def _in_memory(self, row: Row, opened: "_Opened", fitted: Fitted | None, begun: Record) -> Answer:
        """Where memory runs out, the image is computed in smaller and smaller pieces."""
        for piece in _halvings(opened.settings.tile_size):
            opened.watch.limit(self._config.max_seconds)
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

    def _begin_work(self, key: str) -> int:
        """The number of processes that died of it before. Raises ImageError when they were too many."""
        deaths = self._ledger.begin(key)
        if deaths >= MOST_DEATHS:
            raise ImageError(ErrorType.CRASHED, _CRASHED.format(deaths))
        return deaths

    def _ended(self, key: str, answer: Answer) -> None:
        if not (isinstance(answer, Record) and answer.error_type == ErrorType.CRASHED):  # that stays in the ledger
            self._ledger.end(key)

    def _open(self, row: Row) -> "_Opened":
        """Raises ImageError."""
        deaths = self._begin_work(row.key)
        watch = Stopwatch()
        settings = for_scale(self._settings, row.scale)
        with watch("read"):
            data = self._read(row) if self._config.deep else None
            source = self._stat(row) if data is None else storage.content_source(data)
            commit = Commit(fingerprint(settings, self._config.threads), row.key, source.fingerprint)
            earlier = None if row.redo else self._earlier(commit)
            if earlier is not None:
                return _Opened(settings, commit, earlier, None, watch, deaths)
            picture = decode(self._read(row) if data is None else data)
            begun = None if row.redo else self._begun(row, settings, commit, picture)
            return _Opened(settings, commit, begun, None if begun is not None else picture, watch, deaths)

    def _begun(self, row: Row, settings: Settings, commit: Commit, picture: Picture) -> Scene | None:
        """The scene that a picture is, when its networks are stored already."""
        if not divide(picture.height, picture.width, settings, self._division):
            return None
        try:
            return self._patiently(lambda: scene.resume(self._output, commit, row, settings, self._division))
        except OSError as error:
            raise _unreadable(scene.fit_uri(self._output, commit), error) from error

    def _open_group(self, group: Group) -> "_Opened":
        """Raises ImageError."""
        deaths = self._begin_work(_place(group))
        watch = Stopwatch()
        row, settings = group.row, for_scale(self._settings, group.row.scale)
        commit = Commit(fingerprint(settings, self._config.threads), row.key, group.source)
        with watch("read"):
            try:
                earlier = self._patiently(lambda: scene.answered(self._output, commit, group))
            except OSError as error:
                raise _unreadable(commit.scene_folder(self._output), error) from error
            if earlier is not None:
                return _Opened(settings, commit, earlier, None, watch, deaths)
            if self._held is None or self._held.commit != commit:
                self._held = None  # never two in memory
                self._held = self._hold(group, commit, settings)
            elif not self._config.deep:
                _check_unchanged(row, self._stat(row), group)
            return _Opened(settings, commit, None, self._held.picture, watch, deaths, (group, self._held.networks))

    def _hold(self, group: Group, commit: Commit, settings: Settings) -> "_Held":
        row = group.row
        data = self._read(row)
        _check_unchanged(row, storage.content_source(data) if self._config.deep else self._stat(row), group)
        return _Held(commit, decode(data), self._load_networks(commit, settings))

    def _load_networks(self, commit: Commit, settings: Settings) -> tuple[ResidualNetwork, ...]:
        uri = scene.weights_uri(self._output, commit)
        try:
            try:
                return networks_from_bytes(self._patiently(lambda: storage.read(uri)), settings, self._device)
            except (FileNotFoundError, ValueError) as error:
                storage.remove(scene.fit_uri(self._output, commit))  # the next run fits again
                message = f"the weights {uri} are gone or damaged ({error}); run again"
                raise ImageError(ErrorType.READ, message) from error
        except OSError as error:
            raise _unreadable(uri, error) from error

    def _attempt(self, row: Row, opened: "_Opened", fitted: Fitted | None, begun: Record, piece: int) -> Answer:
        """Computed in pieces of `piece` pixels a side, which divides that of a tile."""
        settings, commit, picture, watch = opened.settings, opened.commit, opened.picture, opened.watch
        if picture is None:
            assert opened.earlier is not None
            return opened.earlier
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        if opened.group is not None:
            return self._attempt_group(*opened.group, opened, picture, begun, piece)
        if fitted is None:
            in_pieces = replace(settings, tile_size=piece)
            fitted = fit_stages(picture.lr.to(self._device), in_pieces, self._prior, watch, watch.check)
        self._withdraw(row)
        bands, height, width = picture.levels.shape
        folder = tiles_folder(self._output, row.key)
        record = replace(
            begun,
            source_fingerprint=commit.source,
            output_uri=folder,
            method_used=fitted.method,
            network=settings.network if fitted.networks else None,
            width=width,
            height=height,
            bands=bands,
            dtype="uint8",
            sr_width=width * row.scale,
            sr_height=height * row.scale,
            prior_bands=fitted.networks[0].bands if fitted.networks and self._prior is not None else None,
            steps=settings.fit.steps if fitted.networks else 0,
            final_loss=_finite(fitted.final_loss),
            reconstruction_psnr=_finite(fitted.reconstruction_psnr),
            bicubic_reconstruction_psnr=_finite(fitted.bicubic_reconstruction_psnr),
            fit_s=watch["fit"],
            config_fingerprint=commit.settings,
        )
        groups = divide(height, width, settings, self._division)
        if groups:
            return self._begin(Scene(row, self._timed(record, watch), groups), commit, fitted)
        tiles = plan_tiles(height, width, settings.tile_size, settings.halo)
        written = write_tiles(
            picture, tiles, fitted.networks, settings, self._device, folder, watch, self._patiently, piece
        )
        with watch("write"):
            self._remove_other_tiles(folder, {tile.name for tile in written})
        record = self._timed(replace(with_tiles(record, written), status=Status.DONE), watch)
        store(commit.uri(self._output), record.to_json().encode(), self._patiently)
        return record

    def _begin(self, begun: Scene, commit: Commit, fitted: Fitted) -> Scene:
        """Store the fit of a scene."""
        folder = commit.scene_folder(self._output)
        try:
            self._patiently(lambda: scene.clear(self._output, commit))
        except OSError as error:
            message = f"cannot remove old work from {folder}: {storage.reason(error)}; run again"
            raise ImageError(ErrorType.WRITE, message) from error
        store(scene.weights_uri(self._output, commit), networks_to_bytes(fitted.networks), self._patiently)
        store(scene.fit_uri(self._output, commit), begun.record.to_json().encode(), self._patiently)
        return begun

    def _attempt_group(
        self,
        group: Group,
        networks: tuple[ResidualNetwork, ...],
        opened: "_Opened",
        picture: Picture,
        begun: Record,
        piece: int,
    ) -> GroupRecord:
        settings, commit, watch = opened.settings, opened.commit, opened.watch
        folder = tiles_folder(self._output, commit.key)
        tiles = plan_tiles(picture.height, picture.width, settings.tile_size, settings.halo)[group.start : group.stop]
        written = write_tiles(picture, tiles, networks, settings, self._device, folder, watch, self._patiently, piece)
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

    def _stat(self, row: Row) -> Source:
        try:
            return self._patiently(lambda: storage.stat(row.uri))
        except FileNotFoundError as error:
            raise _missing(row.uri) from error
        except OSError as error:
            raise _unreadable(row.uri, error) from error

    def _read(self, row: Row) -> bytes:
        try:
            return self._patiently(lambda: storage.read(row.uri))
        except FileNotFoundError as error:
            raise _missing(row.uri) from error
        except OSError as error:
            raise _unreadable(row.uri, error) from error

    def _earlier(self, commit: Commit) -> Record | None:
        """The record of work that is committed: a unit is begun again when its worker died in the middle of it."""
        uri = commit.uri(self._output)
        try:
            return Record.from_json(self._patiently(lambda: storage.read(uri)))
        except FileNotFoundError:
            return None
        except ValueError:
            return None  # a damaged commit tells nothing: the image is done again
        except OSError as error:
            raise _unreadable(uri, error) from error

    def _remove_other_tiles(self, folder: str, names: set[str]) -> None:
        try:
            self._patiently(lambda: remove_other_tiles(folder, names))
        except OSError as error:
            message = f"cannot remove old tiles from {folder}: {storage.reason(error)}; run again"
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


@dataclass(frozen=True)
class _Opened:
    """An image as it was found."""

    settings: Settings
    commit: Commit
    """What will say that it is done."""
    earlier: Answer | None
    """The answer, when the work is done already."""
    picture: Picture | None
    """None when it is done already."""
    watch: Stopwatch
    deaths: int
    """Of processes that were at work on it before."""
    group: tuple[Group, tuple[ResidualNetwork, ...]] | None = None
    """The tiles that are asked for and the networks for them, when it is not the whole image."""


@dataclass(frozen=True)
class _Held:
    """The scene that a worker keeps for its next group."""

    commit: Commit
    picture: Picture
    networks: tuple[ResidualNetwork, ...]


_Job = tuple[Row, Future[_Opened]]


def _place(group: Group) -> str:
    """What stands in the ledger for a group: those of one scene are done at once."""
    return f"{group.row.key}[{group.start}:{group.stop}]"


def _check_unchanged(row: Row, source: Source, group: Group) -> None:
    if source.fingerprint != group.source:
        raise ImageError(ErrorType.READ, f"{row.uri} was changed while it was worked on; run again")


def _halvings(tile_size: int) -> Iterator[int]:
    """The side of a tile, and whole halves of it."""
    yield tile_size
    while tile_size % 2 == 0 and tile_size // 2 >= _SMALLEST_PIECE:
        tile_size //= 2
        yield tile_size


def _is_broken_gpu(error: Exception) -> bool:
    """Whether the process can use its GPU no more: such an error of CUDA comes back at every later call."""
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _missing(uri: str) -> ImageError:
    return ImageError(ErrorType.MISSING, f"nothing is at {uri}; correct the uri or put the file back")


def _unreadable(uri: str, error: OSError) -> ImageError:
    message = f"cannot read {uri}: {storage.reason(error)}; check access, then run again"
    return ImageError(ErrorType.READ, message)


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
