"""The network that sees the LR image and its base, for one scale, three bands or one, any kernel and noise.

The base (a data step from bicubic) shows the kernel; two planes tell noise and the loss of JPEG. What it adds to the
base comes from convolutions at LR size and a pixel-shuffle head (Shi et al. 2016).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from ..settings import Body
from .bodies import hidden_layers
from .body_shapes import PLANES, reaches
from .layers import convolution
from .residual_network import ResidualNetwork

BASE_RANGE = (-0.2, 1.2)
"""Range that a base is clamped to before the network sees it: it learned from none beyond."""

IMAGE_RANGE = (-0.5, 1.5)
"""The same for the image, of which the network makes good use a little farther out (docs/decisions.md)."""

_TRUSTED, _NEVER = (0.0, 1.5), (-0.2, 2.0)
"""Where in an image all counts of what a network adds to the base, and from where on nothing does."""

NOISE_UNIT = 25 / 255
"""Noise for which the plane is 1."""

JPEG_NOISE = 0.11 / 255
"""Standard deviation of JPEG's loss for a mean step of 1, about: quality 50 loses 6 grey levels, 95 half of one."""

JPEG_UNIT = 128.0
"""Mean step, in grey levels, for which the plane is 1."""


def planes(noise: Tensor, jpeg_step: Tensor) -> Tensor:
    """Return (..., 2): what a network is told of images.

    Args:
        noise: (...) standard deviations in units of the full range.
        jpeg_step: (...) mean steps of JPEG in grey levels.
    """
    return torch.stack([noise / NOISE_UNIT, jpeg_step / JPEG_UNIT], -1)


def trust(image: Tensor) -> Tensor | None:
    """Return how much of what a network adds to the base of an image (..., h, w) counts, from 0 to 1; None for all.

    Of the image, in parts far beyond black and white, a network has learned nothing.
    """
    (low, high), (lowest, highest) = _TRUSTED, _NEVER
    if bool(image.amin() >= low and image.amax() <= high):
        return None
    return ((image - lowest) / (low - lowest)).clamp(0, 1) * ((highest - image) / (highest - high)).clamp(0, 1)


class DirectNetwork(ResidualNetwork):
    """Convolutions at LR size over the image, its base (pixel-unshuffled) and the planes, and a pixel-shuffle head."""

    def __init__(self, bands: int, scale: int, body: Body, autocast_dtype: torch.dtype) -> None:
        super().__init__(bands, scale, autocast_dtype)
        self.reaches = reaches(body)
        """Of the layers of `body`, one by one."""
        self.body = nn.Sequential(
            convolution(bands * (1 + scale**2) + PLANES, body.width),
            *hidden_layers(body),
            nn.ReLU(),
            convolution(body.width, bands * scale**2),
        )

    @property
    def reach(self) -> int:
        return sum(self.reaches)

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        constant = told.mean(1)[:, :, None, None].expand(-1, -1, *image.shape[-2:])
        shuffled = pixel_unshuffle(base.clamp(*BASE_RANGE), self.scale)
        return torch.cat([image.clamp(*IMAGE_RANGE), shuffled, constant], 1)

    def residual(self, seen: Tensor) -> Tensor:
        return pixel_shuffle(self.body(seen), self.scale)
