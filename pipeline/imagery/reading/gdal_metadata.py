"""Metadata of a raster from GDAL: its georeference, and the meaning of its bands."""

from collections.abc import Mapping
from typing import Any

from ..header import Band, Georef, GroundPoint, Transform

RESOLUTION = ("TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT")


def read_georef(dataset: Any) -> Georef | None:
    points, points_crs = dataset.gcps
    rpcs = dict(dataset.tags(ns="RPC"))
    crs = dataset.crs.to_wkt() if dataset.crs else None
    transform = None if dataset.transform.is_identity and not crs else Transform(*dataset.transform[:6])
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
    return {name: text for name, text in tags.items() if name not in dropped and not name.startswith("STATISTICS_")}


def jp2_dpi(tags: Mapping[str, str]) -> tuple[float, float] | None:
    """Return the resolution from the resolution box, which GDAL reports as TIFF tags."""
    unit = {"2": 1.0, "3": 2.54}.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "")[:1])
    if unit is None:
        return None
    across, down = (float(tags.get(name, "0")) * unit for name in RESOLUTION[:2])
    return (across, down) if across > 0 and down > 0 else None
