"""Steps after the last tile of an image: the mosaic, and removal of what earlier runs left."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sr_ops.image.grid import Grid

from .. import storage
from ..imagery.header import CMYK, Header
from ..imagery.writing.mosaic import Placed, vrt
from . import layout
from .maps import kind_of, map_header
from .sidecars import sidecars


@dataclass(frozen=True)
class Tiling:
    """A whole result, and how it is divided into tiles."""

    side: int
    """Side of a tile, in LR pixels."""
    header: Header
    """Header of the whole result."""
    grid: Grid

    @property
    def has_several(self) -> bool:
        """Whether there is more than one tile, counting those in which nothing is known."""
        return max(self.grid.rows.lr, self.grid.columns.lr) > self.side

    def placed(self, name: str) -> Placed:
        """Return the tile of that name with its place in the result."""
        position = layout.tile_position(name)
        assert position is not None
        rows, columns = (
            axis.part(self.side * number, min(self.side * (number + 1), axis.lr))
            for axis, number in zip((self.grid.rows, self.grid.columns), position, strict=True)
        )
        return Placed(name, rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start)


def finish_tiles(output: str, key: str, tiling: Tiling, names: Sequence[str]) -> None:
    """Finish an image in tiles. Raises OSError.

    Args:
        names: the tiles that were written.
    """
    _finish(layout.tiles_folder(output, key), tiling, names)


def finish_map(output: str, key: str, tiling: Tiling, names: Sequence[str]) -> str | None:
    """Finish an image's disagreement map; return its uri, or None without a map. Raises OSError.

    Args:
        tiling: of the image's result.
        names: the map's tiles; empty if it is not wanted, in which case an older one is removed.
    """
    folder = layout.map_folder(output, key)
    if not names:
        remove_map(output, key)
        return None
    _finish(folder, replace(tiling, header=map_header(tiling.header, kind_of(names[0]))), names)
    return folder


def remove_map(output: str, key: str) -> None:
    """Remove the disagreement map of an image. Raises OSError."""
    with suppress(FileNotFoundError):
        layout.remove_other_tiles(layout.map_folder(output, key), ())


def _finish(folder: str, tiling: Tiling, names: Sequence[str]) -> None:
    """Write the mosaic; remove other tiles, and files beside these that say what is no longer so."""
    made = tiling.header
    kept = {*names, *(beside for name in names for beside in sidecars(name, made))}
    located = made.georef is not None or made.nodata is not None
    if (tiling.has_several or located or not names) and made.colours != CMYK:  # GDAL would show CMYK as RGB and alpha
        storage.write(storage.join(folder, layout.MOSAIC), vrt(made, [tiling.placed(name) for name in names]))
        kept.add(layout.MOSAIC)
    with suppress(FileNotFoundError):  # neither tiles nor a mosaic
        layout.remove_other_tiles(folder, kept)


def remove_other_forms(output: str, key: str, kept: str | None) -> None:
    """Remove other forms of an image: `kept` is the uri of its one file, None if it is in tiles. Raises OSError."""
    layout.remove_other_files(output, key, kept)
    if kept is not None:
        with suppress(FileNotFoundError):
            layout.remove_other_tiles(layout.tiles_folder(output, key), ())
