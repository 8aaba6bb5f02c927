"""Headers of images, read by the driver to estimate the work on them; no pixels are decoded."""

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil

import numpy as np

from sr_ops.image.grid import grid_of
from sr_ops.settings import Settings

from .. import storage
from ..config import Format, RunConfig
from ..driver.capacity import HALO
from ..errors import ErrorType, ImageError
from ..imagery.header import FileLimits, Header
from ..imagery.nodata import with_nodata
from ..imagery.reading.decoder_processes import MOST_IDLE
from ..imagery.reading.decoders import open_image
from ..imagery.sizes import sized
from ..output.target import make_target
from ..storage.patience import Patience
from ..work.estimates import enlarging_seconds, fitting_seconds
from ..work.units import DIVISION, Row, divide
from ..work.unreachable import as_image_errors

_FETCHED_AT_ONCE = 16
"""Headers of remote files read at a time."""

_HANDED_OUT = 4
"""Files queued per file read at a time; few, so that stopping does not take long."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an image that can be enlarged."""

    row: Row
    format: str
    """Name of the format in Pillow or GDAL."""
    dtype: str
    bands: int
    """With alpha."""
    pixels: int
    kind: Format
    """Format of the result's files."""
    result_pixels: int
    result_bytes: int
    """Uncompressed samples of the result."""
    work: float
    """Seconds on a CPU core from `estimates`, which calibration corrects."""
    scale: int
    """The whole scale at which it is made."""
    groups: int
    """Groups in which its tiles are distributed over workers; 0 if one worker does it all."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An image that would fail."""

    row: Row
    error_type: ErrorType
    message: str


def read_headers(
    rows: Sequence[Row], config: RunConfig, looking: Callable[[int, int], None]
) -> Generator[Seen | Refused, None, None]:
    """Yield the outcome for each row, in order. When closed, it does not begin further rows.

    Args:
        looking: called with the number read, and of all.
    """
    elsewhere = any(storage.scheme(row.uri) != "file" for row in rows)
    at_once = _FETCHED_AT_ONCE if elsewhere else MOST_IDLE
    reader = _Reader(config)
    with ThreadPoolExecutor(at_once, thread_name_prefix="headers") as pool:
        try:
            for done, answer in enumerate(_in_order(pool, reader, rows, at_once * _HANDED_OUT), 1):
                looking(done, len(rows))
                yield answer
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(pool: ThreadPoolExecutor, reader: "_Reader", rows: Sequence[Row], ahead: int) -> Iterator[Seen | Refused]:
    waiting: list[Future[Seen | Refused]] = []
    for row in rows:
        if len(waiting) == ahead:
            yield waiting.pop(0).result()
        waiting.append(pool.submit(reader, row))
    for future in waiting:
        yield future.result()


class _Reader:
    """Reads the header of a row; called by several threads."""

    def __init__(self, config: RunConfig) -> None:
        self._config = config
        self._limits = FileLimits(config.max_pixels)
        self._patiently = Patience(config.retries)
        self._decoding = threading.Semaphore(MOST_IDLE)

    def __call__(self, row: Row) -> Seen | Refused:
        try:
            with as_image_errors(row.uri):
                return self._seen(row, self._header(row))
        except ImageError as error:
            return Refused(row, error.error_type, str(error))

    def _header(self, row: Row) -> Header:
        """Read a remote file's header from both its ends if these suffice, else from the whole file."""
        if storage.is_outlined(row.uri, row.size):
            try:
                return self._patiently(lambda: self._read(row, row.size))
            except ImageError:
                pass
        return self._patiently(lambda: self._read(row, 0))

    def _read(self, row: Row, size: int) -> Header:
        with (
            storage.outline_on_disk(row.uri, size) as path,
            self._decoding,
            open_image(path, self._limits) as opened,
        ):
            return opened.header

    def _seen(self, row: Row, header: Header) -> Seen:
        """Raises ImageError, as a worker would on opening it."""
        config = self._config
        header = with_nodata(header, row.nodata)
        settings = sized(row.settings(config.settings), header)
        grid = grid_of(settings, header.height, header.width)
        target = make_target(config.output, row.key, header, config.form, grid)
        height, width, bands, made = header.height, header.width, header.measured, target.header
        return Seen(
            row=row,
            format=header.format,
            dtype=header.dtype,
            bands=len(header.bands),
            pixels=height * width,
            kind=target.kind,
            result_pixels=made.height * made.width,
            result_bytes=made.height * made.width * len(made.bands) * np.dtype(made.dtype).itemsize,
            work=guessed_seconds(height, width, bands, settings),
            scale=settings.scale,
            groups=0 if target.one_file else len(divide(height, width, bands, settings, DIVISION)),
        )


def guessed_seconds(height: int, width: int, bands: int, settings: Settings) -> float:
    """Estimate the seconds for an image on a CPU core, including the halos of its tiles."""
    read = _read_length(height, settings.tile_size) * _read_length(width, settings.tile_size)
    return fitting_seconds(settings) + enlarging_seconds(read, settings, bands)


def _read_length(length: int, tile_size: int) -> int:
    """Return the pixels that all tiles together read along an axis."""
    tiles = ceil(length / tile_size)
    return length + (2 * tiles - 2) * min(HALO, tile_size)
