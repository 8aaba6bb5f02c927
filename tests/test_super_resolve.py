"""The whole way from an LR image to its enlargement: exact tiles, determinism, consistency, a gain over bicubic."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import groupby
from math import isnan
from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.backends import cudnn

from sr_ops import in_memory, super_resolve
from sr_ops.camera.back_projection import back_project
from sr_ops.camera.conservation import conserve
from sr_ops.enlarging import enlarge as enlarging
from sr_ops.enlarging.enlarge import enlarge, enlarge_and_compare
from sr_ops.enlarging.model import Fitted, Model, Phase, build_network, no_phase
from sr_ops.enlarging.stages import Stage, halo
from sr_ops.estimation.guess import guess
from sr_ops.estimation.signs import Signs
from sr_ops.image import sheet
from sr_ops.image.dihedral import ORDER, transform
from sr_ops.image.domain import UNIT, Domain, nearest
from sr_ops.image.resample import downscale, upscale
from sr_ops.learning import subject
from sr_ops.learning.damage import CLEAN, find_damage
from sr_ops.learning.fit import fit
from sr_ops.learning.held_out import Examination, hold_out
from sr_ops.learning.learn import fit_stages, fit_stages_together
from sr_ops.learning.observation import Observation
from sr_ops.learning.pairs import Pair, father_son_pyramid
from sr_ops.measures.consistency import ConsistencySums
from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.residual_network import ResidualNetwork, fastest_dtype
from sr_ops.priors.prior import Prior
from sr_ops.settings import STAGE_SCALE, Body, FitSettings, Method, Network, Settings

from .cameras import CPU, FROM_SCRATCH, first_stage, lesson_of, matlab, network_at_start, untold
from .pictures import noise, star
from .scenes import scene, seen
from .tiled import enlarged_in_tiles

BRIEF = FitSettings(steps=3, crop=16, batch=2)
TINY = Settings(scale=2, method=Method.ZSSR, width=4, depth=3, fit=BRIEF)
KEEN = replace(TINY, width=8, fit=FitSettings(steps=60, crop=24, batch=4, learning_rate=5e-3))
"""Learns the rays of a `star` in an instant."""


def learned(lr: Tensor, settings: Settings, domain: Domain = UNIT, **rest: Any) -> Fitted:
    """From scratch."""
    return fit_stages(Observation(lr, matlab(settings.scale), domain), settings, None, **rest)


def learned_together(lrs: list[Tensor], settings: Settings, phases: list[Phase] | None = None) -> list[Fitted]:
    """From scratch."""
    observations = [Observation(lr, matlab(settings.scale)) for lr in lrs]
    return fit_stages_together(observations, settings, None, phases or [no_phase] * len(lrs))


def by_networks(networks: tuple[ResidualNetwork, ...], settings: Settings) -> Model:
    return Model(Method.ZSSR, matlab(settings.scale), networks)


def decisive_networks(settings: Settings, bands: int = 1) -> tuple[ResidualNetwork, ...]:
    """One network per stage, not fitted, but with a last layer that lets the whole depth show in the pixels."""
    networks = []
    for stage in range(len(settings.stage_scales)):
        network = network_at_start(settings.network, bands, settings.width, settings.depth, stage)
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
        convolutions[-1].weight /= network.residual(white).max()
    return networks


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((image - truth).square().mean()))


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("scale", [2, 3, 4, 5, 8])
def test_shape_type_and_range(scale: int, bands: int) -> None:
    """(C, H, W) becomes (C, scale H, scale W), float32 in [0, 1], from one fitted network per stage."""
    lr = noise(bands, 9, 12)
    settings = replace(TINY, scale=scale)
    fitted = learned(lr, settings)
    assert fitted.model.method is Method.ZSSR
    assert len(fitted.model.networks) == len(settings.stage_scales)
    sr = super_resolve(lr, settings)
    assert sr.shape == (bands, 9 * scale, 12 * scale)
    assert sr.dtype == torch.float32
    assert 0 <= float(sr.min()) <= float(sr.max()) <= 1


def assert_no_seam(lr: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings) -> None:
    """Also that the image is one on which a seam would show, and that back-projection has something to do."""
    model = by_networks(networks, settings)
    whole = enlarge(lr, model, settings)
    assert float((whole - enlarge(lr, model, replace(settings, back_projections=0))).abs().max()) > 0.1
    tiled = enlarged_in_tiles(lr, model, settings, halo(settings, matlab(settings.scale)))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)
    without_halo = enlarged_in_tiles(lr, model, settings, 0)
    assert float((without_halo - whole).abs().max()) > 0.1


@pytest.mark.parametrize("network", FROM_SCRATCH)
@pytest.mark.parametrize("tile_size", [20, 33])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_tiles_are_exact(scale: int, tile_size: int, network: Network) -> None:
    """Enlarged in tiles with the settings' halo, an image has no seam: it is what it is enlarged whole."""
    settings = replace(TINY, scale=scale, tile_size=tile_size, network=network)
    assert_no_seam(noise(1, 41, 53), decisive_networks(settings), settings)


@pytest.mark.parametrize("network", FROM_SCRATCH)
@pytest.mark.parametrize(("bands", "together"), [(3, 3), (4, 1)])
@pytest.mark.parametrize("size", [(7, 70), (70, 7)])
def test_tiles_of_several_bands_are_exact(size: tuple[int, int], bands: int, together: int, network: Network) -> None:
    """So it is with several bands, whether a network takes them together or one by one."""
    settings = replace(TINY, scale=4, tile_size=20, network=network, ensemble=False)
    assert_no_seam(noise(bands, *size), decisive_networks(settings, together), settings)


@pytest.mark.parametrize("network", FROM_SCRATCH)
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_halo_covers_the_networks_of_all_stages(scale: int, network: Network) -> None:
    """Networks that look as far as they can, stage after stage, leave no seam with the settings' halo alone."""
    blind = replace(TINY, network=network, ensemble=False, back_projections=0)
    settings = replace(blind, scale=scale, width=1, depth=24, tile_size=20)
    lr = 0.1 * noise(1, 5, 120)
    model = by_networks(far_sighted_networks(settings), settings)
    whole = enlarge(lr, model, settings)
    tiled = enlarged_in_tiles(lr, model, settings, halo(settings, matlab(scale)))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-6)
    too_little = enlarged_in_tiles(lr, model, settings, settings.depth // 3)
    assert float((too_little - whole).abs().max()) > 1e-3, "networks that a smaller halo would cut off"


def farthest(change: Tensor, scale: int, centre: int, least: float) -> float:
    """LR pixels from the middle of a changed one to that of the farthest enlarged pixel that changes so much."""
    changed = (change.abs().amax(0) >= least).nonzero().float()
    return float(((changed + 0.5) / scale - centre - 0.5).abs().max())


@pytest.mark.parametrize("depth", [2, 8])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_the_halo_is_as_long_as_the_reaches_of_all_steps_together(scale: int, depth: int) -> None:
    """Of the networks by their depth; of back-projection and of what keeps the sums as measured, one after another."""
    side, centre = 49, 24
    here = (slice(None), *2 * (slice(centre * scale, (centre + 1) * scale),))
    gray = torch.full((1, side, side), 0.5)
    other = gray.clone()
    other[:, centre, centre] += 0.1
    start, iterations, camera = upscale(gray, scale), Settings().back_projections, matlab(scale)
    moved = back_project(start, other, camera, iterations) - back_project(start, gray, camera, iterations)
    draws = torch.rand(1, side, side, generator=Generator().manual_seed(0))
    lr = torch.where(draws < 0.3, 0.0, torch.where(draws > 0.5, 1.0, 0.4))
    sr = back_project(upscale(lr, scale), lr, camera, iterations)
    changed = sr.clone()
    changed[here] = 1 - sr[here].round()
    kept = conserve(changed, lr, camera, UNIT) - conserve(sr, lr, camera, UNIT)
    networks = sum(depth * STAGE_SCALE / stage for stage in Settings(scale=scale).stage_scales)
    reach = networks + farthest(moved, scale, centre, 0.1 * 1e-5) + farthest(kept, scale, centre, 1e-4)
    assert reach <= halo(Settings(scale=scale, depth=depth), matlab(scale))
    assert reach > networks + 18  # of each something was measured


@pytest.mark.parametrize("tile_size", [20, 33])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_super_resolve_does_not_depend_on_the_tile_size(scale: int, tile_size: int) -> None:
    """Fitted and enlarged, the pixels are the same whatever the tiles, later stages' fits included."""
    lr = noise(1, 41, 53)
    settings = replace(TINY, scale=scale)
    whole = super_resolve(lr, settings)
    tiled = super_resolve(lr, replace(settings, tile_size=tile_size))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)


@torch.no_grad()
def far_sighted_prior(depth: int) -> Prior:
    """Its network for x2 and one band adds the pixel that lies `depth` pixels to the left."""
    body = Body(width=1, depth=depth)
    network = DirectNetwork(1, 2, body, torch.float32)
    for parameter in network.parameters():
        parameter.zero_()
    first, *hidden, last = (layer.weight for layer in network.modules() if isinstance(layer, nn.Conv2d))
    first[:, :1, 1, 0] = last[:, :, 1, 0] = 1
    for weight in hidden:
        weight[:, :, 1, :2] = torch.tensor([1, -1])  # its layer adds its input
    return Prior(body, {(2, 1): network.state_dict()})


def test_tiles_see_as_far_as_the_prior() -> None:
    """Its networks may be deeper than the settings say, and there is no seam even so."""
    lr, prior = 0.1 + 0.3 * noise(1, 5, 160), far_sighted_prior(60)
    blind = Settings(scale=2, network=Network.DIRECT, method=Method.PRIOR, noise="0", back_projections=0)
    settings = replace(blind, depth=2, ensemble=False)
    whole, other = super_resolve(lr, settings, prior), lr.clone()
    other[..., 20] += 0.1
    change = (super_resolve(other, settings, prior) - whole).abs().amax((0, 1))
    assert float(change[2 * (20 + 60)]) > 0.05
    tiled = super_resolve(lr, replace(settings, tile_size=20), prior)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


def precise() -> None:
    torch.set_float32_matmul_precision("highest")


def coarse() -> None:
    torch.set_float32_matmul_precision("medium")


def coarse_by_name() -> None:
    """With the names that came after those of `coarse`; torch refuses to be asked by the earlier ones then."""
    torch.backends.mkldnn.matmul.fp32_precision = "bf16"


@pytest.mark.parametrize("allow", [precise, coarse, coarse_by_name])
def test_it_computes_exactly_whatever_the_process_allows(
    monkeypatch: pytest.MonkeyPatch, allow: Callable[[], None]
) -> None:
    """Fit and enlargement are those that give the same bits again; afterwards all is as it was."""
    seen = []

    def flags() -> tuple[bool | str, ...]:
        cuda, mkldnn = torch.backends.cuda.matmul, torch.backends.mkldnn
        precisions = (operation.fp32_precision for operation in (cudnn.conv, cuda, mkldnn.conv, mkldnn.matmul))
        return cudnn.deterministic, *precisions

    earlier_name = cudnn.allow_tf32

    def watched(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any) -> Any:
            seen.append(flags())
            return function(*arguments)

        return step

    for step in (in_memory.fit_stages, in_memory.enlarge_tiled):
        monkeypatch.setattr(in_memory, step.__name__, watched(step))
    try:
        allow()
        before = flags()
        super_resolve(noise(1, 12, 12), TINY)
        assert flags() == before
        assert cudnn.allow_tf32 == earlier_name
    finally:
        precise()
    assert seen == 2 * [(True, "ieee", "ieee", "ieee", "ieee")]


def test_numbers_are_those_of_float32_whatever_the_process_computes_in() -> None:
    """Neither a caller's autocast nor its default dtype reaches a step; afterwards both are as they were."""
    lr, settings = noise(1, 28, 28), replace(TINY, method=Method.ZSSR)
    expected = super_resolve(lr, settings)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(super_resolve(lr, settings), expected)
        assert torch.is_autocast_enabled("cpu")
    torch.set_default_dtype(torch.float64)
    try:
        assert torch.equal(super_resolve(lr, settings), expected)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_second_run_is_bit_equal(scale: int) -> None:
    """The same image and settings give the same bits; another seed gives others."""
    lr = noise(3, 16, 18)
    settings = replace(TINY, scale=scale)
    sr = super_resolve(lr, settings)
    assert torch.equal(super_resolve(lr.clone(), settings), sr)
    assert not torch.equal(super_resolve(lr, replace(settings, seed=1)), sr)


def untrained(bands: int, settings: Settings) -> ResidualNetwork:
    return build_network(bands, STAGE_SCALE, settings, CPU)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("network", FROM_SCRATCH)
def test_the_first_fit_by_hand(network: Network, bands: int) -> None:
    """The first network is what `fit` makes, for the settings' seed, of the pyramid less what the seed holds out."""
    lr = noise(bands, 56, 60)
    settings = replace(TINY, network=network, seed=5, noise="0")  # white noise would be taken for noise
    by_hand = untrained(bands, settings)
    parts = hold_out(lr, 2, 5)
    assert parts is not None
    loss = fit(by_hand, lesson_of(lr, parts.taught, first_stage(network)), settings.fit, 5)
    fitted = learned(lr, settings)
    assert fitted.final_loss == loss
    torch.testing.assert_close(fitted.model.networks[0].state_dict(), by_hand.state_dict(), rtol=0, atol=0)
    asked = Examination(parts, first_stage(network), CLEAN, 5)
    assert figures(fitted) == (loss, asked.of(by_hand, untold(bands)), asked.of_base())


def test_later_fits_by_hand() -> None:
    """Each learns from all of what the networks before it made of the image, from weights of the settings' seed."""
    lr = noise(1, 26, 28)
    settings = replace(TINY, scale=8, seed=5)
    networks = learned(lr, settings).model.networks
    assert len(networks) == 3
    for stage in (1, 2):
        by_hand = untrained(1, settings)
        enlarged = enlarge(lr, by_networks(networks[:stage], settings), settings)
        fit(by_hand, lesson_of(enlarged), settings.fit, 5)
        torch.testing.assert_close(networks[stage].state_dict(), by_hand.state_dict(), rtol=0, atol=0)


def figures(fitted: Fitted) -> tuple[float, float, float]:
    return fitted.final_loss, fitted.reconstruction_psnr, fitted.bicubic_reconstruction_psnr


def bicubic(lr: Tensor, settings: Settings) -> Tensor:
    """Back-projected."""
    camera = matlab(settings.scale)
    sr = back_project(upscale(lr, settings.scale), lr, camera, settings.back_projections)
    return conserve(sr, lr, camera, UNIT) if settings.back_projections else sr


@pytest.mark.parametrize("method", [method for method in Method if method != Method.MODEL])
@pytest.mark.parametrize("size", [(7, 30), (30, 1), (1, 1)])
@pytest.mark.parametrize("scale", [2, 3, 8])
def test_an_image_too_small_to_fit_becomes_bicubic(size: tuple[int, int], scale: int, method: Method) -> None:
    """Below 8 pixels the result is bicubic back-projected, the method says so, and there are no figures of a fit."""
    lr = noise(1, *size)
    settings = replace(TINY, scale=scale, method=method)
    fitted = learned(lr, settings)
    assert fitted.model.networks == ()
    assert fitted.model.method is Method.BICUBIC
    assert all(map(isnan, figures(fitted)))
    assert torch.equal(super_resolve(lr, settings), bicubic(lr, settings))


@pytest.mark.parametrize("size", [(8, 40), (40, 23)])
def test_an_image_too_small_to_be_asked_is_fitted_only_on_demand(size: tuple[int, int]) -> None:
    """Where no part can be spared, `auto` fits nothing; `zssr` fits all of the image and has no PSNR to tell."""
    lr = noise(1, *size)
    auto = learned(lr, replace(TINY, method=Method.AUTO))
    assert auto.model.method is Method.BICUBIC
    assert all(map(isnan, figures(auto)))
    fitted = learned(lr, TINY)
    assert fitted.final_loss == fit(untrained(1, TINY), lesson_of(lr), TINY.fit, 0)
    assert fitted.model.method is Method.ZSSR
    assert all(map(isnan, figures(fitted)[1:]))


@pytest.mark.parametrize("scale", [2, 3])
def test_auto_keeps_a_fit_that_wins(scale: int) -> None:
    """On sharp rays it does what `zssr` does, in every pixel and figure."""
    lr = star(40)
    settings = replace(KEEN, scale=scale)
    auto = learned(lr, replace(settings, method=Method.AUTO))
    zssr = learned(lr, settings)
    assert auto.model.method is zssr.model.method is Method.ZSSR
    assert auto.reconstruction_psnr > auto.bicubic_reconstruction_psnr
    assert figures(auto) == figures(zssr)
    assert torch.equal(enlarge(lr, auto.model, settings), enlarge(lr, zssr.model, settings))


HOPELESS = {
    "too long steps": (star(40), replace(BRIEF, learning_rate=0.1)),
    "gone astray": (star(40), replace(BRIEF, learning_rate=1e38)),
}


@pytest.mark.parametrize("case", HOPELESS)
def test_auto_drops_a_fit_that_does_not_win(case: str) -> None:
    """Where nothing was learned, `auto` is bicubic and tells the figures of the fit; `zssr` keeps it."""
    lr, brief = HOPELESS[case]
    settings = replace(TINY, fit=brief)
    auto, zssr = learned(lr, replace(settings, method=Method.AUTO)), learned(lr, settings)
    assert (auto.model.method, auto.model.networks) == (Method.BICUBIC, ())
    assert (zssr.model.method, len(zssr.model.networks)) == (Method.ZSSR, 1)
    assert str(figures(auto)) == str(figures(zssr)), "equal, nan or not"
    assert case == "gone astray" or not any(map(isnan, figures(auto)))
    assert not torch.equal(enlarge(lr, zssr.model, settings), bicubic(lr, settings))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_what_auto_drops_is_bicubic_at_every_scale(scale: int) -> None:
    """Nothing of the fit is left in the pixels."""
    lr, brief = HOPELESS["too long steps"]
    settings = replace(TINY, scale=scale, fit=brief, method=Method.AUTO)
    assert torch.equal(super_resolve(lr, settings), bicubic(lr, settings))


def test_the_first_stage_learns_from_sons_as_damaged_as_the_image() -> None:
    """Its loss is that of a fit to such sons; a later stage, whose image suffered otherwise, has clean ones."""
    lr = (0.5 + 0.1 * torch.randn(1, 96, 96, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    settings = replace(TINY, scale=4)
    parts = hold_out(lr, 2, settings.seed)
    assert parts is not None
    damage = find_damage(Signs(lr))
    assert damage.noise is not None
    sons = lesson_of(lr, parts.taught, damage=damage, seed=settings.seed)
    fitted = learned(lr, settings)
    assert fitted.final_loss == fit(untrained(1, settings), sons, settings.fit, settings.seed)
    enlarged = enlarge(lr, by_networks(fitted.model.networks[:1], settings), settings)
    second = untrained(1, settings)
    fit(second, lesson_of(enlarged), settings.fit, settings.seed)
    for fitted_weight, weight in zip(fitted.model.networks[1].parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(fitted_weight, weight, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("word", ["auto", "estimate", "estimate-collection"])
def test_a_kernel_is_found_where_one_is_asked_for(word: str) -> None:
    """It is as if what its pixels tell had been told; networks that know bicubic alone get that."""
    lr = seen(scene(256), 2.4, 2.4, 0)
    settings = Settings(scale=2, method=Method.BICUBIC, kernel=word)
    text = guess(Signs(lr).estimate, 2).kernel
    assert text.startswith("gaussian:")
    found, bicubically = super_resolve(lr, settings), super_resolve(lr, replace(settings, kernel="bicubic"))
    assert torch.equal(found, super_resolve(lr, replace(settings, kernel=text)))
    assert not torch.equal(found, bicubically)
    fitted = replace(TINY, kernel=word)
    assert torch.equal(super_resolve(lr, fitted), super_resolve(lr, replace(fitted, kernel="bicubic")))


def test_a_kernel_of_one_tap_is_taken() -> None:
    """Of a camera that saw every second pixel and no other, the result has these as they are."""
    lr = 0.2 + 0.6 * noise(1, 40, 40)
    settings = Settings(scale=2, method=Method.BICUBIC, kernel="taps:1:AACAPw==", noise="0")
    torch.testing.assert_close(super_resolve(lr, settings)[:, ::2, ::2], lr, rtol=0, atol=2e-3)
    other = super_resolve(lr, replace(settings, kernel="bicubic"))
    assert float((other[:, ::2, ::2] - lr).abs().max()) > 0.1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_fits_nothing(scale: int) -> None:
    """By that method nothing is fitted, whatever might be won, and there is no figure of a fit."""
    lr = star(40)
    settings = replace(TINY, scale=scale, method=Method.BICUBIC)
    fitted = learned(lr, settings, after_step=no_step)
    assert fitted.model.method is Method.BICUBIC
    assert fitted.model.networks == ()
    assert all(map(isnan, figures(fitted)))
    assert torch.equal(super_resolve(lr, settings), bicubic(lr, settings))


def no_step(_step: int) -> None:
    raise AssertionError("fitted")


def test_a_dropped_fit_costs_no_more_than_itself() -> None:
    """At scale 4 nothing is enlarged and no second stage fitted once the first has lost."""
    entered: list[str] = []

    @contextmanager
    def phase(name: str) -> Iterator[None]:
        entered.append(name)
        yield

    lr, brief = HOPELESS["too long steps"]
    learned(lr, replace(TINY, scale=4, fit=brief, method=Method.AUTO), phase=phase)
    assert set(entered) == {"fit"}


def test_the_method_and_the_figures_do_not_touch_torchs_random_state() -> None:
    """Pixels and figures are the same whatever was drawn before, and nothing is drawn from it."""
    lr = star(40)
    found = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            found.append((figures(learned(lr, TINY)), super_resolve(lr, TINY)))
            assert torch.equal(torch.get_rng_state(), before)
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("element", range(1, ORDER))
def test_the_ensemble_has_no_direction(element: int) -> None:
    """A turned image gives the turned result with the ensemble, and not without it."""
    settings = replace(TINY, back_projections=0)
    networks = decisive_networks(settings)
    lr = noise(1, 10, 14)

    model = by_networks(networks, settings)

    def difference(chosen: Settings) -> float:
        turned_first = enlarge(transform(lr, element).contiguous(), model, chosen)
        return float((turned_first - transform(enlarge(lr, model, chosen), element)).abs().max())

    assert difference(settings) < 1e-5
    assert difference(replace(settings, ensemble=False)) > 1e-2


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_result_agrees_with_the_image_after_rounding(scale: int) -> None:
    """Rounded to 8 bits and shrunk again, a mid-gray image is met to a fraction of a grey level, without a shift."""
    lr = 0.3 + 0.4 * noise(1, 20, 24)
    lr = (lr * 255).round() / 255
    sr = (super_resolve(lr, replace(TINY, scale=scale)) * 255).round()
    error = ConsistencySums.of(downscale(sr.double(), scale) - 255 * lr.double()).error()
    assert error is not None
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
    fitted = learned(lr, settings, phase=phase)
    assert [name for name, _ in groupby(entered)] == ["fit", "infer", "back_project", "fit"]
    assert left == entered, "phases follow each other, none inside another"
    entered.clear()
    enlarge(lr, fitted.model, settings, phase)
    assert [name for name, _ in groupby(entered)] == ["infer", "back_project"] * 2
    entered.clear()
    enlarge(lr, Model(Method.BICUBIC, matlab(4)), settings, phase)
    assert set(entered) <= {"infer", "back_project"}


def equal_weights(one: Fitted, other: Fitted) -> bool:
    states = [[network.state_dict() for network in fitted.model.networks] for fitted in (one, other)]
    return len(states[0]) == len(states[1]) and all(
        torch.equal(tensor, theirs[name]) for mine, theirs in zip(*states, strict=True) for name, tensor in mine.items()
    )


def test_images_that_nothing_joins_are_fitted_as_if_alone() -> None:
    """Of several images with other bands, or too small for equal crops, each gets its own networks bit for bit."""
    settings = replace(TINY, scale=4)
    lrs = [noise(3, 26, 30), noise(1, 30, 26), noise(1, 10, 12), noise(1, 5, 40), noise(2, 26, 26)]
    together = learned_together(lrs, settings)
    assert [len(fitted.model.networks) for fitted in together] == [2, 2, 2, 0, 2]
    for lr, fitted in zip(lrs, together, strict=True):
        alone = learned(lr, settings)
        assert equal_weights(fitted, alone)
        assert str(figures(fitted)) == str(figures(alone)), "equal, nan or not"


def test_images_fitted_together_are_what_they_are_alone() -> None:
    """In their order, each with its method and, but for rounding, its figures and pixels, though some end early."""
    settings = replace(KEEN, scale=4, method=Method.AUTO)
    lrs = [star(40), torch.full((1, 30, 40), 0.5), 1 - star(48), star(40).flip(-1)[:, 4:]]
    together = learned_together(lrs, settings)
    assert [fitted.model.method for fitted in together] == [Method.ZSSR, Method.BICUBIC, Method.ZSSR, Method.ZSSR]
    for lr, fitted in zip(lrs, together, strict=True):
        alone = learned(lr, settings)
        if fitted.model.method is Method.BICUBIC:
            assert str(figures(fitted)) == str(figures(alone)) == "(nan, nan, nan)", "flat: there is no fit"
        else:
            assert figures(fitted)[0] == pytest.approx(figures(alone)[0], rel=0.05)
            assert figures(fitted)[1:] == pytest.approx(figures(alone)[1:], abs=0.1)
            assert psnr(enlarge(lr, fitted.model, settings), enlarge(lr, alone.model, settings)) > 40
            assert [network.autocast_dtype for network in fitted.model.networks] == [
                network.autocast_dtype for network in alone.model.networks
            ]


def test_every_image_hears_of_the_work_done_for_it() -> None:
    """A stack's phase is told to each of its images; one that needs no fit hears of its noise alone."""
    heard: list[list[str]] = [[], [], []]

    def phase(told: list[str]) -> Phase:
        @contextmanager
        def measured(name: str) -> Iterator[None]:
            told.append(name)
            yield

        return measured

    lrs = [noise(1, 26, 26), noise(1, 5, 5), noise(1, 26, 30)]
    learned_together(lrs, replace(TINY, scale=4), [phase(told) for told in heard])
    stages = [[name for name, _ in groupby(told)] for told in heard]
    assert stages == [["fit", "infer", "back_project", "fit"], ["fit"], ["fit", "infer", "back_project", "fit"]]


def test_figures_of_a_fit_are_those_of_the_first_stage() -> None:
    """Loss and reconstruction PSNR do not depend on the stages that follow."""
    lr = noise(1, 26, 26)
    assert not any(map(isnan, figures(learned(lr, TINY))))
    assert figures(learned(lr, TINY)) == figures(learned(lr, replace(TINY, scale=4)))


def test_later_stages_are_fitted_on_the_enlarged_image() -> None:
    """The second network is another one than the first, and the image is not written to."""
    lr = noise(1, 16, 16)
    before = lr.clone()
    first, second = learned(lr, replace(TINY, scale=4)).model.networks
    pairs = zip(first.parameters(), second.parameters(), strict=True)
    assert not all(torch.equal(one, other) for one, other in pairs)
    assert torch.equal(lr, before)


def test_a_later_stage_of_a_large_image_learns_from_windows_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is a part of the whole image's enlargement, as known as that; joints and what is not known teach nothing."""
    monkeypatch.setattr(sheet, "FITTED_WHOLE", 48 * 48)
    monkeypatch.setattr(sheet, "_SIDE", 16)
    lessons: list[tuple[Tensor, Tensor | None]] = []

    def spy(image: Tensor, stage: Stage, taught: Tensor | None, *how: Any) -> tuple[Pair, ...]:
        lessons.append((image, taught))
        return father_son_pyramid(image, stage, taught, *how)

    monkeypatch.setattr(subject, "father_son_pyramid", spy)
    lr, settings = noise(1, 40, 48), replace(TINY, scale=4)
    domain = Domain(torch.ones(1, 40, 48, dtype=torch.bool))
    assert domain.known is not None
    domain.known[:, 20:24, 8:16] = False
    networks = learned(lr, settings, domain=domain).model.networks
    _, (laid_out, taught) = lessons
    assert laid_out.shape == (1, 64, 64)
    assert taught is not None
    whole = enlarge(lr, by_networks(networks[:1], settings), settings, domain=domain)
    known = nearest(domain.known, 2)
    places = [(top, left) for top in range(0, 80, 16) for left in range(0, 96, 16)]
    found = []
    for top, left in ((top, left) for top in range(4, 64, 16) for left in range(4, 64, 16)):
        shown, looked_at = laid_out[0, top : top + 8, left : left + 8], taught[0, top : top + 8, left : left + 8]
        centres = [(row + 4, column + 4) for row, column in places]
        (at,) = [
            (row, column)
            for row, column in centres
            if torch.allclose(whole[0, row : row + 8, column : column + 8], shown, atol=1e-5)
        ]
        found.append(at)
        assert torch.equal(known[0, at[0] : at[0] + 8, at[1] : at[1] + 8].float(), looked_at)
    assert len(set(found)) == 16
    assert taught.sum() == sum(known[0, row : row + 8, column : column + 8].sum() for row, column in found)


@pytest.mark.parametrize("network", FROM_SCRATCH)
def test_pieces_leave_no_trace(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that sees the image piece by piece makes the same of it, and its members disagree as much."""
    settings = replace(TINY, network=network, depth=8, back_projections=0)
    networks, lr = far_sighted_networks(settings), noise(1, 41, 67)
    whole = enlarge_and_compare(lr, by_networks(networks, settings), settings)
    assert whole[1] is not None
    assert float(whole[1].median()) > 1e-3
    seen: list[tuple[int, ...]] = []
    networks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape))
    monkeypatch.setattr(enlarging, "_PIECE_ON_CPU", 16)
    in_pieces = enlarge_and_compare(lr, by_networks(networks, settings), settings)
    torch.testing.assert_close(in_pieces, whole, rtol=0, atol=1e-6)
    assert max(max(shape[-2:]) for shape in seen) <= 16 + 2 * (settings.depth + 2)


@pytest.mark.parametrize(("scale", "gain"), [(2, 2.0), (4, 1.0)])
def test_a_fitted_network_beats_bicubic(scale: int, gain: float) -> None:
    """On sharp rays whose truth is known, the result is nearer to it than bicubic, back-projected or not."""
    hr = star(96 if scale == 2 else 192)
    lr = downscale(hr, scale).clamp(0, 1)
    settings = Settings(scale=scale, width=16, depth=4, fit=FitSettings(steps=150, crop=24, learning_rate=3e-3))
    plain = upscale(lr, scale).clamp(0, 1)
    assert psnr(super_resolve(lr, settings), hr) > max(psnr(plain, hr), psnr(bicubic(lr, settings), hr)) + gain


def test_later_stages_run_in_float32() -> None:
    """Only the first stage may use bfloat16: it alone reads the same bits in every tile."""
    networks = learned(noise(1, 24, 24), replace(TINY, scale=8)).model.networks
    assert [network.autocast_dtype for network in networks] == [
        fastest_dtype(torch.device("cpu")),
        *2 * [torch.float32],
    ]
