"""Raster files of given numbers, and what srpipe reads of them."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin

from pipeline.codec import from_json, to_json
from pipeline.errors import ImageError
from pipeline.imagery.header import FileLimits, Header, Pixels
from pipeline.imagery.reading.routing import open_file

RNG = np.random.default_rng(0)
UTM, PLACE = "EPSG:32618", from_origin(101985.0, 2826915.0, 300.0, 300.0)


def random_values(dtype: str, *shape: int) -> np.ndarray:
    """Any numbers of a type."""
    if dtype == "float32":
        return (RNG.standard_normal(shape) * 1e4).astype(np.float32)
    limits = np.iinfo(dtype)
    return RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def write_values(path: Path, values: np.ndarray, driver: str = "GTiff", **profile: Any) -> str:
    """Write (bands, height, width) by GDAL; its path."""
    count, height, width = values.shape
    sizes = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver=driver, **{**sizes, **profile}) as dataset:
            dataset.write(values)
    return str(path)


def read_raster(path: str, rows: slice | None = None, columns: slice | None = None) -> tuple[Header, Pixels]:
    """What srpipe reads of a raster, of the whole by default."""
    image = open_file(path, FileLimits())
    header = image.header
    pixels = image.window(rows or slice(0, header.height), columns or slice(0, header.width))
    image.close()
    assert from_json(Header, to_json(header)).bands == header.bands
    assert str(pixels.samples.dtype) == header.dtype
    assert (pixels.mask is not None) == header.mask
    return header, pixels


def error_of(path: str, limits: FileLimits | None = None) -> ImageError:
    """What srpipe says of a raster that it refuses."""

    def read() -> None:
        image = open_file(path, limits or FileLimits())
        image.window(slice(0, image.header.height), slice(0, image.header.width))

    with pytest.raises(ImageError) as caught:
        read()
    return caught.value


def xmp_of(orientation: int) -> bytes:
    """XMP that names an orientation."""
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}" tiff:Make="x"/>
</rdf:RDF></x:xmpmeta>""".encode()


def edited(path: str, change: Callable[[Any], object]) -> str:
    """The file, changed in place by GDAL."""
    with rasterio.open(path, "r+") as dataset:
        change(dataset)
    return path


def plain_tags(width: int, height: int, bits: int, bands: int = 1, photometric: int | None = None) -> dict[int, Any]:
    """Tags of an uncompressed TIFF."""
    photometric = (2 if bands >= 3 else 1) if photometric is None else photometric
    tags: dict[int, Any] = {256: (4, width), 257: (4, height), 258: (3, [bits] * bands), 259: (3, 1)}
    return {**tags, 262: (3, photometric), 277: (3, bands), 278: (4, height)}
