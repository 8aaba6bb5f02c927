"""Steps after the last tile of an image: the mosaic, and removal of what earlier runs left."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from sr_ops.image.grid import Grid

from .. import storage
from ..imagery.header import CMYK, Header
from ..imagery.writing.mosaic import Placed, vrt
from . import layout
from .maps import kind_of, map_header
from .sidecars import sidecars

_LEFT_BY_GIS = (".aux.xml", ".ovr", ".msk")
"""What GIS programs put behind the name of a file that they open, for what they found out about its pixels."""


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
    _remove_other_tiles(layout.map_folder(output, key), ())


def _finish(folder: str, tiling: Tiling, names: Sequence[str]) -> None:
    """Write the mosaic; remove other tiles, and files beside these that say what is no longer so."""
    made = tiling.header
    kept = {*names, *(beside for name in names for beside in sidecars(name, made))}
    located = made.georef is not None or made.nodata is not None
    if (tiling.has_several or located or not names) and made.colours != CMYK:  # GDAL would show CMYK as RGB and alpha
        storage.write(storage.join(folder, layout.MOSAIC), vrt(made, [tiling.placed(name) for name in names]))
        kept.add(layout.MOSAIC)
    _remove_other_tiles(folder, kept)


def _remove_other_tiles(folder: str, kept: Collection[str]) -> None:
    """Remove what earlier runs left: tiles, files beside tiles and the mosaic, except the names in `kept`.

    Files beside them are those of srpipe, and those of GIS programs about other pixels.
    """
    with suppress(FileNotFoundError):  # there is no such folder
        for uri in storage.list_folder(folder):
            name = uri.rpartition("/")[2]
            if layout.is_beside_tiles(name) and name not in kept:
                storage.remove(uri)


def remove_other_forms(output: str, key: str, kept: str | None) -> None:
    """Remove other forms of an image: `kept` is the uri of its one file, None if it is in tiles. Raises OSError.

    With a file goes what GIS programs left beside it about other pixels; they leave nothing on S3.
    """
    for extension in layout.EXTENSIONS:
        uri = layout.single(output, key, extension)
        if uri != kept:
            storage.remove(uri)
        if storage.scheme(uri) == "file":
            for ending in _LEFT_BY_GIS:
                storage.remove(f"{uri}{ending}")
    if kept is not None:
        _remove_other_tiles(layout.tiles_folder(output, key), ())
