"""Anchors among shapes: what is to be found near a shape is looked for near its anchor alone, once and for all."""

import torch
from torch import Generator, Tensor

from .own_examples import rounded

_ROUNDS = 8


def anchors_of(shapes: Tensor, count: int, seed: int) -> Tensor:
    """(count, D) of length 1: middles of as many groups of (N, D), by the angle between them (spherical k-means).

    Rounded as shapes are, so that `nearest_anchor` is the same in every tile. Of fewer shapes there are fewer anchors.
    """
    towards = directions(shapes)
    first = torch.randperm(len(shapes), generator=Generator().manual_seed(seed))[:count]
    anchors = towards[first.to(shapes.device)]
    for _ in range(_ROUNDS):
        group = torch.cat([nearest_anchor(some, anchors) for some in torch.split(towards, 8192)])
        sums = torch.zeros_like(anchors).index_add(0, group, towards)
        anchors = torch.where(sums.norm(dim=1, keepdim=True) > 0, directions(sums), anchors)
    return rounded(anchors)


def nearest_anchor(shapes: Tensor, anchors: Tensor) -> Tensor:
    """(N,): the number of the anchor at the least angle to each."""
    nearest: Tensor = (shapes @ anchors.T).argmax(1)
    return nearest


def nearest_to(anchors: Tensor, shapes: Tensor, count: int) -> Tensor:
    """(A, count): which of (N, D) lie at the least angles to each anchor; of fewer shapes all of them."""
    towards = directions(shapes)
    return torch.stack([(towards @ anchor).topk(min(count, len(shapes))).indices for anchor in anchors])


def directions(shapes: Tensor) -> Tensor:
    """All of length 1, but what is 0."""
    towards: Tensor = shapes / shapes.norm(dim=1, keepdim=True).clamp_min(1e-9)
    return towards
