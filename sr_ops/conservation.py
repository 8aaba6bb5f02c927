"""Keeping the sum: what black, white or a missing neighbour kept from a pixel is given to the pixels around it.

Back-projection reaches the image only as far as the range of its samples allows. At hard edges between black and white
some of its correction is cut off, more at one end than at the other, and the image would come out brighter or darker.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from .degradation import Degradation
from .domain import Domain, nearest, only_known

_CANCELLED = 2
"""LR pixels as far as residuals cancel each other: around a dot that is too faint its neighbours are too dark."""

_SPREAD = 4
"""LR pixels as far as what is left is shared out; who else is there to take it lies as far again."""

_NEGLIGIBLE = 2e-6
"""Of the range: what back-projection leaves where nothing is cut off."""

_ROOM = (0.01, 0.03, 0.1, 0.14, 0.2, 0.3, 0.45, 0.7, 1.0)
"""Of the range, between a pixel and its end, that is counted: the least of these at which there is room enough. Black
dots on white have most room, and would be filled before the white around them is as white as it can be."""


SHARED_REACH = 12
"""Pixels from which `keep_within` brings what was cut off: those that cancel, those that it is shared out among, and
who else is there to take it."""


def passes(degradation: Degradation) -> int:
    """How often `conserve` is to be done: what one pass adds, kernels other than bicubic do not see whole."""
    return 1 if degradation.is_bicubic else 2


def conserve(sr: Tensor, lr: Tensor, degradation: Degradation, domain: Domain, still: Tensor | None = None) -> Tensor:
    """`sr` with what it lacks of `lr`, or has too much, shared out among pixels nearby by the room that they have.

    The sum over the known samples is then that of `lr`, times `scale` squared, up to pixels with no room around them;
    where a kernel shifts the image and not all is known, up to what it carries across that border.

    Args:
        sr: (C, H * scale, W * scale) float32.
        lr: (C, H, W), filled where it is not known.
        still: (C, H, W) bool: pixels of the image that take nothing.

    Returns:
        `sr` itself where there is nothing to share out.
    """
    scale = degradation.scale
    takers = torch.ones_like(lr) if still is None else (~still).float()
    if domain.known is not None and degradation.is_centred:
        residual = _lacking(sr, lr, degradation, domain.known)
    else:  # what a shift carries across the border of what is known is not to be taken back
        residual = lr - degradation.apply(sr)
    residual, takers = (only_known(part, domain.known) for part in (residual, takers))
    return _shared_out(sr, residual, scale, domain, takers)


def keep_within(image: Tensor, domain: Domain, takers: Tensor) -> Tensor:
    """(C, H, W) cut off at the ends of the domain, and what that takes or adds shared out among pixels nearby by room.

    Args:
        takers: (C, H, W) bool: pixels of which this is asked, and that take of it.
    """
    kept = image.clamp(*domain.bounds(image))
    return _shared_out(kept, (image - kept) * takers, 1, domain, takers.to(image))


def _shared_out(sr: Tensor, residual: Tensor, scale: int, domain: Domain, takers: Tensor) -> Tensor:
    """`sr` with the residuals (C, H, W) of its pixels of `scale` x `scale`; itself where there are none."""
    residual = residual.where(residual.abs() > _NEGLIGIBLE, 0.0)
    if not bool(residual.any()):
        return sr
    low, high = domain.bounds(sr)
    net = _sum_around(residual / _sum_around(torch.ones_like(residual), _CANCELLED), _CANCELLED)
    more = _given(net.clamp_min(0), high - sr, scale, takers)
    less = _given((-net).clamp_min(0), sr - low, scale, takers)
    return (sr + more - less).clamp_(low, high)


def _lacking(sr: Tensor, lr: Tensor, degradation: Degradation, known: Tensor) -> Tensor:
    """(C, H, W): what known pixels lack, whose sum is that of the known of `lr` less the known of `sr`.

    Of the forward model alone it is not: across the border of what is known pixels give to others and get from them.
    Here what comes from beyond counts nothing, and what goes there counts for the pixel that it comes from; a mask
    handed back is how much that is of each.
    """
    from_known = degradation.apply(sr * nearest(known, degradation.scale))
    gone = avg_pool2d(sr * degradation.handed_back((~known).to(sr)), degradation.scale)
    return lr - from_known - gone


def _given(amounts: Tensor, room: Tensor, scale: int, takers: Tensor) -> Tensor:
    """(C, H * scale, W * scale): each of the amounts (C, H, W) shared out by room among takers (1 or 0) nearby."""
    given = torch.zeros_like(room)
    for level in _ROOM:
        counted = room.clamp(0, level)
        around = _sum_around(avg_pool2d(counted, scale) * takers, _SPREAD)
        enough = around >= (amounts * (2 * _SPREAD + 1) ** 2 if level < _ROOM[-1] else _NEGLIGIBLE)
        placed = torch.where(enough, amounts / around.where(around > 0, 1.0), 0.0)
        if bool(placed.any()):
            given.addcmul_(counted, nearest(_sum_around(placed, _SPREAD) * takers, scale))
            amounts = amounts.where(~enough, 0.0)
        if not bool(amounts.any()):
            break
    return given


def _sum_around(image: Tensor, reach: int) -> Tensor:
    side = 2 * reach + 1
    across = avg_pool2d(image, (1, side), stride=1, padding=(0, reach))
    return avg_pool2d(across, (side, 1), stride=1, padding=(reach, 0)) * side**2
