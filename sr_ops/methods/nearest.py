"""Enlargement by the nearest neighbour."""

from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain, nearest


class Nearest(EnlargingMethod):
    """Repeats every sample `scale` times along each axis, as Pillow's NEAREST does for whole factors."""

    line = "The nearest sample, without interpolation."
    source = "Keys 1981"

    def reach(self, degradation: Degradation) -> int:  # noqa: ARG002 - the same for every camera
        return 0

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        return nearest(window, degradation.scale)


METHOD = Nearest()
