"""Good rasters of the Earth: GeoTIFF of many types, compressions and layouts, COG, JPEG 2000 with a place."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp, Resampling
from rasterio.io import MemoryFile

_PLACE = rasterio.Affine(10.0, 0.5, 500_000.0, 0.25, -10.0, 5_800_000.0)

_RPC = {
    **dict.fromkeys(("LINE_OFF", "SAMP_OFF", "LAT_OFF", "LONG_OFF", "HEIGHT_OFF"), "50"),
    **dict.fromkeys(("LINE_SCALE", "SAMP_SCALE", "LAT_SCALE", "LONG_SCALE", "HEIGHT_SCALE"), "40"),
    **{f"{name}_COEFF": " ".join(["1", *["0.001"] * 19]) for name in ("LINE_NUM", "LINE_DEN", "SAMP_NUM", "SAMP_DEN")},
}

_LAYOUTS: dict[str, dict[str, Any]] = {
    **{
        f"{compression}-{interleave}": {"compress": compression, "interleave": interleave}
        for compression in ("none", "lzw", "deflate", "packbits", "zstd", "lzma", "lerc", "webp")
        for interleave in (("pixel",) if compression == "webp" else ("pixel", "band"))
    },
    "tiled": {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "predictor": 2},
    "ycbcr": {"compress": "jpeg", "photometric": "ycbcr"},
    "big": {"BIGTIFF": "YES", "tiled": True, "blockxsize": 16, "blockysize": 16},
    "motorola": {"ENDIANNESS": "BIG"},
    "strips": {"blockysize": 1, "compress": "lzw"},
    "alpha": {"count": 4, "photometric": "rgb", "alpha": "yes"},
    "premultiplied": {"count": 4, "photometric": "rgb", "alpha": "premultiplied"},
    "many": {"count": 9, "interleave": "band"},
    "one": {"count": 1, "nodata": 0},
    "bits": {"count": 1, "nbits": 1},
    "inverted": {"count": 1, "photometric": "miniswhite"},
    "sparse": {"SPARSE_OK": "TRUE", "nodata": 7, "tiled": True, "blockxsize": 16, "blockysize": 16},
}
"""All of 8 bits and three bands where nothing else is said."""


def rasters() -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each."""
    for name, options in _LAYOUTS.items():
        yield name, _geotiff(_values("uint8", options.get("count", 3)), **options)
    for dtype in ("int8", "uint16", "int16", "float32"):
        predictor = 3 if dtype == "float32" else 2
        yield dtype, _geotiff(_values(dtype, 2), nodata=1.0, compress="deflate", predictor=predictor)
    yield "12-bits", _geotiff(_values("uint16", 1) & 4095, nbits=12)
    holes = _values("float32", 1)
    holes[:, 5:20, 5:20] = np.nan
    yield "nan", _geotiff(holes, nodata=float("nan"))
    holes[:, :4] = np.inf
    yield "infinite", _geotiff(holes, nodata=None, tiled=True, blockxsize=16, blockysize=16)
    yield "mask", _geotiff(_values("uint8", 3), masked=True, compress="deflate")
    yield "points", _geotiff(_values("uint8", 1), gcps=_points(), crs="EPSG:4326", transform=None)
    yield "rpc", _geotiff(_values("uint16", 1), rpc=True, crs=None, transform=None)
    yield "wgs84", _geotiff(_values("uint8", 3), crs="EPSG:4326", transform=rasterio.Affine(1e-4, 0, 13, 0, -1e-4, 52))
    yield "unplaced", _geotiff(_values("uint16", 3), crs=None, transform=None)
    yield "described", _geotiff(_values("int16", 3), described=True, nodata=-32768)
    for dtype, masked in (("uint8", True), ("float32", False)):
        yield f"cog-{dtype}", _cog(_geotiff(_values(dtype, 3, 70, 90), masked=masked))
    for dtype, place in (("uint8", _PLACE), ("uint16", rasterio.Affine(10, 0, 500_000, 0, -10, 5_800_000))):
        options = {"QUALITY": "100", "REVERSIBLE": "YES"}
        yield f"jp2-{dtype}", _raster(_values(dtype, 3), driver="JP2OpenJPEG", transform=place, **options)
    yield "jp2-tiled", _raster(_values("uint8", 1, 70, 90), driver="JP2OpenJPEG", BLOCKXSIZE="32", BLOCKYSIZE="32")


def _values(dtype: str, bands: int, height: int = 37, width: int = 44) -> NDArray[Any]:
    """A slope with noise, (bands, height, width)."""
    slope = np.add.outer(np.arange(height), 2 * np.arange(width))
    noisy: NDArray[Any] = slope + np.random.default_rng(0).integers(0, 32, (bands, height, width))
    return (noisy % 128).astype(dtype)


def _points() -> list[GroundControlPoint]:
    corners = ((0, 0), (0, 44), (37, 0), (37, 44))
    return [GroundControlPoint(row, column, 13 + column / 1e4, 52 - row / 1e4, 30) for row, column in corners]


def _geotiff(samples: NDArray[Any], **profile: Any) -> bytes:
    return _raster(samples, driver="GTiff", **profile)


def _raster(
    samples: NDArray[Any], masked: bool = False, rpc: bool = False, described: bool = False, **profile: Any
) -> bytes:
    bands, height, width = samples.shape
    shape = {"count": bands, "height": height, "width": width, "dtype": samples.dtype}
    place = {"crs": "EPSG:32633", "transform": _PLACE}
    extension = ".jp2" if profile["driver"] == "JP2OpenJPEG" else ".tif"  # by which GDAL knows that boxes are wanted
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile(ext=extension) as file:
        with file.open(**{**place, **shape, **profile}) as raster:
            if rpc:
                raster.update_tags(ns="RPC", **_RPC)
            if described:
                _describe(raster)
            if not profile.get("SPARSE_OK"):
                raster.write(samples)
            else:
                raster.write(samples[:, :16, :16], window=((0, 16), (0, 16)))
            if masked:
                raster.write_mask(samples[0] > 40)
        return bytes(file.read())


def _describe(raster: Any) -> None:
    raster.update_tags(AREA_OR_POINT="Point", SENSOR="a slope", TIFFTAG_IMAGEDESCRIPTION="with noise")
    raster.colorinterp = [ColorInterp.red, ColorInterp.nir, ColorInterp.undefined]
    raster.scales, raster.offsets = (1e-4,) * 3, (-0.1,) * 3
    for band in range(1, 4):
        raster.set_band_description(band, f"B{band:02}")
        raster.set_band_unit(band, "W/m2")


def _cog(data: bytes) -> bytes:
    with MemoryFile(data) as source, source.open() as raster, MemoryFile() as made:
        options = {"BLOCKSIZE": 32, "COMPRESS": "DEFLATE", "OVERVIEW_RESAMPLING": Resampling.average.name.upper()}
        rasterio.shutil.copy(raster, made.name, driver="COG", **options)
        return bytes(made.read())
