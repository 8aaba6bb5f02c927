"""Which samples of an image are known, and between which values they can lie.

A sample that is not known (no data, NaN, masked) teaches nothing, is not back-projected against and is not measured.
Filters see what `fill` puts in its place, so that no invented value is darker or brighter than its neighbours.
"""

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

FILL_REACH = 16
"""Pixels from a known sample up to which others are filled: a network of the default depth sees no farther.

Less than what `Settings.halo` has for more than the network, so that a tile's halo is filled as the whole image is.
"""

_FLAT_REACH = 8


@dataclass(frozen=True)
class Domain:
    """What is known of (C, H, W) besides its samples."""

    known: Tensor | None = None
    """(C, H, W) bool; None for everywhere."""
    low: Tensor | float = 0.0
    """Least value of a sample, (C, 1, 1) when the bands differ."""
    high: Tensor | float = 1.0

    def of(self, rows: slice, columns: slice) -> "Domain":
        """That of a window of the image."""
        return self if self.known is None else replace(self, known=self.known[:, rows, columns])

    def of_bands(self, first: int, stop: int) -> "Domain":
        """That of some bands of the image."""
        known = None if self.known is None else self.known[first:stop]
        low, high = (bound[first:stop] if isinstance(bound, Tensor) else bound for bound in (self.low, self.high))
        return Domain(known, low, high)

    def bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Least and largest value of a sample, each () or (C, 1, 1), of the dtype and on the device of a tensor."""
        return torch.as_tensor(self.low).to(like), torch.as_tensor(self.high).to(like)

    @property
    def known_pixels(self) -> Tensor | None:
        """(H, W) bool: where all bands are known; None for everywhere."""
        return None if self.known is None else self.known.all(0)


UNIT = Domain()
"""Known everywhere, from 0 to 1."""


def only_known(image: Tensor, known: Tensor | None) -> Tensor:
    """`image` with 0 where it is not known; `known` alike, bool, None for everywhere: `image` itself."""
    return image if known is None else image.where(known, 0.0)


def fill(image: Tensor, known: Tensor | None) -> Tensor:
    """(C, H, W) float32 with every unknown sample, NaN among them, replaced by the mean of its neighbours.

    Done from the border of the known part outwards, a ring of pixels after the other, FILL_REACH of them; beyond, 0.
    A sample depends on none that is farther away than that. `known` (C, H, W) bool; None or all True: `image` itself.
    """
    if known is None or bool(known.all()):
        return image
    filled, there = torch.where(known, image, 0), known.float()
    for _ in range(FILL_REACH):
        share = _mean_of_neighbours(there)
        fresh = (there == 0) & (share > 0)
        filled = torch.where(fresh, _mean_of_neighbours(filled) / share.clamp_min(1e-6), filled)
        there = (share > 0).float()
    return filled


def _mean_of_neighbours(image: Tensor) -> Tensor:
    return avg_pool2d(image, 3, stride=1, padding=1)


def flat(lr: Tensor) -> Tensor:
    """(C, H, W) bool: samples that all within 8 pixels of them are equal to, band by band.

    So far from any edge back-projection carries nothing that could be seen.

    Args:
        lr: (C, H, W), filled where it is not known.
    """
    return largest_near(lr, _FLAT_REACH) == -largest_near(-lr, _FLAT_REACH)


def keep_flat(sr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """`sr` with what is flat in `lr` set to its value: where nothing changes nothing is to be invented.

    Args:
        sr: (C, H * scale, W * scale).
        lr: (C, H, W), filled where it is not known.
    """
    still = flat(lr)
    if not bool(still.any()):
        return sr
    still, values = (nearest(part, scale) for part in (still, lr))
    return torch.where(still, values, sr)


def largest_near(image: Tensor, reach: int) -> Tensor:
    """(..., H, W): the largest of the samples no farther than `reach` along each axis.

    As `max_pool2d`, which also notes where it was, and takes twenty times as long.
    """
    for axis in (-2, -1):
        margins = (reach, reach) if axis == -1 else (0, 0, reach, reach)
        image, width, side = pad(image, margins, value=-inf), 1, 2 * reach + 1
        while width < side:  # of `width` samples from each on, then of twice as many
            step = min(width, side - width)
            length = image.shape[axis] - step
            image = torch.maximum(image.narrow(axis, 0, length), image.narrow(axis, step, length))
            width += step
    return image


def nearest(image: Tensor, scale: int) -> Tensor:
    """(C, H, W) with every sample `scale` x `scale` times: enlargement by the nearest neighbour."""
    return image.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
