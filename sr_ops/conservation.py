"""Keeping the sum: what black, white or a missing neighbour kept from a pixel is given to the pixels around it.

Back-projection reaches the image only as far as the range of its samples allows. At hard edges between black and white
some of its correction is cut off, more at one end than at the other, and the image would come out brighter or darker.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from .domain import Domain, nearest
from .resample import downscale

_CANCELLED = 2
"""LR pixels as far as residuals cancel each other: around a dot that is too faint its neighbours are too dark."""

_SPREAD = 4
"""LR pixels as far as what is left is shared out; who else is there to take it lies as far again."""

_BORDER = 8
"""LR pixels from an unknown sample within which sums are kept pixel by pixel: filters reach across, and what they take
there is lost with what is not known."""

_NEGLIGIBLE = 1e-4
"""Of the range: what back-projection leaves where nothing is cut off."""

_ROOM = (0.01, 0.03, 0.1, 0.14, 0.2, 0.3, 0.45, 0.7, 1.0)
"""Of the range, between a pixel and its end, that is counted: the least of these at which there is room enough. Black
dots on white have most room, and would be filled before the white around them is as white as it can be."""


def conserve(sr: Tensor, lr: Tensor, scale: int, domain: Domain, close: Tensor | None = None) -> Tensor:
    """`sr` with what it lacks of `lr`, or has too much, shared out among pixels nearby by the room that they have.

    The sum over the known samples is then that of `lr`, times `scale` squared, up to pixels with no room around them.

    Args:
        sr: (C, H * scale, W * scale) float32.
        lr: (C, H, W), filled where it is not known.
        close: (C, H, W) bool: where sums are to be kept pixel by pixel, besides at the border of what is known.

    Returns:
        `sr` itself where there is nothing to share out.
    """
    residual = lr - downscale(sr, scale)
    if domain.known is not None:
        border = max_pool2d((~domain.known).float(), 2 * _BORDER + 1, stride=1, padding=_BORDER) > 0
        close = border if close is None else border | close
    if close is not None:
        residual = torch.where(close, lr - avg_pool2d(sr, scale), residual)
    residual = residual.where(residual.abs() > _NEGLIGIBLE, 0.0)
    if domain.known is not None:
        residual = residual * domain.known
    if not bool(residual.any()):
        return sr
    low, high = (torch.as_tensor(bound).to(sr) for bound in (domain.low, domain.high))
    net = _sum_around(residual / _sum_around(torch.ones_like(residual), _CANCELLED), _CANCELLED)
    more = _given(net.clamp_min(0), high - sr, scale, domain.known)
    less = _given((-net).clamp_min(0), sr - low, scale, domain.known)
    return (sr + more - less).clamp_(low, high)


def _given(amounts: Tensor, room: Tensor, scale: int, known: Tensor | None) -> Tensor:
    """(C, H * scale, W * scale): each of the amounts (C, H, W) shared out among the known pixels around it by room."""
    given = torch.zeros_like(room)
    for level in _ROOM:
        counted = room.clamp(0, level)
        of_pixels = avg_pool2d(counted, scale)
        if known is not None:
            of_pixels = of_pixels * known
        around = _sum_around(of_pixels, _SPREAD)
        enough = around >= (amounts * (2 * _SPREAD + 1) ** 2 if level < _ROOM[-1] else _NEGLIGIBLE)
        placed = torch.where(enough, amounts / around.where(around > 0, 1.0), 0.0)
        if bool(placed.any()):
            shares = _sum_around(placed, _SPREAD)
            given.addcmul_(counted, nearest(shares if known is None else shares * known, scale))
            amounts = amounts.where(~enough, 0.0)
        if not bool(amounts.any()):
            break
    return given


def _sum_around(image: Tensor, reach: int) -> Tensor:
    side = 2 * reach + 1
    across = avg_pool2d(image, (1, side), stride=1, padding=(0, reach))
    return avg_pool2d(across, (side, 1), stride=1, padding=(reach, 0)) * side**2
