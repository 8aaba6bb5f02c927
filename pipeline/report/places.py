"""The places of georeferenced results on Earth, for a map that needs no server."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, cos, floor, radians

import pyarrow as pa
from rasterio._err import CPLE_BaseError  # GDAL's errors that rasterio does not expect
from rasterio.crs import CRS
from rasterio.errors import CRSError, RasterioError
from rasterio.warp import transform as reproject

from ..output.status import WRITTEN

DRAWN = 1_000
"""Most footprints drawn; if there are more, every n-th is drawn."""

_HALF_A_TURN = 0.5 + 1e-6
"""In turns; a little more than half, for rasters that are as wide as the Earth."""

_LEAST_SPAN = 0.02
"""Smallest extent of a map in degrees."""

_WIDTH, _HEIGHT = 960.0, 440.0
"""Size of the map, in units of the picture."""

_SMALLEST = 7.0
"""In units; a smaller footprint gets a ring around it."""

_STEPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30)
"""Degrees between two lines."""

_CORNERS = ((0, 0), (0.5, 0), (1, 0), (1, 0.5), (1, 1), (0.5, 1), (0, 1), (0, 0.5))
"""Points of a footprint as shares of width and height; with midpoints, since edges may be curved on the map."""


@dataclass(frozen=True)
class Footprint:
    """One image on the map, in units of the picture."""

    row: int
    """Row of the table."""
    key: str
    words: str
    """Its centre, written for people."""
    points: str
    x: float
    y: float
    is_small: bool


@dataclass(frozen=True)
class Map:
    """Plate carrée, with degrees of longitude shortened as at its centre."""

    width: float
    height: float
    scale: tuple[float, float]
    """Units per degree, to the east and to the south."""
    origin: tuple[float, float]
    """Position of longitude 0 and latitude 0."""
    meridians: tuple[tuple[float, str], ...]
    parallels: tuple[tuple[float, str], ...]
    footprints: tuple[Footprint, ...]
    placed: int
    """Images with a place; if more than DRAWN, not all are drawn."""


Ring = list[tuple[float, float]]
"""The points of a footprint: longitudes and latitudes."""


def map_of(table: pa.Table) -> Map | None:
    """Return a map of the images that were done and are georeferenced; None if there are none."""
    rings = _rings(table)
    if not rings:
        return None
    every = ceil(len(rings) / DRAWN)
    drawn = dict(list(rings.items())[::every])
    west, east = _wide_enough([x for ring in drawn.values() for x, _ in ring])
    south, north = _wide_enough([y for ring in drawn.values() for _, y in ring])
    shorter = max(0.2, cos(radians((south + north) / 2)))
    per_degree = min(_WIDTH / ((east - west) * shorter), _HEIGHT / (north - south))
    scale = (per_degree * shorter, per_degree)
    middle = ((west + east) / 2, (south + north) / 2)
    origin = (_WIDTH / 2 - middle[0] * scale[0], _HEIGHT / 2 + middle[1] * scale[1])
    keys = table["key"].to_pylist()
    meridians = _lines(origin[0], scale[0], _WIDTH, 1, "EW")
    parallels = _lines(origin[1], scale[1], _HEIGHT, -1, "NS")
    footprints = tuple(_footprint(row, keys[row], ring, scale, origin) for row, ring in drawn.items())
    return Map(_WIDTH, _HEIGHT, scale, origin, meridians, parallels, footprints, len(rings))


def _rings(table: pa.Table) -> dict[int, Ring]:
    """Return footprints by row; those that cannot be converted to degrees are left out."""
    columns = (table[name].to_pylist() for name in ("status", "crs", "transform", "sr_width", "sr_height"))
    rows: dict[str, list[tuple[int, Sequence[float], int, int]]] = {}
    for row, (status, crs, transform, width, height) in enumerate(zip(*columns, strict=True)):
        if status in WRITTEN and crs and transform and width and height:
            rows.setdefault(crs, []).append((row, transform, width, height))
    rings: dict[int, Ring] = {}
    for crs, placed in rows.items():
        corners = {row: _corners(transform, width, height) for row, transform, width, height in placed}
        together = _in_degrees(crs, [point for ring in corners.values() for point in ring])
        for index, (row, ring) in enumerate(corners.items()):
            if together is None:  # one invalid footprint fails all of them
                found = _in_degrees(crs, ring)
            else:
                found = together[index * len(_CORNERS) : (index + 1) * len(_CORNERS)]
            if found is not None and all(abs(x) <= 360 and abs(y) <= 90.001 for x, y in found):  # infinite ones are not
                rings[row] = _in_one_piece(found)
    return dict(sorted(rings.items()))


def _corners(transform: Sequence[float], width: int, height: int) -> Ring:
    """Return the corners in the units of the CRS."""
    a, b, c, d, e, f = transform
    places = [(across * width, down * height) for across, down in _CORNERS]
    return [(a * column + b * row + c, d * column + e * row + f) for column, row in places]


def _in_degrees(crs: str, points: Ring) -> Ring | None:
    """Return longitudes and latitudes; None if GDAL cannot compute them."""
    try:
        found = reproject(CRS.from_user_input(crs), CRS.from_epsg(4326), *map(list, zip(*points, strict=True)))
    except (RasterioError, CRSError, CPLE_BaseError):
        return None
    return list(zip(found[0], found[1], strict=True))


def _in_one_piece(ring: Ring) -> Ring:
    """Use longitudes above 180 across the date line, which is where neighbours are more than half a turn apart."""
    longitudes = [ring[0][0]]
    for x, _ in ring[1:]:
        turns = (longitudes[-1] - x) / 360
        longitudes.append(x + 360 * round(turns) if abs(turns) > _HALF_A_TURN else x)
    east = 360 if min(longitudes) < -360 * _HALF_A_TURN else 0
    return [(x + east, y) for x, (_, y) in zip(longitudes, ring, strict=True)]


def _wide_enough(degrees: list[float]) -> tuple[float, float]:
    low, high = min(degrees), max(degrees)
    span = max(_LEAST_SPAN, (high - low) * 1.35)
    return (low + high - span) / 2, (low + high + span) / 2


def _lines(origin: float, scale: float, size: float, sign: int, names: str) -> tuple[tuple[float, str], ...]:
    """Return the positions on the map of lines at whole steps of degrees, and their labels."""
    first, last = sorted(((0 - origin) / scale * sign, (size - origin) / scale * sign))
    step = next((step for step in _STEPS if (last - first) / step <= 8), _STEPS[-1])
    lines = []
    for index in range(ceil(first / step), floor(last / step) + 1):
        degrees = round(index * step, 3)
        name = names[0] if degrees > 0 else names[1] if degrees < 0 else ""
        lines.append((round(origin + degrees * scale * sign, 1), f"{abs(degrees):g}° {name}".rstrip()))
    return tuple(lines)


def _footprint(row: int, key: str, ring: Ring, scale: tuple[float, float], origin: tuple[float, float]) -> Footprint:
    points = [(origin[0] + x * scale[0], origin[1] - y * scale[1]) for x, y in ring]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    longitude, latitude = (sum(point[axis] for point in ring) / len(ring) for axis in (0, 1))
    words = f"{abs(latitude):.3f}° {'NS'[latitude < 0]}, {abs(longitude):.3f}° {'EW'[longitude < 0]}"
    return Footprint(
        row=row,
        key=key,
        words=words,
        points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points),
        x=round(sum(xs) / len(xs), 1),
        y=round(sum(ys) / len(ys), 1),
        is_small=max(max(xs) - min(xs), max(ys) - min(ys)) < _SMALLEST,
    )
