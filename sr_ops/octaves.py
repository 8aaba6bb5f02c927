"""How much goes on in each octave of frequencies of an enlargement: does the finest hold more than others let expect?

Natural scenes have power c / f^alpha: over the logarithm of frequency that of power is a line (Field 1987). The LR
image tells of frequencies up to half a cycle per LR pixel; what an enlargement holds beyond is inferred, and its power
can be compared with the line through the octaves that the data do tell.

Importing this file does not load torch: whoever only adds parts up needs none.
"""

from dataclasses import dataclass
from math import log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_RINGS = ((1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 7 / 16), (9 / 16, 1.0))
"""The octaves, in cycles per LR pixel; all but the last are those that the data tell of. Between these and the last one
the window leaks from the one to the other."""

_BLOCK = 32
"""Side of a block in LR pixels, under a Hann window."""

_MOST_ACROSS = 8
"""Blocks of a tile that are looked at, along each axis, spread evenly: more tell no more."""


@dataclass(frozen=True)
class OctavePowers:
    """Sums of power over blocks of a part of an enlargement; those of parts add up."""

    sums: tuple[float, float, float, float]
    """Mean power of the frequencies of each octave, summed over the blocks."""

    @classmethod
    def of(cls, image: "Tensor", known: "Tensor", ratios: tuple[float, float]) -> "OctavePowers | None":
        """Of (H, W) in any unit; None where no block is known as a whole, or the ratio of an axis is below 2.

        Args:
            known: (H, W) bool; a block of which anything is unknown does not count.
            ratios: pixels of the image per LR pixel, down and across.
        """
        import torch

        sides = [round(_BLOCK * ratio) for ratio in ratios]
        if min(ratios) < 2 or any(length < side for length, side in zip(image.shape, sides, strict=True)):
            return None
        rows, columns = (_starts(length, side) for length, side in zip(image.shape, sides, strict=True))
        places = [(slice(top, top + sides[0]), slice(left, left + sides[1])) for top in rows for left in columns]
        blocks = [image[place].double() for place in places if bool(known[place].all())]
        if not blocks:
            return None
        windows = [torch.hann_window(side, periodic=False, dtype=torch.float64).to(image.device) for side in sides]
        down, across = (
            torch.fft.fftfreq(side, dtype=torch.float64).to(image.device) * ratio
            for side, ratio in zip(sides, ratios, strict=True)
        )
        radius = torch.hypot(down[:, None], across[: sides[1] // 2 + 1].abs())
        rings = [(radius > low) & (radius <= high) for low, high in _RINGS]
        total = torch.zeros(len(rings), dtype=torch.float64)
        for block in blocks:
            centred = (block - block.mean()) * windows[0][:, None] * windows[1]
            power = torch.fft.rfft2(centred).abs().square()
            total += torch.stack([power[ring].mean() for ring in rings]).cpu()
        first, second, third, fourth = total.tolist()
        return cls((first, second, third, fourth))

    def __add__(self, other: "OctavePowers") -> "OctavePowers":
        first, second, third, fourth = (mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True))
        return OctavePowers((first, second, third, fourth))

    def excess(self) -> float | None:
        """dB of the octave beyond half a cycle per LR pixel above what the line through the other three has there.

        The line is the least-squares one through the decibels of the three over the logarithm of frequency; None where
        one of the four is all but empty (below 1e-12 of the first): a flat image has no slope.
        """
        if self.sums[0] <= 0 or min(self.sums) < 1e-12 * self.sums[0]:
            return None
        *told, beyond = (10 * log10(power) for power in self.sums)
        *at, there = (log10(low * high) / 2 for low, high in _RINGS)
        middle, level = sum(at) / len(at), sum(told) / len(told)
        slope = sum((x - middle) * y for x, y in zip(at, told, strict=True)) / sum((x - middle) ** 2 for x in at)
        return beyond - (level + slope * (there - middle))


def _starts(length: int, side: int) -> list[int]:
    """Where blocks begin: as many as there is room for, up to the most, from one end to the other."""
    count = min(length // side, _MOST_ACROSS)
    return [0] if count == 1 else [(length - side) * number // (count - 1) for number in range(count)]
