"""Blur, sharpening, noise and exponent, told from scenes that were made with known ones."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Generator

from sr_ops.camera.blur_shapes import BlurShape, ShapeKind
from sr_ops.camera.kernel_spec import MAX_SIDE
from sr_ops.camera.kernels import from_spec
from sr_ops.estimation.estimate import Estimate, estimate, noise_of_bands, pooled
from sr_ops.estimation.guess import guess, guess_together
from sr_ops.estimation.jpeg import round_to_steps, steps_of_quality
from sr_ops.estimation.scene_spectrum import PARAMETERS, SceneSpectrum
from sr_ops.estimation.signs import Signs
from sr_ops.estimation.spectrum import frequencies, spectrum_of

from .pictures import checkerboard, white_noise
from .scenes import scene, seen, sharpened

STEP = 1 / 255


def told(image: torch.Tensor) -> Estimate:
    found = Signs(image, None, STEP).estimate
    assert found is not None
    return found


def error(found: Estimate, sigma_1: float, sigma_2: float, degrees: float, scale: int = 2) -> float:
    """Frobenius norm of the covariance's error, in LR pixels squared."""
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = torch.tensor([[cosine, -sine], [sine, cosine]], dtype=torch.float64)
    true = turn @ torch.tensor([sigma_1**2, sigma_2**2], dtype=torch.float64).diag() @ turn.T / scale**2
    xx, xy, yy = found.covariance
    return float((torch.tensor([[xx, xy], [xy, yy]], dtype=torch.float64) - true).norm())


@pytest.mark.parametrize(
    ("sigma_1", "sigma_2", "degrees"), [(1.4, 1.4, 0), (2.0, 1.0, 30), (1.0, 2.2, 30), (0.8, 0.8, 0)]
)
@pytest.mark.parametrize("noise", [0.0, 2.0])
def test_a_gaussian_is_told(sigma_1: float, sigma_2: float, degrees: float, noise: float) -> None:
    """Widths and direction, within a tenth of an LR pixel squared; with noise within a fifth of the blur, too."""
    found = told(seen(scene(512), sigma_1, sigma_2, degrees, noise=noise))
    assert error(found, sigma_1, sigma_2, degrees) < 0.1 + (0.05 * max(sigma_1, sigma_2) ** 2 if noise else 0)
    assert found.exponent == pytest.approx(2.2, abs=0.25)


def test_the_same_camera_is_told_at_any_scale() -> None:
    """Sigmas in HR pixels follow the scale: the covariance is in LR pixels."""
    covariances = [told(seen(scene(192 * scale), 0.7 * scale, 0.7 * scale, 0, scale)).covariance for scale in (2, 3)]
    for covariance in covariances:
        torch.testing.assert_close(torch.tensor(covariance), torch.tensor([0.49, 0.0, 0.49]), atol=0.08, rtol=0)


@pytest.mark.parametrize("noise", [2.0, 8.0])
def test_noise_is_told_in_each_band(noise: float) -> None:
    """Within 15 %, and of a clean scene next to none."""
    lr = seen(scene(384, bands=3), 1.2, 1.2, 0)
    strengths = torch.tensor([0.5, 1.0, 1.5]) * noise
    drawn = torch.randn(lr.shape, generator=Generator().manual_seed(5))
    found = noise_of_bands(lr + strengths[:, None, None] / 255 * drawn)
    assert found is not None
    torch.testing.assert_close(found * 255, strengths, rtol=0.15, atol=0.1)
    clean = noise_of_bands(lr)
    assert clean is not None
    assert float(clean.max()) < 0.6 * STEP


def test_noise_is_told_in_each_of_many_bands() -> None:
    """Their mean has a quarter of it, which says nothing of a band."""
    lr = seen(scene(256, bands=16), 1.2, 1.2, 0)
    drawn = torch.randn(lr.shape, generator=Generator().manual_seed(5))
    found = noise_of_bands(lr + 1.2 / 255 * drawn)
    assert found is not None
    torch.testing.assert_close(found * 255, torch.full((16,), 1.2), rtol=0.2, atol=0.1)


def test_a_sharpened_image_is_not_taken_for_one_with_a_wide_blur() -> None:
    """The blur under the mask is told as it is, and the mask is seen."""
    lr = seen(scene(512), 1.2, 1.2, 0, noise=0.5)
    plain, lifted = told(lr), told(sharpened(lr, 1.0))
    assert error(lifted, 1.2, 1.2, 0) < 0.15
    assert lifted.sharpening > plain.sharpening + 0.3


def test_stripes_are_not_taken_for_a_blur_along_them() -> None:
    """Where one direction has e^2 times the power of the other, at all frequencies, the scene is so, not the camera."""
    hr = scene(512)
    frequency = torch.fft.fftfreq(512, dtype=torch.float64)
    angle = torch.atan2(frequency[:, None], frequency[None])
    striped = torch.fft.ifft2(torch.fft.fft2(hr - 0.5) * torch.exp(0.5 * torch.cos(2 * angle))).real.float() + 0.5
    assert error(told(seen(striped.clamp(0, 1), 1.4, 1.4, 0)), 1.4, 1.4, 0) < 0.06


def test_jpeg_is_left_out() -> None:
    """What JPEG took at high frequencies is not taken for a blur, nor what it put there for a sharp lens."""
    lr = seen(scene(768, bands=3), 1.3, 1.3, 0)
    compressed = round_to_steps(lr, steps_of_quality(85)).clamp(0, 1)
    plain = spectrum_of(compressed, None, None, STEP)
    assert plain is not None
    found, misled = told(compressed), estimate(plain)
    assert error(found, 1.3, 1.3, 0) < 0.15
    assert error(misled, 1.3, 1.3, 0) > 1.5 * error(found, 1.3, 1.3, 0)


def test_ten_pictures_of_one_camera_tell_it_better_than_one() -> None:
    """The error of the covariance is at most half, whatever one picture in it shows."""
    found = [told(seen(scene(192, seed), 1.6, 1.1, 50, noise=1.0)) for seed in range(10)]
    single = sum(error(each, 1.6, 1.1, 50) for each in found) / len(found)
    assert error(pooled(found), 1.6, 1.1, 50) < 0.5 * single
    outlier = Estimate((3.0, 0.0, 3.0), 0.05, 2.2, 0.0, 0.0, 0.2)
    assert error(pooled([*found, outlier]), 1.6, 1.1, 50) < single


def test_a_scene_that_is_taken_for_sharpening_counts_little() -> None:
    """Of images of one camera, which sharpens all of them alike."""
    plain = Estimate((0.6, 0.0, 0.6), 0.05, 2.2, 0.0, 0.0, 0.2)
    misled = replace(plain, covariance=(0.45, 0.0, 0.45), sharpening=0.3)
    alike = replace(misled, sharpening=0.0)
    told_apart, taken_whole = (pooled([plain] * 4 + [each] * 3).covariance[0] for each in (misled, alike))
    assert taken_whole < 0.56 < 0.595 < told_apart


def test_unknown_samples_tell_nothing() -> None:
    """Garbage where nothing is known changes nothing."""
    lr = seen(scene(384), 1.4, 1.4, 0)
    known = torch.ones(lr.shape[-2:], dtype=torch.bool)
    known[60:, 60:] = False
    spoiled = torch.where(known, lr, torch.full_like(lr, 9.0))
    clean = spectrum_of(lr, known, None, STEP)
    dirty = spectrum_of(spoiled, known, None, STEP)
    assert clean is not None
    assert dirty is not None
    assert torch.equal(clean.levels, dirty.levels)


@pytest.mark.parametrize("shape", [None, BlurShape(ShapeKind.DISC, 1.6)], ids=["Gaussian", "disc"])
def test_slopes_of_the_model_are_its_derivatives(shape: BlurShape | None) -> None:
    """Against differences."""
    model = SceneSpectrum(frequencies(32), shape)
    values = torch.tensor([-3.0, -1.0, 2.1, -8.0, 0.1, -0.2, 0.05, 0.1, 0.4, 0.1, 0.3, 0.5], dtype=torch.float64)
    assert len(values) == 2 + PARAMETERS
    slopes = model.slopes(model(values, 2))
    for place in range(len(values)):
        step = torch.zeros_like(values)
        step[place] = 1e-5
        above, below = (model.log_power(model(there, 2)) for there in (values + step, values - step))
        difference = (above - below) / 2e-5
        torch.testing.assert_close(slopes[..., place], difference, rtol=1e-5, atol=1e-7)


def test_a_wide_blur_is_assumed_at_its_lower_end() -> None:
    """A kernel that is too wide costs more; sigmas are in HR pixels."""
    lr = seen(scene(512), 2.0, 1.2, 0)
    found = told(lr)
    assumed = guess(found, 2)
    name, _, numbers = assumed.kernel.partition(":")
    first, second, degrees = map(float, numbers.split(","))
    assert name == "gaussian"
    assert 1.7 < first < 2.05
    for sigma, variance in zip((first, second), found.variances, strict=True):
        assert sigma == pytest.approx(2 * math.sqrt(variance - found.deviation), abs=0.006)
    assert 1.0 < second < 1.25
    assert min(degrees, 180 - degrees) < 10
    assert assumed.confidence > 0.9
    assert assumed.reason == ""


def test_a_blur_in_a_jpeg_is_to_be_wider_to_count() -> None:
    """A maker may have sharpened it, which hides in the scene: what counts in a lossless image does not there."""
    lr = seen(scene(512), 1.6, 1.6, 0)
    compressed = round_to_steps(lr, steps_of_quality(90)).clamp(0, 1)
    assert told(compressed).lossy
    assert not told(lr).lossy
    assert guess(told(lr), 2).kernel.startswith("gaussian:")
    assert guess(told(compressed), 2).kernel == "bicubic"
    wide = round_to_steps(seen(scene(768), 2.2, 2.2, 0), steps_of_quality(92)).clamp(0, 1)
    assert guess(told(wide), 2).kernel.startswith("gaussian:")


def test_a_blur_that_was_sharpened_since_is_to_be_wider_to_count() -> None:
    """As of many scans that are no JPEG any more: what the maker did is not done again."""
    lr = seen(scene(512), 1.4, 1.4, 0)
    assert guess(told(lr), 2).kernel.startswith("gaussian:")
    lifted = told(sharpened(lr, 1.0))
    assert min(lifted.variances) - lifted.deviation > 0.3
    assert guess(lifted, 2).kernel == "bicubic"
    wide = told(sharpened(seen(scene(768), 2.2, 2.2, 0), 1.0))
    assert guess(wide, 2).kernel.startswith("gaussian:")


@pytest.mark.parametrize("scale", range(2, 9))
def test_what_is_assumed_can_be_at_any_scale(scale: int) -> None:
    """The widest blur that is believed is as wide as kernels can be at large scales, and no wider."""
    assumed = guess(Estimate((1.59, 0.0, 1.2), 0.01, 2.2, 0.0, 0.0, 0.3), scale)
    assert assumed.kernel.startswith("gaussian:")
    assert from_spec(assumed.kernel, scale)[0].side <= MAX_SIDE


UNTELLING = {
    "flat": (torch.full((1, 128, 128), 0.5), "too little of it is known"),
    "below a step": ((100.5 + 0.25 * white_noise(1, 128, 128)) / 255, "too little of it is known"),
    "small": (scene(24), "too little of it is known"),
    "pure noise": ((0.5 + 0.05 * white_noise(1, 128, 128)).clamp(0, 1), "tells too little"),
    "pattern": (checkerboard(128, 7), "not like that of a scene"),
    "narrow": (seen(scene(256), 0.6, 0.6, 0), "not certain to be wider"),
}


@pytest.mark.parametrize("name", UNTELLING)
def test_bicubic_stands_where_nothing_better_is_told(name: str) -> None:
    """And why is said."""
    image, reason = UNTELLING[name]
    assumed = guess(Signs((image * 255).round() / 255, None, STEP).estimate, 2)
    assert assumed.kernel == "bicubic"
    assert reason in assumed.reason


def test_what_was_enlarged_before_is_not_sharpened_for_it() -> None:
    """Its finest detail is empty, which no lens does."""
    small = seen(scene(256), 0.6, 0.6, 0)
    large = torch.nn.functional.interpolate(small[None], scale_factor=4, mode="bicubic", align_corners=False)[0]
    assumed = guess(Signs((large * 255).round().clamp(0, 255) / 255, None, STEP).estimate, 2)
    assert assumed.kernel == "bicubic"
    assert "enlarged before" in assumed.reason or "not like that of a scene" in assumed.reason


def test_images_that_tell_nothing_do_not_count_among_others() -> None:
    """And if none does, bicubic stands."""
    found = told(seen(scene(256), 2.0, 2.0, 0))
    nothing = Estimate((0.2, 0.0, 0.2), math.nan, 2.2, 0.0, 0.0, math.nan)
    assert guess_together([found, None, nothing], 2).kernel == guess(found, 2).kernel
    assert guess_together([None, nothing], 2).kernel == "bicubic"
