"""Examples from the image itself: patches of its sons, each with what the son's base lacks of the father there.

Patches recur across the scales of one image (Glasner, Bagon, Irani 2009), also in other orientations. They are compared
by shape alone: without their mean, and divided by their contrast.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil

import torch
from torch import Generator, Tensor
from torch.nn.functional import fold, unfold

from ...camera.degradation import Degradation
from ...enlarging.stages import Stage
from ...image import dihedral
from ...image.borders import mirrored
from ...image.domain import Domain, largest_near
from ...learning.damage import CLEAN, Damage
from ...learning.pairs import Pair, father_son_pyramid, shortest_side

SIDE = 5
"""Side of a patch, in LR pixels."""

LAID = 3
"""Side, in LR pixels, of the middle part of a patch that its residual covers. So nine residuals are averaged."""

PATCH_REACH = SIDE // 2 + LAID // 2
"""In LR pixels."""

_FAINT = 0.05
"""Contrast added to that of every patch: a fainter patch is more noise and rounding than shape."""

FLAT = 0.02
"""Contrast below which a patch counts as flat: a standard deviation of one grey level."""

_SHARPNESS = 1024.0
"""Shapes are rounded to multiples of 1 / _SHARPNESS. Sums of their products are then exact in float32, so which of two
is nearer does not depend on the order of summation and is the same in every tile."""


@dataclass(frozen=True)
class Patches:
    """Shapes and contrasts of N patches of SIDE x SIDE."""

    shapes: Tensor
    """(N, SIDE^2), of length at most 1."""
    contrasts: Tensor
    """(N, 1)."""

    @property
    def lively(self) -> Tensor:
        """(N,) bool: True for patches that are not flat."""
        return self.contrasts[:, 0] > FLAT + _FAINT


@dataclass(frozen=True)
class Examples:
    """N examples, scaled to contrast 1."""

    shapes: Tensor
    """(N, SIDE^2), as `Patches.shapes`."""
    residuals: Tensor
    """(N, (LAID * ratio)^2): father minus base, around the middle of the patch."""


def patches_of(image: Tensor) -> Patches:
    """Return the patches around each pixel of (h, w), row by row; the border is mirrored."""
    values = unfold(mirrored(image, SIDE // 2)[None, None], SIDE)[0].T
    values = values - values.mean(1, keepdim=True)
    contrasts = values.norm(dim=1, keepdim=True) + _FAINT
    return Patches(rounded(values / contrasts), contrasts)


def rounded(shapes: Tensor) -> Tensor:
    """Round shapes of length at most 1 to so few digits that sums of their products are exact."""
    return (shapes * _SHARPNESS).round() / _SHARPNESS


def laid_over(residuals: Tensor, height: int, ratio: int) -> Tensor:
    """Average overlapping residuals (h * w, (LAID * ratio)^2) into (h * ratio, w * ratio)."""
    margin, side, width = LAID // 2 * ratio, LAID * ratio, len(residuals) // height
    size = (height * ratio + 2 * margin, width * ratio + 2 * margin)
    sums = fold(residuals.T[None], size, side, stride=ratio)[0, 0]
    rows, columns = (_how_many(length, ratio).to(sums) for length in (height, width))
    return sums[margin:-margin, margin:-margin] / (rows[:, None] * columns)


def _how_many(length: int, ratio: int) -> Tensor:
    """Return how many of the patches around `length` pixels cover each enlarged pixel; fewer at both ends."""
    place, reach = torch.arange(length), LAID // 2
    over = (place + reach).clamp_max(length - 1) - (place - reach).clamp_min(0) + 1
    return over.repeat_interleave(ratio)


def examples_of(image: Tensor, stage: Stage, domain: Domain, most: int, seed: int) -> Examples | None:
    """Return about `most` examples from the mean band of (C, H, W) float32 in [0, 1], in all 8 orientations.

    Sons are made by the stage's camera, as noisy as the image. No unknown sample is part of an example. Returns None if
    the image is too small, flat or unknown.

    Args:
        seed: draws the examples.
    """
    if min(image.shape[-2:]) < shortest_side(stage.ratio):
        return None
    stage = replace(stage, undone=stage.undone.of_mean())
    noise = Damage(torch.tensor(stage.undone.noise)) if stage.undone.is_noisy else CLEAN
    generator = Generator().manual_seed(seed)
    found: list[Examples] = []
    for turned, known in _turned(image, domain):
        found += _drawn(father_son_pyramid(turned, stage, known, noise, seed), stage.undone, most, generator)
    if not found:
        return None
    return Examples(torch.cat([each.shapes for each in found]), torch.cat([each.residuals for each in found]))


def _turned(image: Tensor, domain: Domain) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield the mean band in all 8 orientations, and what is known of it, (1, H, W) float32."""
    # Rounded so that the mean of equal bands does not depend on their number.
    mean = (image.double().mean(0, keepdim=True) * 2**16).round().div(2**16).to(image)
    pixels = domain.known_pixels
    known = None if pixels is None else pixels[None].float()
    for element in range(dihedral.ORDER):
        yield dihedral.transform(mean, element), None if known is None else dihedral.transform(known, element)


def _drawn(pairs: tuple[Pair, ...], camera: Degradation, most: int, generator: Generator) -> Iterator[Examples]:
    """Draw examples that are not flat from each pair, in proportion to its share of the sons' pixels."""
    pixels = sum(pair.son[0].numel() for pair in pairs)
    for pair in pairs:
        patches = patches_of(pair.son[0])
        usable = patches.lively
        if pair.taught is not None:
            usable = usable & _wholly_known(pair, camera)
        places = usable.nonzero()[:, 0]
        share = ceil(most / dihedral.ORDER * pair.son[0].numel() / pixels)
        chosen = places[torch.randperm(len(places), generator=generator)[:share].to(places.device)]
        if len(chosen):
            residuals = _residuals(pair)[chosen] / patches.contrasts[chosen]
            yield Examples(patches.shapes[chosen], residuals)


def _wholly_known(pair: Pair, camera: Degradation) -> Tensor:
    """Return (h * w,) bool: True if the patch and the father under it depend on known samples only."""
    assert pair.taught is not None
    reach = SIDE // 2 * pair.ratio + camera.side // 2 + pair.ratio
    unknown = largest_near(1 - pair.taught[0], reach)
    return (unknown[:: pair.ratio, :: pair.ratio] == 0).flatten()


def _residuals(pair: Pair) -> Tensor:
    """Return (h * w, (LAID * ratio)^2)."""
    residual, margin = pair.father - pair.base, LAID // 2 * pair.ratio
    return unfold(mirrored(residual, margin)[None], LAID * pair.ratio, stride=pair.ratio)[0].T
