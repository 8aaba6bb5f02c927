"""Rasters as files, for the tests of what reads them."""

from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray


def write_raster(path: Path, samples: NDArray[Any], mask: NDArray[np.bool_] | None = None, **profile: Any) -> Path:
    """Write (bands, H, W); give the path.

    Args:
        mask: (H, W), to be written inside the file.
        profile: rasterio's, beyond size and type; a GeoTIFF that lies nowhere if nothing else is said.
    """
    bands, height, width = samples.shape
    shape = {"driver": "GTiff", "count": bands, "height": height, "width": width, "dtype": samples.dtype}
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "w", **{**shape, **profile}) as raster:
        raster.write(samples)
        if mask is not None:
            raster.write_mask(mask)
    return path
