"""Residual blocks after interpolation, with optional normalisation and dropout."""

from torch import nn

from ...settings import Normalisation
from ..layers import Addition, Dropout, ResidualBlock, convolution
from ..residual_network import NetworkAtHrSize


class Superresnet(NetworkAtHrSize):
    """Residual blocks over the bicubic enlargement: those of SRResNet (Ledig et al. 2017, figure 4) at HR size.

    Dropout comes before the last convolution (Kong et al. 2022).
    """

    line = "Residual blocks over the bicubic enlargement; --normalisation and --dropout cost 0.2 dB and more."
    source = "Ledig et al. 2017, figure 4"
    options = ("dropout", "normalisation")

    def layers(
        self,
        bands: int,
        width: int,
        depth: int,
        dropout: float = 0.0,
        normalisation: Normalisation = Normalisation.NONE,
    ) -> list[nn.Module]:
        blocks, left = divmod(depth - 2, 2)
        return [
            convolution(bands, width),
            *(Addition(width) for _ in range(left)),
            *(ResidualBlock(width, normalisation) for _ in range(blocks)),
            nn.ReLU(),
            Dropout(dropout),
            convolution(width, bands),
        ]


NETWORK = Superresnet
