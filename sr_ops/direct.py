"""The network that sees the LR image and its base, for one scale, three bands or one, any kernel and noise.

The base (a data step from bicubic) shows the kernel; two planes tell noise and the loss of JPEG. What it adds to the
base comes from convolutions at LR size and a pixel-shuffle head (Shi et al. 2016).
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, relu

ADDITION_GAIN = 0.3

PLANES = 2
"""Noise and JPEG loss, each a constant over an image."""


@dataclass(frozen=True)
class Body:
    """What lies between the first and the last convolution."""

    width: int = 64
    depth: int = 8
    """Of all 3 x 3 convolutions, first and last included."""
    attention: str = "none"
    """`none`, or `pixel`: every addition is scaled by a sigmoid of a 1 x 1 convolution (PAN, Zhao et al. 2020)."""


class DirectNetwork(nn.Module):
    """(B, C, h, w) LR, (B, C, h s, w s) base and (B, 2, 1, 1) planes to (B, C, h s, w s), float32, not clamped."""

    def __init__(self, bands: int, scale: int, body: Body, autocast_dtype: torch.dtype) -> None:
        super().__init__()
        self.bands, self.scale, self.autocast_dtype = bands, scale, autocast_dtype
        hidden = _Addition if body.attention == "none" else _AttendedAddition
        self.body = nn.Sequential(
            _convolution(bands * (1 + scale**2) + PLANES, body.width),
            *(hidden(body.width) for _ in range(body.depth - 2)),
            nn.ReLU(),
            _convolution(body.width, bands * scale**2),
        )

    def forward(self, lr: Tensor, base: Tensor, planes: Tensor) -> Tensor:
        told = planes.expand(-1, -1, *lr.shape[-2:])
        seen = torch.cat([lr, pixel_unshuffle(base, self.scale), told], 1).contiguous(memory_format=torch.channels_last)
        mixed = self.autocast_dtype != torch.float32
        with torch.autocast(lr.device.type, dtype=self.autocast_dtype if mixed else None, enabled=mixed):
            residual = pixel_shuffle(self.body(seen), self.scale)
        return base + residual.float()


class _Addition(nn.Module):
    """x + convolution(relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = _convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.convolution(relu(x))
        return added


class _AttendedAddition(nn.Module):
    """x + convolution(relu(x)) * sigmoid(a 1 x 1 convolution of x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = _convolution(width, width)
        self.attention = nn.Conv2d(width, width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        active = relu(x)
        added: Tensor = x + self.convolution(active) * torch.sigmoid(self.attention(active))
        return added


def initialise(network: DirectNetwork, generator: torch.Generator) -> None:
    """He et al. 2015, smaller where a layer adds to its input, zero for the last: the base at first."""
    layers = [layer for layer in network.body.modules() if isinstance(layer, nn.Conv2d)]
    for layer in layers:
        gain = 1.0 if layer is layers[0] else ADDITION_GAIN
        fan_in = layer.in_channels * layer.kernel_size[0] * layer.kernel_size[1]
        nn.init.normal_(layer.weight, std=gain * math.sqrt(2 / fan_in), generator=generator)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    nn.init.zeros_(layers[-1].weight)


def _convolution(bands_in: int, bands_out: int) -> nn.Conv2d:
    return nn.Conv2d(bands_in, bands_out, kernel_size=3, padding=1)
