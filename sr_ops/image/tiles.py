"""Tile geometry: the pixels that a tile owns, and those it must read to compute them exactly. Whole numbers only."""

from dataclasses import dataclass
from math import ceil
from typing import Any, TypeVar

from numpy.typing import NDArray
from torch import Tensor

Image = TypeVar("Image", Tensor, NDArray[Any])


@dataclass(frozen=True)
class Span:
    """One axis of a tile, in LR pixels; `stop` is exclusive."""

    start: int
    stop: int
    read_start: int
    """Start of the pixels that are read: the owned part and the halo, clipped to the image."""
    read_stop: int

    @property
    def owned(self) -> slice:
        return slice(self.start, self.stop)

    @property
    def read(self) -> slice:
        return slice(self.read_start, self.read_stop)


@dataclass(frozen=True)
class Tile:
    """A rectangle of the LR image: it owns `rows` x `columns` and reads the halo around them."""

    row: int
    """Position in the grid of tiles, from 0."""
    column: int
    rows: Span
    columns: Span


def plan_tiles(height: int, width: int, tile_size: int, halo: int) -> tuple[Tile, ...]:
    """Cut height x width LR pixels into tiles of at most `tile_size` a side, row by row.

    Every pixel is owned by exactly one tile. With a halo no smaller than the reach of an operator, the operator's
    result on the window agrees with its result on the whole image in every owned pixel.
    """
    if tile_size < 1 or halo < 0:
        raise ValueError(f"tile_size must be at least 1 and halo at least 0, got {tile_size} and {halo}")
    return tuple(
        Tile(row, column, rows, columns)
        for row, rows in enumerate(_spans(0, height, height, tile_size, halo))
        for column, columns in enumerate(_spans(0, width, width, tile_size, halo))
    )


def plan_even(height: int, width: int, most: int, halo: int) -> tuple[Tile, ...]:
    """Return `plan_tiles` for the tile size that cuts the longer side evenly, into as few tiles as `most` allows."""
    longest = max(height, width)
    return plan_tiles(height, width, ceil(longest / ceil(longest / most)), halo)


def tile_at(rows: slice, columns: slice, height: int, width: int, halo: int) -> Tile:
    """Return a tile that owns exactly these LR pixels; its position in a grid has no meaning."""
    return Tile(0, 0, _span(rows.start, rows.stop, height, halo), _span(columns.start, columns.stop, width, halo))


def parts_of(tile: Tile, height: int, width: int, tile_size: int, halo: int) -> tuple[Tile, ...]:
    """Return the tiles of a finer grid that make up what `tile` owns; `tile_size` must divide that of its grid."""
    return tuple(
        Tile(rows.start // tile_size, columns.start // tile_size, rows, columns)
        for rows in _spans(tile.rows.start, tile.rows.stop, height, tile_size, halo)
        for columns in _spans(tile.columns.start, tile.columns.stop, width, tile_size, halo)
    )


def cut(image: Tensor, tile: Tile) -> Tensor:
    """Return the window of (..., H, W) that `tile` reads; a view."""
    return image[..., tile.rows.read, tile.columns.read]


def cut_enlarged(image: Tensor, tile: Tile, scale: int) -> Tensor:
    """Return the same window of an enlargement (..., H * scale, W * scale)."""
    rows, columns = (slice(scale * span.read_start, scale * span.read_stop) for span in (tile.rows, tile.columns))
    return image[..., rows, columns]


def owned(window: Image, tile: Tile, scale: int) -> Image:
    """Drop the halo from a window (..., h * scale, w * scale) that was computed from `cut(image, tile)`; a view."""
    return window[..., _owned_slice(tile.rows, scale), _owned_slice(tile.columns, scale)]


def paste(canvas: Image, tile: Tile, pixels: Image, scale: int) -> None:
    """Write `owned` pixels to their place in (..., H * scale, W * scale), in place."""
    rows, columns = (slice(scale * span.start, scale * span.stop) for span in (tile.rows, tile.columns))
    canvas[..., rows, columns] = pixels


def _spans(first: int, last: int, length: int, tile_size: int, halo: int) -> list[Span]:
    starts = range(first, last, tile_size)
    return [_span(start, min(start + tile_size, last), length, halo) for start in starts]


def _span(start: int, stop: int, length: int, halo: int) -> Span:
    return Span(start, stop, max(0, start - halo), min(length, stop + halo))


def _owned_slice(span: Span, scale: int) -> slice:
    return slice(scale * (span.start - span.read_start), scale * (span.stop - span.read_start))
