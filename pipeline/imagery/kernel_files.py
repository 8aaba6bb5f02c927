"""Kernels in files: a table of numbers as .npy, .csv or .tif, by the convention of `sr_ops.kernels`."""

import warnings
from io import BytesIO, StringIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import storage
from ..errors import UsageError

if TYPE_CHECKING:
    from sr_ops.kernels import Kernel

ENDINGS = (".npy", ".csv", ".tif", ".tiff")

_LARGEST_FILE = 1 << 20
"""Bytes: 65 x 65 numbers are a hundred kilobytes as text."""

_SUM_TOLERANCE = 0.01


def read_kernel(uri: str, option: str = "--kernel") -> "Kernel":
    """The kernel in a file, local or on S3.

    A side that is even gets a row or a column of zeros behind it, and an oblong table zeros around it: neither moves
    the tap that belongs to the first HR pixel, which is the one at (height // 2, width // 2).

    Args:
        option: what the file was named by.

    Raises:
        UsageError: there is none, it cannot be read, or it is no kernel; the message tells what was found.
    """
    storage.check_service(uri)
    try:
        data = storage.read(uri)
    except FileNotFoundError as error:
        raise UsageError(f"{option}: nothing is at {uri}; correct the name, or name a kernel") from error
    except OSError as error:
        raise UsageError(f"{option}: cannot read {uri}: {storage.reason(error)}; check access") from error
    try:
        return to_kernel(_table(data, PurePosixPath(uri).suffix.lower()))
    except ValueError as error:
        raise UsageError(f"{option}: {uri} {error}") from error


def to_kernel(table: NDArray[Any]) -> "Kernel":
    """Raises ValueError, with what follows "the file ...", for a table that is no kernel."""
    import torch

    from sr_ops.kernels import MAX_SIDE, Kernel

    if table.ndim != 2 or min(table.shape) == 0:
        raise ValueError(
            f"holds an array of {table.ndim} axes, shape {table.shape}; a kernel has two, rows and columns"
        )
    height, width = table.shape
    side = max(height, width) // 2 * 2 + 1
    if side > MAX_SIDE:
        raise ValueError(
            f"holds {height} x {width} taps; a kernel has at most {MAX_SIDE} x {MAX_SIDE}: cut off its rim"
        )
    if not np.isfinite(table).all():
        raise ValueError("holds taps that are not finite; write numbers")
    total = float(table.sum())
    if total == 0:
        raise ValueError(
            "holds taps that sum to 0; a kernel's sum to 1: give one that keeps what is even as bright as it is"
        )
    if abs(total - 1) > _SUM_TOLERANCE:
        raise ValueError(f"holds taps that sum to {total:.4g}; a kernel's sum to 1: divide them by {total:.4g}")
    taps = torch.zeros(side, side, dtype=torch.float64)
    top, left = side // 2 - height // 2, side // 2 - width // 2
    taps[top : top + height, left : left + width] = torch.from_numpy(table.astype(np.float64))
    return Kernel(taps / taps.sum())


def _table(data: bytes, ending: str) -> NDArray[Any]:
    """Raises ValueError as `to_kernel` does."""
    if ending not in ENDINGS:
        raise ValueError(f"is no file of a kernel by its name; use one of {', '.join(ENDINGS)}")
    if len(data) > _LARGEST_FILE:
        raise ValueError(f"has {len(data)} bytes; a kernel has at most {_LARGEST_FILE}")
    try:
        if ending == ".csv":
            text = data.decode("utf-8-sig")
            if not text.strip():
                raise ValueError("it is empty")
            return np.loadtxt(StringIO(text), delimiter=",", ndmin=2, dtype=np.float64)
        if ending == ".npy":
            return _numbers(np.load(BytesIO(data), allow_pickle=False))
        return _first_band(data)
    except (ValueError, EOFError) as error:
        raise ValueError(f"is no table of numbers ({str(error).splitlines()[0]})") from error


def _numbers(array: Any) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"its elements are {getattr(array, 'dtype', type(array).__name__)}")
    return array


def _first_band(data: bytes) -> NDArray[Any]:
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError, RasterioIOError

    try:
        with warnings.catch_warnings(), rasterio.MemoryFile(data) as file:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a kernel lies nowhere on the earth
            with file.open() as raster:
                if raster.count != 1:
                    raise ValueError(f"it has {raster.count} bands, where a kernel has one")
                band: NDArray[Any] = raster.read(1)
                return band
    except (RasterioIOError, RasterioError) as error:
        raise ValueError(str(error)) from error
