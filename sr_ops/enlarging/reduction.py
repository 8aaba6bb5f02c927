"""Reduction of a result from a whole scale to its grid: exact in phase, and bit-equal in every tile."""

from torch import Tensor

from ..camera.conservation import SHARED_REACH, keep_within
from ..image.domain import Domain, fill, flat
from ..image.grid import Grid
from ..image.resample import resize_window
from ..image.tiles import Image, Tile

Places = tuple[slice, slice]
"""Rows and columns of a result."""


def reduced(sr: Tensor, part: Tile, grid: Grid, place: Places | None = None) -> Tensor:
    """Return the result pixels that `part` owns, or those in `place`.

    Args:
        sr: (C, h * scale, w * scale) for the window that `part` reads. The halo of `part` is `Grid.reach` larger than
            what the samples of `sr` depend on.
        place: rows and columns that the window determines; None for those that `part` owns.

    Returns:
        (C, rows, columns). It may overshoot the range.
    """
    scale = grid.scale
    lengths = (grid.rows.lr * scale, grid.columns.lr * scale)
    first = (part.rows.read_start * scale, part.columns.read_start * scale)
    return resize_window(sr, first, lengths, grid.size, place or places(part, grid))


def reduced_within(sr: Tensor, part: Tile, grid: Grid, domain: Domain, lr: Tensor) -> Tensor:
    """Return `reduced` clamped to the domain; what is cut off is shared out nearby, so that means are kept.

    Args:
        domain: of `lr`, the window of the image that `part` reads.
    """
    rows, columns = places(part, grid)
    around = grid.rows.around(rows, SHARED_REACH), grid.columns.around(columns, SHARED_REACH)
    takers = ~flat(fill(lr, domain.known))
    if domain.known is not None:
        takers &= domain.known
    kept = keep_within(reduced(sr, part, grid, around), domain, nearest_at(takers, part, grid, around))
    top, left = (wide.start for wide in around)
    return kept[..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def places(part: Tile, grid: Grid) -> Places:
    """Return rows and columns of the result that a part owns."""
    return grid.rows.part(part.rows.start, part.rows.stop), grid.columns.part(part.columns.start, part.columns.stop)


def paste_on(canvas: Image, part: Tile, pixels: Image, grid: Grid, tile: Tile) -> None:
    """Write the pixels that `part` owns to their place in those that `tile` owns, in place."""
    rows, columns = places(part, grid)
    top, left = (place.start for place in places(tile, grid))
    canvas[..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = pixels


def nearest_owned(image: Image, part: Tile, grid: Grid) -> Image:
    """Return for each result pixel that `part` owns the image pixel that its centre lies in.

    Args:
        image: (..., h, w), the window of the image that `part` reads.
    """
    return nearest_at(image, part, grid, places(part, grid))


def nearest_at(image: Image, part: Tile, grid: Grid, place: Places) -> Image:
    """Return the same for other result pixels, whose centres must lie in that window."""
    rows, columns = (
        [source - span.read_start for source in axis.sources(of_axis)]
        for axis, span, of_axis in zip((grid.rows, grid.columns), (part.rows, part.columns), place, strict=True)
    )
    return image[..., rows, :][..., columns]
