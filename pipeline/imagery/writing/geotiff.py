"""GeoTIFF files with all that a header holds."""

import base64
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetWriter, MemoryFile
from rasterio.transform import Affine

from ..header import ALPHA, CMYK, RGB, Georef, Header
from .formats import NO_TAGS
from .gdal_xml import dataset_tags, without_controls

BLOCK = 512
"""Side of the blocks of a file, each of which can be read separately."""

WRITING = {"GDAL_TIFF_INTERNAL_MASK": True, "GTIFF_POINT_GEO_IGNORE": "NO"}
"""GDAL's settings for writing, whatever the environment says. By the second, files whose coordinates are those of pixel
centres would lie half a pixel away."""

_COLOURS = {colour.name.lower(): colour for colour in ColorInterp}


def encode_tif(samples: NDArray[Any], mask: NDArray[np.bool_] | None, header: Header) -> bytes:
    """Encode (C, H, W) as a lossless GeoTIFF in blocks; `mask` (H, W), True for valid pixels, is stored inside.

    If all bands are undefined, TIFF calls the first one grey.

    The header must be returned by `formats.held` for GeoTIFF; if it has a mask, `mask` must be given.
    """
    with rasterio.Env(**WRITING), MemoryFile(ext=".tif") as file:
        with file.open(**_creation_options(header)) as dataset:
            _describe(dataset, header)
            dataset.write(samples)
            if mask is not None:
                dataset.write_mask(mask)
        return bytes(file.read())


def _creation_options(header: Header) -> dict[str, Any]:
    """Return rasterio's options for creating a GeoTIFF."""
    options: dict[str, Any] = {
        "driver": "GTiff",
        "count": len(header.bands),
        "height": header.height,
        "width": header.width,
        "dtype": header.dtype,
        "nodata": header.nodata,
        "compress": "DEFLATE",
        "predictor": 3 if header.dtype == "float32" else 2,
        "tiled": True,
        "blockysize": _block(header.height),
        "blockxsize": _block(header.width),
        "interleave": "pixel",
        "photometric": _photometric(header),
        "alpha": "NO",  # alpha is declared with the colours
        "BIGTIFF": "IF_SAFER",
    }
    if header.icc_profile is not None:
        options["SOURCE_ICC_PROFILE"] = base64.b64encode(header.icc_profile).decode()
    return options


def _describe(dataset: DatasetWriter, header: Header) -> None:
    """Write what the header says into a new GeoTIFF, before any pixel."""
    if header.colours != CMYK:  # of which GDAL would write its own metadata, beside the tag that says so
        dataset.colorinterp = [_COLOURS[colour] for colour in header.colours]
    if header.georef is not None:
        _locate(dataset, header.georef)
    _tag(dataset, 0, dataset_tags(header))
    describe_print(dataset, header)
    for index, band in enumerate(header.bands, 1):
        _tag(dataset, index, dict(band.tags or {}))
        if band.description is not None:
            dataset.set_band_description(index, without_controls(band.description))
        if band.unit is not None:
            dataset.set_band_unit(index, without_controls(band.unit))
    if any((band.scale, band.offset) != (1.0, 0.0) for band in header.bands):
        dataset.scales = [band.scale for band in header.bands]
        dataset.offsets = [band.offset for band in header.bands]


def describe_print(dataset: DatasetWriter, header: Header) -> None:
    """Write the resolution and XMP."""
    if header.dpi is not None:
        across, down = header.dpi
        dataset.update_tags(TIFFTAG_XRESOLUTION=across, TIFFTAG_YRESOLUTION=down, TIFFTAG_RESOLUTIONUNIT=2)
    if header.xmp is not None:
        # GDAL takes the whole document as name=value, which rasterio joins again
        name, _, value = header.xmp.decode().partition("=")
        dataset.update_tags(ns="xml:XMP", **{name: value})


def _locate(dataset: DatasetWriter, georef: Georef) -> None:
    # first, because it decides how GDAL writes all coordinates
    dataset.update_tags(AREA_OR_POINT="Point" if georef.point else "Area")
    if georef.crs is not None:
        dataset.crs = CRS.from_wkt(georef.crs)
    if georef.transform is not None:
        dataset.transform = Affine(*georef.transform)
    if georef.gcps:
        points = [GroundControlPoint(p.row, p.column, p.x, p.y, p.z or 0.0, p.id, p.info) for p in georef.gcps]
        dataset.gcps = (points, CRS.from_wkt(georef.gcps_crs) if georef.gcps_crs else CRS())
    if georef.rpcs is not None:
        dataset.update_tags(ns="RPC", **georef.rpcs)


def _tag(dataset: DatasetWriter, index: int, tags: dict[str, str]) -> None:
    """Write tags of a band, or with index 0 of the picture."""
    plain = {without_controls(name): without_controls(value) for name, value in tags.items()}
    if named := {name: value for name, value in plain.items() if name not in NO_TAGS}:
        dataset.update_tags(index, **named)


def _photometric(header: Header) -> str:
    """Return TIFF's word for the colours; others are kept in GDAL's own metadata, which beside RGB holds only some."""
    first, others = header.colours[: len(RGB)], header.colours[len(RGB) :]
    if first == RGB and {*others} <= {"undefined", ALPHA}:
        return "RGB"
    return "CMYK" if header.colours[: len(CMYK)] == CMYK else "MINISBLACK"


def _block(side: int) -> int:
    """Return the side of a block, a multiple of 16 as TIFF requires."""
    return min(BLOCK, -(-side // 16) * 16)
