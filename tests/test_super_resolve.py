"""The whole way from an LR image to its enlargement: exact tiles, determinism, consistency, a gain over bicubic."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isnan

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from sr_ops.back_projection import back_project, consistency_error
from sr_ops.dihedral import ORDER, transform
from sr_ops.fit import MIN_SIDE, fit
from sr_ops.networks import ResidualNetwork, build_network, fastest_dtype
from sr_ops.resample import downscale, upscale
from sr_ops.settings import FitSettings, Network, Settings
from sr_ops.super_resolve import Fitted, enlarge, fit_stages, super_resolve
from sr_ops.tiles import cut, owned, paste, plan_tiles

STAGES = {2: (2,), 3: (2, 3), 4: (2, 4), 5: (2, 4, 5), 6: (2, 4, 6), 7: (2, 4, 7), 8: (2, 4, 8)}
BRIEF = FitSettings(steps=3, crop=16, batch=2)
TINY = Settings(scale=2, width=4, depth=3, fit=BRIEF)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Pixels are equal only for equal thread counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def star(side: int) -> Tensor:
    """(1, side, side): 14 sharp rays, alike at every scale: the small image teaches what the large one needs."""
    fine = torch.arange(4 * side) / 4 - side / 2 + 0.1
    rays = torch.sin(7 * torch.atan2(fine[:, None], fine) + 0.3) > 0
    return avg_pool2d(0.2 + 0.6 * rays.float()[None], 4)


def decisive_networks(settings: Settings, bands: int = 1) -> tuple[ResidualNetwork, ...]:
    """One network per stage, not fitted, but with a last layer that lets the whole depth show in the pixels."""
    networks = []
    for stage in range(len(settings.stage_scales)):
        network = build_network(
            settings.network, bands, settings.width, settings.depth, stage, torch.device("cpu"), torch.float32
        )
        last = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)][-1]
        nn.init.normal_(last.weight, std=0.05, generator=torch.Generator().manual_seed(stage))
        networks.append(network.eval())
    return tuple(networks)


@torch.no_grad()
def far_sighted_networks(settings: Settings) -> tuple[ResidualNetwork, ...]:
    """Every convolution hands on its left neighbour, so that pixels `depth` away weigh the most; residuals reach 1."""
    networks = decisive_networks(settings)
    white = torch.ones(1, 1, 64, 64)
    for network in networks:
        convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
        for layer in convolutions:
            layer.weight.zero_()[:, :, 1, 0] = 9
        convolutions[-1].weight /= network.residual(white, white).max()
    return networks


def enlarged_in_tiles(lr: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings, halo: int) -> Tensor:
    (bands, height, width), scale = lr.shape, settings.scale
    canvas = torch.full((bands, height * scale, width * scale), torch.nan)
    for tile in plan_tiles(height, width, settings.tile_size, halo):
        paste(canvas, tile, owned(enlarge(cut(lr, tile), networks, settings), tile, scale), scale)
    return canvas


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((image - truth).square().mean()))


@pytest.mark.parametrize(("scale", "stages"), STAGES.items())
def test_stages_of_every_scale(scale: int, stages: tuple[int, ...]) -> None:
    """Stages double until the scale is reached; the last one stops at it."""
    assert Settings(scale=scale).stage_scales == stages


def test_settings_do_not_load_torch() -> None:
    """Reading settings is quick: torch is not imported."""
    code = "import sys, sr_ops.settings; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("scale", [2, 3, 4, 5, 8])
def test_shape_type_and_range(scale: int, bands: int) -> None:
    """(C, H, W) becomes (C, scale H, scale W), float32 in [0, 1], from one fitted network per stage."""
    lr = noise(bands, 9, 12)
    settings = replace(TINY, scale=scale)
    fitted = fit_stages(lr, settings)
    assert fitted.method == "zssr"
    assert len(fitted.networks) == len(STAGES[scale])
    sr = super_resolve(lr, settings)
    assert sr.shape == (bands, 9 * scale, 12 * scale)
    assert sr.dtype == torch.float32
    assert 0 <= float(sr.min()) <= float(sr.max()) <= 1


@pytest.mark.parametrize("network", list(Network))
@pytest.mark.parametrize("tile_size", [20, 33])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_are_exact(scale: int, tile_size: int, network: Network) -> None:
    """Enlarged in tiles with the settings' halo, an image has no seam: it is what it is enlarged whole."""
    settings = replace(TINY, scale=scale, tile_size=tile_size, network=network)
    lr = noise(1, 41, 53)
    networks = decisive_networks(settings)
    whole = enlarge(lr, networks, settings)
    assert float((whole - enlarge(lr, networks, replace(settings, back_projections=0))).abs().max()) > 0.1
    tiled = enlarged_in_tiles(lr, networks, settings, settings.halo)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    without_halo = enlarged_in_tiles(lr, networks, settings, 0)
    assert float((without_halo - whole).abs().max()) > 0.1, "an image on which a seam would show"


@pytest.mark.parametrize("network", list(Network))
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_halo_covers_the_networks_of_all_stages(scale: int, network: Network) -> None:
    """Networks that look as far as they can, stage after stage, leave no seam with the settings' halo alone."""
    settings = replace(TINY, scale=scale, network=network, width=1, depth=24, tile_size=20, back_projections=0)
    lr = 0.1 * noise(1, 5, 120)
    networks = far_sighted_networks(settings)
    whole = enlarge(lr, networks, settings)
    torch.testing.assert_close(enlarged_in_tiles(lr, networks, settings, settings.halo), whole, rtol=0, atol=1e-6)
    too_little = enlarged_in_tiles(lr, networks, settings, settings.depth // 3)
    assert float((too_little - whole).abs().max()) > 1e-3, "networks that a smaller halo would cut off"


@pytest.mark.parametrize("tile_size", [20, 33])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolve_does_not_depend_on_the_tile_size(scale: int, tile_size: int) -> None:
    """Fitted and enlarged, the pixels are the same whatever the tiles, later stages' fits included."""
    lr = noise(1, 41, 53)
    settings = replace(TINY, scale=scale)
    whole = super_resolve(lr, settings)
    tiled = super_resolve(lr, replace(settings, tile_size=tile_size))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_second_run_is_bit_equal(scale: int) -> None:
    """The same image and settings give the same bits; another seed gives others."""
    lr = noise(3, 16, 18)
    settings = replace(TINY, scale=scale)
    sr = super_resolve(lr, settings)
    assert torch.equal(super_resolve(lr.clone(), settings), sr)
    assert not torch.equal(super_resolve(lr, replace(settings, seed=1)), sr)


@pytest.mark.parametrize("network", list(Network))
def test_the_seed_reaches_both_the_weights_and_the_crops(network: Network) -> None:
    """The first stage's network is the one that `build_network` and `fit` give for the settings' seed."""
    lr = noise(1, 16, 18)
    settings = replace(TINY, network=network, seed=5)
    by_hand = build_network(network, 1, settings.width, settings.depth, 5, lr.device, fastest_dtype(lr.device))
    loss = fit(by_hand, lr, settings.fit, 5)
    fitted = fit_stages(lr, settings)
    assert fitted.final_loss == loss
    torch.testing.assert_close(fitted.networks[0].state_dict(), by_hand.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(MIN_SIDE - 1, 30), (30, 1), (1, 1)])
@pytest.mark.parametrize("scale", [2, 3, 8])
def test_an_image_too_small_to_fit_becomes_bicubic(size: tuple[int, int], scale: int) -> None:
    """Below MIN_SIDE the result is bicubic back-projected, the method says so, and there are no figures of a fit."""
    lr = noise(1, *size)
    settings = replace(TINY, scale=scale)
    fitted = fit_stages(lr, settings)
    assert fitted.networks == ()
    assert fitted.method == "bicubic"
    assert all(map(isnan, (fitted.final_loss, fitted.reconstruction_psnr, fitted.bicubic_reconstruction_psnr)))
    bicubic = back_project(upscale(lr, scale), lr, scale, settings.back_projections)
    assert torch.equal(super_resolve(lr, settings), bicubic)


@pytest.mark.parametrize("element", range(1, ORDER))
def test_the_ensemble_has_no_direction(element: int) -> None:
    """A turned image gives the turned result with the ensemble, and not without it."""
    settings = replace(TINY, back_projections=0)
    networks = decisive_networks(settings)
    lr = noise(1, 10, 14)

    def difference(chosen: Settings) -> float:
        turned_first = enlarge(transform(lr, element).contiguous(), networks, chosen)
        return float((turned_first - transform(enlarge(lr, networks, chosen), element)).abs().max())

    assert difference(settings) < 1e-5
    assert difference(replace(settings, ensemble=False)) > 1e-2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_result_agrees_with_the_image_after_rounding(scale: int) -> None:
    """Rounded to 8 bits and shrunk again, a mid-gray image is met to a fraction of a grey level, without a shift."""
    lr = 0.3 + 0.4 * noise(1, 20, 24)
    lr = (lr * 255).round() / 255
    sr = (super_resolve(lr, replace(TINY, scale=scale)) * 255).round()
    error = consistency_error(sr, lr * 255, scale)
    assert error.mae < 0.2
    assert error.max < 1.5
    assert abs(error.bias) < 0.05


def test_phases_are_reported() -> None:
    """All work is announced under one of three names: each stage's fit, and what the stages before it need to run."""
    entered: list[str] = []
    left: list[str] = []

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        entered.append(name)
        yield
        left.append(name)

    lr = noise(1, 12, 12)
    settings = replace(TINY, scale=4)
    fitted = fit_stages(lr, settings, phase)
    assert entered == ["fit", "infer", "back_project", "fit", "fit"]
    assert left == entered, "phases follow each other, none inside another"
    entered.clear()
    enlarge(lr, fitted.networks, settings, phase)
    assert entered == ["infer", "back_project"] * 2
    entered.clear()
    enlarge(lr, (), settings, phase)
    assert set(entered) <= {"infer", "back_project"}


def test_figures_of_a_fit_are_those_of_the_first_stage() -> None:
    """Loss and reconstruction PSNR do not depend on the stages that follow."""
    lr = noise(1, 16, 16)

    def figures(fitted: Fitted) -> tuple[float, float, float]:
        return fitted.final_loss, fitted.reconstruction_psnr, fitted.bicubic_reconstruction_psnr

    assert figures(fit_stages(lr, TINY)) == figures(fit_stages(lr, replace(TINY, scale=4)))


def test_later_stages_are_fitted_on_the_enlarged_image() -> None:
    """The second network is another one than the first, and the image is not written to."""
    lr = noise(1, 16, 16)
    before = lr.clone()
    first, second = fit_stages(lr, replace(TINY, scale=4)).networks
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)
    assert torch.equal(lr, before)


@pytest.mark.parametrize(("scale", "gain"), [(2, 2.0), (4, 1.0)])
def test_a_fitted_network_beats_bicubic(scale: int, gain: float) -> None:
    """On sharp rays whose truth is known, the result is nearer to it than bicubic, back-projected or not."""
    hr = star(96 if scale == 2 else 192)
    lr = downscale(hr, scale).clamp(0, 1)
    settings = Settings(scale=scale, width=16, depth=4, fit=FitSettings(steps=150, crop=24, learning_rate=3e-3))
    bicubic = upscale(lr, scale).clamp(0, 1)
    consistent = back_project(bicubic, lr, scale, settings.back_projections)
    assert psnr(super_resolve(lr, settings), hr) > max(psnr(bicubic, hr), psnr(consistent, hr)) + gain


def test_later_stages_run_in_float32() -> None:
    """Only the first stage may use bfloat16: it alone reads the same bits in every tile."""
    settings = Settings(scale=8, width=4, depth=2, fit=FitSettings(steps=1, crop=16, batch=1))
    networks = fit_stages(torch.rand(1, 24, 24, generator=torch.Generator().manual_seed(1)), settings).networks
    assert [network.autocast_dtype for network in networks] == [
        fastest_dtype(torch.device("cpu")),
        *2 * [torch.float32],
    ]
