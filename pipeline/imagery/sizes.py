"""The size of an image's result, from the size in the settings and the image's header."""

import math
import re
from dataclasses import replace

from rasterio.crs import CRS
from rasterio.errors import CRSError

from sr_ops.image.grid import GSD, PIXELS, Axis, Grid, grid_of, pixels_text, times_of, whole_scale
from sr_ops.settings import MAX_SCALE, Settings

from ..config import check_kernel
from ..errors import ErrorType, ImageError
from .header import Header, Transform

_ELLIPSOID = re.compile(r'(?:SPHEROID|ELLIPSOID)\s*\[\s*"(?:[^"]|"")*"\s*,\s*([\d.eE+-]+)\s*,\s*([\d.eE+-]+)')
"""Semi-major axis, in metres, and inverse flattening in WKT; 0 means a sphere."""

_SAME = 1e-6
"""How far a ratio may be from 1, because of rounded degrees or feet."""


def sized(settings: Settings, header: Header) -> Settings:
    """Return the settings with this image's result size in pixels, and the whole scale it is reduced from.

    Raises:
        ImageError: unsupported; the result would be no larger than the image, smaller along an axis, or too large; the
            image's pixels have no known length; or the kernel is impossible at that scale.
    """
    told = settings.result_size
    if not told:
        return settings
    size = _by_ground(told, header) if told.startswith(GSD) else grid_of(settings, header.height, header.width).size
    _check_size(told, size, header)
    grid = Grid(Axis(header.height, size[0]), Axis(header.width, size[1]), settings.scale)
    scale = settings.scale if times_of(settings) is not None else whole_scale(grid)
    try:
        check_kernel(settings.kernel, scale)
    except ValueError as error:
        raise _unsupported(f"{error}; its result is reduced from x{scale}") from error
    return replace(settings, scale=scale, result_size=pixels_text(*size))


def pixel_length(header: Header) -> tuple[float, float] | None:
    """Return the distance of neighbouring pixel centres, across and down, in metres; None if the file does not say.

    It is in the units of the map, whose metres are not those of the ground, least of all in Mercator's projection.
    Degrees are converted at the latitude of the image's centre on the ellipsoid of the CRS.
    """
    georef = header.georef
    if georef is None or georef.crs is None or georef.transform is None:
        return None
    try:
        crs = CRS.from_wkt(georef.crs)
        unit = crs.units_factor[1]
    except CRSError:
        return None
    across = down = unit
    if crs.is_geographic:
        ellipsoid = _ELLIPSOID.search(georef.crs)
        if ellipsoid is None:
            return None
        across, down = _arcs(georef.transform, header, unit, float(ellipsoid[1]), float(ellipsoid[2]))
    a, b, _, d, e, _ = georef.transform
    lengths = math.hypot(a * across, d * down), math.hypot(b * across, e * down)
    return lengths if all(0 < length < math.inf for length in lengths) else None


def _arcs(
    transform: Transform, header: Header, unit: float, equator: float, inverse_flattening: float
) -> tuple[float, float]:
    """Return the metres per unit of longitude and of latitude at the centre of an image."""
    _, _, _, d, e, f = transform
    latitude = (f + d * header.width / 2 + e * header.height / 2) * unit
    if not math.isfinite(latitude):
        return math.nan, math.nan
    flattening = 1 / inverse_flattening if inverse_flattening else 0.0
    squared = flattening * (2 - flattening)
    bend = 1 - squared * math.sin(latitude) ** 2
    meridian = equator * (1 - squared) / bend**1.5
    return equator / math.sqrt(bend) * math.cos(latitude) * unit, meridian * unit


def _by_ground(told: str, header: Header) -> tuple[int, int]:
    """Return height and width of a result with pixels of this length. Raises ImageError."""
    target = float(told.removeprefix(GSD))
    lengths = pixel_length(header)
    if lengths is None:
        raise _unsupported(
            "it does not say how long its pixels are on the ground, by a transform and a CRS; use --scale or"
            " --target-size instead of --target-gsd"
        )
    if target > min(lengths) * (1 + _SAME) or target > max(lengths) * (1 - _SAME):
        across, down = lengths
        raise _unsupported(
            f"its pixels are {across:.6g} m wide and {down:.6g} m high, and those of the result, of {target:g} m, would"
            f" be no shorter; give a --target-gsd below {min(lengths):.6g}"
        )
    across, down = (max(1.0, length / target) for length in lengths)
    if max(across, down) > MAX_SCALE * (1 + _SAME):
        raise _unsupported(
            f"its pixels are {max(lengths):.6g} m long, more than {MAX_SCALE} times the {target:g} m asked for; give a"
            f" --target-gsd from {max(lengths) / MAX_SCALE:.6g}"
        )
    return math.floor(header.height * down + 0.5), math.floor(header.width * across + 0.5)


def _check_size(told: str, size: tuple[int, int], header: Header) -> None:
    """Raise ImageError for a size that cannot be made."""
    (height, width), option = size, "--target-size" if told.startswith(PIXELS) else "scale"
    option = "--target-gsd" if told.startswith(GSD) else option
    asked = f"it is {header.width} x {header.height} pixels, and its result would be {width} x {height}"
    if height < header.height or width < header.width:
        raise _unsupported(f"{asked}, fewer on a side; give a larger {option}")
    if size == (header.height, header.width):
        remedy = "a smaller" if told.startswith(GSD) else "a larger"
        raise _unsupported(f"{asked}, no more; give {remedy} {option}")
    if height > MAX_SCALE * header.height or width > MAX_SCALE * header.width:
        raise _unsupported(f"{asked}, more than {MAX_SCALE} times as many on a side; give a smaller {option}")


def _unsupported(message: str) -> ImageError:
    return ImageError(ErrorType.UNSUPPORTED, message)
