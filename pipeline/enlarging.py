"""From fitted networks to tiles that are stored."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import torch

from sr_ops.consistency import ConsistencySums
from sr_ops.networks import ResidualNetwork
from sr_ops.resample import downscale
from sr_ops.settings import Settings
from sr_ops.super_resolve import enlarge
from sr_ops.tiles import Tile, cut, owned, parts_of, paste

from .images import Picture, from_levels, to_levels
from .layout import tile_name
from .patience import Patience
from .stopwatch import Stopwatch
from .tile_writer import TileWriter
from .units import WrittenTile


def write_tiles(
    picture: Picture,
    tiles: Sequence[Tile],
    networks: tuple[ResidualNetwork, ...],
    settings: Settings,
    device: torch.device,
    folder: str,
    watch: Stopwatch,
    patiently: Patience,
    piece: int,
) -> tuple[WrittenTile, ...]:
    """Enlarge one tile after the other and store them as PNGs; all are durable on return, no more than three are held.

    A tile is the same whichever others are asked for, and in pieces of whatever size it is computed.

    Args:
        watch: gets "infer", "back_project" and "write".
        piece: side in LR pixels of what is computed at once; it divides the side of a tile.

    Raises:
        ImageError: a tile could not be stored.
    """
    residuals = []
    with TileWriter(folder, picture.icc_profile, watch, patiently) as writer:
        for tile in tiles:
            origin, scale = (tile.rows.start, tile.columns.start), settings.scale
            sides = (scale * (span.stop - span.start) for span in (tile.rows, tile.columns))
            canvas = torch.empty(len(picture.levels), *sides, dtype=torch.uint8, device=device)
            sums = []
            for part in parts_of(tile, picture.height, picture.width, piece, settings.halo):
                levels = cut(picture.levels, part)
                sr = to_levels(enlarge(from_levels(levels).to(device), networks, settings, watch))
                with watch("back_project"):
                    sums.append(ConsistencySums.of(owned(downscale(sr, scale) - levels.to(device), part, 1)))
                paste(canvas, part, owned(sr, part, scale), scale, origin)
            residuals.append(reduce(add, sums))
            writer.add(tile, canvas)
        sha256s = writer.finish()
    names = (tile_name(tile.row, tile.column) for tile in tiles)
    return tuple(map(WrittenTile, names, sha256s, residuals))
