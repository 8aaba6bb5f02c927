"""Enlarging by a trained model of others, of which is known only what it takes and what it gives."""

from math import ceil
from typing import Protocol

import torch
from torch import Tensor

from .tiles import cut, owned, paste, plan_tiles


class RestorerError(Exception):
    """A model could not do what it was asked for; a sentence for the image's record."""


class Restorer(Protocol):
    """A model, made ready by whoever can read its file."""

    @property
    def scale(self) -> int:
        """What it enlarges by."""

    @property
    def bands(self) -> int:
        """What it sees at once: the 3 of a colour picture, or 1."""

    @property
    def piece(self) -> int:
        """Longest side in LR pixels, less the halo, that it is given at once."""

    def __call__(self, window: Tensor) -> Tensor:
        """
        Args:
            window: (bands, h, w) float32, in [0, 1] for the most part; of any size.

        Returns:
            (bands, h * scale, w * scale) float32 on the same device, not clamped.

        Raises:
            RestorerError, MemoryError: it cannot.
        """


def restored(window: Tensor, restorer: Restorer, halo: int, together: bool) -> Tensor:
    """Enlarge (C, h, w) in pieces with a halo, to (C, h * scale, w * scale).

    Bands that are not seen together are each a gray picture: for a model of colours three times the same, of whose
    three answers the mean is taken.

    Args:
        halo: LR pixels that a piece reads around what it owns. What a model draws from beyond is another in each piece.
        together: the bands are a colour picture.

    Raises:
        RestorerError, MemoryError: the model cannot, or gives numbers that are none.
    """
    bands, height, width = window.shape
    canvas = window.new_empty(bands, height * restorer.scale, width * restorer.scale)
    longest = max(height, width)
    side = ceil(longest / ceil(longest / restorer.piece))
    for piece in plan_tiles(height, width, side, halo):
        part = cut(window, piece)
        if together and restorer.bands == bands:
            made = restorer(part)
        else:
            made = torch.stack([restorer(band.expand(restorer.bands, -1, -1)).mean(0) for band in part])
        paste(canvas, piece, owned(made, piece, restorer.scale), restorer.scale)
    if not bool(canvas.isfinite().all()):
        raise RestorerError("the model of --weights gives numbers that are not finite here; take another")
    return canvas
