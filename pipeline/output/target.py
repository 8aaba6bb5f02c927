"""The planned result of an image: format, header and place."""

from dataclasses import dataclass, replace

import numpy as np

from sr_ops.image.grid import Grid

from ..config import Dpi, Form, Format
from ..errors import ErrorType, ImageError
from ..imagery.header import Header
from ..imagery.writing import georef
from ..imagery.writing.formats import choose, held
from ..imagery.writing.png import says_all
from . import layout

_LARGEST_AT_ONCE = 1 << 30
"""Most bytes of samples of a result that is assembled in memory for a single file."""


@dataclass(frozen=True)
class Target:
    """The result of one image before its first pixel."""

    kind: Format
    """Format of its files; never AUTO."""
    header: Header
    """Of the whole result, as files of that format hold it."""
    place: str
    """Uri of its one file, or of the folder of its tiles."""
    one_file: bool
    grid: Grid
    """Of the whole result."""


def make_target(output: str, key: str, header: Header, form: Form, grid: Grid) -> Target:
    """Return the target for an image with this header.

    Raises:
        ImageError: unsupported, if the form cannot hold it; too large for one file.
    """
    kind = _kind(header, form)
    made = held(georef.enlarged(header, grid.size, form.dpi is Dpi.KEEP), kind)
    if kind is Format.PNG and form.single and not says_all(made):
        made = replace(made, notes=(*made.notes, "where it lies, its nodata value and tags: not in a single PNG"))
    if form.one_file and kind is not Format.COG:
        _check_size(made)
    if form.one_file:
        place = layout.single(output, key, "tif" if kind is Format.COG else kind)
    else:
        place = layout.tiles_folder(output, key)
    return Target(kind, made, place, form.one_file, grid)


def _kind(header: Header, form: Form) -> Format:
    """Return the format, where a PNG without files beside it holds less. Raises ImageError."""
    kind = choose(header, form.format)
    lacks = kind is Format.PNG and form.single and not says_all(header)
    return Format.TIF if lacks and form.format is Format.AUTO else kind


def _check_size(made: Header) -> None:
    """Raise ImageError for a result that takes too much memory at once."""
    size = made.height * made.width * len(made.bands) * np.dtype(made.dtype).itemsize
    if size > _LARGEST_AT_ONCE:
        message = (
            f"{made.width} x {made.height} pixels take {size} bytes, too many for one file that is written at once"
        )
        raise ImageError(ErrorType.TOO_LARGE, f"{message}; use --format cog, or tiles, without --single")
