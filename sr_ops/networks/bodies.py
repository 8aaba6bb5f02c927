"""The hidden layers that direct networks are made of, one class for each kind of body.

Every one adds to its input what a 3 x 3 convolution makes of it. Those with attention multiply that, sample by sample,
with a gate of 0 to 2, which is 1 before anything was learned: they begin as additive ones do. None looks at the whole
image, so that tiles equal the whole; `body_shapes` says how far each sees.

Layers serve several networks side by side in the channels, too (`stack`), whose convolutions are then grouped.
"""

from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, relu

from ..settings import Body, BodyKind
from .body_shapes import SPATIAL_CHANNELS, SPATIAL_SIDE, WINDOW, squeezed
from .layers import Addition, Gated


class PixelAttention(Gated):
    """A factor for each sample, from all channels of its pixel (PAN, Zhao et al. 2020)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.gate = nn.Conv2d(width, width, 1)

    def gated(self, made: Tensor) -> Tensor:
        return self.gate(made)  # type: ignore[no-any-return]


class ChannelAttention(Gated):
    """A factor for each channel, from the means of all of them nearby (squeeze and excitation, Hu et al. 2018).

    The paper's means are over the whole image, by which a tile would differ from the whole.
    """

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.squeeze = nn.Conv2d(width, squeezed(width), 1)
        self.gate = nn.Conv2d(squeezed(width), width, 1)

    def gated(self, made: Tensor) -> Tensor:
        return self.gate(relu(self.squeeze(_means(made))))  # type: ignore[no-any-return]


class SpatialAttention(Gated):
    """A factor for each pixel, from some channels around it (as CBAM, Woo et al. 2018; there mean and maximum)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.squeeze = nn.Conv2d(width, SPATIAL_CHANNELS, 1)
        self.gate = nn.Conv2d(SPATIAL_CHANNELS, 1, SPATIAL_SIDE, padding=SPATIAL_SIDE // 2)

    def gated(self, made: Tensor) -> Tensor:
        gate: Tensor = self.gate(relu(self.squeeze(made)))
        networks, width = gate.shape[1], self.convolution.in_channels
        return gate if networks == 1 else gate.repeat_interleave(width, 1)


LAYERS: dict[BodyKind, type[Addition]] = {
    BodyKind.ADDITIVE: Addition,
    BodyKind.PIXEL: PixelAttention,
    BodyKind.CHANNEL: ChannelAttention,
    BodyKind.SPATIAL: SpatialAttention,
}


def hidden_layers(body: Body) -> list[nn.Module]:
    """Return the layers between the first and the last convolution."""
    return [LAYERS[body.kind](body.width) for _ in range(body.depth - 2)]


def _means(made: Tensor) -> Tensor:
    """Return the means over WINDOW x WINDOW pixels around each, fewer at the border: rows first, then columns."""
    half = WINDOW // 2
    rows = avg_pool2d(made, (1, WINDOW), 1, (0, half), count_include_pad=False)
    return avg_pool2d(rows, (WINDOW, 1), 1, (half, 0), count_include_pad=False)
