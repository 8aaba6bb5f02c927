"""A contact sheet of a large image: some windows of it side by side, for a fit that never holds the whole."""

from collections.abc import Iterable, Iterator, Sequence
from math import ceil, sqrt
from typing import TypeVar

import torch
from torch import Generator, Tensor

_Item = TypeVar("_Item")

FITTED_WHOLE = 1024 * 1024
"""Pixels up to which an image is fitted as a whole: the pyramid of more is what a worker's memory would go to."""

_SIDE = 256
"""Of a window, a multiple of the blocks of JPEG."""

_SAMPLES = 48 * _SIDE**2
"""On a sheet, over all bands; 16 windows of RGB. A fit of 50 steps sees less."""

_FRAME = 4
"""Pixels at the border of a window that are taken for unknown: beyond it lies another part of the image."""

_ENOUGH_KNOWN = 0.5
"""Share of a window that makes it worth its place."""


def is_fitted_whole(bands: int, height: int, width: int) -> bool:
    """Whether an image needs no sheet."""
    return height * width <= FITTED_WHOLE and bands * height * width <= _SAMPLES


def windows_on(bands: int) -> int:
    """How many windows a sheet has."""
    return max(1, min(16, _SAMPLES // (_SIDE**2 * bands)))


def places(height: int, width: int, seed: int, scale: int = 1) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of all windows of an image that do not overlap, in an order drawn by `seed`.

    Args:
        scale: by which they are to be enlarged before they are laid out.
    """
    side = _SIDE // scale
    rows, columns = max(1, height // side), max(1, width // side)
    for place in torch.randperm(rows * columns, generator=Generator().manual_seed(seed)).tolist():
        top, left = side * (place // columns), side * (place % columns)
        yield slice(top, min(height, top + side)), slice(left, min(width, left + side))


def pick(candidates: Iterable[tuple[float, _Item]], number: int) -> list[_Item]:
    """The first so many of which enough is known, and no candidate beyond them; where they are too few, the best.

    Args:
        candidates: the share that is known of each, and what it is.
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
    """One image (C, H, W) and what is known of it (C, H, W) bool.

    Args:
        windows: at least one, all of one shape (C, h, w), each with what is known of it, None for everywhere.
    """
    bands, height, width = windows[0][0].shape
    columns = ceil(sqrt(len(windows)))
    sheet = windows[0][0].new_zeros(bands, height * ceil(len(windows) / columns), width * columns)
    known = torch.zeros_like(sheet, dtype=torch.bool)
    for index, (window, known_here) in enumerate(windows):
        top, left = height * (index // columns), width * (index % columns)
        sheet[:, top : top + height, left : left + width] = window
        inner = slice(_FRAME, -_FRAME)
        cell = known[:, top : top + height, left : left + width][:, inner, inner]
        cell[...] = True if known_here is None else known_here[:, inner, inner]
    return sheet, known
