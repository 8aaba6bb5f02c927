"""Kernels from files: a table of numbers as .npy, .csv or .tif, in the convention of `sr_ops.camera.kernels`."""

import warnings
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sr_ops.camera.kernel_spec import MAX_SIDE, SUM_TOLERANCE, of_taps

from .. import storage
from ..config import KERNEL_ENDINGS
from ..errors import UsageError
from ..storage.failures import refusing
from ..storage.patience import Patience

_LARGEST_FILE = 1 << 20
"""In bytes, and in pixels; 65 x 65 numbers are about a hundred kilobytes as text."""


def read_kernel(name: str, named_by: str, folder: str | None = None, patiently: Patience | None = None) -> str:
    """Read a kernel from a file, local or on S3, as the text of its taps for `Settings.kernel`.

    A table with an even side gets a last row or column of zeros, and one that is not square zeros around it. Neither
    moves the tap of the first HR pixel, which is the one at (height // 2, width // 2).

    Args:
        name: path or uri.
        named_by: the option or cell that gave the name, for messages.
        folder: base of a relative path, by default the working directory.

    Raises:
        UsageError: the file is missing, cannot be read, or holds no kernel; the message says what was found.
    """
    if not _is_text(name) or not _is_text(uri := storage.absolute(name, folder)):
        raise UsageError(f"{named_by}: {name!a} names a file whose name is no UTF-8 text; rename the file")
    with refusing(uri, named_by, "correct the name, or name a kernel"):
        data = (patiently or Patience(0))(lambda: _read(uri))
        return to_text(_table(data, PurePosixPath(uri).suffix.lower()))


def holds_kernel(uri: str) -> bool:
    """Return whether the file at a uri is a kernel, rather than a table or an image with the same ending.

    A .csv is one if its first line has numbers only; a .tif if it has one band no larger than a kernel. A missing or
    unreadable file counts as one: `read_kernel` reports the reason.
    """
    ending = PurePosixPath(uri).suffix.lower()
    if ending not in KERNEL_ENDINGS:
        return False
    if ending == ".npy":
        return True
    try:
        data = _read(uri)
        return _is_numbers(data) if ending == ".csv" else max(_first_band(data).shape) <= MAX_SIDE
    except OSError:
        return True
    except ValueError:  # too large, of several bands, or no raster
        return False


def _is_numbers(data: bytes) -> bool:
    """Return whether the first line that is neither empty nor a comment holds numbers only."""
    lines, separator = _lines(data.decode("utf-8-sig", "replace"))
    try:
        return bool([float(cell) for line in lines[:1] for cell in line.split(separator)])
    except ValueError:
        return False


def _lines(text: str) -> tuple[list[str], str]:
    """Return the lines of a .csv, without comments and empty ones, and what separates cells: a comma or a semicolon.

    Spreadsheets write semicolons where numbers have decimal commas, which become points.
    """
    lines = [line for told in text.splitlines() if (line := told.partition("#")[0].strip())]
    if not lines or ";" not in lines[0]:
        return lines, ","
    return [line.replace(",", ".") for line in lines], ";"


def _is_text(name: str) -> bool:
    """Return whether a file can have this name: bytes that are not UTF-8 appear in it as lone surrogates."""
    return "\0" not in name and name.encode("utf-8", "ignore").decode() == name


def _read(uri: str) -> bytes:
    """Read the file. Raises ValueError as `to_text` does, before a file too large for a kernel is fetched."""
    size = storage.stat(uri).size
    if size > _LARGEST_FILE:
        raise ValueError(f"has {size} bytes; a kernel has at most {_LARGEST_FILE}")
    return storage.read(uri)


def to_text(table: NDArray[Any]) -> str:
    """Return the text of a kernel. Raises ValueError, worded to follow "the file ...", if the table is none."""
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
    taps = np.zeros((side, side), "<f4")
    top, left = side // 2 - height // 2, side // 2 - width // 2
    with np.errstate(over="ignore"):
        taps[top : top + height, left : left + width] = table
    if not np.isfinite(taps).all():
        raise ValueError("holds taps that are not finite; write numbers")
    total = float(taps.sum(dtype=np.float64))
    if total == 0:
        raise ValueError(
            "holds taps that sum to 0; a kernel's sum to 1: give one that keeps what is even as bright as it is"
        )
    if abs(total - 1) > SUM_TOLERANCE:
        raise ValueError(f"holds taps that sum to {total:.4g}; a kernel's sum to 1: divide them by {total:.4g}")
    return of_taps(side, taps.tobytes()).text


def _table(data: bytes, ending: str) -> NDArray[Any]:
    """Return the table in a file. Raises ValueError as `to_text` does."""
    if ending not in KERNEL_ENDINGS:
        raise ValueError(f"does not have the ending of a kernel file; use one of {', '.join(KERNEL_ENDINGS)}")
    try:
        if ending == ".csv":
            lines, separator = _lines(data.decode("utf-8-sig"))
            if not lines:
                raise ValueError("it is empty")
            return np.loadtxt(lines, delimiter=separator, ndmin=2, dtype=np.float64)
        if ending == ".npy":
            return _numbers(np.load(BytesIO(data), allow_pickle=False))
        return _first_band(data)
    except Exception as error:  # numpy raises errors of many classes for a damaged file
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"is not a table of numbers ({reason})") from error


def _numbers(array: Any) -> NDArray[Any]:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise ValueError(f"its elements are {getattr(array, 'dtype', type(array).__name__)}")
    return array


def _first_band(data: bytes) -> NDArray[Any]:
    """Return the band of a TIFF of one band. Raises ValueError if it is none, or has far too many pixels."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    try:
        with warnings.catch_warnings(), rasterio.MemoryFile(data) as file:
            warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a kernel has no georeference
            with file.open(driver="GTiff") as raster:  # other drivers would open files, and addresses, that it names
                if raster.count != 1:
                    raise ValueError(f"it has {raster.count} bands, where a kernel has one")
                if raster.height * raster.width > _LARGEST_FILE:
                    raise ValueError(f"it has {raster.height} x {raster.width} pixels, too many for a kernel")
                band: NDArray[Any] = raster.read(1)
                return band
    except RasterioError as error:
        raise ValueError(str(error)) from error
