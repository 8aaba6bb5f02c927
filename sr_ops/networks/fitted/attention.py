"""Residual blocks with attention to channels, then to positions, from a local neighbourhood."""

import torch
from torch import Tensor, nn

from ...settings import STAGE_SCALE
from ..layers import Addition, ResidualBlock, convolution
from ..residual_network import NetworkAtLrSize

_AROUND = 4
"""Pixels on each side over which channels are averaged."""

_PLACES_SIDE = 7
"""Side of the convolution of spatial attention."""

_FEWER = 16
"""Factor by which channel attention reduces the channels."""


class Attention(NetworkAtLrSize):
    """Channel and spatial attention at the end of each residual branch (CBAM: Woo et al. 2018, section 3).

    The paper's channel attention pools over the whole image, so a tile would differ from the whole. Here it averages
    over the 9 x 9 pixels around each position, without the paper's max pooling, so that each position has its own
    weights.
    """

    line = (
        "Residual blocks with channel attention, over 9 x 9 pixels instead of the whole image, and spatial attention."
    )
    source = "Woo et al. 2018, section 3"

    def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:
        blocks, left = divmod(depth - 2, 2)
        return [
            convolution(bands, width),
            *(Addition(width) for _ in range(left)),
            *(ResidualBlock(width, after=nn.Sequential(_Channels(width), _Places())) for _ in range(blocks)),
            nn.ReLU(),
            convolution(width, bands * STAGE_SCALE**2),
            nn.PixelShuffle(STAGE_SCALE),
        ]

    @classmethod
    def reach_of(cls, depth: int) -> int:
        return depth + (depth - 2) // 2 * (_AROUND + _PLACES_SIDE // 2)


class _Channels(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.around = nn.AvgPool2d(2 * _AROUND + 1, stride=1, padding=_AROUND, count_include_pad=False)
        fewer = max(1, width // _FEWER)
        self.weights = nn.Sequential(
            convolution(width, fewer, 1), nn.ReLU(), convolution(fewer, width, 1), nn.Sigmoid()
        )

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.weights(self.around(x))
        return x * weights


class _Places(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Sequential(convolution(2, 1, _PLACES_SIDE), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.weights(torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1))
        return x * weights


NETWORK = Attention
