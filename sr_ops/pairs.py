"""Training pairs: fathers are an image and smaller copies of it, sons their `downscale`, damaged as the image is.

Shocher, Cohen, Irani 2018 (ZSSR), section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate, max_pool2d

from . import dihedral
from .damage import CLEAN, Damage
from .resample import downscale, resize
from .settings import STAGE_SCALE

_LEVEL_RATIO = 0.95
_LEVELS = 10
_LEVEL_WEIGHT = 0.9

_KERNEL_REACH = 2.0
"""Of bicubic interpolation, in pixels of the smaller image."""

_PRIOR_LEVELS = (1.0, 0.8, 0.64, 0.5)

MIN_SIDE = 8
"""Shortest side, in pixels, of an image that can be fitted: below, no crop holds more than border."""


@dataclass(frozen=True)
class Pair:
    """A father (C, H, W) with even sides and its son (C, H / 2, W / 2)."""

    father: Tensor
    son: Tensor
    weight: float
    """Relative odds of being drawn."""
    taught: Tensor | None = None
    """(1, H, W) float32: 1 where the father may be learned from, 0 where it is held out; None for everywhere."""


class CropPlace(NamedTuple):
    """Where a crop is cut, and how it is turned."""

    pair: int
    """Which of the pairs, from 0."""
    top: int
    """In pixels of the son, as `left`."""
    left: int
    element: int
    """Of the dihedral group."""


@dataclass(frozen=True)
class Crops:
    """What one step learns from: sons (B, C, c/2, c/2), their fathers (B, C, c, c) and where those may be looked at."""

    sons: Tensor
    fathers: Tensor
    taught: Tensor | None
    """(B, 1, c, c), as `Pair.taught`."""


def father_son_pyramid(
    image: Tensor, taught: Tensor | None = None, damage: Damage = CLEAN, seed: int = 0
) -> tuple[Pair, ...]:
    """The levels 0.95^i of (C, H, W), i = 0..9, with odds 0.9^i.

    Args:
        taught: (1, H, W) float32, 1 where the image may be learned from and 0 where it is held out. Of a smaller copy
            no pixel is learned from that a held-out one went into.
        damage: of the image; put into every son, with noise drawn by `seed`.
    """
    _check_size(image)
    pairs = (_pair(image, _LEVEL_RATIO**level, _LEVEL_WEIGHT**level, taught) for level in range(_LEVELS))
    generator = Generator().manual_seed(seed)
    return tuple(replace(pair, son=damage.put_into(pair.son, generator)) for pair in pairs)


def octave_pairs(image: Tensor, crop: int) -> tuple[Pair, ...]:
    """(C, H, W) at 1, 0.8, 0.64 and 0.5 of its size, with even odds that add up to 1.

    For a prior, whose many images make up for what a pyramid of ten levels gives a single one. A level with a side
    below `crop` is left out.
    """
    levels = [level for level in _PRIOR_LEVELS if min(image.shape[-2:]) * level >= crop] or [1.0]
    return tuple(_pair(image, level, 1 / len(levels)) for level in levels)


def _pair(image: Tensor, shrink: float, weight: float, taught: Tensor | None = None) -> Pair:
    height, width = image.shape[-2:]
    size = (max(2, int(height * shrink) // 2 * 2), max(2, int(width * shrink) // 2 * 2))
    if shrink == 1:
        father = image[:, : size[0], : size[1]]
        looked_at = taught if taught is None else taught[:, : size[0], : size[1]]
    else:
        father = resize(image, size)
        looked_at = taught if taught is None else _wholly_taught(taught, size)
    return Pair(father, downscale(father, STAGE_SCALE), weight, looked_at)


def _wholly_taught(taught: Tensor, size: tuple[int, int]) -> Tensor:
    """(1, *size) float32: 1 where `resize` to that size takes nothing of a held-out pixel, whatever its weight."""
    shrink = min(size[0] / taught.shape[-2], size[1] / taught.shape[-1])
    reach = ceil(_KERNEL_REACH / shrink + 0.5)  # from the pixel nearest to the centre of the smaller one
    held_out = max_pool2d(1 - taught, 2 * reach + 1, stride=1, padding=reach)
    return 1 - interpolate(held_out[None], size, mode="nearest-exact")[0]


def _check_size(image: Tensor) -> None:
    height, width = image.shape[-2:]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"an image of {height} x {width} is too small to fit: both sides must be at least {MIN_SIDE}")


def son_side(pairs: Sequence[Pair], crop: int) -> int:
    """Side of the sons' crops for fathers' crops of `crop` pixels, or of what the smallest pair allows."""
    return min(crop // STAGE_SCALE, *(min(pair.son.shape[-2:]) for pair in pairs))


def draw_places(pairs: Sequence[Pair], side: int, batch: int, generator: Generator) -> list[CropPlace]:
    """Places for `batch` crops of `side` pixels of sons; the draws depend on `generator`, odds and sizes alone."""
    odds = torch.tensor([pair.weight for pair in pairs])
    places = []
    for index in torch.multinomial(odds, batch, replacement=True, generator=generator).tolist():
        height, width = pairs[index].son.shape[-2:]
        top = int(torch.randint(height - side + 1, (), generator=generator))
        left = int(torch.randint(width - side + 1, (), generator=generator))
        element = int(torch.randint(dihedral.ORDER, (), generator=generator))
        places.append(CropPlace(index, top, left, element))
    return places


def draw_crops(pairs: Sequence[Pair], crop: int, batch: int, generator: Generator) -> Crops:
    """Crops of `crop` pixels, or what the smallest pair allows, each turned by a random element of the dihedral group.

    The draws depend on `generator` alone.
    """
    side = son_side(pairs, crop)
    sons: list[Tensor] = []
    fathers: list[Tensor] = []
    taught: list[Tensor] = []
    for index, top, left, element in draw_places(pairs, side, batch, generator):
        pair = pairs[index]
        for crops, source, ratio in (
            (sons, pair.son, 1),
            (fathers, pair.father, STAGE_SCALE),
            (taught, pair.taught, STAGE_SCALE),
        ):
            if source is not None:
                window = source[:, ratio * top : ratio * (top + side), ratio * left : ratio * (left + side)]
                crops.append(dihedral.transform(window, element))
    return Crops(torch.stack(sons), torch.stack(fathers), torch.stack(taught) if taught else None)
