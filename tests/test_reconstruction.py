"""Reconstruction by a method against what it is to come to, for cameras that tests/test_methods.py does not have."""

from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, bicubic, box, from_spec, gaussian
from sr_ops.camera.primal_dual import differences, handed_back, prior_weight
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model
from sr_ops.enlarging.stages import halo
from sr_ops.image.domain import UNIT, Domain
from sr_ops.image.resample import upscale
from sr_ops.methods import map_tikhonov, map_tv
from sr_ops.registry import method_of
from sr_ops.settings import Settings

from .test_methods import scene
from .tiled import enlarged_in_tiles

LEVEL = 1 / 255
ANYWHERE = Domain(low=-10.0, high=10.0)
RECONSTRUCTIONS = ("ibp", "pocs", "map-tikhonov", "map-tv")


def motion(side: int = 7) -> Kernel:
    return Kernel(torch.eye(side, dtype=torch.float64) / side)


def shot(degradation: Degradation, height: int = 32, width: int = 30, bands: int = 3) -> tuple[Tensor, Tensor]:
    """A scene, and what the camera saw of it."""
    hr = scene(degradation.scale * height, degradation.scale * width, bands)
    noise = torch.randn(bands, height, width, generator=Generator().manual_seed(1))
    sigma = torch.tensor(degradation.noise)[:, None, None]
    return hr, degradation.apply(hr) + sigma * noise


def made(name: str, lr: Tensor, degradation: Degradation, domain: Domain = ANYWHERE) -> Tensor:
    return method_of(name).enlarge(lr, degradation, domain, {})


def rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


def objective(name: str, image: Tensor, lr: Tensor, degradation: Degradation) -> float:
    """What a maximum a posteriori is the least of."""
    misfit = (degradation.apply(image) - lr).double().square().sum((1, 2)) / 2
    steps = differences(image).double()
    total = steps.square().sum(0).sqrt() if name == "map-tv" else steps.square().sum(0) / 2
    factor = {"map-tv": map_tv.FACTOR, "map-tikhonov": map_tikhonov.FACTOR}[name]
    return float((misfit + prior_weight(degradation, factor)[:, 0, 0] * total.sum((1, 2))).sum())


@pytest.mark.parametrize("noise", [(0.0,), (0.03,), (0.0, 0.03, 0.1)])
@pytest.mark.parametrize("kernel", [bicubic(2), gaussian(1.2, 0.8, 20, 2), motion()])
def test_back_projection_comes_to_the_closed_form(kernel: Kernel, noise: tuple[float, ...]) -> None:
    """The data step from where it began, as long as nothing is cut off, to a tenth of a level.

    Far from the border: near it the data step takes for nothing what the mirrored part of a result would change.
    """
    degradation, inside = Degradation((kernel,), 2, noise), slice(80, -80)
    _, lr = shot(degradation, 96, 96)
    closed = degradation.data_step(lr, upscale(lr, 2))[:, inside, inside]
    assert rms(made("ibp", lr, degradation)[:, inside, inside] - closed) < 0.1 * LEVEL
    assert rms(upscale(lr, 2)[:, inside, inside] - closed) > LEVEL


@pytest.mark.parametrize("name", ["map-tikhonov", "map-tv"])
@pytest.mark.parametrize("scale", [2, 3])
def test_nothing_near_is_more_probable(name: str, scale: int) -> None:
    """Steps in any direction, towards what others make too, raise what is to be least."""
    degradation = Degradation((gaussian(1.0, 1.0, 0, scale),), scale, (0.03,))
    _, lr = shot(degradation)
    best = made(name, lr, degradation)
    least = objective(name, best, lr, degradation)
    others = [made(other, lr, degradation) for other in RECONSTRUCTIONS if other != name]
    others.append(best + 0.02 * torch.randn(best.shape, generator=Generator().manual_seed(2)))
    for other in [*others, upscale(lr, scale), torch.full_like(best, 0.5)]:
        assert objective(name, best + 0.05 * (other - best), lr, degradation) > least


def test_tikhonov_is_the_dense_solution() -> None:
    """The normal equations of a camera whose pixels touch nothing beyond the image, solved as they are."""
    degradation, (height, width) = Degradation((box(2),), 2, (0.05,)), (6, 5)
    lr = torch.rand(1, height, width, generator=Generator().manual_seed(0))
    pixels = 4 * height * width
    units = torch.eye(pixels, dtype=torch.float64).reshape(pixels, 1, 2 * height, 2 * width)
    seen = degradation.apply(units).reshape(pixels, -1).T
    steps = differences(units).transpose(0, 1).reshape(pixels, -1).T
    weight = float(prior_weight(degradation, map_tikhonov.FACTOR))
    solved = torch.linalg.solve(seen.T @ seen + weight * steps.T @ steps, seen.T @ lr.double().flatten())
    result = made("map-tikhonov", lr, degradation)
    assert float((result.flatten() - solved).abs().max()) < 0.2 * LEVEL


def test_differences_and_their_adjoint() -> None:
    draw = Generator().manual_seed(0)
    image, duals = (torch.randn(shape, dtype=torch.float64, generator=draw) for shape in ((3, 5, 6), (2, 3, 5, 6)))
    assert float((differences(image) * duals).sum()) == pytest.approx(float((image * handed_back(duals)).sum()))


@pytest.mark.parametrize("kernel", [bicubic(2), gaussian(1.4, 1.4, 0, 2)])
def test_total_variation_takes_noise_away(kernel: Kernel) -> None:
    """Of noise of 7.65 levels on a few large parts, where interpolation and its data step keep it."""
    degradation, hr = Degradation((kernel,), 2, (7.65 * LEVEL,)), torch.full((1, 96, 96), 0.3)
    hr[:, 20:70, 30:60], hr[:, 40:90, 50:85] = 0.6, 0.8
    lr = degradation.apply(hr) + 7.65 * LEVEL * torch.randn(1, 48, 48, generator=Generator().manual_seed(1))
    least = min(rms(upscale(lr, 2) - hr), rms(degradation.data_step(lr, upscale(lr, 2)) - hr))
    assert rms(made("map-tv", lr, degradation) - hr) < 0.6 * least


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_each_band_by_its_own_noise_and_kernel(name: str) -> None:
    """Bands of one image come out as they do alone."""
    kernels, noise = (gaussian(1.4, 1.0, 30, 2), bicubic(2), motion()), (0.0, 0.02, 0.08)
    degradation = Degradation(kernels, 2, noise)
    _, lr = shot(degradation, 40, 40)
    together = made(name, lr, degradation)
    for band in range(3):
        alone = made(name, lr[band : band + 1], degradation.of_bands(band, band + 1))
        assert float((together[band] - alone[0])[20:60, 20:60].abs().max()) < LEVEL / 10


@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_projections_end_in_their_sets(noise: float) -> None:
    """All of it within the range, and no steeper than the image; nearly all seen as it was, within the noise."""
    degradation = Degradation((gaussian(1.2, 1.2, 0, 2),), 2, (noise,))
    _, lr = shot(degradation)
    result = made("pocs", lr.clamp(0, 1), degradation, UNIT)
    assert 0 <= float(result.min()) <= float(result.max()) <= 1
    shares = [
        float(((degradation.apply(image) - lr.clamp(0, 1)).abs() < noise + LEVEL).float().mean())
        for image in (upscale(lr.clamp(0, 1), 2), result)
    ]
    assert shares[0] < 0.85
    assert shares[1] > 0.92
    assert float((result.diff(dim=-1).abs() <= 1.4 * lr.diff(dim=-1).abs().max() + LEVEL).float().mean()) == 1


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
def test_what_is_unknown_pulls_at_nothing(name: str) -> None:
    """Where nothing is known an interpolation stays, and a prior has its way."""
    degradation = Degradation((gaussian(1.4, 1.4, 0, 2),), 2)
    _, lr = shot(degradation)
    start = upscale(lr, 2)
    known, unknown = (
        made(name, lr, degradation, Domain(torch.full(lr.shape, there), -10.0, 10.0)) for there in (True, False)
    )
    if name in ("ibp", "pocs"):
        assert rms(unknown - start) < 0.2 * rms(known - start)
    else:
        assert differences(unknown).abs().sum() < 0.9 * differences(start).abs().sum() < differences(known).abs().sum()


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
@pytest.mark.parametrize("kernel", [motion(), gaussian(1.2, 0.7, 30, 2)])
@pytest.mark.parametrize("noise", [0.0, 0.03])
def test_tiles_equal_the_whole(name: str, kernel: Kernel, noise: float) -> None:
    """By the halo that the method asks for, of what camera and noise ever: to half a grey level."""
    degradation, settings = Degradation((kernel,), 2, (noise,)), Settings(scale=2, method=name)
    _, lr = shot(degradation, 20, 150, 1)
    lr, model = lr.clamp(0, 1), Model(name, degradation)
    whole = enlarge(lr, model, settings)
    tiled = enlarged_in_tiles(lr, model, replace(settings, tile_size=50), min(halo(settings, degradation), 75))
    assert float((tiled - whole).abs().max()) < LEVEL / 2


@pytest.mark.parametrize("name", RECONSTRUCTIONS)
@pytest.mark.parametrize("motion_to", ["motion:20,0", "motion:20,30"])
def test_a_part_of_a_moving_scene_is_undone_up_to_its_border(name: str, motion_to: str) -> None:
    """What moved into the picture is no mirror image of it. Taken for one in every iteration, it spoils the picture."""
    degradation, settings = Degradation(from_spec(motion_to, 2), 2), Settings(scale=2, method=name)
    hr, lr = shot(degradation, 80, 80, 1)
    part, truth = lr[:, 32:48, 32:48], hr[:, 64:96, 64:96]
    result = enlarge(part, Model(name, degradation), settings)
    assert rms(result - truth) < 0.75 * rms(upscale(part, 2) - truth)
