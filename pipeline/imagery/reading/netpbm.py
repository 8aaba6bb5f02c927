"""The numbers of Netpbm files, PGM and PPM, which Pillow stretches to the whole range of 8 or 16 bits."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

_WHITE = {"uint8": 255, "uint16": 65535}

_AS_A_VIEWER = (1, 3, 15)
"""Whites of 1, 2 and 4 bits, which become 8 bits in every format."""


def white(image: ImageFile.ImageFile) -> int | None:
    """Return the number that the file calls white, before pixels are loaded; None if Pillow stretches nothing."""
    if image.format != "PPM" or not image.tile:
        return None
    tile = image.tile[0]
    said = tile.args[-1] if isinstance(tile.args, tuple) and tile.codec_name.startswith("ppm") else None
    return said if isinstance(said, int) else None


def read_bits(white: int | None, dtype: str) -> tuple[int | None, tuple[str, ...]]:
    """Return the bits of the numbers if the dtype has more, and notes about the numbers."""
    if white is None or white == _WHITE[dtype]:
        return None, ()
    if dtype == "uint8":
        return None, () if white in _AS_A_VIEWER else (f"its values from 0 to {white} are stretched to 255",)
    bits = white.bit_length()
    note = f"its {bits}-bit values, of which {white} is white, are kept as they are in {dtype}"
    return bits if bits < 16 else None, (note,)


def as_stored(stretched: NDArray[Any], white: int) -> NDArray[Any]:
    """Return numbers of 16 bits as they were before Pillow stretched `white` to 65535 and rounded; exact."""
    largest = _WHITE["uint16"]
    return ((stretched.astype(np.uint32) * white + largest // 2) // largest).astype(np.uint16)


def scale(image: ImageFile.ImageFile) -> float:
    """Return by what the numbers are to be multiplied, as PFM says."""
    return float(image.info["scale"]) if image.format == "PPM" and image.mode == "F" else 1.0
