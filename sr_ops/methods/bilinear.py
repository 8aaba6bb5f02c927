"""Linear interpolation, along one axis and then along the other."""

from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.method import EnlargingMethod, Learned
from ..image.domain import Domain
from ..image.resample import Interpolant, upscale


def triangle(x: Tensor) -> Tensor:
    """Return the triangle kernel: 1 at 0, falling to 0 at -1 and 1."""
    return (1 - x.abs()).clamp_min(0)


class Bilinear(EnlargingMethod):
    """Pillow's BILINEAR and MATLAB's `imresize(image, scale, "bilinear")`."""

    line = "Bilinear interpolation."
    source = "Keys 1981"

    def reach(self, degradation: Degradation) -> int:  # noqa: ARG002 - the same for every camera
        return 1

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:  # noqa: ARG002
        return upscale(window, degradation.scale, Interpolant(triangle, radius=1))


METHOD = Bilinear()
