"""Kernels moved to where images keep their place, and brought to the grid of a first stage."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import (
    NAMED,
    Kernel,
    bicubic,
    box,
    describe,
    gaussian,
    lanczos,
    middle,
    of_first_stage,
    recentred,
)
from sr_ops.enlarging.stages import stages_of
from sr_ops.image.resample import downscale
from sr_ops.settings import Network, Settings

from .cameras import matlab, motion, scrambled


def shifted_gaussian(sigma: float, rows: float, columns: float, scale: int) -> Kernel:
    """Its middle lies so many HR pixels from that of the LR pixel."""
    side = 2 * math.ceil(4 * sigma + middle(scale) + 3) + 1
    offsets = torch.arange(side, dtype=torch.float64) - side // 2 - middle(scale)
    row, column = (torch.exp(-0.5 * ((offsets - by) / sigma) ** 2) for by in (rows, columns))
    taps = row[:, None] * column
    return Kernel(taps / taps.sum())


def covariance(kernel: Kernel) -> Tensor:
    """(2, 2) of the taps, about their centre of mass."""
    offsets = torch.arange(kernel.side, dtype=torch.float64) - kernel.side // 2
    rows, columns = offsets[:, None] - kernel.centre[0], offsets[None] - kernel.centre[1]
    moments = [[rows * rows, rows * columns], [rows * columns, columns * columns]]
    return torch.tensor([[float((kernel.taps * moment).sum()) for moment in line] for line in moments])


_shifts = st.floats(-3, 3)


@settings(max_examples=40)
@given(scale=st.integers(2, 8), sigma=st.floats(1.1, 3), rows=_shifts, columns=_shifts)
def test_a_shifted_gaussian_comes_back(scale: int, sigma: float, rows: float, columns: float) -> None:
    """Its centre is the LR pixel's to 0.01 HR pixel, its blur what it was, its taps those of the unshifted one."""
    kernel = shifted_gaussian(sigma, rows, columns, scale)
    moved = recentred(kernel, scale)
    assert moved.centre == pytest.approx((middle(scale), middle(scale)), abs=1e-4)
    torch.testing.assert_close(covariance(moved), covariance(kernel), atol=0.005, rtol=0)
    expected = gaussian(sigma, sigma, 0, scale)
    side = min(moved.side, expected.side)
    inner = [slice((it.side - side) // 2, (it.side + side) // 2) for it in (moved, expected)]
    close = moved.taps[inner[0], inner[0]] - expected.taps[inner[1], inner[1]]
    assert float(close.abs().max()) < 0.02 * float(expected.taps.max())


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("draw", [motion, lambda seed: scrambled(7, seed), lambda seed: scrambled(25, seed)])
def test_any_kernel_comes_to_the_middle(draw: Callable[[int], Kernel], seed: int, scale: int) -> None:
    """To 0.01 HR pixel, its blur unchanged."""
    kernel = draw(seed)
    moved = recentred(kernel, scale)
    assert moved.centre == pytest.approx((middle(scale), middle(scale)), abs=1e-4)
    torch.testing.assert_close(covariance(moved), covariance(kernel), atol=0.005, rtol=0)
    assert moved.side <= kernel.side + 2 * 8 + 2 * math.ceil(max(abs(at - middle(scale)) for at in kernel.centre))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("name", NAMED)
def test_what_is_centred_stays(name: str, scale: int) -> None:
    """The very same object: not a bit is touched."""
    kernel = NAMED[name](scale)
    assert recentred(kernel, scale) is kernel
    once = recentred(scrambled(7), scale)
    assert recentred(once, scale) is once


# ---- a first stage ---------------------------------------------------------------------------------------------------

KERNELS = {
    "bicubic": bicubic(8),
    "lanczos": lanczos(8),
    "gaussian 3": gaussian(3, 3, 0, 8),
    "gaussian 4.5 x 3, aslant": gaussian(4.5, 3, 30, 8),
}
OTHERS = {5: gaussian(2.5, 2, 10, 5), 6: lanczos(6), 7: gaussian(3.5, 3.5, 0, 7)}


def smooth(side: int, longest: float) -> Tensor:
    """(side, side) float64: waves no shorter than so many pixels."""
    generator = Generator().manual_seed(0)
    rows, columns = torch.meshgrid(*2 * [torch.arange(side, dtype=torch.float64)], indexing="ij")
    image = torch.full((side, side), 0.5, dtype=torch.float64)
    for _ in range(8):
        angle, phase, share = (6.28 * torch.rand(3, generator=generator, dtype=torch.float64)).tolist()
        wave = 2 * math.pi / longest * (0.5 + share / 12.6)
        image += 0.05 * torch.sin(wave * (rows * math.cos(angle) + columns * math.sin(angle)) + phase)
    return image


@pytest.mark.parametrize("name", KERNELS)
def test_half_the_way_by_bicubic_and_the_rest_by_the_first_stage(name: str) -> None:
    """A smooth image shrunk by 8 is its bicubic half shrunk by 4 with the first stage's kernel, to 1e-4."""
    kernel, hr = KERNELS[name], smooth(384, 17)
    at_once = Degradation((kernel,), 8).apply(hr)
    first = of_first_stage(kernel, 8, 4)
    in_two = Degradation((first,), 4).apply(downscale(hr, 2))
    assert float(at_once.std()) > 0.02
    torch.testing.assert_close(in_two[8:-8, 8:-8], at_once[8:-8, 8:-8], atol=1e-4, rtol=0)


@pytest.mark.parametrize("scale", OTHERS)
def test_scales_between_keep_place_and_blur(scale: int) -> None:
    """At x5 to x7 the first stage's kernel is centred, and what its blur and bicubic's add up to is the kernel's."""
    kernel = OTHERS[scale]
    first = of_first_stage(kernel, scale, 4)
    assert first.centre == pytest.approx((middle(4), middle(4)), abs=0.01)
    expected = covariance(kernel) * (4 / scale) ** 2
    torch.testing.assert_close(covariance(first), expected, atol=0.15, rtol=0.05)


@pytest.mark.parametrize("name", KERNELS)
def test_a_point_keeps_its_place(name: str) -> None:
    """Seen through both stages it lies where it lies seen at once, off the middle as it may be."""
    kernel = KERNELS[name]
    moved = Kernel(torch.nn.functional.pad(kernel.taps, (3,) * 4).roll((2, -3), (0, 1)))
    hr = torch.zeros(256, 256, dtype=torch.float64)
    hr[120:124, 130:134] = 1
    at_once = Degradation((moved,), 8).apply(hr)
    in_two = Degradation((of_first_stage(moved, 8, 4),), 4).apply(downscale(hr, 2))
    offsets = torch.arange(32, dtype=torch.float64)
    for axis in (0, 1):
        places = [float((lr.sum(1 - axis) * offsets).sum() / lr.sum()) for lr in (at_once, in_two)]
        assert places[1] == pytest.approx(places[0], abs=0.01)


# ---- stages ----------------------------------------------------------------------------------------------------------


def ways(network: Network, scale: int, degradation: Degradation) -> list[tuple[int, int, int, int]]:
    """Ratio and reached of each stage, and at what scale it learns and sees."""
    stages = stages_of(Settings(network=network, scale=scale), degradation)
    return [(stage.ratio, stage.reached, stage.undone.scale, stage.camera.scale) for stage in stages]


def test_direct_networks_go_to_x4_at_once() -> None:
    """And by 2 from there on, down to the scale that is asked for; those from scratch go by 2 at a time."""
    kernels = {scale: Degradation((gaussian(scale / 3, scale / 3, 0, scale),), scale) for scale in range(2, 9)}
    for scale in (2, 3, 4):
        assert ways(Network.DIRECT, scale, kernels[scale]) == [(scale, scale, scale, scale)]
    for scale in (5, 6, 7, 8):
        assert ways(Network.DIRECT, scale, kernels[scale]) == [(4, 4, 4, 4), (2, scale, 2, scale)]
    assert ways(Network.SUBPIXEL, 3, matlab(3)) == [(2, 2, 2, 2), (2, 3, 2, 3)]
    assert ways(Network.ZSSR, 8, matlab(8)) == [(2, 2, 2, 2), (2, 4, 2, 4), (2, 8, 2, 8)]


def test_the_last_stage_sees_the_camera_itself() -> None:
    """With its noise, which the first stage has too; what comes between them is bicubic, without noise."""
    camera = Degradation((gaussian(3, 2, 30, 8), box(8)), 8, (0.01, 0.02))
    first, last = stages_of(Settings(network=Network.DIRECT, scale=8), camera)
    assert last.camera is camera
    assert first.camera.noise == first.undone.noise == camera.noise
    assert (last.undone.is_bicubic, last.undone.noise) == (True, (0.0,))
    assert len(first.camera.kernels) == 2
    assert not first.interpolates
    blurs = [describe(kernel, 4)["sigma_x"] for kernel in first.camera.kernels]
    assert blurs[0] == pytest.approx(float(covariance(camera.kernels[0])[1, 1]) ** 0.5 / 2, rel=0.05)


def test_bicubic_stays_bicubic_at_every_stage() -> None:
    """To the bit, so that it is undone exactly; networks from scratch know no other."""
    for scale in (5, 8):
        assert all(
            stage.camera.is_bicubic and stage.undone.is_bicubic
            for stage in stages_of(Settings(network=Network.DIRECT, scale=scale), matlab(scale))
        )
    camera = Degradation((box(4),), 4, (0.1,))
    for stage in stages_of(Settings(network=Network.SUBPIXEL, scale=4), camera):
        assert stage.camera.is_bicubic
        assert stage.interpolates
        assert not stage.camera.is_noisy
