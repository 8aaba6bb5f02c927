"""Run the layers of a network over an image strip by strip, from top to bottom, and compute no pixel twice.

Pieces side by side need a halo: 16 pixels for 16 convolutions, which makes 1.56 times the work of pieces of 128 x 128.
A strip is as wide as the image, and each layer keeps the rows above it that it will look at again.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from .layers import Addition

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
        self._kept: list[Tensor | None] = [None] * (len(self._layers) + 1)
        """The last rows that each layer saw and that rows to come depend on; of the result there are none."""

    def __call__(self, rows: Tensor, last: bool) -> Tensor:
        """Return the rows of the result that no later row can change.

        They end above the end of `rows` by the sum of all reaches; with the last rows they end where these do.

        Args:
            rows: (B, C, h, w), the rows after those of the call before, as `strips_of` cuts them.
            last: whether these are the last rows of the image.
        """
        seen, new = self._room(0, rows)
        new.copy_(rows)
        for number, (layer, reach) in enumerate(self._layers):
            height = seen.shape[-2]
            # A layer pads with zeros, which is right only at the borders of the image itself.
            certain = slice(0 if self._kept[number] is None else reach, height - (0 if last else reach))
            self._kept[number] = seen[..., height - 2 * reach :, :].clone()
            made = (layer.added(seen) if isinstance(layer, Addition) else layer(seen))[..., certain, :]
            room, new = self._room(number + 1, made)
            if isinstance(layer, Addition):  # the sum is made where the next layer reads it: copies take time
                torch.add(made, seen[..., certain, :], out=new)
            else:
                new.copy_(made)
            seen = room
        return seen

    def _room(self, number: int, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a layer sees next, the rows that it kept above others; and the part for these, like `rows`."""
        kept = self._kept[number]
        above = 0 if kept is None else kept.shape[-2]
        batch, channels, height, width = rows.shape
        room = torch.empty(
            (batch, channels, above + height, width),
            dtype=rows.dtype,
            device=rows.device,
            memory_format=torch.channels_last,
        )
        if kept is not None:
            room[..., :above, :] = kept
        return room, room[..., above:, :]


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
