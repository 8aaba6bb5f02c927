"""Recurring patches tell a camera where a scene recurs as it should: the comparison with the spectrum is a fair one."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.gallery import apart, covariance_of
from benchmarks.kernel_shots import Camera, shoot
from benchmarks.misled import in_lr_pixels
from benchmarks.recurrence import SIDE, Recurrence, recurrence
from sr_ops.camera.kernels import gaussian


def discs(side: int) -> Tensor:
    """(1, side, side) levels of discs over each other, a scene that is alike at all sizes."""
    draw = torch.Generator().manual_seed(3)
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    image = torch.full((side, side), 128.0)
    for _ in range(900):
        radius = 2 / math.sqrt(float(torch.rand(1, generator=draw)) + 1e-3)
        row, column, level = (float(each) for each in torch.rand(3, generator=draw))
        inside = torch.hypot(y - side * row, x - side * column) < radius
        image[inside] = 20 + 215 * level
    return image[None]


def test_blur_is_found_in_a_scene_that_is_alike_at_all_sizes() -> None:
    first, second, degrees = 1.8, 0.9, 30
    lr = shoot(discs(256), Camera("", gaussian(first, second, degrees, 2), ""), 2)[0].float() / 255
    found, true = recurrence(lr), covariance_of(first / 2, second / 2, degrees)
    assert apart(found.covariance, true) < apart((0, 0, 0), true) / 4
    assert found.covariance[0] > found.covariance[2]  # along x more than along y
    assert found.covariance[1] > 0  # and towards y with it


def test_covariance_of_a_gaussian_of_taps_is_its_own() -> None:
    places = torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2
    y, x = torch.meshgrid(places, places, indexing="ij")
    along, across = x * 0.8 + y * 0.6, y * 0.8 - x * 0.6
    taps = torch.exp(-0.5 * ((along / 1.6) ** 2 + (across / 1.0) ** 2))
    found = Recurrence(taps / taps.sum()).covariance
    assert found == pytest.approx(covariance_of(0.8, 0.5, math.degrees(math.atan2(0.6, 0.8))), abs=0.01)


def test_gaussians_are_told_in_lr_pixels_the_wider_deviation_first() -> None:
    assert in_lr_pixels("gaussian:1,2,30", 2) == "1.00, 0.50, 120"
    assert in_lr_pixels("gaussian:2,1,179.8", 2) == "1.00, 0.50, 0"
    assert in_lr_pixels("gaussian:1.5", 2) == "0.75"
    assert in_lr_pixels("bicubic", 2) == "bicubic"
