"""From a result at a whole scale down to its grid: exact in phase, and the same bits in every tile."""

from torch import Tensor

from .grid import Axis, Grid
from .resample import resize_window
from .tiles import Image, Span, Tile, owned


def reduced(sr: Tensor, part: Tile, grid: Grid) -> Tensor:
    """The pixels of the result that `part` owns.

    Args:
        sr: (C, h * scale, w * scale), of the window that `part` reads, whose halo is `Grid.reach` larger than what its
            samples depend on.

    Returns:
        (C, rows, columns) as `Axis.part` counts them; of a whole grid a view of `sr`. It may overshoot the range.
    """
    if grid.is_whole:
        return owned(sr, part, grid.scale)
    scale = grid.scale
    lengths = (grid.rows.lr * scale, grid.columns.lr * scale)
    first = (part.rows.read_start * scale, part.columns.read_start * scale)
    return resize_window(sr, first, lengths, grid.size, places(part, grid))


def places(part: Tile, grid: Grid) -> tuple[slice, slice]:
    """Rows and columns of the result that a part owns."""
    return grid.rows.part(part.rows.start, part.rows.stop), grid.columns.part(part.columns.start, part.columns.stop)


def paste_on(canvas: Image, part: Tile, pixels: Image, grid: Grid, tile: Tile) -> None:
    """Write what `part` owns to its place in what `tile` owns, in place."""
    rows, columns = places(part, grid)
    top, left = (axis.start for axis in places(tile, grid))
    canvas[..., rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = pixels


def nearest_owned(image: Image, part: Tile, grid: Grid) -> Image:
    """Each pixel of the result that `part` owns as the pixel of the image is in which its middle lies.

    Args:
        image: (..., h, w), the window of the image that `part` reads.
    """
    rows, columns = (_sources(axis, span) for axis, span in ((grid.rows, part.rows), (grid.columns, part.columns)))
    return owned(image, part, 1)[..., rows, :][..., columns]


def _sources(axis: Axis, span: Span) -> list[int]:
    return axis.sources(span.start, span.stop)
