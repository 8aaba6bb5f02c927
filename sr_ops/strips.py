"""Run the layers of a network over an image strip by strip, from top to bottom, and compute no pixel twice.

Pieces side by side need a halo: 16 pixels for 16 convolutions, which makes 1.56 times the work of pieces of 128 x 128.
A strip is as wide as the image, and each layer keeps the rows above it that it will look at again.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

_LEAST_ROWS = 8
"""Fewest rows of a strip. It must be at least the reach of one layer; shorter strips would cost more than they save."""


class Strips:
    """Layers that get the rows of one image in turn; their results together equal the result for the whole image."""

    def __init__(self, body: nn.Sequential, reaches: Sequence[int]) -> None:
        """
        Args:
            reaches: how many rows away each layer of the body sees.
        """
        self._layers = tuple(zip(body, reaches, strict=True))
        self._kept: list[Tensor | None] = [None] * len(self._layers)
        """The last rows that each layer saw and that rows to come depend on."""

    def __call__(self, rows: Tensor, last: bool) -> Tensor:
        """Return the rows of the result that no later row can change.

        They end above the end of `rows` by the sum of all reaches; with the last rows they end where these do.

        Args:
            rows: (B, C, h, w), the rows after those of the call before, as `strips_of` cuts them.
            last: whether these are the last rows of the image.
        """
        for number, (layer, reach) in enumerate(self._layers):
            kept = self._kept[number]
            seen = rows if kept is None else torch.cat([kept, rows], -2)
            self._kept[number] = seen[..., seen.shape[-2] - 2 * reach :, :].clone()
            # A layer pads with zeros, which is right only at the borders of the image itself.
            certain = slice(0 if kept is None else reach, seen.shape[-2] - (0 if last else reach))
            rows = layer(seen)[..., certain, :]
        return rows


def strips_of(height: int, width: int, reach: int, pixels: int) -> Iterator[slice]:
    """Yield the rows of each strip of an image, about `pixels` pixels at a time.

    The first strip has `reach` rows more, because the result ends that far above the rows that were seen.

    Args:
        reach: how many rows away the layers of `Strips` see together.
    """
    rows, start = max(_LEAST_ROWS, pixels // width), 0
    while start < height:
        stop = start + rows + (0 if start else reach)
        yield slice(start, min(stop, height))
        start = stop
