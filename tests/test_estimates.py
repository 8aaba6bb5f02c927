"""What work is thought to take goes by what networks multiply."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pipeline.work.estimates import enlarging_seconds, fitting_seconds
from sr_ops.camera.kernel_spec import PLAIN
from sr_ops.enlarging.model import build_network, degradation_of
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.settings import FitSettings, Method, Network, Preset, Settings, preset

from .cameras import random_prior
from .pictures import star

A_SECOND = 0.2e12

DIRECT = replace(preset(Preset.BALANCED, from_prior=True), ensemble=False)
SCRATCH = replace(preset(Preset.BALANCED, from_prior=False), ensemble=False)


def operations(settings: Settings, ratio: int, bands: int) -> int:
    """Of a network for a pixel of what it sees: each weight of a convolution is multiplied, and added, once."""
    network = build_network(bands, ratio, settings, torch.device("cpu"))
    return 2 * sum(layer.weight.numel() for layer in network.modules() if isinstance(layer, nn.Conv2d))


def by_networks(settings: Settings, bands: int = 3) -> float:
    """Operations for an LR pixel, as far as they are not there without any network."""
    plain = replace(settings, method=Method.BICUBIC)
    seconds = enlarging_seconds(1e6, settings, bands) - enlarging_seconds(1e6, plain, bands)
    return seconds * A_SECOND / 1e6


@pytest.mark.parametrize("width", [64, 96])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_direct_network_works_at_lr_size(scale: int, width: int) -> None:
    """Once a member, three bands at once, and any other number one by one."""
    settings = replace(DIRECT, scale=scale, width=width, depth=10)
    assert by_networks(settings) == pytest.approx(operations(settings, scale, 3))
    assert by_networks(settings, 5) == pytest.approx(5 * operations(settings, scale, 1))
    for members in (4, 8):
        all_of_them = replace(settings, ensemble=True, members=members)
        assert by_networks(all_of_them) == pytest.approx(members * operations(settings, scale, 3))


@pytest.mark.parametrize("scale", [5, 8])
def test_beyond_x4_a_second_stage_sees_16_times_as_much(scale: int) -> None:
    """It enlarges what the first one made, by one member."""
    settings = replace(DIRECT, scale=scale)
    first, second = operations(settings, 4, 3), 16 * operations(settings, 2, 3)
    assert by_networks(settings) == pytest.approx(first + second)
    assert by_networks(replace(settings, ensemble=True, members=8)) == pytest.approx(8 * first + second)


def test_stages_from_scratch_go_by_two() -> None:
    """At x4 the second one sees four times as much."""
    once = operations(SCRATCH, 2, 3)
    assert by_networks(replace(SCRATCH, scale=2)) == pytest.approx(once)
    assert by_networks(replace(SCRATCH, scale=4)) == pytest.approx(5 * once)


@pytest.mark.parametrize("name", ["subpixel", "progressive", "attention", "zssr", "superresnet", "srcnn", "deconv"])
def test_a_network_is_counted_where_it_works(name: str) -> None:
    """Against what torch counts; two networks of their own shape take less than is thought."""
    network = build_network(3, 2, replace(SCRATCH, network=name), torch.device("cpu")).float()
    network.autocast_dtype = torch.float32
    lr, hr = torch.zeros(1, 3, 16, 16), torch.zeros(1, 3, 32, 32)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.residual(network.seen(lr, hr, lr))
    real = counter.get_total_flops() / lr[0, 0].numel()
    most = {"srcnn": 3.0, "deconv": 9.0}.get(name, 1.35)
    assert 0.95 * real <= by_networks(replace(SCRATCH, network=name, scale=2)) <= most * real


def test_every_member_is_counted() -> None:
    """Those of networks from scratch, too: twelve in the scheme of the re-implementation."""
    settings = replace(preset(Preset.CLASSIC, from_prior=False), scale=2)
    assert by_networks(settings) == pytest.approx(12 * by_networks(replace(settings, ensemble=False)))


def test_a_fit_costs_its_steps() -> None:
    """Three times what a pixel costs that is enlarged, for the sons of all steps: of the first stage, from a prior."""
    fit = FitSettings(steps=7, crop=96, batch=4)
    for scale, ratio in ((2, 2), (3, 3), (4, 4), (8, 4)):
        settings = replace(DIRECT, method=Method.ZSSR, scale=scale, fit=fit)
        pixels = 7 * 4 * (96 / ratio) ** 2
        assert fitting_seconds(settings) == pytest.approx(3 * pixels * operations(settings, ratio, 3) / A_SECOND)
        assert fitting_seconds(replace(settings, method=Method.PRIOR)) == 0
        assert fitting_seconds(replace(settings, fit=FitSettings(steps=0))) == 0
    assert fitting_seconds(replace(SCRATCH, scale=8)) == pytest.approx(3 * fitting_seconds(replace(SCRATCH, scale=2)))


@pytest.mark.parametrize(
    ("kernel", "fitted"),
    [
        *(("auto", False), ("gaussian:1.2", False)),
        *(("taps:0,0.5,0.5", True), ("motion:10,30", True), ("disc:4", True)),
    ],
)
def test_a_prior_is_fitted_to_kernels_unlike_a_gaussian(kernel: str, fitted: bool) -> None:
    """Of others it is taken as it is, unless a fit was asked for."""
    assert (fitting_seconds(replace(DIRECT, kernel=kernel)) > 0) is fitted
    assert fitting_seconds(replace(DIRECT, kernel=kernel, method=Method.ZSSR)) > 0


@pytest.mark.parametrize("kernel", PLAIN)
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_what_is_thought_to_be_fitted_is(kernel: str, scale: int) -> None:
    """Of the kernels that are told by their names alone."""
    fit = FitSettings(steps=1, crop=32, batch=1)
    settings = Settings(scale=scale, network=Network.DIRECT, width=8, depth=4, kernel=kernel, fit=fit)
    steps: list[int] = []
    fit_stages(Observation(star(64), degradation_of(settings)), settings, random_prior(), after_step=steps.append)
    assert (fitting_seconds(settings) > 0) is bool(steps)
