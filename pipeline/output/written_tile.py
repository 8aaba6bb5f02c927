"""What is known of a file of a result once it is stored. Importing this does not load torch."""

from dataclasses import dataclass
from typing import TypeVar

from sr_ops.consistency import ConsistencySums
from sr_ops.histogram import Histogram
from sr_ops.octaves import OctavePowers

Sum = TypeVar("Sum", Histogram, OctavePowers)


@dataclass(frozen=True)
class Measures:
    """What tells how far a part of a result is to be trusted; those of parts add up."""

    residuals: ConsistencySums
    """Of the written pixels, in native units."""
    disagreement: Histogram | None = None
    """Of the members of the self-ensemble, in native units, where the image is known; None where there is one."""
    octaves: OctavePowers | None = None
    """Of the mean of the written bands, alpha excepted; None where there is no room for a block."""

    def __add__(self, other: "Measures") -> "Measures":
        return Measures(
            self.residuals + other.residuals,
            _sum(self.disagreement, other.disagreement),
            _sum(self.octaves, other.octaves),
        )


@dataclass(frozen=True)
class WrittenTile:
    """A tile that is durable."""

    name: str
    sha256: str
    measures: Measures


def _sum(one: Sum | None, other: Sum | None) -> Sum | None:
    """Of those that are there."""
    if one is None or other is None:
        return one or other
    return one + other
