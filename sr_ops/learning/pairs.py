"""Training pairs: fathers are the image and smaller copies of it, sons are their LR images, damaged as the image is.

Shocher, Cohen, Irani 2018 (ZSSR), section 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import interpolate, max_pool2d

from ..enlarging.stages import Stage
from ..image import dihedral
from ..image.resample import resize
from ..settings import FitSettings
from .damage import CLEAN, Damage

_LEVEL_RATIO = 0.95
_LEVELS = 10

_KERNEL_REACH = 2.0
"""Reach of bicubic interpolation, in pixels of the smaller image."""

_SHORTEST_SON = 4
"""Shortest side, in pixels, of a son that can be learned from: in smaller ones a crop is all border."""


@dataclass(frozen=True)
class Pair:
    """A father (C, r H, r W), its son (C, H, W), and the base from which the son's enlargement starts."""

    father: Tensor
    son: Tensor
    base: Tensor
    """(C, r H, r W)."""
    weight: float
    """Relative probability of being drawn."""
    taught: Tensor | None = None
    """(1, r H, r W) float32: 1 where the father may be learned from, 0 where it is held out; None if all may be."""

    @property
    def ratio(self) -> int:
        return self.father.shape[-1] // self.son.shape[-1]


@dataclass(frozen=True)
class Lesson:
    """What a network learns from one image."""

    pairs: tuple[Pair, ...]
    told: Tensor
    """(C, 2): what the network is told of the image (`direct.planes`)."""


class CropPlace(NamedTuple):
    """Where a crop is cut, and how it is turned."""

    pair: int
    """Index of the pair, from 0."""
    top: int
    """In son pixels, as `left`."""
    left: int
    element: int
    """Element of the dihedral group."""


@dataclass(frozen=True)
class Crops:
    """What one step learns from."""

    sons: Tensor
    """(B, C, c, c)."""
    bases: Tensor
    """(B, C, r c, r c)."""
    fathers: Tensor
    """(B, C, r c, r c)."""
    taught: Tensor | None
    """(B, 1, r c, r c), as `Pair.taught`."""


def shortest_side(ratio: int) -> int:
    """Return the shortest side, in pixels, of an image that can be fitted."""
    return _SHORTEST_SON * ratio


def father_son_pyramid(
    image: Tensor,
    stage: Stage,
    taught: Tensor | None = None,
    damage: Damage = CLEAN,
    seed: int = 0,
    odds: float = FitSettings.level_odds,
) -> tuple[Pair, ...]:
    """Return the pairs of (C, H, W) at the levels 0.95^i, i = 0..9, drawn with relative probability `odds`^i.

    Levels whose sons would be too small to learn from are left out. Raises ValueError if the image itself is too small.

    Args:
        stage: makes sons from fathers, and bases from sons.
        taught: (1, H, W) float32, 1 where the image may be learned from, 0 where it is held out. In a smaller copy, a
            pixel that depends on a held-out one is held out, too.
        damage: of the image; put into every son, with noise drawn by `seed`.
    """
    generator = Generator().manual_seed(seed)
    pairs: list[Pair] = []
    for level in range(_LEVELS):
        size = _whole_sons(image, _LEVEL_RATIO**level, stage.ratio)
        if min(size) < shortest_side(stage.ratio):
            break
        father, looked_at = _father(image, size, taught, whole=level == 0)
        son = damage.put_into(stage.undone.apply(father), generator)
        pairs.append(Pair(father, son, stage.base(son), odds**level, looked_at))
    if not pairs:
        height, width = image.shape[-2:]
        raise ValueError(
            f"an image of {height} x {width} is too small to fit: both sides must be at least"
            f" {shortest_side(stage.ratio)}"
        )
    return tuple(pairs)


def _whole_sons(image: Tensor, shrink: float, ratio: int) -> tuple[int, int]:
    """Return the size of a smaller copy, a multiple of `ratio`."""
    height, width = (int(side * shrink) // ratio * ratio for side in image.shape[-2:])
    return height, width


def _father(image: Tensor, size: tuple[int, int], taught: Tensor | None, whole: bool) -> tuple[Tensor, Tensor | None]:
    """Return the copy of the image of that size, and where it may be learned from."""
    if whole:
        height, width = size
        return image[:, :height, :width], taught if taught is None else taught[:, :height, :width]
    return resize(image, size), taught if taught is None else _wholly_taught(taught, size)


def _wholly_taught(taught: Tensor, size: tuple[int, int]) -> Tensor:
    """Return (1, *size) float32: 1 where `resize` to that size uses no held-out pixel, whatever its weight."""
    shrink = min(size[0] / taught.shape[-2], size[1] / taught.shape[-1])
    reach = ceil(_KERNEL_REACH / shrink + 0.5)  # counted from the pixel nearest to the centre of the smaller one
    held_out = max_pool2d(1 - taught, 2 * reach + 1, stride=1, padding=reach)
    return 1 - interpolate(held_out[None], size, mode="nearest-exact")[0]


def son_side(pairs: Sequence[Pair], crop: int) -> int:
    """Return the side of the sons' crops for fathers' crops of `crop` pixels, limited by the smallest pair."""
    return min(max(1, crop // pairs[0].ratio), *(min(pair.son.shape[-2:]) for pair in pairs))


def draw_places(pairs: Sequence[Pair], side: int, batch: int, generator: Generator) -> list[CropPlace]:
    """Draw places for `batch` crops of `side` son pixels; they depend on `generator`, odds and sizes only."""
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
    """Draw crops of `crop` father pixels, or of what the smallest pair allows, each in a random dihedral orientation.

    The draws depend on `generator` alone.
    """
    side, ratio = son_side(pairs, crop), pairs[0].ratio
    sons: list[Tensor] = []
    bases: list[Tensor] = []
    fathers: list[Tensor] = []
    taught: list[Tensor] = []
    for index, top, left, element in draw_places(pairs, side, batch, generator):
        pair = pairs[index]
        for crops, source, times in (
            (sons, pair.son, 1),
            (bases, pair.base, ratio),
            (fathers, pair.father, ratio),
            (taught, pair.taught, ratio),
        ):
            if source is not None:
                window = source[:, times * top : times * (top + side), times * left : times * (left + side)]
                crops.append(dihedral.transform(window, element))
    return Crops(torch.stack(sons), torch.stack(bases), torch.stack(fathers), torch.stack(taught) if taught else None)
