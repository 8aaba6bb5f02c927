"""Self-examples: a patch takes detail from places in the image whose coarser version looks like it."""

import torch
from torch import Tensor

from ..enlarging.method import Learned
from .patches.anchors import anchors_of, nearest_anchor, nearest_to
from .patches.own_examples import Examples
from .patches.patch_method import PatchMethod

_ANCHORS = 256

_LOOKED_AT = 512
"""Examples that a patch is compared with: the nearest to its anchor."""

_NEIGHBOURS = 8

_LIKENESS = 0.15
"""Distance between shapes at which a neighbour's weight has fallen to e^-0.5."""


class SelfExamples(PatchMethod):
    """The examples come from the image's own pyramid. Each patch takes the residuals of the most similar ones."""

    line = "Detail of the image's own patches, found across its scales and turns."
    source = "Glasner, Bagon, Irani 2009, section 3.2; turned: Huang, Singh, Ahuja 2015, section 3"
    most_examples = 40_000

    def learn_from(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        anchors = anchors_of(examples.shapes, _ANCHORS, seed)
        near = nearest_to(anchors, examples.shapes, _LOOKED_AT)
        return {"anchors": anchors, "near": near, "shapes": examples.shapes, "residuals": examples.residuals}

    def residuals(self, shapes: Tensor, learned: Learned) -> Tensor:
        of_anchor = nearest_anchor(shapes, learned["anchors"])
        made = shapes.new_empty(len(shapes), learned["residuals"].shape[1])
        for anchor in torch.unique(of_anchor).tolist():
            places, album = (of_anchor == anchor).nonzero()[:, 0], learned["near"][anchor]
            made[places] = _of_neighbours(shapes[places], learned["shapes"][album], learned["residuals"][album])
        return made


def _of_neighbours(shapes: Tensor, album: Tensor, residuals: Tensor) -> Tensor:
    """Return (N, E): the mean of the residuals (M, E), weighted by the similarity of (M, D) to each of (N, D)."""
    # minus |a - b|^2 / 2, up to a constant per patch; exact, because shapes are rounded
    nearness = shapes @ album.T - 0.5 * album.square().sum(1)
    nearest = nearness.topk(min(_NEIGHBOURS, len(album)), dim=1)
    weights = torch.softmax(nearest.values / _LIKENESS**2, 1)
    return torch.einsum("nk,nke->ne", weights, residuals[nearest.indices])


METHOD = SelfExamples()
