"""Pictures as screens show them, for scores: 8-bit levels of gray or RGB."""

import numpy as np
import torch
from torch import Tensor

from .. import storage
from ..errors import ErrorType, ImageError
from .header import GRAY, RGB, Limits
from .reading.decoders import open_image

LEVELS = 255.0
"""The full range of 8 bits."""


def read_levels(uri: str) -> Tensor:
    """(C, H, W) uint8, C = 1 or 3; 16 bits are brought down to 8, and alpha is left out.

    Raises:
        ImageError: no picture, or one that no screen shows as it is.
        OSError: the file cannot be read.
    """
    with storage.on_disk(uri) as path, open_image(path, Limits()) as opened:
        header, samples = opened.header, opened.whole().samples
    colours = header.colours[:-1] if header.has_alpha else header.colours
    if header.dtype not in ("uint8", "uint16") or (len(colours) != len(GRAY) and colours != RGB):
        what = f"{len(header.bands)} bands ({', '.join(header.colours)}) of {header.dtype}"
        raise ImageError(ErrorType.UNSUPPORTED, f"{uri} has {what}; scores are of gray and RGB in 8 or 16 bits")
    levels = samples[: len(colours)]
    if header.dtype == "uint16":
        levels = np.round(levels * (LEVELS / np.iinfo(np.uint16).max)).astype(np.uint8)
    return torch.from_numpy(levels)


def from_levels(levels: Tensor) -> Tensor:
    """Grey levels to float32 in [0, 1]."""
    return levels.float() / LEVELS


def to_levels(sr: Tensor) -> Tensor:
    """[0, 1] to grey levels rounded half up, as float32."""
    return (sr * LEVELS + 0.5).floor_().clamp_(0, LEVELS)
