"""From the model of an image to its stored tiles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import add

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_ops.enlarging.enlarge import enlarge, enlarge_and_compare
from sr_ops.enlarging.model import Model
from sr_ops.enlarging.reduction import paste_on, places
from sr_ops.enlarging.stages import halo
from sr_ops.image.grid import Grid, grid_of
from sr_ops.image.tiles import Tile, owned, parts_of, plan_tiles
from sr_ops.settings import Method, Settings

from ..imagery import camera
from ..imagery.header import Header, Pixels
from ..imagery.picture import Picture
from ..imagery.samples import Window, blends
from ..output.maps import map_samples
from ..output.sinks import Sink
from ..output.written_tile import Measures, WrittenTile
from .finishing import Finished, Finisher, Numbers
from .measuring import disagreement_in, octaves_of
from .stopwatch import Stopwatch


@dataclass(frozen=True, eq=False)
class Enlargement:
    """An image on its way to its result: what is enlarged, by what, and in which pieces."""

    picture: Picture
    model: Model
    settings: Settings
    device: torch.device
    watch: Stopwatch
    """Measures "read", "infer" and "back_project"."""
    piece: int
    """Side in LR pixels of what is computed at once; it divides the side of a tile."""

    @cached_property
    def grid(self) -> Grid:
        """The grid of the whole result."""
        return grid_of(self.settings, self.picture.height, self.picture.width)

    @cached_property
    def halo(self) -> int:
        """LR pixels that are read around a tile: all of an image that fits the window of a piece.

        Such an image is computed once. Else its tiles would compute what their windows share again: of 600 x 600 pixels
        41 %. Neither side may be longer, because back-projection takes a matrix as large as the square of a side.
        """
        longest = max(self.picture.height, self.picture.width)
        return longest if longest <= self.piece + 2 * self.least_halo else self.least_halo

    @cached_property
    def least_halo(self) -> int:
        """LR pixels around a tile on which its result depends."""
        return halo(self.settings, self.model.degradation) + self.grid.reach

    @cached_property
    def finisher(self) -> Finisher:
        return Finisher(self.picture.header, self.picture.scaling, self.model.degradation, self.grid)

    def tiles(self) -> tuple[Tile, ...]:
        """Return all tiles of the image, row by row."""
        return plan_tiles(self.picture.height, self.picture.width, self.settings.tile_size, self.halo)

    def parts(self, tile: Tile) -> tuple[Tile, ...]:
        """Return the parts in which a tile is computed."""
        return parts_of(tile, self.picture.height, self.picture.width, self.piece, self.halo)


@dataclass(frozen=True)
class Written:
    """What was stored of an image."""

    tiles: tuple[WrittenTile, ...]
    map_names: tuple[str, ...] = ()
    """Tiles of the disagreement map, if one was wanted."""


def write_tiles(image: Enlargement, tiles: Sequence[Tile], sink: Sink, maps: Sink | None = None) -> Written:
    """Enlarge tiles one by one into `sink`. On return all are durable; at most three are held in memory.

    A tile does not depend on which others are asked for, nor on the size of the pieces in which it is computed. A tile
    without a known sample is left out if that reads the same: a place without a tile is nodata, or 0.

    Args:
        maps: receives the map of the members' disagreement, if there are members.

    Raises:
        ImageError: the image could not be read, or a tile could not be stored.
    """
    header, grid = image.picture.header, image.grid
    windows = _Windows(image)
    for tile in tiles:
        done = [(part, _finished(image, windows.of(part), part)) for part in image.parts(tile)]
        measures = reduce(add, (Measures(finished.residuals, finished.disagreement) for _, finished in done))
        if not any(measures.residuals.counts) and _reads_as_unknown(header):
            continue
        pixels = _put_together(tile, done, grid)
        with image.watch("back_project"):
            measures = replace(measures, octaves=octaves_of(pixels, header, grid))
        sink.add(tile, pixels, measures)
        if maps is not None and measures.disagreement is not None:
            samples = map_samples(_map_of(tile, done, grid), maps.target, header)
            maps.add(tile, Pixels(samples, None), measures)
    written = sink.finish()
    return Written(written) if maps is None else Written(written, tuple(tile.name for tile in maps.finish()))


def _reads_as_unknown(header: Header) -> bool:
    """Return whether a place without a tile reads as unknown. GDAL uses alpha only with grey and RGB."""
    alpha = header.has_alpha and not blends(header) and len(header.bands) in (2, 4)
    return header.nodata is not None or header.mask or alpha


@dataclass(frozen=True, eq=False)
class _Computed:
    """A window of an image and what is made of it, each once and not before it is asked for."""

    image: Enlargement
    rows: slice
    columns: slice

    @cached_property
    def window(self) -> Window:
        with self.image.watch("read"):
            return self.image.picture.window(self.rows, self.columns, self.image.device)

    @cached_property
    def numbers(self) -> Numbers:
        """The enlargement in native numbers."""
        (sr, _), alpha, window = self._enlarged, None, self.window
        if window.alpha is not None:
            plain = Model(Method.BICUBIC, camera.of_alpha(self.image.model.degradation))
            alpha = enlarge(window.alpha, plain, self.image.settings, self.image.watch)
        with self.image.watch("back_project"):
            return self.image.finisher.numbers(sr, alpha, window)

    @property
    def spread(self) -> Tensor | None:
        """The disagreement of the members, as from `enlarge_and_compare`."""
        return self._enlarged[1]

    @cached_property
    def _enlarged(self) -> tuple[Tensor, Tensor | None]:
        image, window = self.image, self.window
        return enlarge_and_compare(window.lr, image.model, image.settings, image.watch, window.domain)


class _Windows:
    """The windows of an image's parts; parts that come one after the other and read the same one share it."""

    def __init__(self, image: Enlargement) -> None:
        self._image = image
        self._last: _Computed | None = None

    def of(self, part: Tile) -> _Computed:
        rows, columns = part.rows.read, part.columns.read
        if self._last is None or (self._last.rows, self._last.columns) != (rows, columns):
            self._last = _Computed(self._image, rows, columns)  # the one before is let go before this one is made
        return self._last


def _finished(image: Enlargement, computed: _Computed, part: Tile) -> Finished:
    """Return the result for what a part of a tile owns."""
    window = computed.window
    known = window.domain.known
    seen = window.alpha is not None and bool(window.alpha.any())
    if known is not None and not seen and not bool(owned(known, part, 1).any()):
        return image.finisher.copied(window, part)
    numbers = computed.numbers
    with image.watch("back_project"):
        finished = image.finisher.finished(numbers, window, part)
        if computed.spread is None:
            return finished
        disagreement, of_all_bands = disagreement_in(computed.spread, window, part, image.picture.scaling, image.grid)
        return replace(finished, disagreement=disagreement, map=of_all_bands)


def _map_of(tile: Tile, parts: Sequence[tuple[Tile, Finished]], grid: Grid) -> NDArray[np.float32]:
    """Combine the parts of a tile's map, (H, W); NaN where nothing is known."""
    height, width = (place.stop - place.start for place in places(tile, grid))
    whole = np.full((height, width), np.nan, np.float32)
    for part, finished in parts:
        if finished.map is not None:
            paste_on(whole, part, finished.map, grid, tile)
    return whole


def _put_together(tile: Tile, parts: Sequence[tuple[Tile, Finished]], grid: Grid) -> Pixels:
    """Combine the parts of a tile."""
    if len(parts) == 1:
        return parts[0][1].pixels
    height, width = (place.stop - place.start for place in places(tile, grid))
    first = parts[0][1].pixels
    samples = np.empty((len(first.samples), height, width), first.samples.dtype)
    mask = None if first.mask is None else np.empty((height, width), np.bool_)
    for part, finished in parts:
        paste_on(samples, part, finished.pixels.samples, grid, tile)
        if mask is not None and finished.pixels.mask is not None:
            paste_on(mask, part, finished.pixels.mask, grid, tile)
    return Pixels(samples, mask)
