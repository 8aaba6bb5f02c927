"""One result of `srpipe run --scale 2` against its input: place, what is known, metadata, sums and consistency."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image

from pipeline.output.layout import MOSAIC, tile_position

from .references import Reference, Said, read, said_by_pillow, said_by_rasterio
from .shrinking import profile, shrink

SCALE = 2

STRIP = 256
"""Rows of the input that are compared at once."""

_DPI_ROUNDING = 0.02
"""A PNG counts whole pixels per metre."""

Known = NDArray[np.bool_]


@dataclass(frozen=True)
class Likeness:
    """What was compared; None where there is nothing to compare."""

    written: str
    """Format, bands and dtype of the result."""
    bounds_error: float | None
    """Largest distance of a corner from its place, in pixels of the input."""
    crs: bool | None
    nodata: bool | None
    known: bool
    """What is known in the result is what is known in the input, enlarged by nearest neighbour."""
    points: bool | None
    """Ground control points and RPCs are those of the input, for the larger picture."""
    metadata: Mapping[str, str]
    """What the input has, by name: kept, noted in the record as not kept, or lost."""
    largest_error: float | None
    """Of the written samples, shrunk by MATLAB's bicubic, whose whole neighbourhood is known; in native units."""
    mean_error: float | None
    shift: float | None
    """Of the mean of known samples, as a multiple of the tolerance; of the worst band."""


class Result(Protocol):
    """The written files of one image."""

    said: Said
    written: str
    height: int

    def rows(self, start: int, stop: int) -> tuple[NDArray[Any], Known]: ...


def compare(reference: Reference, record: Mapping[str, Any]) -> Likeness:
    """Of an image that is done."""
    with _opened(reference, record) as result:
        assert result.height == SCALE * reference.samples.shape[1]
        radiometry = _Radiometry(reference, profile(record["kernel"]))
        for start in range(0, reference.samples.shape[1], STRIP):
            radiometry.add(result, start, min(start + STRIP, reference.samples.shape[1]))
        one, other = reference.said, result.said
        return Likeness(
            written=result.written,
            bounds_error=_bounds_error(reference, other),
            crs=None if one.crs is None else one.crs == other.crs,
            nodata=None if one.nodata is None else one.nodata == other.nodata or one.nodata != one.nodata,
            known=radiometry.known_alike,
            points=_points_alike(one, other),
            metadata=_fates(one, other, str(record["notes"])),
            largest_error=radiometry.largest_error,
            mean_error=radiometry.mean_error,
            shift=radiometry.shift,
        )


class _Radiometry:
    """Sums over the strips of an image."""

    def __init__(self, reference: Reference, taps: NDArray[np.float64]) -> None:
        self._reference, self._taps = reference, taps
        self._margin = len(taps) // 2 - 1  # rows of the result that an LR pixel depends on, beyond its own
        self._bands = reference.measured
        self._counts = np.zeros(self._bands)
        self._before, self._after = np.zeros(self._bands), np.zeros(self._bands)
        self._error, self._errors, self._largest = 0.0, 0, 0.0
        self.known_alike = True

    def add(self, result: Result, start: int, stop: int) -> None:
        height = self._reference.samples.shape[1]
        first, last = max(0, SCALE * start - self._margin), min(SCALE * height, SCALE * stop + self._margin)
        samples, known_there = result.rows(first, last)
        own = slice(SCALE * start - first, SCALE * stop - first)
        known = self._reference.known[:, start:stop]
        self._compare_known(_enlarged(known), known_there[:, own])
        bands = slice(0, self._bands)
        self._add_means(self._reference.samples[bands, start:stop], samples[bands, own], known[bands])
        missing = self._margin - (SCALE * start - first), self._margin - (last - SCALE * stop)
        shrunk = shrink(np.nan_to_num(samples[bands]), *missing, self._taps)
        error = np.abs(shrunk - self._reference.samples[bands, start:stop])[self._surrounded(start, stop)]
        self._error, self._errors = self._error + float(error.sum()), self._errors + error.size
        self._largest = max(self._largest, float(error.max(initial=0.0)))

    @property
    def largest_error(self) -> float | None:
        return self._largest if self._errors else None

    @property
    def mean_error(self) -> float | None:
        return self._error / self._errors if self._errors else None

    @property
    def shift(self) -> float | None:
        there = self._counts > 0
        if not there.any():
            return None
        before, after = (sums[there] / self._counts[there] for sums in (self._before, self._after / SCALE**2))
        floating = self._reference.samples.dtype.kind == "f"
        tolerance = np.maximum(0.0005 * np.abs(before), np.finfo(np.float64).tiny if floating else 0.2)
        return float((np.abs(after - before) / tolerance).max())

    def _compare_known(self, expected: Known, found: Known) -> None:
        if self._reference.blends:  # it may fade out within a pixel of the image, but nothing may shine through
            self.known_alike &= not (found[0] & ~expected[0]).any()
            return
        if len(found) == len(expected) + 1:  # a mask that became alpha
            found = found[:-1]
        self.known_alike &= found.shape == expected.shape and bool((found == expected).all())

    def _add_means(self, before: NDArray[Any], after: NDArray[Any], known: Known) -> None:
        self._counts += known.sum((1, 2))
        self._before += np.where(known, before, 0).sum((1, 2), dtype=np.float64)
        self._after += np.where(_enlarged(known), after, 0).sum((1, 2), dtype=np.float64)

    def _surrounded(self, start: int, stop: int) -> Known:
        """(C, h, W): all that the forward model reads for the sample is known."""
        known, reach = self._reference.known[: self._bands], -(-self._margin // SCALE)
        first, last = max(0, start - reach), min(known.shape[1], stop + reach)
        margins = (reach - (start - first), reach - (last - stop))
        padded = np.pad(known[:, first:last], ((0, 0), margins, (reach, reach)), "edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1), (1, 2))
        surrounded: Known = np.asarray(windows.all((-2, -1)))
        return surrounded


def _enlarged(known: Known) -> Known:
    return known.repeat(SCALE, 1).repeat(SCALE, 2)


@contextmanager
def _opened(reference: Reference, record: Mapping[str, Any]) -> Iterator[Result]:
    place = Path(record["output_uri"])
    tiles = {tile_position(path.name): path for path in place.glob("r*_c*.*") if tile_position(path.name)}
    if reference.cmyk:  # which GDAL shows as RGB and alpha
        yield _Inks({at: path for at, path in tiles.items() if at is not None}, reference)
        return
    first = min(tiles.items(), key=lambda item: str(item[0]))[1] if tiles else None
    path = place if place.is_file() else place / MOSAIC
    with rasterio.open(path if path.exists() else first) as raster:
        yield _Raster(raster, first, place.is_file())


class _Raster:
    """What rasterio reads of a mosaic or of one file, and what the first tile says besides."""

    def __init__(self, raster: Any, first: Path | None, one_file: bool) -> None:
        self._raster = raster
        self.height = raster.height
        self.said = said_by_rasterio(raster)
        shape = f"{raster.count} x {raster.dtypes[0]}"
        self.written = f"{'COG' if one_file else first.suffix[1:] if first else 'vrt'} {shape}"
        if first is None:
            return
        with rasterio.open(first) as tile:
            of_tile = said_by_rasterio(tile)
        carried, dpi = {**of_tile.carried, **self.said.carried}, of_tile.dpi
        if first.suffix == ".png":
            with Image.open(first) as image:
                image.load()
                of_picture = said_by_pillow(image)
            carried, dpi = {**carried, **of_picture.carried}, of_picture.dpi
        self.said = Said(**{**self.said.__dict__, "carried": carried, "dpi": dpi})

    def rows(self, start: int, stop: int) -> tuple[NDArray[Any], Known]:
        return read(self._raster, start, stop)


class _Inks:
    """Tiles of CMYK as Pillow reads them."""

    def __init__(self, tiles: Mapping[tuple[int, int], Path], reference: Reference) -> None:
        rows = []
        for row in range(1 + max(row for row, _ in tiles)):
            paths = [path for (at, _), path in sorted(tiles.items()) if at == row]
            rows.append(np.concatenate([self._read(path) for path in paths], 2))
        self._samples = np.concatenate(rows, 1)
        self.height = self._samples.shape[1]
        self.written = f"tif CMYK {self._samples.dtype}"
        first = min(tiles.items())[1]
        with Image.open(first) as image:
            image.load()
            self.said = said_by_pillow(image)
        assert self._samples.shape[2] == SCALE * reference.samples.shape[2]

    def rows(self, start: int, stop: int) -> tuple[NDArray[Any], Known]:
        samples = self._samples[:, start:stop]
        return samples, np.ones(samples.shape, np.bool_)

    @staticmethod
    def _read(path: Path) -> NDArray[Any]:
        with Image.open(path) as image:
            assert image.mode == "CMYK", image.mode
            return np.asarray(image).transpose(2, 0, 1)


def _bounds_error(reference: Reference, result: Said) -> float | None:
    before, after = reference.said.transform, result.transform
    if before is None:
        return None
    if after is None:
        return math.inf
    _, height, width = reference.samples.shape
    corners = [(column, row) for column in (0, width) for row in (0, height)]
    errors = (math.dist(~before @ (after @ (SCALE * column, SCALE * row)), (column, row)) for column, row in corners)
    return max(errors)


def _points_alike(one: Said, other: Said) -> bool | None:
    if not one.gcps and not one.rpcs:
        return None
    expected = [(SCALE * row, SCALE * column, x, y) for row, column, x, y in one.gcps]
    points = np.allclose(expected, other.gcps, rtol=0, atol=1e-6) if one.gcps else True
    return points and all(_same_rpc(name, text, other.rpcs.get(name)) for name, text in one.rpcs.items())


def _same_rpc(name: str, before: str, after: str | None) -> bool:
    if after is None:
        return False
    numbers, found = ([float(word) for word in text.split() if _is_number(word)] for text in (before, after))
    if name in ("LINE_OFF", "SAMP_OFF"):
        numbers = [(number + 0.5) * SCALE - 0.5 for number in numbers]
    if name in ("LINE_SCALE", "SAMP_SCALE"):
        numbers = [number * SCALE for number in numbers]
    return bool(np.allclose(numbers, found, rtol=1e-12, atol=0)) if numbers else before == after


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


_NOTED = {"texts": ("text", "comment"), "pages": ("pictures", "layers")}
"""Words by which the record's notes tell of what is not kept; by default the name itself."""


def _fates(one: Said, other: Said, notes: str) -> dict[str, str]:
    fates = {name: _fate(name, value, other.carried.get(name), notes) for name, value in one.carried.items()}
    if one.dpi is not None:
        expected = [SCALE * dpi for dpi in one.dpi]
        kept = other.dpi is not None and np.allclose(other.dpi, expected, rtol=0, atol=_DPI_ROUNDING)
        fates["DPI"] = "kept" if kept else "lost"
    return fates


def _fate(name: str, before: Any, after: Any, notes: str) -> str:
    if _holds(before, after):
        return "kept"
    return "noted" if any(word in notes for word in _NOTED.get(name, (name,))) else "lost"


def _holds(before: Any, after: Any) -> bool:
    """Whether all that was said is said; there may be more, such as tags or a band for the mask."""
    if isinstance(before, dict) and isinstance(after, dict):
        return before.items() <= after.items()
    if isinstance(before, tuple) and isinstance(after, tuple):
        return len(before) <= len(after) and all(_holds(*pair) for pair in zip(before, after, strict=False))
    return bool(before == after)
