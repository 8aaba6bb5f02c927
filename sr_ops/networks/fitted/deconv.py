"""FSRCNN: convolutions at LR size, and a transposed convolution that makes the HR pixels."""

from torch import nn

from ...settings import STAGE_SCALE
from ..layers import convolution
from ..residual_network import NetworkAtLrSize

_FIRST_SIDE, _LAST_SIDE = 5, 9

_NARROWER = 5
"""Factor by which the mapping layers have fewer channels; in the paper 12 of 56."""


class Deconv(NetworkAtLrSize):
    """Dong et al. 2016, section 3: its eight layers correspond to depth 8, with sides 5 - 1 - 3 - 3 - 3 - 3 - 1 - 9.

    The last layer is transposed. Depths below 5 have no narrow part.
    """

    line = "FSRCNN: narrow convolutions at the input's size, and a transposed convolution that makes the pixels."
    source = "Dong et al. 2016, section 3"

    def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:
        narrow = max(1, width // _NARROWER)
        sides, channels = _layers(depth, width, narrow)
        hidden = (
            layer
            for bands_in, bands_out, side in zip(channels, channels[1:], sides[1:], strict=False)
            for layer in (convolution(bands_in, bands_out, side), nn.PReLU())
        )
        last = nn.ConvTranspose2d(
            width, bands, _LAST_SIDE, STAGE_SCALE, padding=_LAST_SIDE // 2, output_padding=STAGE_SCALE - 1
        )
        return [convolution(bands, width, _FIRST_SIDE), nn.PReLU(), *hidden, last]

    @classmethod
    def reach_of(cls, depth: int) -> int:
        sides, _ = _layers(depth, 1, 1)
        return sum(side // 2 for side in sides) + -(-(_LAST_SIDE // 2) // STAGE_SCALE)


def _layers(depth: int, width: int, narrow: int) -> tuple[list[int], list[int]]:
    """Return the sides of all convolutions but the last, and the channels that each produces."""
    mapping = depth - 4
    if mapping < 1:
        return [_FIRST_SIDE, *[3] * (depth - 2)], [width] * (depth - 1)
    return [_FIRST_SIDE, 1, *[3] * mapping, 1], [width, narrow, *[narrow] * mapping, width]


NETWORK = Deconv
