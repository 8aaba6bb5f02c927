"""A cloud optimized GeoTIFF from tiles that arrive one by one, in memory that does not grow with the picture."""

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
from rasterio._err import CPLE_BaseError  # GDAL's errors that rasterio does not expect
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from ...errors import ErrorType, ImageError
from ..header import Header
from .georef import part
from .geotiff import BLOCK, describe_print, encode_tif
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
    """Use as a context manager: its scratch folder, which grows to about the size of the file, is deleted then."""

    def __init__(self, header: Header, folder: str) -> None:
        """`header` must be returned by `formats.held` for COG; `folder` must be on a local disk. Raises OSError."""
        self._header = header
        self._scratch = tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder)
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
        path = os.path.join(self._scratch.name, tile.name)
        with _writing(path), open(path, "xb") as file:
            file.write(data)
        self._tiles.append(tile)

    def finish(self, path: str) -> None:
        """Write the whole picture with overviews to a file on a local disk. On failure half a file may remain.

        Raises:
            ImageError: write; for example because the disk is full.
        """
        write_cog(self._header, self._scratch.name, self._tiles, path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._scratch.cleanup()


def write_cog(header: Header, folder: str, tiles: Sequence[Placed], path: str) -> None:
    """Combine GeoTIFFs in a folder on a local disk into one file. On failure half a file may remain.

    Raises:
        ImageError: write; for example because the disk is full.
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
