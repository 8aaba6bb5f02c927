"""A camera told by recurring patches: Michaeli and Irani, Nonparametric Blind Super-Resolution, ICCV 2013.

Small patches of a scene come again at other sizes. The image is made smaller by the kernel as far as it is known;
patches of the image look for others like them in that, and those that are found lie, larger, in the image itself. The
kernel is what makes the large ones the patches that looked for them: a least-squares problem, and the next round's
kernel. Written from the paper for scale 2, to be compared with `sr_ops.estimation.estimate`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import unfold

SCALE = 2

SIDE = 14
"""Of the kernel, in HR pixels: even, so that it lies about the middle of an LR pixel."""

_PATCH = 5
"""LR pixels a side."""

_ROUNDS = 10

_NEIGHBOURS = 5

_MOST_PATCHES, _LIVELY = 1000, 0.3
"""That look for others, spread over so much of the image, its liveliest part: with three times as many the error is
the same."""

_LIKENESS = 3 / 255
"""Sigma of the weights exp(-|q - R k|^2 / 2 sigma^2), with the squares' mean over a patch in place of their sum."""

_SMOOTHNESS = 0.03
"""Of the squares of the kernel's differences, against the mean square of what is fitted."""

_FURTHEST = 0.35
"""Cycles per LR pixel up to which a Gaussian is fitted to the kernel's transfer."""


@dataclass(frozen=True)
class Recurrence:
    """What patches tell."""

    taps: Tensor
    """(SIDE, SIDE) float64, summing to 1: the best kernel between the image and one twice as large."""

    @property
    def covariance(self) -> tuple[float, float, float]:
        """xx, xy, yy of the Gaussian whose transfer is nearest, in LR pixels squared."""
        line = torch.linspace(-_FURTHEST, _FURTHEST, 15, dtype=torch.float64)
        y, x = torch.meshgrid(line, line, indexing="ij")
        inside = (torch.hypot(x, y) < _FURTHEST) & (torch.hypot(x, y) > 0)
        x, y = x[inside], y[inside]
        places = (torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2) / SCALE
        rows, columns = (torch.exp(-2j * math.pi * each[:, None] * places) for each in (y, x))
        transfer = ((rows @ self.taps.to(rows.dtype)) * columns).sum(1).abs().clamp_min(1e-3)
        slopes = 2 * math.pi**2 * torch.stack([x * x, 2 * x * y, y * y], 1) * transfer[:, None]
        found = torch.linalg.lstsq(slopes, -transfer * transfer.log()).solution
        xx, xy, yy = found.tolist()
        return xx, xy, yy

    @property
    def of_camera(self) -> tuple[float, float, float]:
        """The covariance of the camera's blur, if the larger image's own was of the same form.

        Between an image and one SCALE times as large lies what is left of the blur over its like at the finer grid
        (section 3 of the paper): of a Gaussian 1 - 1 / SCALE^2 of its covariance.
        """
        share = 1 - 1 / SCALE**2
        xx, xy, yy = (each / share for each in self.covariance)
        return xx, xy, yy


def recurrence(plane: Tensor) -> Recurrence:
    """The kernel that makes (H, W) in [0, 1], at least 48 a side, recur in itself most."""
    plane = plane.float()
    taps = torch.zeros(SIDE, SIDE)
    middle = slice(SIDE // 2 - 1, SIDE // 2 + 1)
    taps[middle, middle] = 0.25  # a delta between four HR pixels
    queries = _liveliest(unfold(plane[None, None], _PATCH)[0].T)
    windows, grid = _windows(plane)
    for _ in range(_ROUNDS):
        small = (windows @ taps.flatten()).reshape(grid)
        taps = _fitted(windows, *_wanted(small, queries))
    return Recurrence((taps / taps.sum()).double())


def _liveliest(patches: Tensor) -> Tensor:
    lively = patches.var(1).topk(math.ceil(_LIVELY * len(patches))).indices.sort().values
    return patches[lively[torch.linspace(0, len(lively) - 1, min(_MOST_PATCHES, len(lively))).long()]]


def _windows(plane: Tensor) -> tuple[Tensor, tuple[int, int]]:
    """(P, SIDE^2): what each pixel of the smaller image is the mean of; and that image's sides."""
    height, width = ((side - SIDE) // SCALE + 1 for side in plane.shape)
    return unfold(plane[None, None], SIDE, stride=SCALE)[0].T.contiguous(), (height, width)


def _wanted(small: Tensor, queries: Tensor) -> tuple[Tensor, Tensor]:
    """By pixel of the smaller image: how much it counts, and what it should be, times that; (P,) each.

    Patches are alike whatever their means, and keep them.
    """
    patches = unfold(small[None, None], _PATCH)[0].T
    means = patches.mean(1, keepdim=True)
    detail, wanted = patches - means, queries - queries.mean(1, keepdim=True)
    squares = detail.square().sum(1) - 2 * wanted @ detail.T + wanted.square().sum(1)[:, None]
    nearest = (squares.clamp_min(0) / _PATCH**2).topk(min(_NEIGHBOURS, len(patches)), largest=False)
    weights = torch.softmax(-nearest.values / (2 * _LIKENESS**2), 1)
    pixels = torch.arange(small.numel(), dtype=torch.float32).reshape(1, 1, *small.shape)
    places = unfold(pixels, _PATCH)[0].T.long()[nearest.indices]
    counts = weights[..., None].expand(places.shape)
    sums = counts * (wanted[:, None, :] + means[nearest.indices])
    empty = torch.zeros(small.numel())
    return empty.index_add(0, places.flatten(), counts.flatten()), empty.index_add(0, places.flatten(), sums.flatten())


def _fitted(windows: Tensor, counts: Tensor, sums: Tensor) -> Tensor:
    used = counts > 0
    chosen = windows[used].double()
    normal = chosen.T @ (chosen * counts[used].double()[:, None])
    smooth = _smoothness() * (_SMOOTHNESS * normal.diag().mean())
    solution: Tensor = torch.linalg.solve(normal + smooth, chosen.T @ sums[used].double())
    return solution.reshape(SIDE, SIDE).float()


def _smoothness() -> Tensor:
    """(SIDE^2, SIDE^2): the sum of squared differences of neighbours, with nothing around the kernel."""
    step = torch.eye(SIDE + 1, SIDE, dtype=torch.float64) - torch.eye(SIDE + 1, SIDE, dtype=torch.float64).roll(1, 0)
    step[0, 0] = 1
    line, same = step.T @ step, torch.eye(SIDE, dtype=torch.float64)
    return torch.kron(line, same) + torch.kron(same, line)
