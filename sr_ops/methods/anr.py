"""Anchored neighbourhood regression: of each patch the nearest anchor tells by a matrix what its base lacks."""

import torch
from torch import Tensor

from ..anchors import anchors_of, nearest_anchor, nearest_to
from ..enlarging_method import Learned
from ..own_examples import Examples
from ..patch_method import PatchMethod

_ANCHORS = 256

_NEIGHBOURS = 512
"""Examples by which an anchor's regression is made: not the anchors next to it, as in ANR, but examples, as in A+."""

_RIDGE = 0.1


class AnchoredRegression(PatchMethod):
    """Regressions are made once, so that enlarging is a look-up and a product of matrices."""

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
    """The matrix M, (D, E), that makes |shapes M - residuals|^2 + _RIDGE |M|^2 least, of (N, D) and (N, E)."""
    normal = shapes.T @ shapes + _RIDGE * torch.eye(shapes.shape[1]).to(shapes)
    matrix: Tensor = torch.linalg.solve(normal, shapes.T @ residuals)
    return matrix


METHOD = AnchoredRegression()
