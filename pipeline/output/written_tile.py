"""What is known of a result file once it is stored. Importing this does not load torch."""

from dataclasses import dataclass
from typing import TypeVar

from sr_ops.measures.consistency import ConsistencySums
from sr_ops.measures.histogram import Histogram
from sr_ops.measures.octaves import OctavePowers

Sum = TypeVar("Sum", Histogram, OctavePowers)


@dataclass(frozen=True)
class Measures:
    """Measures of trust for a part of a result; those of parts can be added."""

    residuals: ConsistencySums
    """For the written pixels, in native units."""
    disagreement: Histogram | None = None
    """Of the self-ensemble's members, in native units, where the image is known; None with one member."""
    octaves: OctavePowers | None = None
    """Of the mean of the written bands, without alpha; None if there is no room for a block."""

    def __add__(self, other: "Measures") -> "Measures":
        return Measures(
            self.residuals + other.residuals,
            _sum(self.disagreement, other.disagreement),
            _sum(self.octaves, other.octaves),
        )


@dataclass(frozen=True)
class WrittenTile:
    """A tile that is durably stored."""

    name: str
    sha256: str
    measures: Measures


def _sum(one: Sum | None, other: Sum | None) -> Sum | None:
    """Add those that exist."""
    if one is None or other is None:
        return one or other
    return one + other
