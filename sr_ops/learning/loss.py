"""The loss of a fit, sample by sample."""

from torch import Tensor

from ..settings import Loss

_ROUNDING = 1e-3
"""Epsilon of Charbonnier's loss (Lai et al. 2017, section 3.3): smaller differences count as their squares."""


def loss_of(loss: Loss, difference: Tensor) -> Tensor:
    """Return the loss of each sample."""
    if loss == Loss.L1:
        return difference.abs()
    squares = difference.square()
    return squares if loss == Loss.L2 else (squares + _ROUNDING**2).sqrt()
