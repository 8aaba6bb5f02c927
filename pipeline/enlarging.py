"""From fitted networks to tiles that are stored."""

from collections.abc import Sequence

import torch

from sr_ops.consistency import ConsistencySums
from sr_ops.networks import ResidualNetwork
from sr_ops.resample import downscale
from sr_ops.settings import Settings
from sr_ops.super_resolve import enlarge
from sr_ops.tiles import Tile, cut, owned

from .images import Picture, from_levels, to_levels
from .layout import tile_name
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
) -> tuple[WrittenTile, ...]:
    """Enlarge one tile after the other and store them as PNGs; all are durable on return, no more than three are held.

    A tile is the same whichever others are asked for.

    Args:
        watch: gets "infer", "back_project" and "write".

    Raises:
        ImageError: a tile could not be stored.
    """
    residuals = []
    with TileWriter(folder, picture.icc_profile, watch) as writer:
        for tile in tiles:
            levels = cut(picture.levels, tile)
            sr = to_levels(enlarge(from_levels(levels).to(device), networks, settings, watch))
            with watch("back_project"):
                residual = downscale(sr, settings.scale) - levels.to(device)
                residuals.append(ConsistencySums.of(owned(residual, tile, 1)))
            writer.add(tile, owned(sr, tile, settings.scale))
        sha256s = writer.finish()
    names = (tile_name(tile.row, tile.column) for tile in tiles)
    return tuple(map(WrittenTile, names, sha256s, residuals))
