"""The consistency of an enlargement with its image: residual sums of parts, and the error of the whole.

Importing this file does not load torch, which adding up the sums of parts does not need.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ConsistencyError:
    """Difference between an enlargement shrunk by its degradation and `lr`, in units of the image (grey levels)."""

    mae: float
    """Mean absolute difference over all pixels and bands."""
    rmse: float
    max: float
    """Largest absolute difference."""
    bias: float
    """Mean of the shrunk enlargement minus `lr`; positive if the result is too bright."""
    rmse_bands: tuple[float, ...]


@dataclass(frozen=True)
class ConsistencySums:
    """Sums over the known residuals, `degradation.apply(sr) - lr`, of a part of an image; sums of parts add up."""

    counts: tuple[int, ...]
    """Known samples of each band."""
    absolute: float
    signed: float
    largest: float
    squared: tuple[float, ...]
    """One for each band."""
    outside: int = 0
    """Samples of the enlargement outside the range of the image's samples."""

    @classmethod
    def of(cls, residual: "Tensor", known: "Tensor | None" = None) -> "ConsistencySums":
        """Sum residuals (C, h, w), in the units of the error; `known` is bool of that shape, None if all are known."""
        residual = residual.double()
        if known is None:
            counts = (residual[0].numel(),) * len(residual)
        else:
            counts = tuple(known.sum((1, 2)).tolist())
            residual = residual.where(known, 0.0)
        size = residual.abs()
        squared = tuple(residual.square().sum((1, 2)).tolist())
        return cls(counts, float(size.sum()), float(residual.sum()), float(size.max()), squared)

    @classmethod
    def none(cls, bands: int) -> "ConsistencySums":
        """Return the sums of a part without a known sample."""
        return cls((0,) * bands, 0.0, 0.0, 0.0, (0.0,) * bands)

    def __add__(self, other: "ConsistencySums") -> "ConsistencySums":
        return ConsistencySums(
            tuple(mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)),
            self.absolute + other.absolute,
            self.signed + other.signed,
            max(self.largest, other.largest),
            tuple(mine + theirs for mine, theirs in zip(self.squared, other.squared, strict=True)),
            self.outside + other.outside,
        )

    def error(self) -> ConsistencyError | None:
        """Return the error of the whole, or None if no sample is known."""
        samples = sum(self.counts)
        if samples == 0:
            return None
        return ConsistencyError(
            mae=self.absolute / samples,
            rmse=(sum(self.squared) / samples) ** 0.5,
            max=self.largest,
            bias=self.signed / samples,
            rmse_bands=tuple(
                (squared / max(1, count)) ** 0.5 for squared, count in zip(self.squared, self.counts, strict=True)
            ),
        )
