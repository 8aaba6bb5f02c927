"""Limits on the size of a file, checked on its header before memory is used."""

import numpy as np

from ...errors import ErrorType, ImageError
from ..header import FileLimits


def check_size(height: int, width: int, bands: int, dtype: str, limits: FileLimits, at_once: bool = False) -> None:
    """Raise ImageError if a picture is too large, or of no size at all (corrupt).

    Args:
        at_once: whether it can only be decoded whole."""
    if height < 1 or width < 1 or bands < 1:
        message = f"the picture claims {height} x {width} pixels of {bands} bands; replace the file"
        raise ImageError(ErrorType.CORRUPT, message)
    if height * width > limits.pixels:
        size = f"{height} x {width} = {height * width} pixels, more than {limits.pixels}"
        raise ImageError(ErrorType.TOO_LARGE, f"the picture has {size}; raise --max-pixels or cut it into parts")
    if bands > limits.bands:
        message = f"the picture has {bands} bands, more than {limits.bands}; select those to be enlarged first"
        raise ImageError(ErrorType.TOO_LARGE, message)
    size_in_bytes = height * width * bands * np.dtype(dtype).itemsize
    if at_once and size_in_bytes > limits.bytes_at_once:
        message = (
            f"the picture can only be decoded whole, which takes {size_in_bytes} bytes, more than "
            f"{limits.bytes_at_once}; convert it to a tiled TIFF"
        )
        raise ImageError(ErrorType.TOO_LARGE, message)
