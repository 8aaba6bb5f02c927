"""Bicubic interpolation."""

from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain
from ..image.resample import upscale


class Bicubic(EnlargingMethod):
    """MATLAB's `imresize(image, scale)`, with Keys' kernel, a = -0.5."""

    line = "Bicubic interpolation."
    source = "Keys 1981, equation 15"

    def reach(self, degradation: Degradation) -> int:  # noqa: ARG002 - the same for every camera
        return 2

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        return upscale(window, degradation.scale)


METHOD = Bicubic()
