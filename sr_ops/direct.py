"""The network that sees the LR image and its base, for one scale, three bands or one, any kernel and noise.

The base (a data step from bicubic) shows the kernel; two planes tell noise and the loss of JPEG. What it adds to the
base comes from convolutions at LR size and a pixel-shuffle head (Shi et al. 2016).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle, relu

from .networks import Addition, convolution

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
        hidden = Addition if body.attention == "none" else _AttendedAddition
        self.body = nn.Sequential(
            convolution(bands * (1 + scale**2) + PLANES, body.width),
            *(hidden(body.width) for _ in range(body.depth - 2)),
            nn.ReLU(),
            convolution(body.width, bands * scale**2),
        )

    def forward(self, lr: Tensor, base: Tensor, planes: Tensor) -> Tensor:
        told = planes.expand(-1, -1, *lr.shape[-2:])
        seen = torch.cat([lr, pixel_unshuffle(base, self.scale), told], 1).contiguous(memory_format=torch.channels_last)
        mixed = self.autocast_dtype != torch.float32
        with torch.autocast(lr.device.type, dtype=self.autocast_dtype if mixed else None, enabled=mixed):
            residual = pixel_shuffle(self.body(seen), self.scale)
        return base + residual.float()


class _AttendedAddition(Addition):
    """x + convolution(relu(x)) * sigmoid(a 1 x 1 convolution of relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.attention = nn.Conv2d(width, width, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        active = relu(x)
        added: Tensor = x + self.convolution(active) * torch.sigmoid(self.attention(active))
        return added
