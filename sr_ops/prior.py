"""A prior: weights of direct networks, learned from HR pictures that cameras drawn at random made small.

It holds a head for each scale and for three bands or one; an image of any other number of bands is enlarged band by
band. Importing this file does not load torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .settings import Body

if TYPE_CHECKING:
    from torch import Tensor

Head = tuple[int, int]
"""Scale and bands."""

HEAD_SCALES = (2, 3, 4)
HEAD_BANDS = (3, 1)

Weights = Mapping[str, "Tensor"]
"""Float32, by the names that `DirectNetwork` has for them."""


@dataclass(frozen=True)
class Prior:
    """Weights of `DirectNetwork`s."""

    body: Body
    """That all of them have."""
    heads: Mapping[Head, Weights]
    """Of HEAD_SCALES and HEAD_BANDS; those for one band are all there."""


def network_bands(prior: Prior, scale: int, bands: int) -> int:
    """Of the head that an image of `bands` bands is enlarged by: as many where the prior has it, else 1."""
    return bands if (scale, bands) in prior.heads else 1
