"""The dihedral group of the square: four rotations, each with and without a flip."""

from collections.abc import Callable

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


def turned_places(side: int) -> Tensor:
    """Return (8, 2, side, side): the row and the column that each pixel of a transformed square has in the square."""
    places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
    return torch.stack([transform(places, element) for element in range(ORDER)])


def median_and_variance(
    operator: Callable[..., Tensor], *images: Tensor, twelve: bool = False
) -> tuple[Tensor, Tensor]:
    """Return the median and the variance over the 8 transforms of `inverse(operator(transform(image)))`.

    This is the self-ensemble of ZSSR (Shocher et al. 2018, section 3.1).

    Args:
        operator: maps (..., h, w), and further images of it, to (..., s h, s w) for one fixed s.
        images: the image (..., H, W), and further ones of any size, which are transformed with it.
        twelve: take the median of the four rotations as they are, flipped left to right, and flipped upside down. So
            each reflection counts twice.

    Returns:
        The operator's result without its dependence on direction, the mean of the two middle values; and for each
        sample the variance of the 8 values (divided by 7).
    """
    members = torch.stack(
        [inverse(operator(*(transform(image, element) for image in images)), element) for element in range(ORDER)]
    )
    median = _median_of_twelve if twelve else _median_of_eight
    parts = [(median(strip), _variance(strip)) for strip in torch.split(members, _STRIP, dim=-2)]
    medians, variances = zip(*parts, strict=True)
    return torch.cat(medians, dim=-2), torch.cat(variances, dim=-2)


def _variance(members: Tensor) -> Tensor:
    """Return the sample variance over the first axis.

    It is computed from differences to the first member: with squares of the samples the small variance would cancel
    out.
    """
    differences = members[1:] - members[0]
    squares = differences.square().sum(0) - differences.sum(0).square() / len(members)
    return squares.clamp_min_(0).div_(len(members) - 1)


def _median_of_twelve(members: Tensor) -> Tensor:
    return torch.cat([members, members[ORDER // 2 :]]).sort(0).values[5:7].mean(0)


_COMPARED = (
    *((0, 1), (2, 3), (4, 5), (6, 7), (0, 2), (1, 3), (4, 6), (5, 7), (1, 2), (5, 6)),
    *((0, 4), (1, 5), (2, 6), (3, 7), (2, 4), (3, 5), (3, 4)),
)
"""Batcher's sorting network for 8 (1968), without the comparisons that do not affect the 4th and the 5th place."""


def _median_of_eight(members: Tensor) -> Tensor:
    """Return the median by comparing pairs: four times as fast as a sort, which computes indices, too."""
    values: list[Tensor] = list(members)
    for low, high in _COMPARED:
        pair = values[low], values[high]
        values[low], values[high] = torch.minimum(*pair), torch.maximum(*pair)
    return (values[3] + values[4]) / 2
