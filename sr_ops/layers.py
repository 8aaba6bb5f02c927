"""What networks are built of, and how their weights begin."""

import math

import torch
from torch import Generator, Tensor, nn

from .settings import Normalisation

_ADDITION_GAIN = 0.3

_LEAST_VARIANCE = 1e-5


class Addition(nn.Module):
    """x + convolution(relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.convolution(nn.functional.relu(x))
        return added.add_(x)  # in place: as much memory again takes longer than the sum


class Gated(Addition):
    """x + gate * convolution(relu(x)), the gate from 0 to 2, made of what the convolution made; 1 at first."""

    gate: nn.Conv2d
    """The last one on the gate's way."""

    def gated(self, made: Tensor) -> Tensor:
        """Of (B, C, h, w) the gate before its sigmoid: (B, C or 1, h, w)."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.convolution(nn.functional.relu(x))
        return torch.addcmul(x, made, self.gated(made).sigmoid(), value=2)


class ResidualBlock(nn.Module):
    """x + branch(x), the branch two convolutions with a ReLU between (He et al. 2016, figure 2)."""

    def __init__(self, width: int, normalisation: Normalisation = Normalisation.NONE, after: nn.Module | None = None):
        """
        Args:
            normalisation: after each convolution (Ledig et al. 2017, figure 4).
            after: what the branch goes through before it is added.
        """
        super().__init__()
        self.last = convolution(width, width)
        layers = [convolution(width, width), *norm(normalisation, width), nn.ReLU()]
        self.branch = nn.Sequential(*layers, self.last, *norm(normalisation, width), *([after] if after else []))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.branch(x)
        return added + x


class Head(nn.Conv2d):
    """A 3 x 3 convolution whose result is added to the enlargement: nothing at first."""

    def __init__(self, bands_in: int, bands_out: int) -> None:
        super().__init__(bands_in, bands_out, kernel_size=3, padding=1)


class PixelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel: it looks at no other, so that tiles equal the whole."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width))

    def reset_parameters(self) -> None:
        nn.init.ones_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        variance, mean = torch.var_mean(x.float(), dim=1, keepdim=True, correction=0)
        scaled = (x.float() - mean) * (variance + _LEAST_VARIANCE).rsqrt()
        return (scaled * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class Dropout(nn.Module):
    """In a fit, whole channels of each crop are 0 with probability `share`, the others larger (Kong et al. 2022).

    They are drawn from `generator`, which whoever fits has to set (`fit.fit`): torch's own would be the global one.
    """

    generator: Generator | None = None

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.share:
            return x
        assert self.generator is not None
        kept = torch.rand(*x.shape[:2], 1, 1, generator=self.generator) >= self.share
        return x * (kept / (1 - self.share)).to(x)


def norm(normalisation: Normalisation, width: int) -> list[nn.Module]:
    """The layer that does it, or none.

    Batch normalisation (Ioffe & Szegedy 2015) takes the statistics of the crops while it is fitted, and enlarges with
    those it kept of them, the same for every tile. Statistics of the image itself, as instance normalisation has them,
    would differ from tile to tile (docs/decisions.md).
    """
    kinds = {Normalisation.NONE: None, Normalisation.BATCH: nn.BatchNorm2d, Normalisation.LAYER: PixelNorm}
    kind = kinds[normalisation]
    return [] if kind is None else [kind(width)]


def convolution(bands_in: int, bands_out: int, side: int = 3) -> nn.Conv2d:
    """Of an odd side; the result is as large as what it is made of."""
    return nn.Conv2d(bands_in, bands_out, kernel_size=side, padding=side // 2)


def initialise(body: nn.Module, generator: Generator) -> None:
    """He et al. 2015 for plain layers, smaller where a layer adds to its input, zero for the last: bicubic at first."""
    added = {layer.last for layer in body.modules() if isinstance(layer, ResidualBlock)}
    added |= {layer.convolution for layer in body.modules() if isinstance(layer, Addition)}
    convolutions = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    for layer in convolutions:
        std = (_ADDITION_GAIN if layer in added else 1.0) * math.sqrt(
            2 / (layer.in_channels // layer.groups * math.prod(layer.kernel_size))
        )
        nn.init.normal_(layer.weight, std=std, generator=generator)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    for module in body.modules():
        if isinstance(module, nn.BatchNorm2d | nn.PReLU | PixelNorm):
            module.reset_parameters()
    gates = [layer.gate for layer in body.modules() if isinstance(layer, Gated)]
    for layer in (convolutions[-1], *gates, *(layer for layer in convolutions if isinstance(layer, Head))):
        nn.init.zeros_(layer.weight)
