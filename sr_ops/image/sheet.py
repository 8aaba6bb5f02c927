"""The contact sheet of a large image: some windows of it side by side, so that a fit never holds the whole image."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, sqrt
from typing import TypeVar

import torch
from torch import Generator, Tensor

_Item = TypeVar("_Item")

FITTED_WHOLE = 1024 * 1024
"""Largest number of pixels that is fitted as a whole; the pyramid of a larger image would fill a worker's memory."""

_SIDE = 256
"""Side of a window, a multiple of the JPEG block."""

_JPEG_BLOCK = 8

_SAMPLES = 48 * _SIDE**2
"""Samples on a sheet, over all bands: 16 windows of RGB. A fit of 50 steps sees fewer."""

_FRAME = 4
"""Pixels at the border of a window that count as unknown, since another part of the image lies next to them. Fewer if
nothing would be left of a strip."""

_ENOUGH_KNOWN = 0.5
"""Smallest known share of a window that is worth a place."""


def is_fitted_whole(bands: int, height: int, width: int) -> bool:
    """Return whether an image needs no sheet."""
    return height * width <= FITTED_WHOLE and bands * height * width <= _SAMPLES


def windows_on(bands: int) -> int:
    """Return the number of windows on a sheet."""
    return max(1, min(16, _SAMPLES // (_SIDE**2 * bands)))


def places(height: int, width: int, seed: int, scale: int = 1) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of windows of an image: those of a grid, drawn by `seed`, then those at its last ends.

    The windows of the grid do not overlap; those at the ends reach what they leave.

    Args:
        scale: by which the windows will be enlarged before they are laid out.
    """
    side = _SIDE // scale
    high, wide = min(side, _blocks(height)), min(side, _blocks(width))
    tops, lefts = (range(0, side * max(1, length // side), side) for length in (height, width))
    drawn = torch.randperm(len(tops) * len(lefts), generator=Generator().manual_seed(seed)).tolist()
    grid = [(tops[place // len(lefts)], lefts[place % len(lefts)]) for place in drawn]
    bottom, right = _blocks(height) - high, _blocks(width) - wide
    at_ends = [*((top, right) for top in tops), *((bottom, left) for left in lefts), (bottom, right)]
    for top, left in dict.fromkeys([*grid, *at_ends]):
        yield slice(top, top + high), slice(left, left + wide)


def _blocks(length: int) -> int:
    """Return a side cut to whole JPEG blocks, so that the blocks of one window continue those of another."""
    return length // _JPEG_BLOCK * _JPEG_BLOCK or length


def pick(candidates: Iterable[tuple[float, _Item]], number: int) -> list[_Item]:
    """Return the first `number` items of which enough is known, or the best ones if there are too few.

    No candidate is taken from the iterable beyond those needed.

    Args:
        candidates: the known share of each, 0 for one that shows nothing, and the item.
    """
    found: list[tuple[float, _Item]] = []
    for candidate in candidates:
        found.append(candidate)
        found.sort(key=lambda pair: -min(pair[0], _ENOUGH_KNOWN))
        del found[number:]
        if len(found) == number and found[-1][0] >= _ENOUGH_KNOWN:
            break
    return [item for _, item in found]


def lay_out(windows: Sequence[tuple[Tensor, Tensor | None]]) -> tuple[Tensor, Tensor]:
    """Return one image (C, H, W), and what is known of it (C, H, W) bool.

    Args:
        windows: at least one, all of the same shape (C, h, w), each with its known samples, None if all are known.
    """
    bands, height, width = windows[0][0].shape
    columns = ceil(sqrt(len(windows)))
    sheet = windows[0][0].new_zeros(bands, height * ceil(len(windows) / columns), width * columns)
    known = torch.zeros_like(sheet, dtype=torch.bool)
    inner = tuple(slice(frame, side - frame) for side in (height, width) for frame in (min(_FRAME, (side - 1) // 2),))
    for index, (window, known_here) in enumerate(windows):
        top, left = height * (index // columns), width * (index % columns)
        sheet[:, top : top + height, left : left + width] = window
        cell = known[:, top : top + height, left : left + width][:, *inner]
        cell[...] = True if known_here is None else known_here[:, *inner]
    return sheet, known
