"""Anchors among patch shapes: a shape is compared only with the examples near its anchor, which are found once."""

import torch
from torch import Generator, Tensor

from .own_examples import rounded

_ROUNDS = 8


def anchors_of(shapes: Tensor, count: int, seed: int) -> Tensor:
    """Return (count, D) unit vectors, the centres of `count` clusters of (N, D) by angle (spherical k-means).

    They are rounded like shapes, so that `nearest_anchor` gives the same in every tile. Fewer than `count` shapes give
    fewer anchors.
    """
    towards = directions(shapes)
    first = torch.randperm(len(shapes), generator=Generator().manual_seed(seed))[:count]
    anchors = towards[first.to(shapes.device)]
    for _ in range(_ROUNDS):
        group = torch.cat([nearest_anchor(some, anchors) for some in torch.split(towards, 8192)])
        # on the CPU: a GPU adds up in any order, which no test sees that has none
        sums = torch.zeros_like(anchors, device="cpu").index_add(0, group.cpu(), towards.cpu()).to(anchors)
        anchors = torch.where(sums.norm(dim=1, keepdim=True) > 0, directions(sums), anchors)
    return rounded(anchors)


def nearest_anchor(shapes: Tensor, anchors: Tensor) -> Tensor:
    """Return (N,): for each shape, the index of the anchor at the smallest angle."""
    nearest: Tensor = (shapes @ anchors.T).argmax(1)
    return nearest


def nearest_to(anchors: Tensor, shapes: Tensor, count: int) -> Tensor:
    """Return (A, count): for each anchor, the indices of the `count` shapes of (N, D) at the smallest angles.

    If there are fewer shapes than `count`, all are returned."""
    towards = directions(shapes)
    return torch.stack([(towards @ anchor).topk(min(count, len(shapes))).indices for anchor in anchors])


def directions(shapes: Tensor) -> Tensor:
    """Return the rows of (N, D) scaled to length 1; rows of zeros stay zero."""
    towards: Tensor = shapes / shapes.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return towards
