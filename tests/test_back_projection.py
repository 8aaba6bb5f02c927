"""Back-projection: consistent, in range, local; and the error that says how consistent."""

from dataclasses import replace
from functools import reduce
from operator import add

import numpy as np
import pytest
import torch
from torch import Tensor

from sr_ops.camera.back_projection import back_project, iterate
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic, gaussian
from sr_ops.image.domain import Domain
from sr_ops.image.resample import downscale, upscale
from sr_ops.image.tiles import cut, owned, plan_tiles
from sr_ops.measures.consistency import ConsistencyError, ConsistencySums

from .cameras import blur, matlab, motion, scrambled
from .pictures import noise, white_noise

ITERATIONS = 10
SCALES = [2, 3, 4]


def between(low: float, high: float, *shape: int, seed: int = 0) -> Tensor:
    return low + (high - low) * noise(*shape, seed=seed, dtype=torch.float64)


def error_of(sr: Tensor, lr: Tensor, scale: int) -> ConsistencyError:
    error = ConsistencySums.of(downscale(sr.double(), scale) - lr.double()).error()
    assert error is not None
    return error


def mid_gray_pair(scale: int) -> tuple[Tensor, Tensor]:
    """An enlargement and an LR image that disagree, too gray for anything to clip."""
    lr = between(0.4, 0.6, 2, 11, 14)
    sr = between(0.4, 0.6, 2, 11 * scale, 14 * scale, seed=1)
    return sr, lr


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_back_projected_image_is_consistent(scale: int, dtype: torch.dtype) -> None:
    """Where nothing clips one iteration is enough: the result's `downscale` is the LR image."""
    sr, lr = (image.to(dtype) for image in mid_gray_pair(scale))
    assert float((downscale(sr, scale) - lr).abs().max()) > 0.05
    result = back_project(sr, lr, matlab(scale), 1)
    assert result.dtype == dtype
    torch.testing.assert_close(downscale(result, scale), lr, rtol=0, atol=1e-5)


@pytest.mark.parametrize("scale", SCALES)
def test_result_is_the_limit_of_the_classical_iteration(scale: int) -> None:
    """Adding upscale(lr - downscale(sr)) again and again ends where one iteration of the closed form does."""
    sr, lr = mid_gray_pair(scale)
    classical = sr
    for _ in range(150):
        classical = classical + upscale(lr - downscale(classical, scale), scale)
    torch.testing.assert_close(back_project(sr, lr, matlab(scale), 1), classical, rtol=0, atol=1e-10)


def test_the_classical_iteration_is_that() -> None:
    """Three at 0.5 are what adding half of what is missing thrice gives; where nothing is known nothing is missing."""
    sr, lr = mid_gray_pair(2)
    known = torch.ones_like(lr, dtype=torch.bool)
    known[:, 2:5, 3:9] = False
    expected = sr
    for _ in range(3):
        expected = expected + 0.5 * upscale(known * (lr - downscale(expected, 2)), 2)
    before = sr.clone()
    made = iterate(sr, torch.where(known, lr, 0.0), matlab(2), 3, 0.5, Domain(known))
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-12)
    assert torch.equal(sr, before)
    ends = iterate(3 * sr - 1, lr, matlab(2), 3, 0.5)
    assert 0 <= float(ends.min()) <= float(ends.max()) <= 1


@pytest.mark.parametrize("scale", SCALES)
def test_a_consistent_image_is_left_alone(scale: int) -> None:
    """Back-projection of its own result changes nothing."""
    sr, lr = (image.float() for image in mid_gray_pair(scale))
    once = back_project(sr, lr, matlab(scale), ITERATIONS)
    torch.testing.assert_close(back_project(once, lr, matlab(scale), ITERATIONS), once, rtol=0, atol=1e-5)


@pytest.mark.parametrize("iterations", [0, 1, ITERATIONS])
def test_result_stays_in_range(iterations: int) -> None:
    """Values stay within [0, 1], without any iteration too."""
    lr = noise(1, 9, 9, dtype=torch.float64).round()
    result = back_project(between(-0.5, 1.5, 1, 18, 18), lr, matlab(2), iterations)
    assert float(result.min()) == 0
    assert float(result.max()) == 1


def test_more_iterations_undo_what_clipping_spoils() -> None:
    """Where the result must be clipped one iteration is not enough, and more bring it closer."""
    lr = between(0.15, 0.85, 1, 16, 16)
    sr = upscale(lr, 2)
    errors = [error_of(back_project(sr, lr, matlab(2), iterations), lr, 2).rmse for iterations in (0, 1, 3, 10)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[1] / 10


def test_arguments_stay_as_they_were() -> None:
    """Neither image is written to."""
    sr, lr = between(-0.2, 1.2, 1, 12, 12), noise(1, 6, 6, dtype=torch.float64)
    before = sr.clone(), lr.clone()
    back_project(sr, lr, matlab(2), ITERATIONS)
    back_project(sr, lr, matlab(2), 0).zero_()
    assert torch.equal(sr, before[0])
    assert torch.equal(lr, before[1])


@pytest.mark.parametrize("scale", SCALES)
def test_a_change_fades_within_16_pixels(scale: int) -> None:
    """One LR pixel changes the result near it, and beyond 16 LR pixels by less than a millionth."""
    lr = noise(1, 45, 45, dtype=torch.float64)
    changed = lr.clone()
    changed[0, 22, 22] = 1 - changed[0, 22, 22].round()
    sr = upscale(lr, scale)
    before, after = (back_project(sr, image, matlab(scale), ITERATIONS) for image in (lr, changed))
    change = (after - before).abs()
    assert float(change.max()) > 0.1
    near = slice((22 - 16) * scale, (22 + 17) * scale)
    change[0, near, near] = 0
    assert float(change.max()) < 1e-6


def test_consistency_by_hand() -> None:
    """Two bands, 2 and -4 levels off throughout: the figures and the sign of the bias follow."""
    lr = torch.full((2, 3, 5), 100.0)
    sr = torch.tensor([102.0, 96.0]).reshape(2, 1, 1).expand(2, 6, 10)
    error = error_of(sr, lr, 2)
    assert error.mae == pytest.approx(3, abs=1e-4)
    assert error.rmse == pytest.approx(10**0.5, abs=1e-4)
    assert error.max == pytest.approx(4, abs=1e-4)
    assert error.bias == pytest.approx(-1, abs=1e-4)
    assert error.rmse_bands == pytest.approx((2, 4), abs=1e-4)


def test_consistency_matches_numpy() -> None:
    """All figures are those of NumPy in 64-bit floats over downscale(sr) - lr."""
    sr, lr = 255 * noise(3, 18, 24, dtype=torch.float64), 255 * noise(3, 9, 12, seed=1, dtype=torch.float64)
    residual = downscale(sr, 2).numpy() - lr.numpy()
    error = error_of(sr, lr, 2)
    assert error.mae == pytest.approx(np.abs(residual).mean(), rel=1e-12)
    assert error.rmse == pytest.approx(np.sqrt((residual**2).mean()), rel=1e-12)
    assert error.max == np.abs(residual).max()
    assert error.bias == pytest.approx(residual.mean(), rel=1e-9)
    assert error.rmse_bands == pytest.approx(np.sqrt((residual**2).mean((1, 2))), rel=1e-12)


@pytest.mark.parametrize("tile_size", [4, 7, 50])
def test_sums_over_tiles_are_the_error_of_the_whole(tile_size: int) -> None:
    """Residuals added tile by tile, in tiles of unequal size, give the figures of the whole image."""
    sr, lr = 255 * noise(3, 22, 30, dtype=torch.float64), 255 * noise(3, 11, 15, seed=1, dtype=torch.float64)
    residual = downscale(sr, 2) - lr
    tiles = plan_tiles(11, 15, tile_size, 2)
    sums = reduce(add, (ConsistencySums.of(owned(cut(residual, tile), tile, 1)) for tile in tiles))
    tiled, whole = sums.error(), error_of(sr, lr, 2)
    for figure in ("mae", "rmse", "max", "bias", "rmse_bands"):
        assert getattr(tiled, figure) == pytest.approx(getattr(whole, figure), rel=1e-12), figure


# ---- any camera ------------------------------------------------------------------------------------------------------

CAMERAS = {
    "gaussian": blur(1.2, 2),
    "gaussian, x3": blur(1.5, 3),
    "motion": Degradation((motion(1),), 2),
    "scrambled, x4": Degradation((scrambled(9),), 4),
}
cameras = pytest.mark.parametrize("name", CAMERAS)


def gray_pair(degradation: Degradation) -> tuple[Tensor, Tensor]:
    """What the camera saw of a mid-gray image, and an enlargement that disagrees with it."""
    scale = degradation.scale
    lr = degradation.apply(0.4 + 0.2 * upscale(noise(2, 14, 17, dtype=torch.float64), scale))
    return between(0.4, 0.6, 2, 14 * scale, 17 * scale, seed=1), lr


def missed(sr: Tensor, lr: Tensor, degradation: Degradation) -> float:
    return float((degradation.apply(sr) - lr).abs().mean())


@cameras
def test_any_camera_is_agreed_with(name: str) -> None:
    """A mid-gray enlargement agrees with what the camera saw several times as well as before; one that agrees stays."""
    degradation = CAMERAS[name]
    sr, lr = gray_pair(degradation)
    result = back_project(sr, lr, degradation, ITERATIONS)
    assert missed(result, lr, degradation) < 0.3 * missed(sr, lr, degradation)
    seen = degradation.apply(sr)
    torch.testing.assert_close(back_project(sr, seen, degradation, ITERATIONS), sr, atol=1e-9, rtol=0)


@cameras
def test_it_is_one_data_step_within_the_range(name: str) -> None:
    """However many iterations; none is none."""
    degradation = CAMERAS[name]
    scale = degradation.scale
    lr, sr = noise(2, 14, 17, dtype=torch.float64), noise(2, 14 * scale, 17 * scale, seed=1, dtype=torch.float64)
    expected = degradation.data_step(lr, sr).clamp(0, 1)
    for iterations in (1, ITERATIONS):
        torch.testing.assert_close(back_project(sr, lr, degradation, iterations), expected, atol=0, rtol=0)
    assert torch.equal(back_project(sr, lr, degradation, 0), sr)


@pytest.mark.parametrize("degradation", [matlab(2), blur(1.2, 2), blur(1.2, 2, noise=0.02)])
def test_it_computes_where_the_image_lies(degradation: Degradation) -> None:
    """A device without values stands for a GPU; bounds that differ by band may lie on the CPU."""
    sr, lr = torch.empty(3, 28, 34, device="meta"), torch.empty(3, 14, 17, device="meta")
    known = torch.empty(3, 14, 17, dtype=torch.bool, device="meta")
    domain = Domain(known, torch.zeros(3, 1, 1), torch.ones(3, 1, 1))
    assert back_project(sr, lr, degradation, ITERATIONS, domain).device == lr.device
    assert iterate(sr, lr, degradation, ITERATIONS, 0.5, domain).device == lr.device


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", ["bicubic", "gaussian"])
def test_noise_pulls_less(scale: int, kernel: str) -> None:
    """The more noise and the more doubt, the nearer the result stays to the enlargement; bicubic's too."""
    clean = matlab(scale) if kernel == "bicubic" else blur(0.5 * scale, scale)
    sr, lr = gray_pair(clean)
    moved = [
        float((back_project(sr, lr, replace(clean, noise=(sigma,)), 1, doubt=doubt) - sr).abs().mean())
        for sigma, doubt in ((0.0, 1.0), (0.01, 1.0), (0.03, 1.0), (0.03, 30.0), (0.03, 1000.0))
    ]
    assert moved[1:] == sorted(moved[1:], reverse=True)
    assert moved[0] > 0.95 * moved[1], "bicubic without noise is undone by another formula"
    assert moved[-1] < 0.1 * moved[0]
    after_networks = back_project(sr, lr, replace(clean, noise=(0.03,)), 1)
    assert float((after_networks - sr).abs().mean()) == pytest.approx(moved[-1])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", ["bicubic", "gaussian"])
def test_what_no_noise_explains_comes_back(scale: int, kernel: str) -> None:
    """As a small cloud that a network took for noise; far from it hardly anything changes."""
    sigma = 0.01
    camera = replace(matlab(scale) if kernel == "bicubic" else blur(0.5 * scale, scale), noise=(sigma,))
    lr, sr = torch.full((1, 24, 24), 0.3), torch.full((1, 24 * scale, 24 * scale), 0.3)
    lr[:, 10:13, 10:13] += 0.4
    lr[:, ::2, ::2] += 0.5 * sigma
    result = back_project(sr, lr, camera, 1)
    assert float((camera.apply(result) - lr).abs().max()) < 6.5 * sigma
    assert float((result - sr)[..., : 2 * scale].abs().max()) < 0.5 * sigma


def test_losses_of_jpeg_are_doubted_however_large() -> None:
    """They count as noise, and are larger at edges."""
    camera = blur(1.2, 2, 0.01)
    sr, lr = gray_pair(camera)
    doubted = camera.data_step(lr, sr.clamp(0, 1), weight=camera.weight_at(1000.0)).clamp(0, 1)
    assert torch.equal(back_project(sr, lr, camera, 1, lossy=True), doubted)
    assert not torch.allclose(back_project(sr, lr, camera, 1), doubted, atol=0.01)


def test_after_a_network_noise_is_not_brought_back() -> None:
    """An enlargement that is right stays nearly so against noisy data; by doubt of 1 it takes noise on."""
    degradation = blur(1.2, 2, 0.03)
    truth = 0.4 + 0.2 * upscale(noise(1, 30, 30, dtype=torch.float64), 2)
    lr = degradation.apply(truth) + 0.03 * white_noise(1, 30, 30)
    trusting, doubting = (back_project(truth, lr, degradation, 1, doubt=doubt) for doubt in (1.0, 1000.0))
    errors = [float((sr - truth).square().mean().sqrt()) for sr in (trusting, doubting)]
    assert errors[1] < 2e-3 < 0.01 < errors[0]


@cameras
def test_unknown_samples_pull_at_nothing(name: str) -> None:
    """Whatever stands where nothing is known; there the enlargement stays as it was, away from what is known."""
    degradation = CAMERAS[name]
    sr, lr = gray_pair(degradation)
    known = noise(2, 14, 17, seed=4) > 0.3
    results = [back_project(sr, lr.where(known, other), degradation, 1, Domain(known)) for other in (7.0, -3.0)]
    assert torch.equal(*results)
    unmoved = back_project(sr, lr, degradation, 1, Domain(torch.zeros_like(known)))
    torch.testing.assert_close(unmoved, sr, atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", SCALES)
def test_cameras_a_band_are_bands_done_one_by_one(scale: int) -> None:
    """Kernel, noise, mask and range of each."""
    kernels = (bicubic(scale), gaussian(1.4, 1, 30, scale), scrambled(7))
    degradation = Degradation(kernels, scale, (0.0, 0.01, 0.02))
    sr, lr = noise(3, 20 * scale, 22 * scale, dtype=torch.float64), noise(3, 20, 22, seed=1, dtype=torch.float64)
    domain = Domain(noise(3, 20, 22, seed=2) > 0.1, 0.0, torch.tensor([0.8, 1.0, 1.2])[:, None, None])
    together = back_project(sr, lr, degradation, 1, domain, doubt=3.0)
    for band in range(3):
        span = slice(band, band + 1)
        its_own, its_domain = degradation.of_bands(band, band + 1), domain.of_bands(band, band + 1)
        if band == 0:  # alone it would be undone exactly
            its_own.__dict__["is_bicubic"] = False
        alone = back_project(sr[span], lr[span], its_own, 1, its_domain, doubt=3.0)
        torch.testing.assert_close(together[span], alone, atol=2e-3, rtol=0)
