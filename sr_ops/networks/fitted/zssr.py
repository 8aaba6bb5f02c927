"""The network of the ZSSR paper, at HR size."""

from torch import nn

from ..layers import convolution
from ..residual_network import NetworkAtHrSize


class Zssr(NetworkAtHrSize):
    """Plain convolutions over the bicubic enlargement (Shocher et al. 2018, section 3.1, with 8 x 64).

    `superresnet` has residual blocks instead.
    """

    line = "The ZSSR paper's: plain convolutions over the bicubic enlargement."
    source = "Shocher et al. 2018, section 3.1"
    stackable = True

    def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:
        hidden = (layer for _ in range(depth - 2) for layer in (nn.ReLU(), convolution(width, width)))
        return [convolution(bands, width), *hidden, nn.ReLU(), convolution(width, bands)]


NETWORK = Zssr
