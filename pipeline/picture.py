"""An image that is worked on: windows of it as networks want them, in memory as a whole only when it is small."""

from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from sr_ops import sheet
from sr_ops.domain import Domain

from .raster import Header, Pixels
from .reading.decoders import OpenImage
from .samples import Scaling, Window, find_scaling, known_samples, to_lr

_HELD = 3 * sheet.FITTED_WHOLE
"""Samples of an image that is held in memory, and fitted, as a whole."""


class Picture:
    """Use as a context: it may hold a decoder, and a file."""

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
            self.scaling = scaling or find_scaling(self.header, self._sampled)
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
        if self._whole is not None:
            return windows[0].lr, windows[0].domain
        lr, known = sheet.lay_out([(window.lr, window.domain.known) for window in windows])
        return lr, Domain(known, windows[0].domain.low, windows[0].domain.high)

    def close(self) -> None:
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _pixels(self, rows: slice, columns: slice) -> Pixels:
        if self._whole is None:
            return self._opened.window(rows, columns)
        mask = self._whole.mask
        return Pixels(self._whole.samples[:, rows, columns], None if mask is None else mask[rows, columns])

    def _read(self, seed: int | None) -> None:
        """All of a small image; of a large one what `_sample` finds, if there is a seed for it."""
        held = self.header.height * self.header.width
        if held <= sheet.FITTED_WHOLE and held * len(self.header.bands) <= _HELD:
            self._whole = self._opened.whole()
            self._opened.close()
            self._sampled = [self._whole]
        elif seed is not None:
            self._sampled = self._sample(seed)

    def _sample(self, seed: int) -> list[Pixels]:
        """Windows with enough in them; where there are too few, those with most."""
        wanted = sheet.windows_on(len(self.header.bands))
        found: list[tuple[float, Pixels]] = []
        for rows, columns in sheet.places(self.height, self.width, seed):
            pixels = self._opened.window(rows, columns)
            found.append((float(known_samples(pixels, self.header).mean()), pixels))
            found.sort(key=lambda pair: -min(pair[0], sheet.ENOUGH_KNOWN))
            del found[wanted:]
            if len(found) == wanted and found[-1][0] >= sheet.ENOUGH_KNOWN:
                break
        return [pixels for _, pixels in found]
