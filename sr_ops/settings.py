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


class Method(StrEnum):
    """How an image may be enlarged."""

    AUTO = "auto"
    """By a network fitted to it, where that is likelier to be right than bicubic: the default."""
    ZSSR = "zssr"
    """By a fitted network, whatever comes of it."""
    BICUBIC = "bicubic"
    """By bicubic interpolation and back-projection; nothing is fitted."""


NO_PRIOR = "none"

AUTO, NONE = "auto", "none"
"""Of `Settings.nodata` and `Settings.value_range`."""

_BACK_PROJECTION_REACH = 16
"""LR pixels beyond which back-projection carries less than 1e-7 of a change."""

_CONSERVATION_REACH = 8
"""LR pixels from which `conservation.conserve` brings what was cut off."""


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
    method: Method = Method.AUTO
    prior: str = NO_PRIOR
    """sha256 of the file with the weights that fits start from, or NO_PRIOR."""
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
    nodata: str = AUTO
    """What number says "nothing was measured": the file's own, or a fill that is recognised (AUTO); none at all (NONE);
    or this one, as text."""
    value_range: str = AUTO
    """Between what samples of the result lie. AUTO: floats between the least and the largest of the image, band by
    band, integers within their type. NONE: floats anywhere. Or "LOW,HIGH"."""
    stack: int = 1
    """Images that a worker fits at once: for a GPU that one fit leaves idle. Above 1 the results differ by rounding."""

    @property
    def halo(self) -> int:
        """LR pixels around a tile that can reach its owned pixels: convolutions of all stages and back-projection.

        Stage i works at 2^i times the LR size, so all stages together reach less than twice the first one's depth.
        """
        return 2 * self.depth + _BACK_PROJECTION_REACH + _CONSERVATION_REACH

    @property
    def stage_scales(self) -> tuple[int, ...]:
        """The ratio to the LR image after each stage: scale 2 -> (2,), 3 -> (2, 3), 8 -> (2, 4, 8)."""
        scales = []
        reached = 1
        while reached < self.scale:
            reached *= STAGE_SCALE
            scales.append(min(reached, self.scale))
        return tuple(scales)


class Preset(StrEnum):
    """A named choice between time and quality; README tells what each costs and gives."""

    FAST = "fast"
    """A tenth of the time on large images: few steps, no self-ensemble."""
    BALANCED = "balanced"
    BEST = "best"
    PAPER = "paper"
    """The network of the ZSSR paper, fitted from scratch."""


_STEPS = {Preset.FAST: 10, Preset.BALANCED: 50, Preset.BEST: 200, Preset.PAPER: 1500}
"""From a prior; the paper's preset has none."""

_STEPS_FROM_SCRATCH = {Preset.FAST: 100, Preset.BALANCED: 500, Preset.BEST: 1500, Preset.PAPER: 1500}

_RATE_FROM_PRIOR = 1e-3
"""Of 2e-4, 5e-4, 1e-3 and 2e-3 the best at 50 steps, by 0.02 dB."""


def preset(name: Preset, from_prior: bool) -> Settings:
    """The settings of a preset, without the prior itself: a fit from scratch needs more and longer steps."""
    fit = FitSettings(steps=_STEPS_FROM_SCRATCH[name])
    if from_prior:
        fit = FitSettings(steps=_STEPS[name], learning_rate=_RATE_FROM_PRIOR)
    network = Network.ZSSR if name is Preset.PAPER else Network.SUBPIXEL
    return Settings(network=network, fit=fit, ensemble=name is not Preset.FAST)
