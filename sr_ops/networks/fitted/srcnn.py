"""SRCNN: three convolutions after interpolation."""

from torch import nn

from ...settings import STAGE_SCALE
from ..layers import convolution
from ..residual_network import INTERPOLATION_REACH, NetworkAtHrSize

_SIDES = (9, 1, 5)
"""Sides for patch extraction, mapping and reconstruction."""


class Srcnn(NetworkAtHrSize):
    """9-1-5 over the bicubic enlargement (Dong et al. 2014, section 3); the paper has 64 and 32 channels.

    The result is added to the enlargement, while the paper's replaces it. It therefore starts at bicubic, and one image
    is enough to learn from.
    """

    line = "SRCNN: convolutions of 9, 1 and 5 pixels a side over the bicubic enlargement."
    source = "Dong et al. 2014, section 3"
    fixed_depth = True
    stackable = True

    def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:  # noqa: ARG002 - it has three
        channels = (bands, width, max(1, width // 2), bands)
        extraction, mapping, reconstruction = map(convolution, channels, channels[1:], _SIDES)
        return [extraction, nn.ReLU(), mapping, nn.ReLU(), reconstruction]

    @classmethod
    def reach_of(cls, depth: int) -> int:  # noqa: ARG003 - it has the three
        return -(-sum(side // 2 for side in _SIDES) // STAGE_SCALE) + INTERPOLATION_REACH


NETWORK = Srcnn
