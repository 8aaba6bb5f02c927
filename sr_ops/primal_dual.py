"""The most probable image by a primal-dual iteration: what the camera saw, and what is known of differences.

    argmin over x of |apply(x) - lr|^2 / 2 + R(differences of x)

Chambolle & Pock, "A first-order primal-dual algorithm for convex problems with applications to imaging" (2011),
algorithm 1 with theta = 1. The primal step is the degradation's data step, the closed form of the camera's term; the
dual step is that of R, all that methods differ in. Steps and their number are fixed, so that tiles equal the whole.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from .degradation import Degradation
from .domain import Domain
from .resample import upscale

ITERATIONS = 60
"""On Set5 twice as many change 0.1 dB by bicubic, and more by motion without noise, which they undo further."""

_ROUNDING = 1 / 255
"""Standard deviation of what is taken for noise where there is none: what rounding to 8 bits and the model leave."""

_BOUND = 8.0
"""Of the squared norm of `differences` (Chambolle 2004, theorem 3.1)."""

_PACE = 0.6
"""Primal step times the root of the prior's weight: of 0.3, 0.6 and 1.2 the one that settles first on Set5."""

_DIFFERENCES_REACH = 15
"""LR pixels; of bicubic, box, Gaussians and motion, with noise and without, twice what carries a tenth of a level."""

DualStep = Callable[[Tensor, Tensor], Tensor]
"""The proximal map of R's conjugate: of (2, ..., C, H, W), by the dual's step (1 or C, 1, 1)."""


def prior_weight(degradation: Degradation, factor: float) -> Tensor:
    """The weight of R against the camera's term: `factor` times the noise's variance; (1 or C, 1, 1) float64.

    An LR pixel is worth the fewer HR pixels the larger the scale, and differences of HR pixels are the smaller.
    """
    variance = torch.tensor(degradation.noise, dtype=torch.float64).square() + _ROUNDING**2
    return (factor * variance * 2 / degradation.scale)[:, None, None]


def most_probable(lr: Tensor, degradation: Degradation, domain: Domain, weight: Tensor, dual_step: DualStep) -> Tensor:
    """ITERATIONS from bicubic interpolation.

    Args:
        lr: (C, h, w) float32, filled where it is not known; what is not known pulls at nothing.
        weight: of R, by which the steps are chosen.

    Returns:
        (C, h * scale, w * scale), not clamped.
    """
    primal = _PACE / weight.sqrt()
    primal, dual = primal.to(lr), (1 / (_BOUND * primal)).to(lr)
    image = ahead = upscale(lr, degradation.scale)
    prices = torch.zeros_like(differences(image))
    for _ in range(ITERATIONS):
        prices = dual_step(prices + dual * differences(ahead), dual)
        before = image
        image = degradation.data_step(lr, image - primal * handed_back(prices), domain.known, 1 / primal)
        ahead = 2 * image - before
    return image


def reach(degradation: Degradation) -> int:
    """LR pixels beyond which `most_probable` carries less than half a grey level."""
    return degradation.reach + _DIFFERENCES_REACH


def differences(image: Tensor) -> Tensor:
    """(..., H, W) to (2, ..., H, W): to the pixel below and to the one on the right; 0 at the last of them."""
    down, right = torch.zeros_like(image), torch.zeros_like(image)
    down[..., :-1, :] = image.diff(dim=-2)
    right[..., :-1] = image.diff(dim=-1)
    return torch.stack([down, right])


def handed_back(prices: Tensor) -> Tensor:
    """The adjoint of `differences`."""
    down, right = prices
    image = torch.zeros_like(down)
    image[..., :-1, :] -= down[..., :-1, :]
    image[..., 1:, :] += down[..., :-1, :]
    image[..., :-1] -= right[..., :-1]
    image[..., 1:] += right[..., :-1]
    return image
