"""How noise grows with brightness: the line that its variance follows in what sensors and scanners deliver.

Light comes in grains, so its noise has a variance in proportion to the level; that of reading is the same everywhere
(Foi and others 2008, "Practical Poissonian-Gaussian noise modeling and fitting for single-image raw-data"). Blocks are
parted by their level, each part's noise is told from its texture by the shape of the spectrum, and the line is Theil's
and Sen's, the median over pairs: one part that is mistaken does not turn it.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from .estimate import Estimate, estimate
from .spectrum import spectra_by_level

_PARTS = 4

_FEWEST = 3
"""Parts by which a line is told: two are always on one."""

_APART = 0.1
"""Of the range: levels that differ by less tell no slope."""


@dataclass(frozen=True)
class NoiseLine:
    """Variance of the noise at a level, offset + slope * level, in units of the full range."""

    offset: float
    """Squared."""
    slope: float

    def variance(self, level: float) -> float:
        """At least 0."""
        return max(0.0, self.offset + self.slope * level)


def noise_line(band: Tensor, known: Tensor | None, found: Estimate) -> NoiseLine | None:
    """That of (H, W) float32 in [0, 1]; None where its levels are too few, or too much alike.

    Args:
        known: (H, W) bool; None for everywhere.
        found: its scene and camera; only the noise is told anew for each level.
    """
    parts = [(level, estimate(spectrum, found).noise ** 2) for level, spectrum in spectra_by_level(band, known, _PARTS)]
    if len(parts) < _FEWEST or parts[-1][0] - parts[0][0] < _APART:
        return None
    slope = _median([(upper - lower) / (to - at) for (at, lower), (to, upper) in combinations(parts, 2) if to > at])
    return NoiseLine(_median([variance - slope * level for level, variance in parts]), slope)


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).quantile(0.5))
