"""Projections onto convex sets: consistent with the camera's data, within the range, and of limited slope."""

import torch
from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain, largest_near, nearest
from ..image.resample import upscale

_ITERATIONS = 10

_STEEPER = 1.4
"""How many times steeper than the LR image a result may be."""

_ROUNDING = 0.5 / 255


class Pocs(EnlargingMethod):
    """x <- smoothness(range(data(x))), each a projection onto a set, starting from bicubic.

    The sets of data and range are those of Stark & Oskoui 1989. An image is in the data set if its forward model
    differs from each LR pixel by no more than noise and rounding. It is in the smoothness set if neighbours differ by
    no more than the LR pixels around them do. The data projection is a data step, for all LR pixels at once.
    """

    line = "Projections onto convex sets: data within the noise, range, and slopes no steeper than the image's."
    source = "Stark & Oskoui 1989; Youla & Webb 1982"
    knows_camera = True

    def reach(self, degradation: Degradation) -> int:
        return degradation.reach + _ITERATIONS

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        low, high = domain.bounds(window)
        noise = torch.tensor(degradation.noise).to(window)[:, None, None] + _ROUNDING
        steepest = [(axis, _steepest(window, axis, degradation.scale)) for axis in (-2, -1)]
        image = upscale(window, degradation.scale)
        for _ in range(_ITERATIONS):
            seen = degradation.apply(image)
            allowed = torch.minimum(torch.maximum(seen, window - noise), window + noise)
            image = degradation.data_step(allowed, image, domain.known).clamp(low, high)
            for axis, bound in steepest:
                image = _onto_slopes(image, bound, axis, degradation.scale)
        return image


def _steepest(lr: Tensor, axis: int, scale: int) -> Tensor:
    """Return for each HR pixel how much it may differ from the next one along an axis."""
    differences = torch.zeros_like(lr)
    differences.narrow(axis, 0, lr.shape[axis] - 1).copy_(lr.diff(dim=axis).abs())
    return _STEEPER * nearest(largest_near(differences, 1), scale)


def _onto_slopes(image: Tensor, steepest: Tensor, axis: int, scale: int) -> Tensor:
    """Project onto sets of disjoint pixel pairs, one after the other. Pairs start at the same places in all tiles."""
    image, length = image.clone(), image.shape[axis]
    for first in range(scale):
        at = torch.arange(first, length - 1, scale, device=image.device)
        here, there = image.index_select(axis, at), image.index_select(axis, at + 1)
        bound = steepest.index_select(axis, at)
        step = there - here
        excess = (step - step.clamp(-bound, bound)) / 2
        image.index_copy_(axis, at, here + excess).index_copy_(axis, at + 1, there - excess)
    return image


METHOD = Pocs()
