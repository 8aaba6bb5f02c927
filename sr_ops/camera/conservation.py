"""Conservation of means: what clamping to the range removed from a pixel is added to the pixels around it.

Back-projection can correct the image only within the range of its samples. At hard edges between black and white some
of the correction is cut off, more on one side than on the other, which would make the image brighter or darker.
"""

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ..image.domain import Domain, nearest, only_known
from .degradation import Degradation

_CANCELLED = 2
"""Distance, in LR pixels, within which residuals cancel: around a dot that is too faint, neighbours are too dark."""

_SPREAD = 4
"""Distance, in LR pixels, over which the rest is shared out; what competes for a share lies up to as far away again."""

_NEGLIGIBLE = 2e-6
"""Share of the range: the residual that back-projection leaves where nothing is cut off."""

_ROOM = (0.01, 0.03, 0.1, 0.14, 0.2, 0.3, 0.45, 0.7, 1.0)
"""Limits, as shares of the range, on how much of a pixel's room is counted. The smallest limit that gives enough room
is used. Otherwise black dots on white, which have the most room, would be filled before the white around them."""


SHARED_REACH = 12
"""Pixels around a pixel that `keep_within` reads for it. What is cut off is shared out over 4, and pixels up to 4
farther away compete for it; 4 are to spare."""


def passes(degradation: Degradation) -> int:
    """Return how many times to run `conserve`: kernels other than bicubic do not see all that one pass adds."""
    return 1 if degradation.is_bicubic else 2


def conserve(sr: Tensor, lr: Tensor, degradation: Degradation, domain: Domain, still: Tensor | None = None) -> Tensor:
    """Return `sr` with its residual against `lr` shared out among nearby pixels, in proportion to their room.

    A pixel's room is its distance from the end of the range. The sum over the known samples then equals that of `lr`
    times `scale` squared, except where no pixel nearby has room. If a kernel shifts the image and some samples are
    unknown, it differs by what the kernel carries across their border.

    Args:
        sr: (C, H * scale, W * scale) float32.
        lr: (C, H, W), unknown samples filled.
        still: (C, H, W) bool: pixels of `lr` that must not change.

    Returns:
        `sr` itself if there is nothing to share out.
    """
    scale = degradation.scale
    takers = torch.ones_like(lr) if still is None else (~still).float()
    if domain.known is not None and degradation.is_centred:
        residual = _lacking(sr, lr, degradation, domain.known)
    else:  # what a shift carries across the border of the known samples must not be taken back
        residual = lr - degradation.apply(sr)
    residual, takers = (only_known(part, domain.known) for part in (residual, takers))
    return _shared_out(sr, residual, scale, domain, takers)


def keep_within(image: Tensor, domain: Domain, takers: Tensor) -> Tensor:
    """Clamp (C, H, W) to the domain, and share out what this cuts off among nearby pixels that have room.

    Args:
        takers: (C, H, W) bool: pixels whose cut-off part is shared out, and that may take a share.
    """
    kept = image.clamp(*domain.bounds(image))
    return _shared_out(kept, (image - kept) * takers, 1, domain, takers.to(image))


def _shared_out(sr: Tensor, residual: Tensor, scale: int, domain: Domain, takers: Tensor) -> Tensor:
    """Return `sr` with the residuals (C, H, W) of its `scale` x `scale` blocks shared out; `sr` itself if all are 0."""
    residual = residual.where(residual.abs() > _NEGLIGIBLE, 0.0)
    if not bool(residual.any()):
        return sr
    low, high = domain.bounds(sr)
    net = _sum_around(residual / _sum_around(torch.ones_like(residual), _CANCELLED), _CANCELLED)
    more = _given(net.clamp_min(0), high - sr, scale, takers)
    less = _given((-net).clamp_min(0), sr - low, scale, takers)
    return (sr + more - less).clamp_(low, high)


def _lacking(sr: Tensor, lr: Tensor, degradation: Degradation, known: Tensor) -> Tensor:
    """Return (C, H, W): what each known pixel lacks. The sum is that of the known part of `lr` less that of `sr`.

    The residual of the forward model alone does not have this sum, since pixels give and take across the border of the
    known samples. Here what comes from beyond counts nothing, and what goes beyond counts for the pixel it comes from.
    The adjoint, applied to the mask of unknown samples, tells how much that is for each HR pixel.
    """
    from_known = degradation.apply(sr * nearest(known, degradation.scale))
    gone = avg_pool2d(sr * degradation.handed_back((~known).to(sr)), degradation.scale)
    return lr - from_known - gone


def _given(amounts: Tensor, room: Tensor, scale: int, takers: Tensor) -> Tensor:
    """Return (C, H * scale, W * scale): `amounts` (C, H, W) shared out by room among the takers (1 or 0) nearby."""
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
