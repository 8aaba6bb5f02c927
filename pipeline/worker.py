"""Doing one image: read, fit, enlarge tile by tile, write, commit. A plain class that knows nothing of Ray."""

import os
import resource
import socket
import sys
import traceback
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from sr_ops.back_projection import ConsistencyError, ConsistencySums
from sr_ops.resample import downscale
from sr_ops.settings import Settings
from sr_ops.super_resolve import Fitted, enlarge, fit_stages, fit_stages_together
from sr_ops.tiles import cut, owned, parts_of, paste, plan_tiles

from . import storage
from .config import VERSION, Device, fingerprint, for_scale
from .errors import ErrorType, ImageError, UsageError
from .images import Picture, decode, to_levels
from .layout import Commit, tiles_folder
from .ledger import MOST_DEATHS, Ledger, NoLedger
from .patience import Patience
from .plan import Row
from .prior import PriorFile, weights
from .records import Record, Status, now
from .stopwatch import DeadlineError, Stopwatch
from .storage import Source
from .storage_options import StorageOptions
from .tile_writer import TileWriter, store

_OUT_OF_MEMORY = "out of memory, in the smallest pieces too; use fewer --workers, or cut the image"

_CRASHED = "{} worker processes died at work on it, of its pixels or for want of memory; check the file, or cut it"

_SMALLEST_PIECE = 32
"""Side in LR pixels: below, it is nearly all halo."""


class Worker:
    """Turns rows into records. An image's failure is its record; only the death of the process escapes."""

    def __init__(
        self,
        output: str,
        settings: Settings,
        prior: PriorFile | None,
        threads: int,
        device: str,
        retries: int = 0,
        max_seconds: float | None = None,
        ledger: Ledger | None = None,
        deep: bool = False,
        storage_options: StorageOptions | None = None,
    ) -> None:
        """`device` is "cpu" or "cuda"; thread count and storage options hold for the whole process from now on.

        Args:
            retries: of one access to storage that failed in a way that may pass.
            max_seconds: for one image, or for those of a stack together.
            ledger: by default none is kept.
            deep: tell versions of a source by its bytes.
        """
        torch.set_num_threads(threads)
        storage.use(storage_options or StorageOptions(), output)  # credentials are found here, where they are used
        self._output = output
        self._settings = settings
        self._prior = None if prior is None else weights(prior.data)
        self._threads = threads
        self._device = torch.device(device)
        self._patiently = Patience(retries)
        self._max_seconds = max_seconds
        self._ledger = ledger or NoLedger()
        self._deep = deep
        torch.backends.cudnn.deterministic = True  # the same image must give the same pixels again

    def __call__(self, unit: Iterable[Row]) -> Iterator[Record]:
        """One record per row, in the order of the rows, each as soon as its image is committed.

        As many as a stack holds are fitted at once, and while they are worked on, the next ones are fetched. After a
        process died over this unit, each image is worked on with none beside it, so that the next death tells which.
        """
        rows = list(unit)
        alone = self._ledger.suspects(row.key for row in rows)
        stack = 1 if alone else self._settings.stack
        waiting = iter(rows)
        with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
            ready: list[_Job] = []
            while True:
                if alone:
                    yield from self._together(ready)
                    ready = []
                following = [(row, reader.submit(self._open, row)) for row in islice(waiting, stack)]
                yield from self._together(ready)
                if not following:
                    return
                ready = following

    def process(self, row: Row) -> Record:
        """Do one image, or tell how it failed. What is committed already is answered from its commit record."""
        (record,) = self([row])
        return record

    def _together(self, jobs: "list[_Job]") -> Iterator[Record]:
        started = now()
        fits = self._stacked_fits(jobs) if len(jobs) > 1 else {}
        for row, opened in jobs:
            begun = replace(self._blank(row), started_at=started if row.key in fits else now())
            yield self._process(row, opened, fits.get(row.key), begun)

    def _stacked_fits(self, jobs: "list[_Job]") -> dict[str, Fitted]:
        """The fits of a stack by key. Whatever cannot be done together is left out, and done or told in its turn."""
        stacks: defaultdict[int, list[tuple[str, _Opened]]] = defaultdict(list)
        for row, opened in jobs:
            if opened.exception() is None and opened.result().picture is not None:
                stacks[row.scale].append((row.key, opened.result()))
        fits: dict[str, Fitted] = {}
        for members in stacks.values():
            pictures = [opened.picture for _, opened in members if opened.picture is not None]
            lrs = [picture.lr.to(self._device) for picture in pictures]
            watches = [opened.watch for _, opened in members]
            try:
                for watch in watches:
                    watch.limit(self._max_seconds)
                fitted = fit_stages_together(lrs, members[0][1].settings, self._prior, watches)
            except DeadlineError:
                pass  # each is told so, or done alone, in its turn
            except Exception as error:  # noqa: BLE001 - each is fitted alone then, and told if that fails too
                traceback.print_exception(error, file=sys.stderr)
            else:
                fits.update(zip((key for key, _ in members), fitted, strict=True))
        return fits

    def _process(self, row: Row, opened: "Future[_Opened]", fitted: Fitted | None, begun: Record) -> Record:
        try:
            found = opened.result()
            record = self._in_memory(row, found, fitted, replace(begun, attempt=1 + found.deaths))
        except ImageError as error:
            record = _failed(begun, error.error_type, str(error))
            if error.error_type is ErrorType.CRASHED:
                return record  # and stays in the ledger
        except DeadlineError:
            message = f"not done within {self._max_seconds:g} s; raise --max-seconds-per-image or cut the image"
            record = _failed(begun, ErrorType.DEADLINE, message)
        except MemoryError:  # while it was decoded
            record = _failed(begun, ErrorType.MEMORY, _OUT_OF_MEMORY)
        except Exception as error:  # noqa: BLE001 - a bug in one image must not stop the others; it is told in full
            if _is_broken_gpu(error) and not isinstance(self._ledger, NoLedger):
                os._exit(1)  # no later image of this process could be done; a new one is started in its place
            record = _bug(begun, error)
        self._ledger.end(row.key)
        return record

    def _in_memory(self, row: Row, opened: "_Opened", fitted: Fitted | None, begun: Record) -> Record:
        """Where memory runs out, the image is computed in smaller and smaller pieces."""
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

    def _open(self, row: Row) -> "_Opened":
        """Raises ImageError."""
        deaths = self._ledger.begin(row.key)
        if deaths >= MOST_DEATHS:
            raise ImageError(ErrorType.CRASHED, _CRASHED.format(deaths))
        watch = Stopwatch()
        settings = for_scale(self._settings, row.scale)
        with watch("read"):
            data = self._read(row) if self._deep else None
            source = self._stat(row) if data is None else storage.content_source(data)
            commit = Commit(fingerprint(settings, self._threads), row.key, source.fingerprint)
            earlier = None if row.redo else self._earlier(commit)
            picture = None if earlier is not None else decode(self._read(row) if data is None else data)
        return _Opened(settings, commit, earlier, picture, watch, deaths)

    def _attempt(self, row: Row, opened: "_Opened", fitted: Fitted | None, begun: Record, piece: int) -> Record:
        """Computed in pieces of `piece` pixels a side, which divides that of a tile."""
        settings, commit, watch = opened.settings, opened.commit, opened.watch
        if opened.picture is None:
            assert opened.earlier is not None
            return opened.earlier
        lr = opened.picture.lr.to(self._device)
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        if fitted is None:
            watch.limit(self._max_seconds)
            fitted = fit_stages(lr, replace(settings, tile_size=piece), self._prior, watch, watch.check)
        self._withdraw(row)
        folder = tiles_folder(self._output, row.key)
        with TileWriter(folder, opened.picture.icc_profile, watch, self._patiently) as writer:
            error = self._enlarge(writer, opened.picture, lr, fitted, settings, watch, piece)
            sha256 = writer.finish()
        bands, height, width = lr.shape
        finished = now()
        assert begun.started_at is not None
        record = replace(
            begun,
            source_fingerprint=commit.source,
            output_uri=folder,
            status=Status.DONE,
            method_used=fitted.method,
            network=settings.network if fitted.networks else None,
            width=width,
            height=height,
            bands=bands,
            dtype="uint8",
            sr_width=width * row.scale,
            sr_height=height * row.scale,
            tiles=writer.count,
            prior_bands=fitted.networks[0].bands if fitted.networks and self._prior is not None else None,
            output_sha256=sha256,
            steps=settings.fit.steps if fitted.networks else 0,
            final_loss=_finite(fitted.final_loss),
            reconstruction_psnr=_finite(fitted.reconstruction_psnr),
            bicubic_reconstruction_psnr=_finite(fitted.bicubic_reconstruction_psnr),
            consistency_mae=error.mae,
            consistency_rmse=error.rmse,
            consistency_max=error.max,
            consistency_bias=error.bias,
            consistency_rmse_bands=error.rmse_bands,
            read_s=watch["read"],
            fit_s=watch["fit"],
            infer_s=watch["infer"],
            back_project_s=watch["back_project"],
            write_s=watch["write"],
            peak_memory_bytes=_peak_memory(self._device),
            config_fingerprint=commit.settings,
            finished_at=finished,
            total_s=(finished - begun.started_at).total_seconds(),
        )
        store(commit.uri(self._output), record.to_json().encode(), self._patiently)
        return record

    def _enlarge(
        self,
        writer: TileWriter,
        picture: Picture,
        lr: Tensor,
        fitted: Fitted,
        settings: Settings,
        watch: Stopwatch,
        piece: int,
    ) -> ConsistencyError:
        """Enlarge one tile after the other; no more than three are held."""
        consistency = ConsistencySums()
        native = picture.levels.to(self._device)
        (bands, height, width), scale = lr.shape, settings.scale
        for tile in plan_tiles(height, width, settings.tile_size, settings.halo):
            origin = (tile.rows.start, tile.columns.start)
            levels = native.new_empty(bands, *(scale * (span.stop - span.start) for span in (tile.rows, tile.columns)))
            for part in parts_of(tile, height, width, piece, settings.halo):
                sr = to_levels(enlarge(cut(lr, part), fitted.networks, settings, watch))
                with watch("back_project"):
                    consistency.add(owned(downscale(sr, scale) - cut(native, part), part, 1))
                paste(levels, part, owned(sr, part, scale), scale, origin)
            writer.add(tile, levels)
        return consistency.error()

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

    def _withdraw(self, row: Row) -> None:
        """Before the first tile is overwritten, take back what earlier commits say about them."""
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
            threads=self._threads,
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
    earlier: Record | None
    """Its record, when it is done already."""
    picture: Picture | None
    """None when it is done already."""
    watch: Stopwatch
    deaths: int
    """Of processes that were at work on it before."""


_Job = tuple[Row, Future[_Opened]]


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
