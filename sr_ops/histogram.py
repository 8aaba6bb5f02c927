"""How often a measure had which size: counts that add up over the parts of an image, without any rounding.

Importing this file does not load torch: whoever only adds parts up needs none.
"""

import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SHIFT = 19
"""Bits of a float32 that a bin does not tell: it has the exponent, and the first 4 bits of what follows."""

_LEAST = 2.0**-60
"""Anything smaller, 0 too, counts as this."""


@dataclass(frozen=True)
class Histogram:
    """Of values from 0 on, in bins of at most 1/16 of their value; those of parts add up."""

    bins: tuple[int, ...] = ()
    """In rising order: the upper 13 bits of the float32 values in it, as a whole number."""
    counts: tuple[int, ...] = ()
    """Above 0, one for each bin."""

    @classmethod
    def of(cls, values: "Tensor", known: "Tensor | None" = None) -> "Histogram":
        """Of float32 values of any shape, none of them below 0; `known` alike, bool, None for all of them."""
        from torch import int32

        if known is not None:
            values = values[known]
        if not values.numel():
            return cls()
        first = _bin_of(_LEAST)
        numbers = (values.clamp_min(_LEAST).flatten().view(int32) >> _SHIFT) - first
        counts = numbers.bincount()
        there = counts.nonzero().flatten()
        return cls(tuple((there + first).tolist()), tuple(counts[there].tolist()))

    def __add__(self, other: "Histogram") -> "Histogram":
        total = Counter(dict(zip(self.bins, self.counts, strict=True)))
        total.update(dict(zip(other.bins, other.counts, strict=True)))
        bins = sorted(total)
        return Histogram(tuple(bins), tuple(total[each] for each in bins))

    def quantile(self, share: float) -> float | None:
        """The value that this share of all lies below, to 1/16 of itself; None of no values.

        Args:
            share: above 0, up to 1.
        """
        wanted, below = share * sum(self.counts), 0
        for number, count in zip(self.bins, self.counts, strict=True):
            if below + count >= wanted:
                low, high = _edge(number), _edge(number + 1)
                value = low + (high - low) * (wanted - below) / count
                return value if number > _bin_of(_LEAST) else 0.0
            below += count
        return None


def _bin_of(value: float) -> int:
    return int(struct.unpack("<i", struct.pack("<f", value))[0]) >> _SHIFT


def _edge(number: int) -> float:
    """Of a bin, the lower one."""
    return float(struct.unpack("<f", struct.pack("<i", number << _SHIFT))[0])
