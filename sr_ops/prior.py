"""A prior: weights of direct networks, learned from HR pictures that cameras drawn at random made small.

It holds a head for each scale and for three bands or one; an image of any other number of bands is enlarged band by
band. For images that MATLAB's bicubic made small and nothing else was done to it may hold deeper ones: who has to know
but one camera learns it better. Importing this file does not load torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import body_shapes
from .settings import Body

if TYPE_CHECKING:
    from torch import Tensor

Head = tuple[int, int]
"""Scale and bands."""

HEAD_SCALES = (2, 3, 4)
HEAD_BANDS = (3, 1)
CLEAN_BANDS = 3

Weights = Mapping[str, "Tensor"]
"""Float32, by the names that `DirectNetwork` has for them."""


@dataclass(frozen=True)
class Prior:
    """Weights of `DirectNetwork`s."""

    body: Body
    """Of the heads for any camera."""
    heads: Mapping[Head, Weights]
    """For any camera: of HEAD_SCALES and HEAD_BANDS; those for one band are all there."""
    clean: Mapping[int, Weights] = field(default_factory=dict)
    """For three bands of a clean image, by scale; none or some of HEAD_SCALES."""

    def weights(self, scale: int, bands: int, clean: bool) -> tuple[int, Weights]:
        """What an image of `bands` bands is enlarged by, and for how many bands that is: as many, or 1 for any number.

        Args:
            clean: MATLAB's bicubic made it small, and nothing else was done to it.
        """
        if clean and bands == CLEAN_BANDS and scale in self.clean:
            return bands, self.clean[scale]
        bands = bands if (scale, bands) in self.heads else 1
        return bands, self.heads[scale, bands]


def body_of(weights: Weights) -> Body:
    """What a head's weights are of."""
    return body_shapes.body_of({name: tuple(tensor.shape) for name, tensor in weights.items()})
