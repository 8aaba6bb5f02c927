"""Steps after the last tile of an image: the mosaic, and removal of what earlier runs left."""

from collections.abc import Sequence
from contextlib import suppress

from sr_ops.grid import Grid

from .. import storage
from ..imagery.header import CMYK, Header
from ..imagery.writing.mosaic import Placed, vrt
from . import layout
from .maps import kind_of, map_header


def finish_tiles(
    output: str, key: str, made: Header, names: Sequence[str], planned: int, grid: Grid, side: int
) -> None:
    """Finish an image in tiles. Raises OSError.

    Args:
        made: header of the whole result.
        names: the tiles that were written.
        planned: number of tiles, with those in which nothing is known.
        side: of a tile, in LR pixels.
    """
    _finish(layout.tiles_folder(output, key), made, names, planned, grid, side)


def finish_map(
    output: str, key: str, made: Header, names: Sequence[str], planned: int, grid: Grid, side: int
) -> str | None:
    """Finish an image's disagreement map; return its uri, or None without a map. Raises OSError.

    Args:
        made: header of the whole result; the rest as in `finish_tiles`.
        names: the map's tiles; empty if it is not wanted, in which case an older one is removed.
    """
    folder = layout.map_folder(output, key)
    if not names:
        remove_map(output, key)
        return None
    _finish(folder, map_header(made, kind_of(names[0])), names, planned, grid, side)
    return folder


def remove_map(output: str, key: str) -> None:
    """Remove the disagreement map of an image. Raises OSError."""
    with suppress(FileNotFoundError):
        layout.remove_other_tiles(layout.map_folder(output, key), ())


def _finish(folder: str, made: Header, names: Sequence[str], planned: int, grid: Grid, side: int) -> None:
    """Write the mosaic and remove other tiles."""
    kept = set(names)
    located = made.georef is not None or made.nodata is not None
    if (planned > 1 or located or not kept) and made.colours != CMYK:  # GDAL would show CMYK as RGB and alpha
        storage.write(storage.join(folder, layout.MOSAIC), vrt(made, [_placed(name, grid, side) for name in names]))
        kept.add(layout.MOSAIC)
    with suppress(FileNotFoundError):  # neither tiles nor a mosaic
        layout.remove_other_tiles(folder, kept)


def _placed(name: str, grid: Grid, side: int) -> Placed:
    position = layout.tile_position(name)
    assert position is not None
    rows, columns = (
        axis.part(side * number, min(side * (number + 1), axis.lr))
        for axis, number in zip((grid.rows, grid.columns), position, strict=True)
    )
    return Placed(name, rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)


def remove_other_forms(output: str, key: str, kept: str | None) -> None:
    """Remove other forms of an image: `kept` is the uri of its one file, None if it is in tiles. Raises OSError."""
    layout.remove_other_files(output, key, kept)
    if kept is not None:
        with suppress(FileNotFoundError):
            layout.remove_other_tiles(layout.tiles_folder(output, key), ())
