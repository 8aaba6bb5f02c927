"""A prior: weights of direct networks, trained on HR pictures shrunk by random cameras.

It has a head for each scale and for three bands or one; an image with another number of bands is enlarged band by band.
It may also have deeper heads for images that were shrunk by MATLAB's bicubic and nothing else: a network for a single
camera learns it better. Importing this file does not load torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..networks import body_shapes
from ..settings import Body

if TYPE_CHECKING:
    from torch import Tensor

Head = tuple[int, int]
"""Scale and bands."""

HEAD_SCALES = (2, 3, 4)
HEAD_BANDS = (3, 1)
CLEAN_BANDS = 3

Weights = Mapping[str, "Tensor"]
"""Float32 tensors by their names in `DirectNetwork`."""


@dataclass(frozen=True)
class Prior:
    """Weights of `DirectNetwork`s."""

    body: Body
    """Body of the heads for any camera."""
    heads: Mapping[Head, Weights]
    """For any camera, by HEAD_SCALES and HEAD_BANDS; those for one band are always present."""
    clean: Mapping[int, Weights] = field(default_factory=dict)
    """For three bands of a clean image, by scale; none or some of HEAD_SCALES."""

    @property
    def largest(self) -> Body:
        """The largest width and depth of any of its networks: tiles need the halo of these."""
        return largest([self.body, *map(body_of, self.clean.values())])

    def weights(self, scale: int, bands: int, clean: bool) -> tuple[int, Weights]:
        """Return the weights for an image of `bands` bands, and the bands they take: as many, or 1 to go band by band.

        Args:
            clean: whether the image was shrunk by MATLAB's bicubic and nothing else.
        """
        if clean and bands == CLEAN_BANDS and scale in self.clean:
            return bands, self.clean[scale]
        bands = bands if (scale, bands) in self.heads else 1
        return bands, self.heads[scale, bands]


def largest(bodies: Sequence[Body]) -> Body:
    """Return the largest width and depth of bodies of one kind, that of the first."""
    return Body(max(body.width for body in bodies), max(body.depth for body in bodies), bodies[0].kind)


def body_of(weights: Weights) -> Body:
    """Return the body that a head's weights belong to."""
    return body_shapes.body_of({name: tuple(tensor.shape) for name, tensor in weights.items()})
