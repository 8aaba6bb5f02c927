"""Which samples of an image are known, and the range that they can lie in.

An unknown sample (nodata, NaN, masked) is not learned from, not back-projected against and not measured. Filters see
the value that `fill` gives it, so that no invented value is darker or brighter than its neighbours.
"""

from dataclasses import dataclass, replace
from math import inf

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, pad

FILL_REACH = 16
"""Distance, in pixels, up to which unknown samples are filled; a network of the default depth sees no farther.

It is less than the part of the halo (`stages.halo`) that is not for the network, so a tile's halo is filled as in the
whole image.
"""

_FLAT_REACH = 8


@dataclass(frozen=True)
class Domain:
    """What is known about the samples of (C, H, W) beside their values."""

    known: Tensor | None = None
    """(C, H, W) bool; None if all samples are known."""
    low: Tensor | float = 0.0
    """Smallest value of a sample; (C, 1, 1) if the bands differ."""
    high: Tensor | float = 1.0

    def of(self, rows: slice, columns: slice) -> "Domain":
        """Return the domain of a window of the image."""
        return self if self.known is None else replace(self, known=self.known[:, rows, columns])

    def of_bands(self, first: int, stop: int) -> "Domain":
        """Return the domain of the bands from `first` to `stop`."""
        known = None if self.known is None else self.known[first:stop]
        low, high = (bound[first:stop] if isinstance(bound, Tensor) else bound for bound in (self.low, self.high))
        return Domain(known, low, high)

    def bounds(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the least and the largest value of a sample, () or (C, 1, 1), with dtype and device of a tensor."""
        return torch.as_tensor(self.low).to(like), torch.as_tensor(self.high).to(like)

    @property
    def known_pixels(self) -> Tensor | None:
        """(H, W) bool: True where all bands are known that are known anywhere; None if all samples are known."""
        if self.known is None:
            return None
        somewhere = self.known.flatten(1).any(1)
        return self.known[somewhere].all(0) if bool(somewhere.any()) else self.known.all(0)


UNIT = Domain()
"""All samples known, from 0 to 1."""


def only_known(image: Tensor, known: Tensor | None) -> Tensor:
    """Return `image` with 0 where `known`, bool of its shape, is False; `image` itself if that is None."""
    return image if known is None else image.where(known, 0.0)


def fill(image: Tensor, known: Tensor | None) -> Tensor:
    """Return (C, H, W) float32 with every unknown sample, NaN included, replaced by the mean of its neighbours.

    Works outwards from the known part, ring by ring, for FILL_REACH rings; samples beyond are 0. A filled sample
    depends on none farther away than that. `known` is (C, H, W) bool; for None or all True `image` itself is returned.
    """
    if known is None or bool(known.all()):
        return image
    filled, there = torch.where(known, image, 0), known.float()
    for _ in range(FILL_REACH):
        share = _mean_of_neighbours(there)
        fresh = (there == 0) & (share > 0)
        if not bool(fresh.any()):
            break
        filled = torch.where(fresh, _mean_of_neighbours(filled) / share.clamp_min(1e-6), filled)
        there = (share > 0).float()
    return filled


def _mean_of_neighbours(image: Tensor) -> Tensor:
    return avg_pool2d(image, 3, stride=1, padding=1)


def flat(lr: Tensor) -> Tensor:
    """Return (C, H, W) bool: True where all samples within 8 pixels are equal, band by band.

    This far from any edge, back-projection changes nothing visible.

    Args:
        lr: (C, H, W), unknown samples filled.
    """
    return largest_near(lr, _FLAT_REACH) == -largest_near(-lr, _FLAT_REACH)


def shows_nothing(lr: Tensor, known: Tensor | None) -> bool:
    """Whether each band has one value alone wherever it is known.

    Args:
        lr: (C, H, W), unknown samples filled.
        known: (H, W) bool, somewhere True; None for everywhere.
    """
    values = lr.flatten(1) if known is None else lr[:, known]
    return bool((values.amax(1) == values.amin(1)).all())


def keep_flat(sr: Tensor, lr: Tensor, scale: int) -> Tensor:
    """Return `sr` with the parts that are flat in `lr` set to the value of `lr`, so that no detail is invented there.

    Args:
        sr: (C, H * scale, W * scale).
        lr: (C, H, W), unknown samples filled.
    """
    still = flat(lr)
    if not bool(still.any()):
        return sr
    still, values = (nearest(part, scale) for part in (still, lr))
    return torch.where(still, values, sr)


def largest_near(image: Tensor, reach: int) -> Tensor:
    """Return (..., H, W): the largest sample within `reach` along each axis.

    Equals `max_pool2d`, which takes twenty times as long because it also computes indices.
    """
    for axis in (-2, -1):
        margins = (reach, reach) if axis == -1 else (0, 0, reach, reach)
        image, width, side = pad(image, margins, value=-inf), 1, 2 * reach + 1
        while width < side:  # maximum over `width` samples, doubled each time
            step = min(width, side - width)
            length = image.shape[axis] - step
            image = torch.maximum(image.narrow(axis, 0, length), image.narrow(axis, step, length))
            width += step
    return image


def nearest(image: Tensor, scale: int) -> Tensor:
    """Return (C, H, W) enlarged by the nearest neighbour: each sample repeated `scale` x `scale` times."""
    return image.repeat_interleave(scale, -2).repeat_interleave(scale, -1)
