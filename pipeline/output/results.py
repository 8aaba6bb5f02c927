"""The results of a run, read back for display or scoring: tiles as one picture, or one file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from itertools import accumulate, pairwise, product

import torch
from torch import Tensor

from .. import storage
from ..errors import ErrorType, ImageError
from ..imagery.display import Stretch, open_display, stretch_of_parts
from ..imagery.header import FileLimits
from ..imagery.scored import Nodata, OpenLevels, White, open_scored, whole
from ..imagery.writing.mosaic import Placed, read_vrt
from . import layout
from .layout import MOSAIC, tile_position

_HELD = 4
"""Tiles that are cached: a window at a corner spans four."""


OpenFile = Callable[[str], AbstractContextManager[OpenLevels]]
"""Opens one file of a result by its uri."""


@contextmanager
def open_result(
    place: str, limits: FileLimits, nodata: Nodata = "as the file says", alike: White | None = None
) -> Iterator[OpenLevels]:
    """Open one file, or the tiles of a folder as one picture; where there is no tile it is unknown, and 0.

    `nodata` and `alike` are as for `open_scored`.

    Raises:
        ImageError: it is not a picture, or one of a kind that cannot be scored.
        OSError: it cannot be read.
    """
    if storage.is_folder(place):
        tiles = _Tiles(place, _names_in(place), lambda uri: open_scored(uri, limits, nodata, alike))
        if tiles.is_blank:
            raise ImageError(ErrorType.UNSUPPORTED, f"nothing is known of the picture in {place}; it has no tiles")
        yield tiles
        return
    with open_scored(place, limits, nodata, alike) as shown:
        yield shown


@contextmanager
def open_displayed(
    place: str, limits: FileLimits, nodata: Nodata = "as the file says", stretch: Stretch | None = None
) -> Iterator[OpenLevels]:
    """Open a result as `open_result` does, but as `open_display` opens its files, whatever its bands and type.

    All tiles have the same stretch.
    """
    if not storage.is_folder(place):
        with open_display(place, limits, nodata, stretch) as shown:
            yield shown
        return
    names = _names_in(place)
    if uris := [storage.join(place, name) for name in names if tile_position(name)]:
        stretch = stretch_of_parts(uris, limits, nodata, stretch)
    inks = stretch is not None and stretch.is_of_inks
    yield _Tiles(place, names, lambda uri: open_display(uri, limits, nodata, stretch), without_mosaic=inks)


def _names_in(folder: str) -> list[str]:
    return [uri.rpartition("/")[2] for uri in storage.list_folder(folder)]


def stitch(place: str) -> Tensor:
    """Return a whole result, (C, H, W) uint8. Raises as `open_result` does."""
    with open_result(place, FileLimits()) as shown:
        return whole(shown)[0]


class _Tiles:
    """A picture in tiles, with some of them cached; without a tile it has one band, of which nothing is known."""

    def __init__(self, folder: str, names: Sequence[str], open_file: OpenFile, without_mosaic: bool = False) -> None:
        """`without_mosaic`: it has none, as CMYK (`tidying`), and its tiles lie side by side."""
        self._folder, self._open_file = folder, open_file
        self._tile = lru_cache(_HELD)(self._read)
        self.height, self.width, self._tiles = self._placed(names, without_mosaic)
        self.is_blank = not self._tiles
        self.bands = 1 if self.is_blank else len(self._tile(self._tiles[0].name)[0])

    def window(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        shape = (rows.stop - rows.start, columns.stop - columns.start)
        levels, known = torch.zeros(self.bands, *shape, dtype=torch.uint8), torch.zeros(shape, dtype=torch.bool)
        for tile in self._tiles:
            from_rows, to_rows = _overlap(rows, tile.top, tile.height)
            from_columns, to_columns = _overlap(columns, tile.left, tile.width)
            if from_rows.start < from_rows.stop and from_columns.start < from_columns.stop:
                of_tile, known_of_tile = self._checked(tile)
                levels[:, to_rows, to_columns] = of_tile[:, from_rows, from_columns]
                known[to_rows, to_columns] = known_of_tile[from_rows, from_columns]
        return levels, known

    def _placed(self, names: Sequence[str], without_mosaic: bool) -> tuple[int, int, tuple[Placed, ...]]:
        """Return height, width and tiles."""
        if MOSAIC in names:
            uri = storage.join(self._folder, MOSAIC)
            try:
                height, width, placed = read_vrt(storage.read(uri))
            except ValueError as error:
                raise ImageError(ErrorType.CORRUPT, f"{uri} is damaged ({error}); process the image again") from error
            self._refuse_missing(sorted({tile.name for tile in placed} - set(names)))
            return height, width, placed
        tiles = [name for name in names if tile_position(name)]
        if not tiles:
            message = f"{self._folder} holds neither a tile nor a {MOSAIC}: they are missing"
            raise ImageError(ErrorType.MISSING, f"{message}; process the image again")
        if without_mosaic:
            return self._side_by_side({tile_position(name): name for name in tiles})
        if [tile_position(name) for name in tiles] != [(0, 0)]:
            message = f"{self._folder} has {len(tiles)} tiles, and no {MOSAIC} that says where they lie"
            raise ImageError(ErrorType.CORRUPT, f"{message}; process the image again")
        height, width = self._tile(tiles[0])[1].shape
        return height, width, (Placed(tiles[0], 0, 0, height, width),)

    def _side_by_side(self, names: Mapping[tuple[int, int] | None, str]) -> tuple[int, int, tuple[Placed, ...]]:
        """Return the same by the sizes of the first tile of each row and column; the names are by row and column."""
        rows, columns = (1 + max(at[axis] for at in names if at) for axis in (0, 1))
        grid = product(range(rows), range(columns))
        self._refuse_missing([layout.tile_name(*at, "tif") for at in grid if at not in names])
        tops = [0, *accumulate(self._tile(names[row, 0])[1].shape[0] for row in range(rows))]
        lefts = [0, *accumulate(self._tile(names[0, column])[1].shape[1] for column in range(columns))]
        placed = tuple(
            Placed(names[row, column], top, left, below - top, right - left)
            for (row, (top, below)), (column, (left, right)) in product(
                enumerate(pairwise(tops)), enumerate(pairwise(lefts))
            )
        )
        return tops[-1], lefts[-1], placed

    def _refuse_missing(self, names: Sequence[str]) -> None:
        """Raise ImageError if there are names of files that should be in the folder."""
        if names:
            others = f" and {len(names) - 1:,} more of its tiles are" if len(names) > 1 else " is"
            message = f"{storage.join(self._folder, names[0])}{others} missing; process the image again"
            raise ImageError(ErrorType.MISSING, message)

    def _checked(self, tile: Placed) -> tuple[Tensor, Tensor]:
        levels, known = self._tile(tile.name)
        said = (self.bands, tile.height, tile.width)
        if levels.shape != said:
            message = f"{storage.join(self._folder, tile.name)} is {tuple(levels.shape)} where the others say {said}"
            raise ImageError(ErrorType.CORRUPT, f"{message}; process the image again")
        return levels, known

    def _read(self, name: str) -> tuple[Tensor, Tensor]:
        with self._open_file(storage.join(self._folder, name)) as tile:
            return whole(tile)


def _overlap(part: slice, start: int, size: int) -> tuple[slice, slice]:
    """Return the common part of tile and window, in the tile and in the window; empty if they do not overlap."""
    first, last = max(part.start, start), min(part.stop, start + size)
    return slice(first - start, last - start), slice(first - part.start, last - part.start)
