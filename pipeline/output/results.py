"""The results of a run, read back for display or scoring: tiles as one picture, or one file."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .. import storage
from ..errors import ErrorType, ImageError
from ..imagery.display import Stretch, open_display, stretch_of_parts
from ..imagery.header import FileLimits
from ..imagery.images import Nodata, Shown, White, open_shown, whole
from ..imagery.writing.mosaic import Placed, read_vrt
from .layout import MOSAIC, Commit, tile_position

_HELD = 4
"""Tiles that are cached: a window at a corner spans four."""


OpenFile = Callable[[str], AbstractContextManager[Shown]]
"""Opens one file of a result by its uri."""


@contextmanager
def open_result(
    place: str, limits: FileLimits, nodata: Nodata = "as the file says", alike: White | None = None
) -> Iterator[Shown]:
    """Open one file, or the tiles of a folder as one picture; where there is no tile it is unknown, and 0.

    `nodata` and `alike` are as for `open_shown`.

    Raises:
        ImageError: it is not a picture, or one of a kind that cannot be scored.
        OSError: it cannot be read.
    """
    with open_by(lambda uri: open_shown(uri, limits, nodata, alike), place) as shown:
        yield shown


@contextmanager
def open_by(open_file: OpenFile, place: str) -> Iterator[Shown]:
    """Like `open_result`, with another function to open files; raises what that raises."""
    if storage.is_folder(place):
        yield _Tiles(place, open_file)
    else:
        with open_file(place) as shown:
            yield shown


@contextmanager
def open_displayed(
    place: str, limits: FileLimits, nodata: Nodata = "as the file says", stretch: Stretch | None = None
) -> Iterator[Shown]:
    """Open a result as `open_result` does, but as `open_display` opens its files, whatever its bands and type.

    All tiles have the same stretch.
    """
    uris = storage.list_folder(place) if storage.is_folder(place) else ()
    if tiles := [uri for uri in uris if tile_position(uri.rpartition("/")[2])]:
        stretch = stretch_of_parts(tiles, limits, nodata, stretch)
    with open_by(lambda uri: open_display(uri, limits, nodata, stretch), place) as shown:
        yield shown


def how_to_redo(output: str, record: Mapping[str, Any]) -> str:
    """Return how to get files again that are gone or damaged: a run takes an image for done that has a commit."""
    settings, source = record["config_fingerprint"], record["source_fingerprint"]
    known = Commit(settings, record["key"], source or "").uri(output) if settings else None
    which = known or f"the commit of {record['key']} below {output}/_commit"
    return f"remove {which} and run the same srpipe run command again, which makes this image anew"


def stitch(place: str) -> Tensor:
    """Return a whole result, (C, H, W) uint8. Raises as `open_result` does."""
    with open_result(place, FileLimits()) as shown:
        return whole(shown)[0]


class _Tiles:
    """A picture in tiles, with some of them cached."""

    def __init__(self, folder: str, open_file: OpenFile) -> None:
        self._folder, self._open_file = folder, open_file
        self._tile = lru_cache(_HELD)(self._read)
        self.height, self.width, self._tiles = self._placed()
        if not self._tiles:
            raise ImageError(ErrorType.UNSUPPORTED, f"nothing is known of the picture in {folder}; it has no tiles")
        self.bands = len(self._tile(self._tiles[0].name)[0])

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

    def _placed(self) -> tuple[int, int, tuple[Placed, ...]]:
        """Return height, width and tiles."""
        names = [uri.rpartition("/")[2] for uri in storage.list_folder(self._folder)]
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
        if [tile_position(name) for name in tiles] != [(0, 0)]:
            message = f"{self._folder} has {len(tiles)} tiles, and no {MOSAIC} that says where they lie"
            raise ImageError(ErrorType.CORRUPT, f"{message}; process the image again")
        height, width = self._tile(tiles[0])[1].shape
        return height, width, (Placed(tiles[0], 0, 0, height, width),)

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
            message = f"{storage.join(self._folder, tile.name)} is {tuple(levels.shape)} where its mosaic says {said}"
            raise ImageError(ErrorType.CORRUPT, f"{message}; process the image again")
        return levels, known

    def _read(self, name: str) -> tuple[Tensor, Tensor]:
        with self._open_file(storage.join(self._folder, name)) as tile:
            return whole(tile)


def _overlap(part: slice, start: int, size: int) -> tuple[slice, slice]:
    """Return the common part of tile and window, in the tile and in the window; empty if they do not overlap."""
    first, last = max(part.start, start), min(part.stop, start + size)
    return slice(first - start, last - start), slice(first - part.start, last - part.start)
