"""JPEG losses, found from the pixels alone: the steps that luma was rounded to, and how to apply them again.

JPEG transforms each block of 8 x 8 pixels into 64 frequencies (DCT) and rounds each to a multiple of a step. The table
of 64 steps is usually that of the standard (ITU-T T.81, table K.1), scaled by a "quality". A compressed image keeps
this comb in its frequencies, also as a PNG, until it is resized or cropped off the grid.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

BLOCK = 8

LUMA = (0.299, 0.587, 0.114)
"""Weights of R, G and B as in JFIF."""

_LUMA_STEPS = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    device="cpu",
)

CHROMA_STEPS = torch.full((BLOCK, BLOCK), 99, device="cpu")
CHROMA_STEPS[:4, :4] = torch.tensor(
    [[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]], device="cpu"
)
"""Steps for chroma, table K.2."""

QUALITIES = range(1, 96)
"""Above these the steps are lost in the rounding of the pixels, and do no harm."""

_SMALLEST_STEP = 3
"""Smallest step that can be detected: rounding R, G and B leaves an error of about a quarter."""

_MOST_BLOCKS = 1024

_LEAST_FIT = 0.4
"""Smallest mean of cos(2 pi frequency / step), which is 1 on the comb and 0 off it. Real JPEGs have 0.5 to 1."""

_HINT = 0.15
"""Mean from which the turned table is tried, too: a JPEG that was turned has 0.3 and more by the upright one."""

_LEAST_DEVIATIONS = 6.0
"""Smallest distance of that mean from 0, in standard deviations of what chance gives."""


def steps_of_quality(quality: int, standard: Tensor = _LUMA_STEPS) -> Tensor:
    """Return the (8, 8) steps in grey levels for 1 <= quality <= 100, the standard table scaled as in libjpeg."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return ((standard * percent + 50) // 100).clamp(1, 255).float()


def find_steps(image: Tensor) -> Tensor | None:
    """Return the (8, 8) steps that the luma of (C, H, W) float32 in [0, 1], C = 1 or 3, was rounded to.

    A picture that was taken upright may have been turned since, and its steps with it. Returns None if it was not
    rounded, not with a scaled standard table, or too little to tell; and for any other C.
    """
    if len(image) not in (1, len(LUMA)) or min(image.shape[-2:]) < BLOCK:
        return None
    evidence = _distinct(_transform(_some_blocks(_brightness(image).cpu())))
    tables = [steps_of_quality(quality) for quality in QUALITIES]
    fits = _fits(tables, *evidence)
    if fits[:, 0].max() > _HINT:
        turned = [steps.T for steps in tables]
        tables, fits = [*tables, *turned], torch.cat([fits, _fits(turned, *evidence)])
    fit, deviations = fits.T
    deviations = deviations.where(fit > _LEAST_FIT, 0)
    best = int(deviations.argmax())
    return tables[best] if deviations[best] > _LEAST_DEVIATIONS else None


def _fits(tables: Sequence[Tensor], frequencies: Tensor, places: Tensor) -> Tensor:
    """Return for each table (N, 2): the mean of cos(2 pi frequency / step), and how far that is from chance."""
    fits = []
    for steps in tables:
        step = steps.flatten()[places]
        telling = (frequencies.abs() > step / 2) & (step >= _SMALLEST_STEP) & (places > 0)  # not the mean
        count = int(telling.sum())
        fit = float((torch.cos(2 * math.pi * frequencies / step) * telling).sum()) / max(1, count)
        fits.append((fit, fit * math.sqrt(2 * count)))
    return torch.tensor(fits, dtype=torch.float64)


def _distinct(frequencies: Tensor) -> tuple[Tensor, Tensor]:
    """Return distinct values, to a hundredth, and their places 0..63; equal blocks are one piece of evidence."""
    hundredths = (100 * frequencies.flatten(-2)).round().long()
    places = torch.arange(BLOCK**2).expand_as(hundredths)
    distinct: Tensor = torch.unique(hundredths * BLOCK**2 + places)
    places = distinct % BLOCK**2
    return (distinct - places) / (100 * BLOCK**2), places


def round_to_steps(images: Tensor, steps: Tensor) -> Tensor:
    """Round the luma of whole blocks of (..., C, H, W) in [0, 1], C = 1 or 3; the chroma stays as it is."""
    if min(images.shape[-2:]) < BLOCK:
        return images
    height, width = (side // BLOCK * BLOCK for side in images.shape[-2:])
    brightness = _brightness(images)[..., :height, :width]
    rounded = round_blocks(brightness, steps.to(images.device))
    result = images.clone()
    result[..., :height, :width] += ((rounded - brightness) / 255).unsqueeze(-3)
    return result


def round_blocks(planes: Tensor, steps: Tensor) -> Tensor:
    """Round the frequencies of every block of (..., H, W), in grey levels around 0, sides multiples of 8.

    Args:
        steps: on the same device; broadcasts to (..., N, 8, 8), N the number of blocks of a plane.
    """
    rounded = _inverse((_transform(_blocks(planes)) / steps).round() * steps)
    rows, columns = (side // BLOCK for side in planes.shape[-2:])
    return rounded.reshape(*planes.shape[:-2], rows, columns, BLOCK, BLOCK).transpose(-3, -2).reshape(planes.shape)


def _brightness(images: Tensor) -> Tensor:
    """Return the luma of (..., C, H, W) in [0, 1] as (..., H, W), in grey levels around 0 as JPEG codes it."""
    weights = images.new_tensor(LUMA) if images.shape[-3] == len(LUMA) else images.new_ones(1)
    return 255 * torch.einsum("...chw,c->...hw", images, weights) - 128


def _blocks(brightness: Tensor) -> Tensor:
    """Cut (..., H, W) into its whole blocks, row by row: (..., N, 8, 8)."""
    return brightness.unfold(-2, BLOCK, BLOCK).unfold(-2, BLOCK, BLOCK).flatten(-4, -3)


def _some_blocks(brightness: Tensor) -> Tensor:
    blocks = _blocks(brightness)
    if len(blocks) <= _MOST_BLOCKS:
        return blocks
    return blocks[torch.linspace(0, len(blocks) - 1, _MOST_BLOCKS).long()]


def _transform(blocks: Tensor) -> Tensor:
    cosines = _cosines(blocks.dtype, blocks.device)
    return cosines @ blocks @ cosines.T


def _inverse(frequencies: Tensor) -> Tensor:
    cosines = _cosines(frequencies.dtype, frequencies.device)
    return cosines.T @ frequencies @ cosines


@lru_cache(maxsize=8)
def _cosines(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the orthonormal DCT-II of 8 samples, one frequency per row; cached per dtype and device."""
    with torch.inference_mode(False):
        numbers = torch.arange(BLOCK, dtype=torch.float64)
        matrix = torch.cos(math.pi / BLOCK * numbers[:, None] * (numbers + 0.5)) * math.sqrt(2 / BLOCK)
        matrix[0] /= math.sqrt(2)
        return matrix.float().to(device, dtype)
