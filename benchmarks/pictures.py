"""8-bit pictures in memory, as the benchmarks make and compare them."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def decode(data: bytes) -> Tensor:
    """An 8-bit gray or RGB picture as (C, H, W) uint8."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.array(image)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())


def encode_png(levels: Tensor) -> bytes:
    """(C, H, W) of whole grey levels, C = 1 or 3, as a PNG."""
    pixels = levels.to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if len(levels) == 1 else pixels)).save(buffer, "PNG")
    return buffer.getvalue()
