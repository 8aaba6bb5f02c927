"""Enlargement by a third party's trained model, of which only input and output are known."""

from typing import Protocol

import torch
from torch import Tensor

from ..image.tiles import cut, owned, paste, plan_even


class RestorerError(Exception):
    """The model failed; the message is a sentence for the image's record."""


class Restorer(Protocol):
    """A model, loaded by the caller that can read its file."""

    @property
    def scale(self) -> int:
        """Its scale."""

    @property
    def bands(self) -> int:
        """Bands per call: 3 for a colour picture, or 1."""

    @property
    def piece(self) -> int:
        """Longest side in LR pixels, without the halo, of an input."""

    def __call__(self, window: Tensor) -> Tensor:
        """Enlarge a window.

        Args:
            window: (bands, h, w) float32, mostly in [0, 1]; of any size.

        Returns:
            (bands, h * scale, w * scale) float32 on the same device, not clamped.

        Raises:
            RestorerError, MemoryError: it failed.
        """


def restored(window: Tensor, restorer: Restorer, halo: int, together: bool) -> Tensor:
    """Enlarge (C, h, w) in pieces with a halo, to (C, h * scale, w * scale).

    Bands that do not form a colour picture are enlarged as grey pictures. A model for colour gets each one three times,
    and the mean of its three bands is taken.

    Args:
        halo: LR pixels that a piece reads around what it owns. If the model sees farther, pieces differ from the whole.
        together: whether the bands are a colour picture.

    Raises:
        RestorerError, MemoryError: the model failed, or returned numbers that are not finite.
    """
    bands, height, width = window.shape
    canvas = window.new_empty(bands, height * restorer.scale, width * restorer.scale)
    for piece in plan_even(height, width, restorer.piece, halo):
        part = cut(window, piece)
        if together and restorer.bands == bands:
            made = restorer(part)
        else:
            made = torch.stack([restorer(band.expand(restorer.bands, -1, -1)).mean(0) for band in part])
        paste(canvas, piece, owned(made, piece, restorer.scale), restorer.scale)
    if not bool(canvas.isfinite().all()):
        raise RestorerError("the model of --weights gives numbers that are not finite here; take another")
    return canvas
