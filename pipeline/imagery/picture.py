"""An image that is worked on: windows of it as networks want them, in memory as a whole only when it is small."""

import torch
from torch import Tensor

from sr_ops import sheet
from sr_ops.domain import Domain

from .header import Header, Pixels
from .reading.decoders import OpenImage
from .samples import Scaling, Window, find_scaling, known_samples, to_lr

HELD_WHOLE = 2048 * 2048
"""Pixels of an image that is held in memory as a whole; of more than 3 bands, as many samples as that is of 3."""


class Picture:
    """To be closed: it may hold a decoder, and a file."""

    def __init__(self, opened: OpenImage, scaling: Scaling | None = None, seed: int = 0) -> None:
        """Reads what it holds and, unless it is told, finds the scaling.

        Raises:
            ImageError: it cannot be read; `opened`, which is the picture's from now on, is closed.

        Args:
            seed: draws the windows that a large image is fitted to.
        """
        self.header: Header = opened.header
        self._opened = opened
        self._whole: Pixels | None = None
        self._sampled: list[Pixels] = []
        try:
            self._read(None if scaling else seed)
            seen = self._sampled if self._whole is None else [self._whole]
            self.scaling = scaling or find_scaling(self.header, seen)
        except BaseException:
            opened.close()
            raise

    @property
    def height(self) -> int:
        return self.header.height

    @property
    def width(self) -> int:
        return self.header.width

    def window(self, rows: slice, columns: slice, device: torch.device) -> Window:
        """Raises ImageError."""
        return to_lr(self._pixels(rows, columns), self.header, self.scaling, device)

    def lesson(self, device: torch.device) -> tuple[Tensor, Domain]:
        """What a fit learns from: the image, or a sheet of windows of it; empty where nothing is known."""
        windows = [to_lr(pixels, self.header, self.scaling, device) for pixels in self._sampled]
        if self._sampled[0] is self._whole:
            return windows[0].lr, windows[0].domain
        lr, known = sheet.lay_out([(window.lr, window.domain.known) for window in windows])
        return lr, Domain(known, windows[0].domain.low, windows[0].domain.high)

    def close(self) -> None:
        self._opened.close()

    def _pixels(self, rows: slice, columns: slice) -> Pixels:
        if self._whole is None:
            return self._opened.window(rows, columns)
        mask = self._whole.mask
        return Pixels(self._whole.samples[:, rows, columns], None if mask is None else mask[rows, columns])

    def _read(self, seed: int | None) -> None:
        """All of a small image, and what it is fitted to, if there is a seed for that."""
        pixels, bands = self.height * self.width, len(self.header.bands)
        if pixels <= HELD_WHOLE and pixels * bands <= 3 * HELD_WHOLE:
            self._whole = self._opened.whole()
            self._opened.close()
        if self._whole is not None and sheet.is_fitted_whole(bands, self.height, self.width):
            self._sampled = [self._whole]
        elif seed is not None:
            windows = (self._pixels(*place) for place in sheet.places(self.height, self.width, seed))
            known = ((float(known_samples(pixels, self.header).mean()), pixels) for pixels in windows)
            self._sampled = sheet.pick(known, sheet.windows_on(bands))
