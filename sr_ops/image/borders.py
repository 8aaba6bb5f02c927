"""What lies beyond the border of an image."""

import torch
from torch import Tensor


def mirrored(image: Tensor, margin: int) -> Tensor:
    """Pad (..., H, W) by `margin` pixels on each side, mirrored, the edge sample repeated."""
    for axis in (-2, -1):
        length = image.shape[axis]
        if margin <= length:  # the usual case needs no gather
            ends = image.narrow(axis, 0, margin), image.narrow(axis, length - margin, margin)
            image = torch.cat([ends[0].flip(axis), image, ends[1].flip(axis)], axis)
            continue
        index = torch.arange(-margin, length + margin, device=image.device) % (2 * length)
        image = image.index_select(axis, torch.minimum(index, 2 * length - 1 - index))
    return image
