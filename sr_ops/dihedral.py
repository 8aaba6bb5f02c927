"""The dihedral group of the square: four rotations, each with and without a flip."""

from collections.abc import Callable

import torch
from torch import Tensor

ORDER = 8

_STRIP = 128
"""Rows of one strip."""


def transform(image: Tensor, element: int) -> Tensor:
    """Element 0..7 of the group on (..., H, W): `element % 4` quarter turns, then a left-right flip from 4 on.

    Returns a view where torch can; H and W swap for odd quarter turns. 0 is the identity.
    """
    turned = torch.rot90(image, element % 4, (-2, -1))
    return turned.flip(-1) if element >= 4 else turned


def inverse(image: Tensor, element: int) -> Tensor:
    """Undo `transform(image, element)`."""
    unflipped = image.flip(-1) if element >= 4 else image
    return torch.rot90(unflipped, -(element % 4), (-2, -1))


def self_ensemble(operator: Callable[[Tensor], Tensor], image: Tensor) -> Tensor:
    """Median over the 8 transforms of `inverse(operator(transform(image)))` (ZSSR, Shocher et al. 2018, section 3.2).

    Args:
        operator: maps (..., h, w) to (..., s h, s w) for one fixed s.
        image: (..., H, W).

    Returns:
        The operator's result for `image`, less what depends on the direction. The median of 8 is the mean of the
        4th and 5th value.
    """
    members = torch.stack([inverse(operator(transform(image, element)), element) for element in range(ORDER)])
    return _median_of_eight(members)


def _median_of_eight(members: Tensor) -> Tensor:
    """Strip by strip: sorting also makes indices, which for a whole tile would be the largest thing in memory."""
    strips = (strip.sort(0).values for strip in torch.split(members, _STRIP, dim=-2))
    return torch.cat([(strip[3] + strip[4]) / 2 for strip in strips], dim=-2)
