"""What decides the pixels of an enlargement. Plain values: importing this file does not load torch."""

from dataclasses import dataclass, field
from enum import StrEnum

STAGE_SCALE = 2
"""What one network enlarges by; every other scale is made of such stages."""

MIN_SCALE, MAX_SCALE = 2, 8


class Network(StrEnum):
    """What an image can be fitted with; see networks.py."""

    SUBPIXEL = "subpixel"
    """Convolutions at LR size: the default."""
    ZSSR = "zssr"
    """The paper's, at HR size."""


_BACK_PROJECTION_REACH = 16
"""LR pixels beyond which back-projection carries less than 1e-7 of a change."""


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted to one image."""

    steps: int = 500
    """Optimiser updates per stage."""
    crop: int = 64
    """Side of a father crop in pixels of the image; smaller images give smaller crops."""
    batch: int = 4
    """Crops per step."""
    learning_rate: float = 3e-3
    """Peak of the one-cycle schedule."""


@dataclass(frozen=True)
class Settings:
    """All that decides the pixels, besides the image, the thread count and the device class."""

    scale: int = 4
    """Whole number from MIN_SCALE to MAX_SCALE."""
    network: Network = Network.SUBPIXEL
    width: int = 64
    """Channels of the hidden layers."""
    depth: int = 8
    """Number of convolutions, at least 2."""
    fit: FitSettings = field(default_factory=FitSettings)
    seed: int = 0
    """The same for every image, so that no pixel depends on order or worker."""
    ensemble: bool = True
    """Run each network on the 8 dihedral transforms and take the median."""
    back_projections: int = 10
    """Iterations after every stage; 0 for none."""
    tile_size: int = 512
    """Side of a tile in LR pixels."""

    @property
    def halo(self) -> int:
        """LR pixels around a tile that can reach its owned pixels: convolutions of all stages and back-projection.

        Stage i works at 2^i times the LR size, so all stages together reach less than twice the first one's depth.
        """
        return 2 * self.depth + _BACK_PROJECTION_REACH

    @property
    def stage_scales(self) -> tuple[int, ...]:
        """The ratio to the LR image after each stage: scale 2 -> (2,), 3 -> (2, 3), 8 -> (2, 4, 8)."""
        scales = []
        reached = 1
        while reached < self.scale:
            reached *= STAGE_SCALE
            scales.append(min(reached, self.scale))
        return tuple(scales)
