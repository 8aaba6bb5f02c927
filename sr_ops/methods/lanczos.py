"""Lanczos interpolation of three lobes."""

from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain
from ..image.resample import LANCZOS_3, upscale


class Lanczos(EnlargingMethod):
    """MATLAB's `imresize(image, scale, "lanczos3")`, and Pillow's LANCZOS except that the border is mirrored."""

    line = "Lanczos interpolation of three lobes."
    source = "Duchon 1979; Turkowski 1990"

    def reach(self, degradation: Degradation) -> int:  # noqa: ARG002 - the same for every camera
        return 3

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        return upscale(window, degradation.scale, LANCZOS_3)


METHOD = Lanczos()
