"""Linear interpolation, along one axis and then along the other."""

from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain
from ..image.resample import TRIANGLE, upscale


class Bilinear(EnlargingMethod):
    """Pillow's BILINEAR and MATLAB's `imresize(image, scale, "bilinear")`."""

    line = "Bilinear interpolation."
    source = "Keys 1981"

    def reach(self, degradation: Degradation) -> int:  # noqa: ARG002 - the same for every camera
        return 1

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        return upscale(window, degradation.scale, TRIANGLE)


METHOD = Bilinear()
