"""The base of an enlargement: one data step from bicubic, computed so that it is bit-equal in every tile.

Ten bfloat16 layers can turn a difference in the last bit of their input into a whole rounding step. If tiles agreed on
the base only to 1e-6, as with FFTs, their results would differ by 1e-2. The base therefore uses convolutions only: each
sample is a sum of the same neighbours in the same order, wherever a tile begins.
"""

from functools import lru_cache
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad, pixel_shuffle

from ..image.borders import mirrored
from ..image.domain import largest_near, nearest, only_known
from ..image.resample import axis_matrix
from .degradation import Degradation

_INTERPOLATION_REACH = 3
"""LR pixels on each side that bicubic enlargement reads, plus one."""

_BEYOND = 0.2
"""How far a base may leave [0, 1], or the range of the samples around it if that is wider; priors are trained so."""


def make_base(degradation: Degradation, lr: Tensor, known: Tensor | None = None) -> Tensor:
    """Return `degradation.data_step` from bicubic, clamped near the range of the samples; exact to 1e-3 of its change.

    Args:
        lr: (..., C, h, w) float32.
        known: (..., C, h, w) bool; None if all samples are known. Unknown samples add nothing.

    Returns:
        (..., C, h * scale, w * scale). A sample depends on LR pixels no farther away than `base_reach`.
    """
    start = _apart(mirrored(lr, _INTERPOLATION_REACH), _interpolation(degradation.scale))
    missing = only_known(lr - degradation.observe(mirrored(start, degradation.side // 2)), known)
    base = start + _apart(pad(missing, (degradation.reach,) * 4), _undoing(degradation))
    return _near(base, lr, degradation.scale)


def base_reach(degradation: Degradation) -> int:
    """Return how many LR pixels away a sample of the base can depend on."""
    return degradation.reach + ceil((degradation.side // 2) / degradation.scale) + _INTERPOLATION_REACH


def _apart(padded: Tensor, filters: Tensor) -> Tensor:
    """Enlarge (..., C, h + 2 r, w + 2 r) to (..., C, h s, w s), a filter per phase: (1 or C, s^2, 2 r + 1, 2 r + 1)."""
    bands, phases, side = filters.shape[:3]
    images = padded.reshape(-1, bands, *padded.shape[-2:])
    made = conv2d(images, filters.reshape(-1, 1, side, side).to(images), groups=bands)
    enlarged = pixel_shuffle(made.reshape(-1, phases, *made.shape[-2:]), round(phases**0.5))
    return enlarged.reshape(*padded.shape[:-2], *enlarged.shape[-2:])


@lru_cache(maxsize=16)
def _interpolation(scale: int) -> Tensor:
    """Return bicubic enlargement as filters (1, s^2, 7, 7)."""
    side = 2 * _INTERPOLATION_REACH + 1
    rows = axis_matrix(3 * side, 3 * side * scale)  # taken far from both ends, where the border is mirrored
    line = rows[(side + _INTERPOLATION_REACH) * scale :][:scale, side : 2 * side]
    return torch.einsum("pi,qj->pqij", line, line).reshape(1, scale**2, side, side)


@lru_cache(maxsize=16)
def _undoing(degradation: Degradation) -> Tensor:
    """Return D' (D D' + weight)^-1 as filters (1 or C, s^2, 2 reach + 1, 2 reach + 1)."""
    scale, reach = degradation.scale, degradation.reach
    response = degradation.response(2 * reach)[..., reach * scale :, reach * scale :]
    side = 2 * reach + 1
    phases = response[..., : side * scale, : side * scale].reshape(len(response), side, scale, side, scale)
    # LR pixel j adds the response at i - j to sample (i, phase). A correlation needs the response flipped.
    filters: Tensor = phases.permute(0, 2, 4, 1, 3).flatten(1, 2).flip(-2, -1).contiguous()
    return filters


def _near(base: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Return the base clamped to within _BEYOND of [0, 1], or of the range of nearby LR samples if that is wider."""
    low, high = -largest_near(-lr, 1), largest_near(lr, 1)
    low, high = low.clamp_max(0) - _BEYOND, high.clamp_min(1) + _BEYOND
    return base.clamp(*(nearest(end, scale) for end in (low, high)))
