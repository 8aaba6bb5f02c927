"""Enlarging by networks that know any camera: no seam, each band by its own, and true to what the camera saw."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sr_ops.camera.base import make_base
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import gaussian, of_mtf, recentred
from sr_ops.enlarging.enlarge import enlarge, enlarge_and_compare, enlarge_tiled
from sr_ops.enlarging.model import Model, as_later_stage, network_of, no_phase
from sr_ops.enlarging.stages import halo, stages_of
from sr_ops.image.dihedral import ORDER, transform
from sr_ops.image.domain import UNIT, Domain, fill, nearest
from sr_ops.image.resample import upscale
from sr_ops.image.tiles import cut, cut_enlarged, owned, plan_tiles
from sr_ops.learning.damage import Damage
from sr_ops.networks.residual_network import fastest_dtype
from sr_ops.priors.prior import Prior
from sr_ops.settings import Method, Network, Preset, Settings, preset

from .cameras import CPU, blur, matlab, motion, network_at_start, random_prior, scrambled, turned
from .pictures import noise

NATIVE = fastest_dtype(CPU)
DIRECT = Settings(network=Network.DIRECT, method=Method.PRIOR, width=8, depth=4, ensemble=False)
PRIOR = random_prior()


def model_of(
    degradation: Degradation, bands: int, image_bands: int, dtype: torch.dtype = NATIVE, prior: Prior = PRIOR
) -> tuple[Model, Settings]:
    """The prior's networks for as many bands as they are."""
    settings = replace(DIRECT, scale=degradation.scale)
    networks = []
    for number, stage in enumerate(stages_of(settings, degradation)):
        network = network_of(prior.heads[stage.ratio, bands], bands, stage.ratio, settings, CPU)
        network.autocast_dtype = dtype
        networks.append(as_later_stage(network) if number else network)
    told = Damage(torch.tensor(degradation.noise)).told(image_bands)
    return Model(Method.PRIOR, degradation, tuple(networks), told), settings


def mtf(scale: int) -> Degradation:
    """Of a satellite's three bands, with noise a band."""
    return Degradation(tuple(of_mtf(value, scale) for value in (0.15, 0.25, 0.35)), scale, (0.01, 0.0, 0.02))


CAMERAS = {
    "bicubic": matlab(2),
    "bicubic, x3": matlab(3),
    "bicubic, x4": matlab(4),
    "bicubic, x8": matlab(8),
    "gaussian": blur(2.4, 2),
    "gaussian, x3": blur(2.4, 3),
    "gaussian, x4": blur(2.4, 4),
    "gaussian, x8": blur(4.8, 8),
    "gaussian, x5": blur(2.4, 5),
    "motion": Degradation((motion(1),), 2),
    "motion, x4, noise": Degradation((motion(2),), 4, (0.02,)),
    "mtf": mtf(2),
    "mtf, x4": mtf(4),
}


def difference(whole: Tensor, tiled: Tensor, domain: Domain, scale: int) -> float:
    """The largest where it is known, before rounding."""
    known = torch.ones_like(whole, dtype=torch.bool) if domain.known is None else nearest(domain.known, scale)
    return float((whole - tiled)[known].abs().max())


def as_is(lr: Tensor, model: Model, settings: Settings, domain: Domain = UNIT) -> Tensor:
    """The same by bicubic and a data step: what the networks add is the difference."""
    return enlarge(lr, Model(Method.BICUBIC, model.degradation), settings, domain=domain)


@pytest.mark.parametrize("name", CAMERAS)
def test_tiles_are_as_the_whole(name: str) -> None:
    """Long odd images along both axes, beside what is not known or not, in the fastest type and in float32."""
    degradation = CAMERAS[name]
    scale = degradation.scale
    length = 2 * halo(replace(DIRECT, scale=scale), degradation) + 31
    for size, bands, dtype, tile_size in (((9, length), 3, NATIVE, 16), ((length, 7), 1, torch.float32, 37)):
        lr = noise(3, *size)
        model, settings = model_of(degradation, bands, 3, dtype)
        known = noise(3, *size, seed=1) > 0.1
        known[:, :5, size[1] // 2 : size[1] // 2 + 9] = False
        domain = Domain(known) if bands == 3 else UNIT
        whole = enlarge(lr, model, settings, domain=domain)
        assert difference(whole, as_is(lr, model, settings, domain), domain, scale) > 0.1
        tiled = enlarge_tiled(lr, model, replace(settings, tile_size=tile_size), no_phase, domain)
        assert difference(whole, tiled, domain, scale) < 1e-4


@pytest.mark.parametrize("name", ["bicubic, x3", "gaussian", "gaussian, x5"])
def test_a_smaller_halo_would_leave_a_seam(name: str) -> None:
    """What the tests of tiles could see: a window with an eighth of the halo around it is another picture."""
    degradation = CAMERAS[name]
    model, settings = model_of(degradation, 1, 1)
    margin, lr = halo(settings, degradation) // 8, noise(1, 40, 60)
    whole = enlarge(lr, model, settings)
    (tile, *_) = plan_tiles(40, 60, 20, margin)
    part = owned(enlarge(cut(lr, tile), model, settings), tile, settings.scale)
    side = 20 * settings.scale
    assert float((part - whole[:, :side, :side]).abs().max()) > 1e-3


@pytest.mark.parametrize("element", range(1, ORDER))
@pytest.mark.parametrize("scale", [2, 3])
def test_the_ensemble_has_no_direction(scale: int, element: int) -> None:
    """A turned image of a turned camera gives the turned result, its base turned with it."""
    kernel = scrambled(7)
    lr, results = noise(1, 10, 14), []
    for turned_first in (False, True):
        camera = turned(kernel, element, scale) if turned_first else kernel
        model, settings = model_of(Degradation((camera,), scale), 1, 1, torch.float32)
        image = transform(lr, element).contiguous() if turned_first else lr
        sr = enlarge(image, model, replace(settings, ensemble=True))
        results.append(sr if turned_first else transform(sr, element))
    torch.testing.assert_close(results[1], results[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("method", [Method.PRIOR, Method.BICUBIC])
@pytest.mark.parametrize("scale", [2, 4, 8])
def test_cameras_a_band_are_bands_done_one_by_one(scale: int, method: Method) -> None:
    """Seven bands, some at a time: kernel, noise, mask, bounds and what is told are the band's own."""
    kernels = tuple(gaussian(0.35 * scale + 0.1 * band, 0.35 * scale, 10 * band, scale) for band in range(7))
    degradation = Degradation(kernels, scale, tuple(0.005 * band for band in range(7)))
    model, settings = model_of(degradation, 1, 7, torch.float32)
    if method is Method.BICUBIC:
        model = replace(model, method=method, networks=())
    lr, known = noise(7, 24, 30), noise(7, 24, 30, seed=1) > 0.1
    domain = Domain(known, torch.linspace(-0.3, 0, 7)[:, None, None], torch.linspace(0.8, 1.2, 7)[:, None, None])
    together = enlarge(lr, model, settings, domain=domain)
    for band in range(7):
        span = slice(band, band + 1)
        assert model.told is not None
        its_own = replace(model, degradation=degradation.of_bands(band, band + 1), told=model.told[span])
        alone = enlarge(lr[span], its_own, settings, domain=domain.of_bands(band, band + 1))
        assert difference(together[span], alone, domain.of_bands(band, band + 1), scale) < 1e-3
    shared = enlarge(lr, replace(model, degradation=replace(degradation, kernels=kernels[:1])), settings, domain=domain)
    assert difference(together[:1], shared[:1], domain.of_bands(0, 1), scale) < 1e-3
    assert difference(together[6:], shared[6:], domain.of_bands(6, 7), scale) > 1e-2


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("method", [Method.PRIOR, Method.BICUBIC])
def test_the_result_agrees_with_what_the_camera_saw(scale: int, method: Method) -> None:
    """Shrunk again by its kernel a mid-gray image is met to half a level; by a wrong kernel, or undone, not."""
    degradation = blur(0.5 * scale, scale)
    lr = degradation.apply(0.35 + 0.3 * upscale(noise(1, 24, 26), scale))
    model, settings = model_of(degradation, 1, 1, torch.float32)
    if method is Method.BICUBIC:
        model = replace(model, method=method, networks=())
    wrong, loose = replace(model, degradation=matlab(scale)), replace(settings, back_projections=0)
    answers = enlarge(lr, model, settings), enlarge(lr, wrong, settings), enlarge(lr, model, loose)
    missed, by_wrong, undone = (float((degradation.apply(sr) - lr).abs().mean()) for sr in answers)
    assert missed < 0.5 / 255
    assert by_wrong > 3 * missed
    assert undone > 3 * missed


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_network_adds_to_the_base(scale: int) -> None:
    """One that adds nothing gives the data step from bicubic, piece by piece, and what is not known says nothing."""
    degradation, known = blur(0.5 * scale, scale), noise(1, 20, 300, seed=1) > 0.1
    model, settings = model_of(degradation, 1, 1, prior=random_prior(std=0.0))
    lr = 0.2 + 0.6 * noise(1, 20, 300)
    sr = enlarge(lr, model, replace(settings, back_projections=0, ensemble=True), domain=Domain(known))
    expected = make_base(degradation, fill(lr, known), known).clamp(0, 1)
    torch.testing.assert_close(sr, expected, atol=1e-6, rtol=0)
    assert not torch.allclose(expected, make_base(degradation, fill(lr, known)).clamp(0, 1), atol=1e-2)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_a_point_stays_where_it_was(scale: int) -> None:
    """Whatever the camera's phase: a spot in its image and in the enlargement, to 0.05 LR pixel."""
    kernels = gaussian(0.4 * scale, 0.4 * scale, 0, scale), scrambled(4 * scale + 1, 1), motion(2)
    for kernel in kernels:
        rows, columns = ((torch.arange(24 * scale) - (12.3 + by) * scale) / (1.2 * scale) for by in (0, 0.4))
        hr = 0.3 + 0.3 * torch.exp(-0.5 * (rows[:, None].square() + columns.square()))[None]
        lr = Degradation((kernel,), scale).apply(hr)
        camera = Degradation((recentred(kernel, scale),), scale)
        sr = enlarge(lr, Model(Method.BICUBIC, camera), replace(DIRECT, scale=scale))
        for axis in (0, 1):
            seen, made = (centre(image[0] - 0.3, axis) for image in (lr, sr))
            assert made / scale == pytest.approx(seen, abs=0.05)


def centre(image: Tensor, axis: int) -> float:
    """Of mass, in pixels from the border."""
    profile = image.sum(1 - axis)
    return float((profile * (torch.arange(len(profile)) + 0.5)).sum() / profile.sum())


@pytest.mark.parametrize("scale", [2, 4, 8])
@torch.inference_mode()
def test_no_seam_in_the_disagreement(scale: int) -> None:
    """Beyond the halo a window says the same of its members as the whole image; of two stages that of the first."""
    model, settings = model_of(matlab(scale), 3, 3)
    settings = replace(settings, ensemble=True, members=4)
    lr = noise(3, 90, 100)
    image, whole = enlarge_and_compare(lr, model, settings)
    assert whole is not None
    assert torch.equal(image, enlarge(lr, model, settings))
    assert whole.shape == image.shape
    assert float(whole.median()) > 1e-3
    tile = plan_tiles(90, 100, 30, halo(settings, model.degradation))[5]
    _, part = enlarge_and_compare(cut(lr, tile), model, settings)
    assert part is not None
    torch.testing.assert_close(owned(part, tile, scale), owned(cut_enlarged(whole, tile, scale), tile, scale))
    assert enlarge_and_compare(lr, model, replace(settings, ensemble=False))[1] is None


@torch.inference_mode()
def test_disagreements_of_stages_add_up() -> None:
    """From scratch each stage has members: the root of the sum of their variances."""
    settings = Settings(network=Network.SUBPIXEL, method=Method.ZSSR, width=8, depth=3, scale=4)
    networks = tuple(network_at_start(Network.SUBPIXEL, 1, depth=3, seed=seed) for seed in range(2))
    for network in networks:
        last = network.body[-2].weight
        last.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    model, lr = Model(Method.ZSSR, matlab(4), networks), noise(1, 12, 14)
    _, first = enlarge_and_compare(lr, replace(model, networks=networks[:1]), settings)
    _, both = enlarge_and_compare(lr, model, settings)
    assert first is not None
    assert both is not None
    before = torch.nn.functional.interpolate(first.square()[None], both.shape[-2:], mode="bilinear")[0].sqrt()
    assert bool((both >= before - 1e-6).all())
    assert float((both.square() - before.square()).median()) > 1e-8


@pytest.mark.parametrize("camera", ["bicubic", "gaussian, x8"])
@pytest.mark.parametrize("bands", [1, 3])
def test_where_nothing_is_shown_no_network_runs(camera: str, bands: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The black beside a rotated scene comes out as it would through the network, and its members agree."""
    degradation = CAMERAS[camera]
    model, settings = model_of(degradation, bands, bands)
    settings = replace(settings, ensemble=True, members=4)
    lr = torch.arange(bands)[:, None, None].expand(-1, 12, 14) / 7
    with monkeypatch.context() as patch:
        patch.setattr("sr_ops.enlarging.enlarge.shows_nothing", lambda *_: False)
        expected = enlarge(lr, model, settings)
    monkeypatch.setattr("sr_ops.enlarging.enlarge.mean_and_variance", None)
    sr, spread = enlarge_and_compare(lr, model, settings)
    assert torch.equal(sr, expected)
    assert spread is not None
    assert torch.equal(spread, torch.zeros_like(sr))
    assert enlarge_and_compare(lr, model, replace(settings, ensemble=False))[1] is None


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("level", [-1.0, 5.0])
def test_far_beyond_black_and_white_the_base_is_taken(scale: int, level: float) -> None:
    """Within a smooth disc, whatever a network makes of what it has never learned from; its members agree there."""
    rows, columns = torch.meshgrid(*(torch.linspace(-1, 1, 48),) * 2, indexing="ij")
    disc = ((rows.square() + columns.square()).sqrt() < 0.7)[None]
    lr = torch.where(disc, level * (0.9 + 0.1 * torch.cos(3 * columns)), noise(1, 48, 48))
    camera = matlab(scale)
    model, settings = model_of(camera, 1, 1)
    settings = replace(settings, back_projections=0, ensemble=True, members=4)
    domain = Domain(None, lr.amin().reshape(1, 1, 1), lr.amax().reshape(1, 1, 1))
    sr, spread = enlarge_and_compare(lr, model, settings, domain=domain)
    base = stages_of(settings, camera)[0].base(lr).clamp(*domain.bounds(lr))
    inside = nearest(((rows.square() + columns.square()).sqrt() < 0.6)[None], scale)
    assert spread is not None
    torch.testing.assert_close(sr[inside], base[inside], atol=1e-5 * abs(level), rtol=0)
    assert float(spread[inside].max()) == 0
    assert float((sr - base)[~nearest(disc, scale)].abs().max()) > 1e-3


def test_where_an_image_is_flat_members_agree() -> None:
    """In the disagreement as in the result, whatever else the window shows: a map must not tell of windows."""
    model, settings = model_of(matlab(2), 1, 1)
    lr = noise(1, 40, 40)
    lr[:, :, :24] = 0.5
    _, spread = enlarge_and_compare(lr, model, replace(settings, ensemble=True, members=4))
    assert spread is not None
    assert float(spread[:, :, : 2 * 16].max()) == 0
    assert float(spread[:, :, 2 * 24 :].min()) > 0


class Smoother:
    """A model that sees nothing but the mean of its window."""

    scale, bands, piece = 2, 1, 64

    def __call__(self, window: Tensor) -> Tensor:
        return window.mean().expand(1, 2 * window.shape[1], 2 * window.shape[2]).clone()


def test_what_no_noise_explains_comes_back_but_of_a_jpeg() -> None:
    """Whatever removed it."""
    lr = torch.full((1, 24, 24), 0.3)
    lr[:, 12, 12] = 0.7
    settings, camera = Settings(scale=2, method=Method.MODEL), replace(matlab(2), noise=(0.01,))
    off = []
    for steps in (None, torch.full((8, 8), 2 / 255)):
        model = Model(Method.MODEL, camera, (), Damage(torch.tensor([0.01]), steps).told(1), restorer=Smoother())
        sr = enlarge(lr, model, settings)
        off.append(float((camera.apply(sr) - lr).abs().max()))
    assert off[0] < 0.07
    assert off[1] > 0.2


def test_a_model_is_held_to_its_camera_by_any_preset() -> None:
    """That of the classical iterations knows bicubic alone, and is for networks fitted from scratch."""
    lr, camera = noise(1, 20, 24), blur(1.4, 2)
    model = Model(Method.MODEL, camera, (), Damage().told(1), restorer=Smoother())
    expected = enlarge(lr, model, Settings(scale=2, method=Method.MODEL))
    classic = replace(preset(Preset.CLASSIC, False), scale=2, method=Method.MODEL, back_projections=10)
    torch.testing.assert_close(enlarge(lr, model, classic), expected)
