"""What GDAL is needed for, loaded when it is: rasterio takes longer to load than a small picture to decode."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from ...errors import ErrorType, ImageError
from ..header import FileLimits, OpenPicture
from .tiff_tags import TiffTags


def open_raster(path: str, tiff: TiffTags | None, limits: FileLimits) -> OpenPicture:
    """Open a file as `GdalFile` does. Raises ImageError if rasterio is missing, too."""
    with _needs_rasterio():
        from .gdal_files import GdalFile
    return GdalFile(path, tiff, limits)


def read_png(path: str) -> NDArray[Any]:
    """Return (C, h, w) of a PNG as stored, with all bits. Raises ImageError if rasterio is missing."""
    with _needs_rasterio():
        from . import gdal_files
    return gdal_files.read_png(path)


@contextmanager
def _needs_rasterio() -> Iterator[None]:
    """Guard the import of rasterio, which a bare checkout lacks."""
    try:
        yield
    except ImportError as error:
        message = f"reading it needs rasterio, which is not installed ({error})"
        raise ImageError(ErrorType.UNSUPPORTED, message) from error
