"""Elements of GDAL's XML files (.aux.xml and .vrt) that describe a picture and its bands."""

import base64
import re
from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..header import Band, GroundPoint, Header

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

_COLOURS = {"y": "YCbCr_Y", "cb": "YCbCr_Cb", "cr": "YCbCr_Cr", "other_ir": "OtherIR"}
"""Colours whose names in XML differ from the short ones."""


def number(value: float) -> str:
    """Write a float64 so that the same value is read back."""
    return f"{value:.17g}"


def dataset_tags(header: Header) -> dict[str, str]:
    """Return the picture's tags, and whether coordinates are of pixel centres or corners."""
    tags = dict(header.tags or {})
    if header.georef is not None:
        tags["AREA_OR_POINT"] = "Point" if header.georef.point else "Area"
    return tags


def add_dataset(parent: Element, header: Header) -> None:
    """Add georeference and tags of the picture."""
    georef = header.georef
    if georef is not None and georef.crs is not None:
        _add_text(parent, "SRS", georef.crs)
    if georef is not None and georef.transform is not None:
        a, b, c, d, e, f = georef.transform
        _add_text(parent, "GeoTransform", ", ".join(map(number, (c, a, b, f, d, e))))
    if georef is not None and georef.gcps:
        gcps = SubElement(parent, "GCPList", {"Projection": georef.gcps_crs or ""})
        for gcp in georef.gcps:
            SubElement(gcps, "GCP", _gcp(gcp))
    _add_tags(parent, dataset_tags(header), None)
    if georef is not None and georef.rpcs is not None:
        _add_tags(parent, georef.rpcs, "RPC")
    if header.icc_profile is not None:
        profile = base64.b64encode(header.icc_profile).decode()
        _add_tags(parent, {"SOURCE_ICC_PROFILE": profile}, "COLOR_PROFILE")


def add_band(parent: Element, band: Band, nodata: float | None) -> None:
    """Add what describes a band."""
    if band.description is not None:
        _add_text(parent, "Description", band.description)
    if nodata is not None:
        _add_text(parent, "NoDataValue", number(nodata))
    if band.unit is not None:
        _add_text(parent, "UnitType", band.unit)
    if (band.scale, band.offset) != (1.0, 0.0):
        _add_text(parent, "Offset", number(band.offset))
        _add_text(parent, "Scale", number(band.scale))
    _add_text(parent, "ColorInterp", _COLOURS.get(band.colour, band.colour))
    _add_tags(parent, band.tags or {}, None)


def to_bytes(root: Element) -> bytes:
    """Return the XML in UTF-8, indented."""
    ElementTree.indent(root)
    return ElementTree.tostring(root) + b"\n"


def without_controls(text: str) -> str:
    """Return the text without characters that XML cannot hold: most control characters and lone surrogates."""
    return _NOT_IN_XML.sub("", text)


def _gcp(gcp: GroundPoint) -> dict[str, str]:
    places = {"Pixel": gcp.column, "Line": gcp.row, "X": gcp.x, "Y": gcp.y, "Z": gcp.z or 0.0}
    return {
        "Id": without_controls(gcp.id),
        "Info": without_controls(gcp.info),
        **{name: number(place) for name, place in places.items()},
    }


def _add_tags(parent: Element, tags: Mapping[str, str], domain: str | None) -> None:
    if tags:
        metadata = SubElement(parent, "Metadata", {} if domain is None else {"domain": domain})
        for name, value in tags.items():
            SubElement(metadata, "MDI", {"key": without_controls(name)}).text = without_controls(value)


def _add_text(parent: Element, name: str, text: str) -> None:
    SubElement(parent, name).text = without_controls(text)
