"""The power of an enlargement by octaves of frequency: is there more in the finest than the others suggest?

Natural scenes have power c / f^alpha, so the logarithm of power is linear in that of frequency (Field 1987). The LR
image determines frequencies up to half a cycle per LR pixel. Beyond, an enlargement is inferred, and its power can be
compared with the line through the octaves that the data determine.

Importing this file does not load torch, which adding up sums does not need.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import hypot, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_TOLD = ((1 / 16, 1 / 8), (1 / 8, 1 / 4), (1 / 4, 7 / 16))
"""Octaves that the data determine, in cycles per LR pixel."""

_BEYOND = 9 / 16
"""Where the octaves beyond the data begin; in between, the window leaks from one side to the other."""

_LEAST = 1e-12
"""Share of the power of the first octave that counts as none."""

_BLOCK = 32
"""Side of a block in LR pixels, with a Hann window."""

_MOST_ACROSS = 8
"""Blocks of a tile per axis, spread evenly; more add no information."""


@dataclass(frozen=True)
class OctavePowers:
    """Sums of power over the blocks of a part of an enlargement; sums of parts can be added."""

    sums: tuple[float, ...]
    """Mean power in each octave, summed over blocks: three octaves that the data determine, then those beyond, from
    9/16 cycles per LR pixel to 1, to 2, and so on to `top`."""
    top: float
    """The highest frequency in cycles per LR pixel, along the diagonal."""

    @classmethod
    def of(cls, image: "Tensor", known: "Tensor", ratios: tuple[float, float]) -> "OctavePowers | None":
        """Measure (H, W) in any unit; None if no block is known as a whole, or the ratio of an axis is below 2.

        Args:
            known: (H, W) bool; a block with an unknown sample does not count.
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
        top = hypot(*ratios) / 2
        rings = [(radius > low) & (radius <= high) for low, high in (*_TOLD, *_beyond(top))]
        total = torch.zeros(len(rings), dtype=torch.float64)
        for block in blocks:
            centred = (block - block.mean()) * windows[0][:, None] * windows[1]
            power = torch.fft.rfft2(centred).abs().square()
            total += torch.stack([power[ring].mean() for ring in rings]).cpu()
        return cls(tuple(total.tolist()), top)

    def __add__(self, other: "OctavePowers") -> "OctavePowers":
        return OctavePowers(tuple(mine + theirs for mine, theirs in zip(self.sums, other.sums, strict=True)), self.top)

    def excess(self) -> float | None:
        """Return by how many dB the worst octave beyond the data lies above the line through those of the data.

        The line is a least-squares fit to the decibels of the three over the logarithm of frequency. Returns None if
        one of these is almost empty: a flat image has no slope.
        """
        least = _LEAST * self.sums[0]
        if least <= 0 or min(self.sums[: len(_TOLD)]) < least:
            return None
        levels = [10 * log10(max(power, least)) for power in self.sums]
        places = [log10(low * high) / 2 for low, high in (*_TOLD, *_beyond(self.top))]
        at, told = places[: len(_TOLD)], levels[: len(_TOLD)]
        middle, level = sum(at) / len(at), sum(told) / len(told)
        slope = sum((x - middle) * y for x, y in zip(at, told, strict=True)) / sum((x - middle) ** 2 for x in at)
        others = zip(places[len(_TOLD) :], levels[len(_TOLD) :], strict=True)
        return max(found - (level + slope * (there - middle)) for there, found in others)


def _beyond(top: float) -> list[tuple[float, float]]:
    """Return the octaves beyond the data; the last one ends at `top`."""
    edges = [_BEYOND]
    while edges[-1] < top:
        edges.append(min(2.0 ** len(edges) / 2, top))
    return list(pairwise(edges))


def _starts(length: int, side: int) -> list[int]:
    """Return where blocks start: as many as fit, up to the limit, spread from one end to the other."""
    count = min(length // side, _MOST_ACROSS)
    return [0] if count == 1 else [(length - side) * number // (count - 1) for number in range(count)]
