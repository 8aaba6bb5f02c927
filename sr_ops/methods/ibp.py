"""Iterative back-projection: the forward model of the result is compared with the image again and again."""

import torch
from torch import Tensor
from torch.nn.functional import pad

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain, only_known
from ..image.resample import upscale

_ITERATIONS = 50


class IterativeBackProjection(EnlargingMethod):
    """x <- x + step * p(lr - apply(x)), starting from bicubic; p, the back-projection kernel, is the camera's adjoint.

    Irani & Peleg 1991, with three additions. Each iteration goes back a little to the start, in proportion to the
    noise: otherwise it would amplify noise wherever the camera blurred; its limit is `Degradation.data_step`. It has
    momentum (Polyak 1964) with the best step and share for the camera, without which a Gaussian takes hundreds of
    iterations. And it is clamped to the range if there is no noise.
    """

    line = f"Iterative back-projection: what the camera would see is compared with what it saw, {_ITERATIONS} times."
    source = "Irani & Peleg 1991"
    knows_camera = True

    def reach(self, degradation: Degradation) -> int:
        return degradation.reach + 3

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        low, high = _range(degradation, domain, window)
        image = before = start = upscale(window, degradation.scale)
        back, step, pace = (part.to(window) for part in _steps(degradation))
        for _ in range(_ITERATIONS):
            residual = only_known(window - degradation.apply(image), domain.known)
            change = _handed_back(residual, degradation) + back * (start - image)
            image, before = (image + step * change + pace * (image - before)).clamp(low, high), image
        return image


def _range(degradation: Degradation, domain: Domain, window: Tensor) -> tuple[Tensor, Tensor]:
    """Return the range of the iterates, (1 or C, 1, 1) each. With noise there is none: it would cost 0.1 dB on Set5."""
    noisy = torch.tensor(degradation.noise).to(window)[:, None, None] > 0
    low, high = domain.bounds(window)
    return torch.where(noisy, -torch.inf, low), torch.where(noisy, torch.inf, high)


def _handed_back(residual: Tensor, degradation: Degradation) -> Tensor:
    """Return `Degradation.handed_back` of a residual that is 0 outside the image, as in the data step."""
    scale, margin = degradation.scale, 1 + degradation.side // 2 // degradation.scale
    height, width = (scale * length for length in residual.shape[-2:])
    around = degradation.handed_back(pad(residual, (margin,) * 4))
    return around[..., margin * scale :, margin * scale :][..., :height, :width]


def _steps(degradation: Degradation) -> tuple[Tensor, Tensor, Tensor]:
    """Return the share of the start, the step size and the momentum, (1 or C, 1, 1) each."""
    back = degradation.scale**2 * degradation.weight
    least, largest = ((gain + back).sqrt() for gain in degradation.gains)
    return back, 4 / (largest + least) ** 2, ((largest - least) / (largest + least)) ** 2


METHOD = IterativeBackProjection()
