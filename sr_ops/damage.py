"""Damage that an image brings along and no network should sharpen: noise, and the blocks of JPEG."""

import torch
from torch import Tensor

_BLOCK = 8
"""Side of the blocks in which noise is measured, and of those of JPEG."""

_SMOOTHEST = 0.1

_SMOOTHEST_BIAS = 0.79
"""What the smoothest tenth of the blocks say of white noise of 1, since some have less by chance."""


def noise_sigma(windows: Tensor) -> Tensor:
    """Standard deviation (C,) of the noise in (K, C, h, w), h and w at least 10; 0 for a band of black or white.

    Immerkaer's Laplacian difference ("Fast noise variance estimation", 1996), which flat and evenly sloping parts
    answer with their noise alone, over blocks of 8 x 8 of which the smoothest tenth counts: texture is no noise. Blocks
    with a pixel at the end of the range are left out, where noise is cut off.
    """
    bands = windows.transpose(0, 1)
    within = torch.as_tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]).to(windows) / 6
    differences = _blocks(torch.nn.functional.conv2d(bands.flatten(0, 1)[:, None], within[None, None]), len(bands))
    inner = bands[..., 1:-1, 1:-1]
    clipped = _blocks(((inner <= 0) | (inner >= 1)).float().flatten(0, 1)[:, None], len(bands))
    sigmas = []
    for difference, ends in zip(differences, clipped, strict=True):
        usable = difference[ends.sum(1) == 0]
        sigmas.append(usable.square().mean(1).sqrt().quantile(_SMOOTHEST) / _SMOOTHEST_BIAS if len(usable) else 0.0)
    return torch.as_tensor(sigmas)


def _blocks(images: Tensor, bands: int) -> Tensor:
    """(bands K, 1, h, w) to the whole blocks in it, (bands, blocks, pixels)."""
    blocks = images.unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)
    return blocks.reshape(bands, -1, _BLOCK**2)


def blocking(image: Tensor) -> float:
    """By how much the steps across the borders of JPEG's 8 x 8 blocks exceed those beside them, in units of the range.

    Of (C, H, W) turned as it was compressed, the mean of the bands; the smaller of both directions, at least 0: an
    edge of the picture may lie on a border by chance, but rarely all over in both. 0 where a side is below 64: there it
    may.
    """
    gray = image.mean(0)
    if min(gray.shape) < 8 * _BLOCK:
        return 0.0
    excess = []
    for rows in (gray, gray.T):
        steps = rows.diff(dim=1).abs().mean(0)
        borders = torch.arange(_BLOCK - 1, len(steps) - 1, _BLOCK)
        beyond = steps[borders] - (steps[borders - 1] + steps[borders + 1]) / 2
        rest = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
        inside = torch.ones(len(rest), dtype=torch.bool)
        inside[borders - 1] = False
        excess.append(float(beyond.mean() - rest[inside].mean()))
    return max(0.0, min(excess))
