"""One LR image as it came from its camera, with what is known of how it was made."""

from dataclasses import dataclass

from torch import Tensor

from ..camera.degradation import Degradation
from ..estimation.signs import Signs
from ..image.domain import UNIT, Domain


@dataclass(frozen=True, eq=False)
class Observation:
    """What all learning from an image starts from."""

    lr: Tensor
    """(C, H, W) float32, within the bounds of `domain`, which are mostly in [0, 1]; unknown samples may hold anything.
    """
    degradation: Degradation
    """What made the image; with `Settings.noise` AUTO its noise is measured instead."""
    domain: Domain = UNIT
    signs: Signs | None = None
    """Of the image, its unknown samples filled, where something was looked for in it already."""
