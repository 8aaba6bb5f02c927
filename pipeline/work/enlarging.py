"""From the model of an image to its stored tiles."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import torch
from numpy.typing import NDArray

from sr_ops.degradation import Degradation
from sr_ops.enlarging import enlarge, enlarge_and_compare
from sr_ops.grid import Grid, grid_of
from sr_ops.model import Model
from sr_ops.reduction import paste_on, places
from sr_ops.settings import Method, Settings
from sr_ops.stages import halo
from sr_ops.tiles import Tile, owned, parts_of, plan_tiles

from ..imagery import camera
from ..imagery.header import Header, Pixels
from ..imagery.picture import Picture
from ..imagery.samples import blends
from ..output.maps import map_samples
from ..output.sinks import Sink
from ..output.written_tile import Measures, WrittenTile
from .finishing import Finished, copied, finish
from .measuring import disagreement_in, octaves_of
from .stopwatch import Stopwatch


def tiles_of(header: Header, settings: Settings, degradation: Degradation) -> tuple[Tile, ...]:
    """Return all tiles of an image, row by row."""
    grid = grid_of(settings, header.height, header.width)
    return plan_tiles(header.height, header.width, settings.tile_size, halo(settings, degradation) + grid.reach)


def write_tiles(
    picture: Picture,
    tiles: Sequence[Tile],
    model: Model,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
    sink: Sink,
    piece: int,
    maps: Sink | None = None,
) -> tuple[tuple[WrittenTile, ...], tuple[str, ...]]:
    """Enlarge tiles one by one into `sink`. On return all are durable; at most three are held in memory.

    A tile does not depend on which others are asked for, nor on the size of the pieces in which it is computed. A tile
    without a known sample is left out if that reads the same: a place without a tile is nodata, or 0.

    Args:
        watch: measures "read", "infer" and "back_project".
        piece: side in LR pixels of what is computed at once; it divides the side of a tile.
        maps: receives the map of the members' disagreement, if there are members.

    Returns:
        The written tiles, and the names of the map's tiles.

    Raises:
        ImageError: the image could not be read, or a tile could not be stored.
    """
    header = picture.header
    grid = grid_of(settings, header.height, header.width)
    around = halo(settings, model.degradation) + grid.reach
    for tile in tiles:
        parts = parts_of(tile, header.height, header.width, piece, around)
        done = [(part, _enlarge(picture, part, grid, model, settings, device, watch)) for part in parts]
        measures = reduce(add, (Measures(finished.residuals, finished.disagreement) for _, finished in done))
        if not any(measures.residuals.counts) and _reads_as_unknown(header):
            continue
        pixels = _put_together(tile, done, grid)
        with watch("back_project"):
            measures = replace(measures, octaves=octaves_of(pixels, header, grid))
        sink.add(tile, pixels, measures)
        if maps is not None and measures.disagreement is not None:
            samples = map_samples(_map_of(tile, done, grid), maps.target, header)
            maps.add(tile, Pixels(samples, None), measures)
    written = sink.finish()
    return written, () if maps is None else tuple(tile.name for tile in maps.finish())


def _reads_as_unknown(header: Header) -> bool:
    """Return whether a place without a tile reads as unknown. GDAL uses alpha only with grey and RGB."""
    alpha = header.has_alpha and not blends(header) and len(header.bands) in (2, 4)
    return header.nodata is not None or header.mask or alpha


def _enlarge(
    picture: Picture,
    part: Tile,
    grid: Grid,
    model: Model,
    settings: Settings,
    device: torch.device,
    watch: Stopwatch,
) -> Finished:
    """Enlarge what a part of a tile owns."""
    with watch("read"):
        window = picture.window(part.rows.read, part.columns.read, device)
    known = window.domain.known
    if known is not None and not bool(owned(known, part, 1).any()):
        return copied(window, part, grid)
    sr, spread = enlarge_and_compare(window.lr, model, settings, watch, window.domain)
    alpha = None
    if window.alpha is not None:
        plain = Model(Method.BICUBIC, camera.of_alpha(model.degradation))
        alpha = enlarge(window.alpha, plain, settings, watch)
    with watch("back_project"):
        finished = finish(sr, alpha, window, part, picture.header, picture.scaling, model.degradation, grid)
        if spread is None:
            return finished
        disagreement, of_all_bands = disagreement_in(spread, window, part, picture.scaling, grid)
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
