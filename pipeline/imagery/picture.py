"""The image being processed: windows of it for networks. Only a small image is held in memory as a whole."""

import weakref
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from sr_ops.image import sheet
from sr_ops.image.domain import Domain
from sr_ops.settings import AUTO

from . import survey
from .doubts import alpha_notes, range_notes
from .header import Header, OpenPicture, Pixels
from .nodata import number_text, with_fill, with_nodata
from .samples import Scaling, Window, find_scaling, known_samples, to_lr

HELD_WHOLE = 2048 * 2048
"""Most pixels of an image that is held in memory as a whole; with more than 3 bands, that many samples of 3 bands."""


class Picture:
    """One image. It must be closed, since it may hold a decoder and a copy of its file."""

    def __init__(
        self,
        opened: OpenPicture,
        scaling: Scaling | None = None,
        seed: int = 0,
        nodata: str = AUTO,
        value_range: str = AUTO,
        remove_copy: Callable[[], object] = lambda: None,
    ) -> None:
        """Read the part to hold in memory and, unless `scaling` is given, the whole image once to find it.

        Raises:
            ImageError: it cannot be read or is not supported. `opened`, which the picture owns from now on, is closed.

        Args:
            seed: draws the windows that a large image is fitted to.
            nodata: from `Settings`, like `value_range`.
            remove_copy: deletes the local copy of the file, which the picture owns, too, because decoders open the path
                again: some to decode, others when the first one fails. It is called once, at the latest by `close`, and
                otherwise when the picture is garbage collected or the process ends.
        """
        self._opened = opened
        self._remove_copy = weakref.finalize(self, remove_copy)
        self._whole: Pixels | None = None
        self._sampled: list[Pixels] = []
        try:
            self.header: Header = with_nodata(opened.header, nodata)
            self._hold_if_small()
            self.scaling = scaling or self._find_scaling(seed, nodata == AUTO, value_range)
            if scaling is not None and scaling.fill is not None:
                self.header = with_fill(self.header, scaling.fill)
        except BaseException:
            self.close()
            raise

    @property
    def height(self) -> int:
        return self.header.height

    @property
    def width(self) -> int:
        return self.header.width

    def note(self, *notes: str) -> None:
        """Add notes to the header."""
        self.header = replace(self.header, notes=(*self.header.notes, *notes))

    def window(self, rows: slice, columns: slice, device: torch.device) -> Window:
        """Return a window of the image. Raises ImageError."""
        return to_lr(self._pixels(rows, columns), self.header, self.scaling, device)

    def to_fit(self, device: torch.device) -> tuple[Tensor, Domain]:
        """Return what a fit learns from: the image, or a sheet of its windows; empty if nothing is known."""
        windows = [to_lr(pixels, self.header, self.scaling, device) for pixels in self._sampled]
        if self._sampled[0] is self._whole:
            return windows[0].lr, windows[0].domain
        lr, known = sheet.lay_out([(window.lr, window.domain.known) for window in windows])
        return lr, Domain(known, windows[0].domain.low, windows[0].domain.high)

    def close(self) -> None:
        self._opened.close()
        self._remove_copy()

    def _pixels(self, rows: slice, columns: slice) -> Pixels:
        return self._read(rows, columns) if self._whole is None else self._whole.window(rows, columns)

    def _read(self, rows: slice, columns: slice) -> Pixels:
        pixels = self._opened.window(rows, columns)
        return pixels if self.header.mask else Pixels(pixels.samples, None)  # that of the file may not count

    def _hold_if_small(self) -> None:
        pixels, bands = self.height * self.width, len(self.header.bands)
        if pixels <= HELD_WHOLE and pixels * bands <= 3 * HELD_WHOLE:
            self._whole = self._read(slice(0, self.height), slice(0, self.width))
            self.close()
            if sheet.is_fitted_whole(bands, self.height, self.width):
                self._sampled = [self._whole]

    def _find_scaling(self, seed: int, look_for_fill: bool, value_range: str) -> Scaling:
        """Find the scaling; then, with the fill value known, also draw the windows for the fit."""
        bands = len(self.header.bands)
        windows = (self._pixels(*place) for place in survey.places(self.height, self.width, bands))
        seen = survey.survey(self.header, windows, look_for_fill)
        if seen.fill is not None:
            self.header = with_fill(self.header, seen.fill)
        if not self._sampled:
            drawn = (self._pixels(*place) for place in sheet.places(self.height, self.width, seed))
            is_flat = seen.least == seen.largest
            worth = ((_worth(pixels, self.header, is_flat), pixels) for pixels in drawn)
            self._sampled = sheet.pick(worth, sheet.windows_on(bands))
        at_hand = self._sampled if self._whole is None else [self._whole]
        self.note(*alpha_notes(self.header, at_hand))
        if value_range == AUTO:
            self.note(*range_notes(self.header))
        scaling = find_scaling(self.header, at_hand, seen.least, seen.largest, seen.fill, value_range)
        if scaling.cuts:
            ends = f"{number_text(min(seen.least))} to {number_text(max(seen.largest))}"
            self.note(f"its values, from {ends}, are cut off at those of --range {value_range}")
        return scaling


def _worth(pixels: Pixels, header: Header, is_flat: bool) -> float:
    """Return how much a window is worth a place on the sheet: the known share, 0 if it is flat and the image is not."""
    known = known_samples(pixels, header)
    values = [samples[here] for samples, here in zip(pixels.samples, known, strict=False)]
    shows_something = any(band.size and band.min() < band.max() for band in values)
    return float(known.mean()) if shows_something or is_flat else 0.0
