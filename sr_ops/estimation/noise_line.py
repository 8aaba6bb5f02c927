"""How noise grows with brightness: its variance is a line in the level for most sensors and scanners.

Photon noise has a variance in proportion to the level, read noise a constant one (Foi and others 2008, "Practical
Poissonian-Gaussian noise modeling and fitting for single-image raw-data"). Blocks are grouped by level, and the shape
of the spectrum separates each group's noise from its texture. The line is the Theil-Sen estimate, a median over pairs,
so that one wrong group does not change its slope.
"""

from dataclasses import dataclass
from itertools import combinations

import torch
from torch import Tensor

from .estimate import Estimate, estimate
from .spectrum import spectra_by_level

_PARTS = 4

_FEWEST = 3
"""Fewest groups for a line: two always lie on one."""

_APART = 0.1
"""Share of the range: a smaller range of levels gives no slope."""


@dataclass(frozen=True)
class NoiseLine:
    """Variance of the noise by level, offset + slope * level, in units of the full range."""

    offset: float
    """In units of the full range squared."""
    slope: float

    def variance(self, level: float) -> float:
        """Return the variance at a level, at least 0."""
        return max(0.0, self.offset + self.slope * level)


def noise_line(band: Tensor, known: Tensor | None, found: Estimate) -> NoiseLine | None:
    """Return the noise line of (H, W) float32 in [0, 1]; None if it has too few levels, or too similar ones.

    Args:
        known: (H, W) bool; None if all pixels are known.
        found: scene and camera of the image; only the noise is estimated anew for each level.
    """
    parts = [(level, estimate(spectrum, found).noise ** 2) for level, spectrum in spectra_by_level(band, known, _PARTS)]
    if len(parts) < _FEWEST or parts[-1][0] - parts[0][0] < _APART:
        return None
    slope = _median([(upper - lower) / (to - at) for (at, lower), (to, upper) in combinations(parts, 2) if to > at])
    return NoiseLine(_median([variance - slope * level for level, variance in parts]), slope)


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).quantile(0.5))
