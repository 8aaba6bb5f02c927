"""Anchored neighbourhood regression: the matrix of a patch's nearest anchor predicts what its base lacks."""

import torch
from torch import Tensor

from ..enlarging.method import Learned
from .patches.anchors import anchors_of, nearest_anchor, nearest_to
from .patches.own_examples import Examples
from .patches.patch_method import PatchMethod

_ANCHORS = 256

_NEIGHBOURS = 512
"""Examples per regression. As in A+ they are the examples nearest to the anchor, not the anchors nearest to it as in
ANR."""

_RIDGE = 0.1


class AnchoredRegression(PatchMethod):
    """The regressions are computed once, so that enlarging is a look-up and a matrix product."""

    line = "Ridge regressions at anchors among the image's own patches, across its scales."
    source = "Timofte, De Smet, Van Gool 2013 (ANR), section 3; 2014 (A+), section 3"
    most_examples = 100_000

    def learn_from(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        anchors = anchors_of(examples.shapes, _ANCHORS, seed)
        near = nearest_to(anchors, examples.shapes, _NEIGHBOURS)
        matrices = [ridge_regression(examples.shapes[some], examples.residuals[some]) for some in near]
        return {"anchors": anchors, "matrices": torch.stack(matrices)}

    def residuals(self, shapes: Tensor, learned: Learned) -> Tensor:
        matrices = learned["matrices"][nearest_anchor(shapes, learned["anchors"])]
        return torch.bmm(shapes[:, None], matrices)[:, 0]


def ridge_regression(shapes: Tensor, residuals: Tensor) -> Tensor:
    """Return the matrix (D, E) that minimises |shapes M - residuals|^2 + _RIDGE |M|^2, for (N, D) and (N, E)."""
    normal = shapes.T @ shapes + _RIDGE * torch.eye(shapes.shape[1]).to(shapes)
    matrix: Tensor = torch.linalg.solve(normal, shapes.T @ residuals)
    return matrix


METHOD = AnchoredRegression()
