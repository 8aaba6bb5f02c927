"""The most probable image, by a primal-dual iteration, for the camera's data and a prior of differences.

    argmin over x of |apply(x) - lr|^2 / 2 + R(differences of x)

Chambolle & Pock, "A first-order primal-dual algorithm for convex problems with applications to imaging" (2011),
algorithm 1 with theta = 1. The primal step is the degradation's data step, in closed form. The dual step is that of R,
and is the only thing in which methods differ. Step sizes and iterations are fixed, so that tiles equal the whole.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..image.domain import Domain
from ..image.resample import upscale
from .degradation import Degradation

ITERATIONS = 60
"""On Set5, twice as many change 0.1 dB for bicubic, and more for motion without noise, which they undo further."""

_ROUNDING = 1 / 255
"""Standard deviation assumed where there is no noise: what rounding to 8 bits and the model leave."""

_BOUND = 8.0
"""Bound of the squared norm of `differences` (Chambolle 2004, theorem 3.1)."""

_PACE = 0.6
"""Primal step times the root of the prior's weight; of 0.3, 0.6 and 1.2 it converges first on Set5."""

_DIFFERENCES_REACH = 15
"""In LR pixels: twice the distance that carries a tenth of a level, for bicubic, box, Gaussians and motion, with and
without noise."""

DualStep = Callable[[Tensor, Tensor], Tensor]
"""The proximal map of R's conjugate: takes (2, ..., C, H, W) and the dual step size (1 or C, 1, 1)."""


def prior_weight(degradation: Degradation, factor: float) -> Tensor:
    """Return the weight of R against the data: `factor` times the noise variance; (1 or C, 1, 1) float64.

    It is divided by the scale: the larger the scale, the fewer LR pixels per HR pixel, and the smaller HR differences
    are.
    """
    variance = torch.tensor(degradation.noise, dtype=torch.float64).square() + _ROUNDING**2
    return (factor * variance * 2 / degradation.scale)[:, None, None]


def most_probable(lr: Tensor, degradation: Degradation, domain: Domain, weight: Tensor, dual_step: DualStep) -> Tensor:
    """Return the image after ITERATIONS iterations from bicubic.

    Args:
        lr: (C, h, w) float32, unknown samples filled; they add nothing.
        weight: of R, on the CPU; the step sizes are derived from it.

    Returns:
        (C, h * scale, w * scale), not clamped.
    """
    primal_step = _PACE / weight.sqrt()
    pull = 1 / primal_step.to(lr.dtype)  # stays on the CPU, where a data step makes its divisor
    primal_step, dual_step_size = primal_step.to(lr), (1 / (_BOUND * primal_step)).to(lr)
    image = ahead = upscale(lr, degradation.scale)
    duals = torch.zeros_like(differences(image))
    for _ in range(ITERATIONS):
        duals = dual_step(duals + dual_step_size * differences(ahead), dual_step_size)
        before = image
        image = degradation.data_step(lr, image - primal_step * handed_back(duals), domain.known, pull)
        ahead = 2 * image - before
    return image


def reach(degradation: Degradation) -> int:
    """Return the LR pixels beyond which `most_probable` carries less than half a grey level."""
    return degradation.reach + _DIFFERENCES_REACH


def differences(image: Tensor) -> Tensor:
    """Return (2, ..., H, W): the differences to the pixel below and to the one on the right; 0 at the last ones."""
    down, right = torch.zeros_like(image), torch.zeros_like(image)
    down[..., :-1, :] = image.diff(dim=-2)
    right[..., :-1] = image.diff(dim=-1)
    return torch.stack([down, right])


def handed_back(duals: Tensor) -> Tensor:
    """Return the adjoint of `differences`."""
    down, right = duals
    image = torch.zeros_like(down)
    image[..., :-1, :] -= down[..., :-1, :]
    image[..., 1:, :] += down[..., :-1, :]
    image[..., :-1] -= right[..., :-1]
    image[..., 1:] += right[..., :-1]
    return image
