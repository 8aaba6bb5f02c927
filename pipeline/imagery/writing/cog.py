"""A cloud optimized GeoTIFF from tiles that arrive one by one, in memory that does not grow with the picture."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # GDAL's errors that rasterio does not expect
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ...errors import ErrorType, ImageError
from ..header import Header
from .georef import part
from .geotiff import BLOCK, WRITING, describe_print, encode_tif
from .mosaic import Placed, vrt

_CACHE = 128 * 2**20
"""Bytes of blocks in GDAL's cache."""

_OPEN = 16
"""Tiles that GDAL keeps open, each of which costs some megabytes."""

_OPTIONS = {
    "BLOCKSIZE": BLOCK,
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    "OVERVIEW_RESAMPLING": "AVERAGE",  # without nodata and masked pixels
    "BIGTIFF": "IF_SAFER",
    "NUM_THREADS": 1,
}


class CogFile:
    """Its tiles lie in a folder until it is written; they grow to about the size of the file."""

    def __init__(self, header: Header, folder: str) -> None:
        """`header` must be returned by `formats.held` for COG; `folder` must be empty, and on a local disk."""
        self._header = header
        self._folder = folder
        self._tiles: list[Placed] = []

    def add(self, top: int, left: int, samples: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
        """Add (C, h, w) at its place, with its mask (h, w) if the header has one.

        Where nothing is added, the picture is nodata, or else 0, and masked.

        Raises:
            ImageError: write; for example because the disk is full.
        """
        _, height, width = samples.shape
        tile = Placed(f"{len(self._tiles)}.tif", top, left, height, width)
        data = encode_tif(samples, mask, part(self._header, top, left, height, width))
        path = os.path.join(self._folder, tile.name)
        with _writing(path), open(path, "xb") as file:
            file.write(data)
        self._tiles.append(tile)

    def finish(self, path: str) -> None:
        """Write the whole picture with overviews to a file on a local disk. On failure half a file may remain.

        Raises:
            ImageError: write; for example because the disk is full.
        """
        mosaic = os.path.join(self._folder, "mosaic.vrt")
        limits = {"GDAL_CACHEMAX": _CACHE, "GDAL_MAX_DATASET_POOL_SIZE": _OPEN}
        with _writing(path), rasterio.Env(**WRITING, **limits):
            with open(mosaic, "wb") as file:
                file.write(vrt(self._header, self._tiles))
            with rasterio.open(mosaic, "r+") as whole:
                describe_print(whole, self._header)
                rasterio.shutil.copy(whole, path, driver="COG", **_OPTIONS)
            with rasterio.open(mosaic) as whole, rasterio.open(path) as written:
                if not _equal(whole, written, self._header.mask):
                    raise OSError("what was written is not what is read")


def _equal(one: DatasetReader, other: DatasetReader, masked: bool) -> bool:
    """Compare all pixels. GDAL does not report errors at the end of a file, so this is the only way to notice them."""
    for _, window in other.block_windows(1):
        if one.read(window=window).tobytes() != other.read(window=window).tobytes():
            return False
        if masked and not np.array_equal(one.dataset_mask(window=window), other.dataset_mask(window=window)):
            return False
    return True


@contextmanager
def _writing(path: str) -> Iterator[None]:
    """Turn any error into an error of writing that file."""
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:  # SystemError: "Unknown GDAL Error"
        reason = str(error).rstrip(".")
        message = f"cannot write {path}: {reason}; check space and access, then run again"
        raise ImageError(ErrorType.WRITE, message) from error
