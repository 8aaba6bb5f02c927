"""The layers of networks, their initial weights, and how far one step may move them."""

import math

import torch
from torch import Generator, Tensor, nn

from ..settings import Normalisation

_ADDITION_GAIN = 0.3

_LEAST_VARIANCE = 1e-5

GRADIENT_NORM = 0.1
"""Longest gradient of a step: without it the paper's network can die at its peak learning rate and stay bicubic."""


class Addition(nn.Module):
    """x + convolution(relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = convolution(width, width)

    def added(self, x: Tensor) -> Tensor:
        """Return what the layer adds to x, of the shape of x."""
        return self.convolution(nn.functional.relu(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        return self.added(x).add_(x)  # in place: allocating the memory again takes longer than the sum


class Gated(Addition):
    """x + gate * convolution(relu(x)). The gate, 0 to 2, is computed from the convolution's result; it starts at 1."""

    gate: nn.Conv2d
    """The last convolution that computes the gate."""

    def gated(self, made: Tensor) -> Tensor:
        """Return the gate before its sigmoid, (B, C or 1, h, w), for `made` (B, C, h, w)."""
        raise NotImplementedError

    def added(self, x: Tensor) -> Tensor:
        made = super().added(x)
        return 2 * made * self.gated(made).sigmoid()


class ResidualBlock(nn.Module):
    """x + branch(x), with a branch of two convolutions and a ReLU in between (He et al. 2016, figure 2)."""

    def __init__(self, width: int, normalisation: Normalisation = Normalisation.NONE, after: nn.Module | None = None):
        """
        Args:
            normalisation: after each convolution (Ledig et al. 2017, figure 4).
            after: applied to the branch before it is added.
        """
        super().__init__()
        self.last = convolution(width, width)
        layers = [convolution(width, width), *norm(normalisation, width), nn.ReLU()]
        self.branch = nn.Sequential(*layers, self.last, *norm(normalisation, width), *([after] if after else []))

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = self.branch(x)
        return added + x


class Head(nn.Conv2d):
    """A 3 x 3 convolution whose result is added to the enlargement; it starts at zero."""

    def __init__(self, bands_in: int, bands_out: int) -> None:
        super().__init__(bands_in, bands_out, kernel_size=3, padding=1)


class PixelNorm(nn.Module):
    """Layer normalisation over the channels of each pixel: it reads no other pixel, so tiles equal the whole."""

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
    """Set whole channels of each crop to 0 with probability `share` in a fit, and scale the rest up (Kong et al. 2022).

    The channels are drawn from `generator`, which the fit sets (`fit.fit`); torch's own generator would be the global
    one.
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
    """Return the normalisation layer in a list, empty for NONE.

    Batch normalisation (Ioffe & Szegedy 2015) uses the statistics of the crops during the fit, and enlarges with their
    running averages, the same for every tile. Statistics of the image itself, as in instance normalisation, would
    differ from tile to tile (docs/decisions.md).
    """
    kinds = {Normalisation.NONE: None, Normalisation.BATCH: nn.BatchNorm2d, Normalisation.LAYER: PixelNorm}
    kind = kinds[normalisation]
    return [] if kind is None else [kind(width)]


def convolution(bands_in: int, bands_out: int, side: int = 3) -> nn.Conv2d:
    """Return a convolution with an odd side whose result has the size of its input."""
    return nn.Conv2d(bands_in, bands_out, kernel_size=side, padding=side // 2)


_INITIALISED = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.PReLU, PixelNorm)


def check_initialised(body: nn.Module) -> None:
    """Raise TypeError for a kind of layer that `initialise` does not know: its weights would be what lay in memory."""
    for module in body.modules():
        own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
        if own and not isinstance(module, _INITIALISED):
            raise TypeError(f"nothing initialises a {type(module).__name__}; teach `initialise` to")


def initialise(body: nn.Module, generator: Generator) -> None:
    """Initialise as He et al. 2015, but smaller in residual branches and zero in the last layer: bicubic at first."""
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
