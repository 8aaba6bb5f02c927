"""Keeping the sum: what black, white or a missing neighbour kept from a pixel is given to the pixels around it.

Back-projection reaches the image only as far as the range of its samples allows. At hard edges between black and white
some of its correction is cut off, more at one end than at the other, and the image would come out brighter or darker.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, max_pool2d

from .domain import Domain, nearest
from .resample import downscale

_SPREAD = 4
"""LR pixels as far as a residual is shared out; who else is there to take it lies as far again."""

_BORDER = 8
"""LR pixels from an unknown sample within which sums are kept pixel by pixel: filters reach across, and what they take
there is lost with what is not known."""

_NEGLIGIBLE = 1e-4
"""Of the range: what back-projection leaves where nothing is cut off."""

_ROOM = 0.01
"""Of the range, between a pixel and its end, to take a share."""


def conserve(sr: Tensor, lr: Tensor, scale: int, domain: Domain, close: Tensor | None = None) -> Tensor:
    """`sr` with what it lacks of `lr`, or has too much, shared out among pixels nearby that have room for it.

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
    up = (max_pool2d(sr, scale) < high - _ROOM).float()
    down = (-max_pool2d(-sr, scale) > low + _ROOM).float()
    if domain.known is not None:
        up, down = up * domain.known, down * domain.known
    change = _shared_out(residual.clamp_min(0), up) - _shared_out((-residual).clamp_min(0), down)
    return (sr + nearest(change, scale)).clamp_(low, high)


def _shared_out(amounts: Tensor, takers: Tensor) -> Tensor:
    """Each of the amounts (C, H, W) in equal parts to those of its neighbours that are takers, 1 or 0; if any is."""
    number = _sum_around(takers)
    return takers * _sum_around(torch.where(number > 0.5, amounts / number.clamp_min(1), 0.0))


def _sum_around(image: Tensor) -> Tensor:
    side = 2 * _SPREAD + 1
    return avg_pool2d(image, side, stride=1, padding=_SPREAD) * side**2
