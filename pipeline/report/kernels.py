"""A picture of a kernel's taps, a few pixels large."""

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from sr_ops.camera.kernels import from_spec


@dataclass(frozen=True)
class Taps:
    """The picture, and its content in words."""

    url: str
    words: str


def taps_of(kernel: str, scale: int) -> Taps | None:
    """Draw a record's kernel, black for the largest tap, red where negative; for several bands that of the first.

    Returns None if the record does not hold the taps, as for a kernel from a file.
    """
    try:
        first, *others = from_spec(kernel, scale)
    except ValueError:
        return None
    strength = (first.taps / first.taps.abs().max()).double().numpy()
    dark = np.round(255 * (1 - np.abs(strength))).astype(np.uint8)
    red = np.where(strength < 0, np.uint8(255), dark)
    data = io.BytesIO()
    Image.fromarray(np.stack([red, dark, dark], -1)).save(data, "PNG")
    band = " of the first band" if others else ""
    words = f"Taps of the kernel {kernel}{band}: {first.side} by {first.side} pixels of the result at x{scale}"
    return Taps(f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}", words)
