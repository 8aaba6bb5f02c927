"""A body over the rows of an image, strip by strip from top to bottom, each layer's result computed once.

Pieces that lie side by side have to be computed with a halo, of 16 pixels for 16 convolutions: of pieces of 128 x 128
that is 1.56 times the work. A strip is as wide as the image, and of the rows above it each layer keeps what it will
look at again.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

_LEAST_ROWS = 8
"""Of a strip: at least what one layer sees away; of fewer most work would be on rows that are not certain yet."""


class Strips:
    """Layers that are handed the rows of one image in turn; together they make of them what they make of the image."""

    def __init__(self, body: nn.Sequential, reaches: Sequence[int]) -> None:
        """
        Args:
            reaches: of each layer of the body, how many rows away it sees.
        """
        self._layers = tuple(zip(body, reaches, strict=True))
        self._kept: list[Tensor | None] = [None] * len(self._layers)
        """Of what each layer saw, the rows that decide about rows to come."""

    def __call__(self, rows: Tensor, last: bool) -> Tensor:
        """What is certain of the result now: it ends all reaches above the end of `rows`, with the last ones there.

        Args:
            rows: (B, C, h, w), those that follow the ones before, in strips as `strips_of` has them.
        """
        for number, (layer, reach) in enumerate(self._layers):
            kept = self._kept[number]
            seen = rows if kept is None else torch.cat([kept, rows], -2)
            self._kept[number] = seen[..., seen.shape[-2] - 2 * reach :, :].clone()
            # A layer takes what is beyond for nothing, which is true only of an image's own borders.
            certain = slice(0 if kept is None else reach, seen.shape[-2] - (0 if last else reach))
            rows = layer(seen)[..., certain, :]
        return rows


def strips_of(height: int, width: int, reach: int, pixels: int) -> Iterator[slice]:
    """Rows of an image for `Strips` of layers that see `reach` rows far together, about so many pixels at a time.

    The first has `reach` rows more, as the result ends so far above what is seen.
    """
    rows, start = max(_LEAST_ROWS, pixels // width), 0
    while start < height:
        stop = start + rows + (0 if start else reach)
        yield slice(start, min(stop, height))
        start = stop
