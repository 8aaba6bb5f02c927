"""The dihedral group of the square: four rotations, each with and without a flip."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

ORDER = 8

_STRIP = 128
"""Rows per strip."""


def transform(image: Tensor, element: int) -> Tensor:
    """Apply element 0..7 of the group to (..., H, W): `element % 4` quarter turns, then for 4..7 a left-right flip.

    0 is the identity. Returns a view where torch can; H and W are swapped after an odd number of quarter turns.
    """
    turned = torch.rot90(image, element % 4, (-2, -1))
    return turned.flip(-1) if element >= 4 else turned


def inverse(image: Tensor, element: int) -> Tensor:
    """Undo `transform(image, element)`."""
    unflipped = image.flip(-1) if element >= 4 else image
    return torch.rot90(unflipped, -(element % 4), (-2, -1))


def median_and_variance(operator: Callable[..., Tensor], *images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the median and the variance over the 8 transforms of `inverse(operator(transform(image)))`.

    This is the self-ensemble of ZSSR (Shocher et al. 2018, section 3.1).

    Args:
        operator: maps (..., h, w), and further images of it, to (..., s h, s w) for one fixed s.
        images: the image (..., H, W), and further ones of any size, which are transformed with it.

    Returns:
        The operator's result without its dependence on direction, the mean of the 4th and 5th of the 8 values; and for
        each sample the variance of the 8 values (divided by 7).
    """
    members = torch.stack(list(_members(operator, images)))
    parts = [(_variance(strip), _median_of_strip(list(strip))) for strip in torch.split(members, _STRIP, dim=-2)]
    variance, median = (torch.cat(strips, dim=-2) for strips in zip(*parts, strict=True))
    return median, variance


def _variance(members: Tensor) -> Tensor:
    """Return the sample variance over the first axis.

    It is computed from differences to the first member: with squares of the samples the small variance would cancel
    out."""
    differences = members[1:] - members[0]
    squares = differences.square().sum(0) - differences.sum(0).square() / len(members)
    return squares.clamp_min_(0).div_(len(members) - 1)


def median_of_twelve(operator: Callable[..., Tensor], *images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the median over 12 members, and the variance of the 8 distinct ones.

    The 12 are the four rotations as they are, flipped left to right, and flipped upside down. So each reflection counts
    twice. The median is the mean of the 6th and 7th value.
    """
    members = torch.stack(list(_members(operator, images)))
    medians, variances = [], []
    for strip in torch.split(members, _STRIP, dim=-2):
        variances.append(_variance(strip))
        medians.append(torch.cat([strip, strip[ORDER // 2 :]]).sort(0).values[5:7].mean(0))
    return torch.cat(medians, dim=-2), torch.cat(variances, dim=-2)


def _members(operator: Callable[..., Tensor], images: tuple[Tensor, ...]) -> Iterator[Tensor]:
    for element in range(ORDER):
        yield inverse(operator(*(transform(image, element) for image in images)), element)


_COMPARED = (
    *((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6)),
    *((0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (3, 4)),
)
"""Batcher's sorting network for 8 (1968), without the comparisons that do not affect the 4th and the 5th place."""


def _median_of_strip(members: list[Tensor]) -> Tensor:
    """Return the median by comparing pairs: four times as fast as a sort, which computes indices, too."""
    for low, high in _COMPARED:
        pair = members[low], members[high]
        members[low], members[high] = torch.minimum(*pair), torch.maximum(*pair)
    return (members[3] + members[4]) / 2
