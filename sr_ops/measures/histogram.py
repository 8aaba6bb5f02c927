"""Histograms of a measure, whose counts can be added over the parts of an image without rounding.

Importing this file does not load torch, which adding up counts does not need.
"""

import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

_SHIFT = 19
"""Low bits of a float32 that a bin ignores: the bin is the exponent and the first 4 bits of the mantissa."""

_LEAST = 2.0**-60
"""Smaller values, 0 included, count as this."""


@dataclass(frozen=True)
class Histogram:
    """Counts of values from 0 up, in bins no wider than 1/16 of the value; histograms of parts can be added."""

    bins: tuple[int, ...] = ()
    """In rising order: the upper 13 bits of the float32 values in each bin, as a whole number."""
    counts: tuple[int, ...] = ()
    """One per bin, above 0."""

    @classmethod
    def of(cls, values: "Tensor", known: "Tensor | None" = None) -> "Histogram":
        """Count float32 values of any shape, none below 0; `known` is bool of the same shape, None if all count."""
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
        """Return the value below which this share of the values lies, to 1/16 of itself; None if there are no values.

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
    """Return the lower edge of a bin."""
    return float(struct.unpack("<f", struct.pack("<i", number << _SHIFT))[0])
