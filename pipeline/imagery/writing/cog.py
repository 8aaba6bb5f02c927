"""A cloud optimized GeoTIFF of tiles that come one after another, with memory that does not grow with the picture."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import numpy as np
import rasterio
import rasterio.shutil
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError  # what GDAL says comes as this where rasterio does not expect it
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ...errors import ErrorType, ImageError
from ..header import Header
from .georef import part
from .geotiff import BLOCK, describe_print, encode_tif
from .mosaic import Placed, vrt

_CACHE = 128 * 2**20
"""Bytes of blocks that GDAL may hold."""

_OPEN = 16
"""Tiles that GDAL keeps open; each costs some megabytes."""

_OPTIONS = {
    "BLOCKSIZE": BLOCK,
    "COMPRESS": "DEFLATE",
    "PREDICTOR": "YES",
    "OVERVIEW_RESAMPLING": "AVERAGE",  # of pixels that are neither nodata nor masked
    "BIGTIFF": "IF_SAFER",
    "NUM_THREADS": 1,
}


class CogFile:
    """Use as a context: its scratch folder, which grows to about the size of the file, is removed when it is left."""

    def __init__(self, header: Header, folder: str) -> None:
        """`header` must be one that `formats.held` gives for COG; `folder` is on a local disk. Raises OSError."""
        self._header = header
        self._scratch = tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder)
        self._tiles: list[Placed] = []

    def add(self, top: int, left: int, samples: NDArray[Any], mask: NDArray[np.bool_] | None) -> None:
        """Put (C, h, w) in its place, with (h, w) of the mask when the header has one.

        Where nothing is put, there is nodata, or 0 without that, and it is masked.

        Raises:
            ImageError: write; the disk is full, or the like.
        """
        _, height, width = samples.shape
        tile = Placed(f"{len(self._tiles)}.tif", top, left, height, width)
        data = encode_tif(samples, mask, part(self._header, top, left, height, width))
        path = os.path.join(self._scratch.name, tile.name)
        with _writing(path), open(path, "xb") as file:
            file.write(data)
        self._tiles.append(tile)

    def finish(self, path: str) -> None:
        """Write the whole picture with overviews to a file on a local disk. May leave half a file when it fails.

        Raises:
            ImageError: write; the disk is full, or the like.
        """
        write_cog(self._header, self._scratch.name, self._tiles, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.cleanup()


def write_cog(header: Header, folder: str, tiles: Sequence[Placed], path: str) -> None:
    """Make one file of GeoTIFFs that lie in a folder on a local disk. May leave half a file when it fails.

    Raises:
        ImageError: write; the disk is full, or the like.
    """
    mosaic = os.path.join(folder, "mosaic.vrt")
    limits = {"GDAL_CACHEMAX": _CACHE, "GDAL_MAX_DATASET_POOL_SIZE": _OPEN}
    with _writing(path), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True, **limits):
        with open(mosaic, "wb") as file:
            file.write(vrt(header, tiles))
        with rasterio.open(mosaic, "r+") as whole:
            describe_print(whole, header)
            rasterio.shutil.copy(whole, path, driver="COG", **_OPTIONS)
        with rasterio.open(mosaic) as whole, rasterio.open(path) as written:
            if not _equal(whole, written, header.mask):
                raise OSError("what was written is not what is read")


def _equal(one: DatasetReader, other: DatasetReader, masked: bool) -> bool:
    """Pixel for pixel. GDAL's errors of writing a file's end are not passed on, so a look is the only way to know."""
    for _, window in other.block_windows(1):
        if one.read(window=window).tobytes() != other.read(window=window).tobytes():
            return False
        if masked and not np.array_equal(one.dataset_mask(window=window), other.dataset_mask(window=window)):
            return False
    return True


@contextmanager
def _writing(path: str) -> Iterator[None]:
    """Whatever goes wrong is an error of writing that file."""
    try:
        yield
    except (OSError, RasterioError, CPLE_BaseError, SystemError) as error:  # SystemError: "Unknown GDAL Error"
        reason = str(error).rstrip(".")
        message = f"cannot write {path}: {reason}; check space and access, then run again"
        raise ImageError(ErrorType.WRITE, message) from error
