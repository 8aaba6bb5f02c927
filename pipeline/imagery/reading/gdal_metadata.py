"""Metadata of a raster from GDAL: its georeference, and the meaning of its bands."""

import math
from collections.abc import Mapping
from typing import Any

from ..header import Band, Georef, GroundPoint, Transform
from .tiff_tags import INCHES

RESOLUTION = ("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT")

_CARRIED_DOMAINS = {"", "RPC", "EXIF", "xml:XMP"}

_OWN_DOMAINS = {"IMAGE_STRUCTURE", "DERIVED_SUBDATASETS", "SUBDATASETS", "COLOR_PROFILE", "rio_creation_kwds"}
"""Metadata domains that GDAL derives from the file's structure."""

_GML = "xml:gml.root-instance"
"""The domain of the GML from which GDAL reads the place of a JPEG 2000."""

_RPC_NUMBERS = {
    **{f"{axis}_{kind}": 1 for axis in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT") for kind in ("OFF", "SCALE")},
    **{f"{axis}_{part}_COEFF": 20 for axis in ("LINE", "SAMP") for part in ("NUM", "DEN")},
}
"""How many numbers each item of RPCs has, by GDAL's names."""

_MORE_OF_RPCS = {"ERR_BIAS", "ERR_RAND", "MIN_LONG", "MIN_LAT", "MAX_LONG", "MAX_LAT"}
"""Items that RPCs may have besides."""

_ACTUAL_RANGE = "actual_range"
"""NetCDF's name for the least and the largest sample in the file, in lower case."""


def read_georef(dataset: Any) -> Georef | None:
    points, points_crs = dataset.gcps
    rpcs = _rpcs(dataset)
    crs = dataset.crs.to_wkt() if dataset.crs else None
    transform = None if dataset.transform.is_identity else Transform(*dataset.transform[:6])  # GDAL's word for none
    if not (points or rpcs or crs or transform):
        return None
    return Georef(
        crs=crs,
        transform=transform,
        point=dataset.tags().get("AREA_OR_POINT") == "Point",
        gcps=tuple(
            GroundPoint(point.row, point.col, point.x, point.y, point.z, point.id or "", point.info or "")
            for point in points
        ),
        gcps_crs=points_crs.to_wkt() if points and points_crs else None,
        rpcs=rpcs or None,
    )


def _rpcs(dataset: Any) -> dict[str, str]:
    """Return the RPCs by GDAL's names, and nothing if they are incomplete or not made of numbers."""
    rpcs = dict(dataset.tags(ns="RPC"))
    for name, count in _RPC_NUMBERS.items():
        words = rpcs.get(name, "").split()[:count]  # a unit may follow: "2199.00 pixels"
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            return {}
        if len(numbers) < count or not all(map(math.isfinite, numbers)):
            return {}
    return {name: text for name, text in rpcs.items() if name in {*_RPC_NUMBERS, *_MORE_OF_RPCS}}


def is_thematic(dataset: Any) -> bool:
    """Return whether a band says that it holds classes, by the tag that ERDAS and GDAL use."""
    return any(dataset.tags(index).get("LAYER_TYPE", "").lower() == "thematic" for index in dataset.indexes)


def lost_notes(dataset: Any, georef: Georef | None) -> tuple[str, ...]:
    """Return notes about the metadata that is not carried over."""
    notes = []
    rpcs, carried = dataset.tags(ns="RPC"), (georef and georef.rpcs) or {}
    if rpcs and not carried:
        notes.append("its RPCs, which are incomplete or no numbers, are not carried over")
    elif rpcs.keys() > carried.keys():
        notes.append(f"its RPC items {', '.join(sorted(rpcs.keys() - carried.keys()))} are not carried over")
    of_bands = (dataset.tag_namespaces(index) for index in range(dataset.count + 1))
    told = {_GML} if georef is not None else set[str]()
    domains = sorted(set().union(*of_bands) - _CARRIED_DOMAINS - _OWN_DOMAINS - told)
    if domains:
        notes.append(f"its metadata of the domains {', '.join(domains)} is not carried over")
    return tuple(notes)


def read_bits(dataset: Any, dtype: str) -> int | None:
    """Return the most bits per sample of any band if all bands have fewer than their integer type holds; else None."""
    bits = [dataset.tags(index, ns="IMAGE_STRUCTURE").get("NBITS") for index in range(1, dataset.count + 1)]
    return max(map(int, bits)) if all(bits) and not dtype.startswith("float") else None


def read_band(dataset: Any, index: int, colour: str) -> Band:
    return Band(
        colour=colour,
        description=_text(dataset, "descriptions", index),
        scale=dataset.scales[index - 1],
        offset=dataset.offsets[index - 1],
        unit=_text(dataset, "units", index),
        tags=lasting_tags(dataset.tags(index), ()) or None,
    )


def _text(dataset: Any, field: str, index: int) -> str | None:
    """Return a band's text; None if that of any band is not in UTF-8, for then rasterio has none of them."""
    try:
        text: str | None = getattr(dataset, field)[index - 1]
    except UnicodeDecodeError:
        return None
    return text


def lasting_tags(tags: Mapping[str, str], without: tuple[str, ...]) -> dict[str, str]:
    """Return the tags that also hold for the enlarged picture: no statistics, and none that are header fields."""
    dropped = (*without, "AREA_OR_POINT")
    return {name: text for name, text in tags.items() if name not in dropped and not _is_statistic(name)}


def _is_statistic(name: str) -> bool:
    """Return whether a tag tells of the input's samples; GDAL may put NetCDF's variable and # before its name."""
    return name.startswith("STATISTICS_") or name.rpartition("#")[2].lower() == _ACTUAL_RANGE


def jp2_dpi(tags: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the resolution from the resolution box, which GDAL reports as TIFF tags."""
    by_digit = {str(unit): inches for unit, inches in INCHES.items()}
    inches = by_digit.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "")[:1])
    if inches is None:
        return None
    across, down = (float(tags.get(name, "0")) * inches for name in RESOLUTION[:2])
    return (across, down) if across > 0 and down > 0 else None
