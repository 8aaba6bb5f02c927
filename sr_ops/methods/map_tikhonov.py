"""The most probable image if differences of neighbours are small: a quadratic prior."""

from torch import Tensor

from ..camera.degradation import Degradation
from ..camera.primal_dual import most_probable, prior_weight, reach
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain

FACTOR = 20.0
"""The best of 20, 100 and 400 on Set5's butterfly with noise of 7.65 levels; 1 / FACTOR is the differences' variance.
"""


class MapTikhonov(EnlargingMethod):
    """argmin over x of |apply(x) - lr|^2 / 2 + weight * |gradient of x|^2 / 2, each band separately.

    The differences have a Gaussian prior (Tikhonov & Arsenin 1977). It is solved by the primal-dual iteration of
    Chambolle & Pock 2011, algorithm 1, whose dual step is a division here.
    """

    line = "Maximum a posteriori with a quadratic prior of differences: smooth."
    source = "Tikhonov & Arsenin 1977; Chambolle & Pock 2011, algorithm 1"
    knows_camera = True

    def reach(self, degradation: Degradation) -> int:
        return reach(degradation)

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        weight = prior_weight(degradation, FACTOR)
        curvature = 1 / weight.to(window)

        def divide(duals: Tensor, step: Tensor) -> Tensor:
            return duals / (1 + step * curvature)

        return most_probable(window, degradation, domain, weight, divide)


METHOD = MapTikhonov()
