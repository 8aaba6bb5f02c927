"""What docs/cameras.md says of finding a kernel: an edge, a point and bars tell its sigma, each through the camera."""

import math

import pytest
import torch
from torch import Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import from_spec

SIDE = 240
"""HR pixels."""


def seen(hr: Tensor, sigma: float, scale: int) -> Tensor:
    """(H, W) by a Gaussian to (h, w), without rounding."""
    return Degradation(from_spec(f"gaussian:{sigma}", scale), scale).apply(hr[None].double())[0]


def edge(slope: float = 0.137) -> Tensor:
    """A slanted edge through the middle of a scene, dark on its left, in pixels that are means of what they cover."""
    fine = 16
    x = (torch.arange(SIDE * fine) + 0.5) / fine
    y = torch.arange(SIDE) + 0.5
    across = x[None, :] - SIDE / 2 - slope * (y[:, None] - SIDE / 2)
    bright = across > 0
    return bright.double().reshape(SIDE, SIDE, fine).mean(-1)


def across_the_edge(lr: Tensor, slope: float = 0.137) -> tuple[Tensor, Tensor]:
    """Distances from it in LR pixels, in order, and the samples there: all rows of a slanted edge together."""
    height, width = lr.shape
    x, y = torch.arange(width) + 0.5, torch.arange(height) + 0.5
    distances = (x[None, :] - width / 2 - slope * (y[:, None] - height / 2)) / math.hypot(1, slope)
    order = distances.flatten().argsort()
    return distances.flatten()[order], lr.flatten()[order]


def where(level: float, distances: Tensor, samples: Tensor) -> float:
    """The distance at which the samples reach a level, by a straight line through those that are near it."""
    near = ((samples - level).abs() < 0.06) & (distances.abs() < 8)
    x, y = samples[near] - level, distances[near].double()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return float(y.mean() - slope * x.mean())


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [0.8, 1.4, 2.4])
def test_the_width_of_an_edge_tells_sigma(sigma: float, scale: int) -> None:
    """From 10 to 90 % it is 2.563 sigma wide; times the scale, since it is measured in LR pixels."""
    distances, samples = across_the_edge(seen(edge(), sigma, scale))
    width = where(0.9, distances, samples) - where(0.1, distances, samples)
    assert 2 * math.sqrt(2) * float(torch.erfinv(torch.tensor(0.8))) == pytest.approx(2.563, abs=1e-3)
    # An HR pixel of the edge is a mean itself: a twelfth of a squared pixel comes on top.
    assert scale * width / 2.563 == pytest.approx(math.hypot(sigma, math.sqrt(1 / 12)), rel=0.04)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("sigma", [1.4, 2.4])
def test_points_tell_sigma(sigma: float, scale: int) -> None:
    """The spread of the light of points, whatever their place in an LR pixel, is that of the kernel over the scale."""
    variances = []
    for shift in range(scale):
        hr = torch.zeros(SIDE, SIDE)
        hr[SIDE // 2, SIDE // 2 + shift] = 1
        light = seen(hr, sigma, scale).sum(0)
        x = torch.arange(len(light))
        middle = (light * x).sum() / light.sum()
        variances.append(float((light * (x - middle) ** 2).sum() / light.sum()))
    assert scale * math.sqrt(sum(variances) / scale) == pytest.approx(sigma, rel=0.02)


@pytest.mark.parametrize("period", [4, 6])
def test_the_contrast_of_waves_tells_sigma(period: int) -> None:
    """Of a wave of so many LR pixels the contrast left is exp(-2 pi^2 sigma^2 / period^2), sigma in LR pixels."""
    sigma, scale = 1.4, 2
    x = torch.arange(SIDE, dtype=torch.float64)
    hr = (0.5 + 0.5 * torch.cos(2 * math.pi * x / (scale * period))).expand(SIDE, SIDE)
    inside = seen(hr, sigma, scale)[20:-20, 20:-20]
    waves = torch.exp(2j * math.pi * torch.arange(inside.shape[1], dtype=torch.float64) / period)
    whole = inside.shape[1] // period * period
    contrast = 4 * float((inside[0, :whole] * waves[:whole]).mean().abs())
    assert scale * period / math.pi * math.sqrt(math.log(1 / contrast) / 2) == pytest.approx(sigma, rel=0.01)
