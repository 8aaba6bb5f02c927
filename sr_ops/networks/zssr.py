"""The network of the ZSSR paper, at HR size."""

import torch
from torch import Tensor, nn

from ..residual_network import FittedNetwork, convolution


class Zssr(FittedNetwork):
    """The paper's: plain convolutions over the bicubic enlargement (Shocher et al. 2018, section 3.1; there 8 x 64)."""

    line = "The ZSSR paper's: plain convolutions over the bicubic enlargement."
    source = "Shocher et al. 2018, section 3.1"

    def __init__(self, bands: int, width: int, depth: int, autocast_dtype: torch.dtype) -> None:
        super().__init__(bands, width, depth, autocast_dtype)
        hidden = (layer for _ in range(depth - 2) for layer in (nn.ReLU(), convolution(width, width)))
        self.body = nn.Sequential(convolution(bands, width), *hidden, nn.ReLU(), convolution(width, bands))

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:  # noqa: ARG002 - one of the three
        return base

    def residual(self, seen: Tensor) -> Tensor:
        residual: Tensor = self.body(seen)
        return residual


NETWORK = Zssr
