"""Writing of an image's tiles, to one file each or to a single file, encoded and stored in a separate thread."""

import hashlib
import os
import warnings
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import reduce
from operator import add
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning

from sr_ops.enlarging.reduction import places
from sr_ops.image.tiles import Tile
from sr_ops.measures.consistency import ConsistencySums

from .. import storage
from ..config import Format
from ..errors import ErrorType, ImageError
from ..imagery.header import Header, Pixels
from ..imagery.writing import georef
from ..imagery.writing.cog import CogFile
from ..imagery.writing.geotiff import encode_tif
from ..imagery.writing.png import encode_png
from ..storage.patience import Patience
from . import layout
from .sidecars import sidecars
from .target import Target
from .written_tile import Measures, WrittenTile

warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)  # most files being written have no georeference

Watch = Callable[[str], AbstractContextManager[object]]
"""Called with "write" around encoding and storing, so that the caller can measure time."""

_WAITING = 2
"""Most tiles waiting to be written; more would only use memory."""


class Sink:
    """Receives finished tiles; a context manager. What is still unwritten when it is left by an exception is dropped.

    A subclass defines what the thread does with a tile, and how to finish.
    """

    def __init__(self, target: Target, watch: Watch, patiently: Patience) -> None:
        self.target = target
        self._watch = watch
        self._patiently = patiently
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tile-writer")

    def add(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:
        """Queue a tile for writing. Raises the ImageError of an earlier tile."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._timed, tile, pixels, measures))

    def finish(self) -> tuple[WrittenTile, ...]:
        """Wait until everything is durable; return the files in the order in which their tiles were added.

        Raises:
            ImageError: something could not be written.
        """
        while self._waiting:
            self._waiting.popleft().result()
        with self._watch("write"):
            return self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _timed(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:
        with self._watch("write"):
            self._take(tile, pixels, measures)

    def _take(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:
        raise NotImplementedError

    def _end(self) -> tuple[WrittenTile, ...]:
        raise NotImplementedError


class TileFiles(Sink):
    """A file per tile in one folder; beside a PNG, files with metadata that it cannot hold."""

    def __init__(self, target: Target, watch: Watch, patiently: Patience) -> None:
        super().__init__(target, watch, patiently)
        self._written: list[WrittenTile] = []

    def _take(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:
        kind = self.target.kind
        name = layout.tile_name(tile.row, tile.column, kind)
        height, width = pixels.samples.shape[-2:]
        rows, columns = places(tile, self.target.grid)
        header = georef.part(self.target.header, rows.start, columns.start, height, width)
        data = encode(pixels, header, kind)
        for beside, content in sidecars(name, header).items():
            self._store(beside, content(header))
        self._store(name, data)
        self._written.append(WrittenTile(name, hashlib.sha256(data).hexdigest(), measures))

    def _end(self) -> tuple[WrittenTile, ...]:
        return tuple(self._written)

    def _store(self, name: str, data: bytes) -> None:
        store(storage.join(self.target.place, name), data, self._patiently)


class OneFile(Sink):
    """The whole result as one PNG or GeoTIFF, assembled in memory."""

    def __init__(self, target: Target, watch: Watch, patiently: Patience) -> None:
        super().__init__(target, watch, patiently)
        header = target.header
        self._samples = nothing_known(header)
        self._mask = np.zeros((header.height, header.width), np.bool_) if header.mask else None
        self._measures: list[Measures] = []

    def _take(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:
        rows, columns = places(tile, self.target.grid)
        pixels = _mask_as_alpha(pixels, self.target.kind)
        self._samples[:, rows, columns] = pixels.samples
        if self._mask is not None:
            self._mask[rows, columns] = pixels.mask
        self._measures.append(measures)

    def _end(self) -> tuple[WrittenTile, ...]:
        data = encode(Pixels(self._samples, self._mask), self.target.header, self.target.kind)
        store(self.target.place, data, self._patiently)
        return _one_file(self.target.place, hashlib.sha256(data).hexdigest(), self._measures)


class OneCog(Sink):
    """The whole result as one cloud optimized GeoTIFF, assembled on the local disk."""

    def __init__(self, target: Target, watch: Watch, patiently: Patience) -> None:
        """Raises ImageError if the temporary folder is full or gone."""
        super().__init__(target, watch, patiently)
        self._measures: list[Measures] = []
        try:
            self._scratch = storage.temporary_folder()
        except OSError as error:
            message = f"cannot write {target.place}: {storage.to_correct(error)}, then run again"
            raise ImageError(ErrorType.WRITE, message) from error
        self._file = CogFile(target.header, self._scratch.name)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._scratch.cleanup()

    def _take(self, tile: Tile, pixels: Pixels, measures: Measures) -> None:
        rows, columns = places(tile, self.target.grid)
        self._file.add(rows.start, columns.start, pixels.samples, pixels.mask)
        self._measures.append(measures)

    def _end(self) -> tuple[WrittenTile, ...]:
        path = os.path.join(self._scratch.name, "cog.tif")
        self._file.finish(path)
        with open(path, "rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        place = self.target.place
        _write_patiently(place, lambda: storage.upload(path, place), self._patiently)
        return _one_file(place, sha256, self._measures)


def open_sink(target: Target, watch: Watch, patiently: Patience) -> Sink:
    """Return the sink for an image's tiles. Raises ImageError."""
    if not target.one_file:
        return TileFiles(target, watch, patiently)
    if target.kind is Format.COG:
        return OneCog(target, watch, patiently)
    return OneFile(target, watch, patiently)


def nothing_known(header: Header) -> NDArray[Any]:
    """Return a picture (C, H, W) of which nothing is known: nodata, else NaN, else 0; its alpha is 0."""
    nothing = header.nodata if header.nodata is not None else np.nan if header.dtype == "float32" else 0
    samples = np.full((len(header.bands), header.height, header.width), nothing, header.dtype)
    if header.has_alpha:
        samples[-1] = 0
    return samples


def encode(pixels: Pixels, header: Header, kind: Format) -> bytes:
    """Encode a picture as one file; in a PNG a mask becomes alpha, see `formats.held`."""
    if kind is not Format.PNG:
        return encode_tif(pixels.samples, pixels.mask, header)
    return encode_png(_mask_as_alpha(pixels, kind).samples, header)


def _mask_as_alpha(pixels: Pixels, kind: Format) -> Pixels:
    """Return the pixels as stored: in a PNG with the mask as an additional band."""
    if pixels.mask is None or kind is not Format.PNG:
        return pixels
    samples = pixels.samples
    opaque = pixels.mask.astype(samples.dtype) * np.iinfo(samples.dtype).max
    return Pixels(np.concatenate([samples, opaque[None]]), None)


def store(uri: str, data: bytes, patiently: Patience) -> None:
    """Write one object of an image's results. Raises ImageError."""
    _write_patiently(uri, lambda: storage.write(uri, data), patiently)


def _write_patiently(uri: str, write: Callable[[], None], patiently: Patience) -> None:
    try:
        patiently(write)
    except OSError as error:
        message = f"cannot write {uri}: {storage.reason(error)}; check space and access, then run again"
        raise ImageError(ErrorType.WRITE, message) from error


def _one_file(uri: str, sha256: str, measures: list[Measures]) -> tuple[WrittenTile, ...]:
    total = reduce(add, measures) if measures else Measures(ConsistencySums.none(1))
    return (WrittenTile(uri.rpartition("/")[2], sha256, total),)
