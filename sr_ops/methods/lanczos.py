"""Lanczos interpolation of three lobes."""

import torch
from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain
from ..image.resample import Interpolant, upscale


def lanczos_3(x: Tensor) -> Tensor:
    """Return sinc(x) under the window sinc(x / 3): support [-3, 3], 1 at 0, 0 at the other whole numbers."""
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


class Lanczos(EnlargingMethod):
    """MATLAB's `imresize(image, scale, "lanczos3")`, and Pillow's LANCZOS except that the border is mirrored."""

    line = "Lanczos interpolation of three lobes."
    source = "Duchon 1979; Turkowski 1990"

    def reach(self, degradation: Degradation) -> int:  # noqa: ARG002 - the same for every camera
        return 3

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        return upscale(window, degradation.scale, Interpolant(lanczos_3, radius=3))


METHOD = Lanczos()
