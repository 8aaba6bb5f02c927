"""Notes about what a raster declares, where its samples or its result may be otherwise."""

from collections.abc import Sequence

from .header import Header, Pixels, type_range
from .samples import blends

_VALID_RANGE = {"valid_range", "valid_min", "valid_max"}
"""Tags in which NetCDF tells the range of valid samples, in lower case."""


def alpha_notes(header: Header, windows: Sequence[Pixels]) -> tuple[str, ...]:
    """Return a note if an alpha that marks valid pixels is hardly anywhere 0 or opaque, as near infrared would be.

    GDAL calls the fourth of four bands alpha if it is not told otherwise.
    """
    if blends(header) or not header.has_alpha:
        return ()
    opaque = 1.0 if header.dtype == "float32" else type_range(header.dtype)[1]
    alphas = [pixels.samples[-1] for pixels in windows]
    between = sum(int(((alpha != 0) & (alpha < opaque)).sum()) for alpha in alphas)
    if 2 * between <= sum(alpha.size for alpha in alphas):
        return ()
    remedy = "if it is near infrared, say so with gdal_edit.py -colorinterp_N undefined, where N is its number"
    return (f"its alpha band is neither 0 nor opaque in most pixels; {remedy}",)


def range_notes(header: Header) -> tuple[str, ...]:
    """Return a note about tags that tell a range which a result of integers may leave; floats stay between their ends.

    GDAL may put the variable and # before the name of a tag.
    """
    tags = [*(header.tags or ()), *(name for band in header.bands for name in band.tags or ())]
    names = sorted({name for name in tags if name.rpartition("#")[2].lower() in _VALID_RANGE})
    if not names or header.dtype == "float32":
        return ()
    return (f"the result may leave the range that its tags {', '.join(names)} tell; give it as --range LOW,HIGH",)
