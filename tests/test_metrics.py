"""PSNR by hand and SSIM against a plain loop."""

from collections.abc import Callable
from math import inf, isnan, log10

import numpy as np
import pytest
import torch
from torch import Tensor

from sr_ops.measures.metrics import Likeness, inner, luma, psnr_y

from .pictures import noise


def ssim_y(image: Tensor, truth: Tensor, border: int) -> float:
    """Of what lies within the border."""
    height, width = image.shape[-2:]
    rows, columns = inner(height, width, border)
    return Likeness.of(image[:, rows, columns], truth[:, rows, columns]).ssim


def framed(inner: Tensor, width: int, level: int) -> Tensor:
    """`inner` with its outermost `width` pixels set to `level`."""
    image = torch.full_like(inner, level)
    image[..., width:-width, width:-width] = inner[..., width:-width, width:-width]
    return image


def reference_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """Wang et al. 2004, one window after the other, only windows that lie inside."""
    offsets = np.arange(11) - 5
    profile = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(profile, profile) / profile.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for top in range(x.shape[0] - 10):
        for left in range(x.shape[1] - 10):
            a, b = (image[top : top + 11, left : left + 11] for image in (x, y))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            covariance = (weights * (a - mean_a) * (b - mean_b)).sum()
            similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
            values.append(similar / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("rgb", "y"),
    [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553), ((0, 0, 255), 40.966)],
)
def test_luma_of_known_colours(rgb: tuple[int, int, int], y: float) -> None:
    """Black is 16, white 235, and the primaries have the weights of BT.601."""
    pixel = torch.tensor(rgb, dtype=torch.uint8).reshape(3, 1, 1)
    assert luma(pixel).item() == pytest.approx(y, abs=1e-9)


def test_a_gray_image_is_its_own_luma() -> None:
    """One band is not squeezed into 16..235."""
    gray = noise(1, 3, 4, dtype=torch.uint8)
    assert torch.equal(luma(gray), gray[0].double())


@pytest.mark.parametrize("difference", [1, 7, 100])
@pytest.mark.parametrize(("bands", "gain"), [(1, 1.0), (3, 219 / 255)])
def test_psnr_of_a_constant_difference(difference: int, bands: int, gain: float) -> None:
    """d levels in every band are d * 219 / 255 levels of luma, in gray d: 20 log10(255 / that) dB."""
    truth = noise(bands, 8, 9, dtype=torch.uint8) // 2
    expected = 20 * log10(255 / (difference * gain))
    assert psnr_y(truth + difference, truth, border=0) == pytest.approx(expected, abs=1e-9)


def test_equal_images() -> None:
    """Equal images have an infinite PSNR and an SSIM of 1."""
    image = noise(3, 16, 16, dtype=torch.uint8)
    assert psnr_y(image, image.clone(), border=2) == inf
    assert ssim_y(image, image.clone(), border=2) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("bands", [1, 3])
@pytest.mark.parametrize("border", [2, 3])
def test_only_the_border_is_left_out(bands: int, border: int) -> None:
    """Pixels within `border` of a side do not count, the next ones do."""
    truth = noise(bands, 18, 20, dtype=torch.uint8)
    damaged_border, damaged_deeper = framed(truth, border, 0), framed(truth, border + 1, 0)
    assert psnr_y(damaged_border, truth, border) == inf
    assert ssim_y(damaged_border, truth, border) == pytest.approx(1, abs=1e-12)
    assert psnr_y(damaged_deeper, truth, border) < 40
    assert ssim_y(damaged_deeper, truth, border) < 0.999


@pytest.mark.parametrize(("bands", "border"), [(1, 0), (3, 0), (3, 2)])
def test_ssim_matches_a_plain_loop(bands: int, border: int) -> None:
    """SSIM is the mean over the windows that lie inside, in 64-bit floats."""
    truth = noise(bands, 17, 19, dtype=torch.uint8)
    other = noise(bands, 17, 19, seed=1, dtype=torch.uint8)
    image = (0.8 * truth.float() + 0.2 * other.float() + 6).round().clamp(0, 255).to(torch.uint8)
    inner = slice(border, -border or None)
    expected = reference_ssim(luma(image)[inner, inner].numpy(), luma(truth)[inner, inner].numpy())
    assert expected < 0.98
    assert ssim_y(image, truth, border) == pytest.approx(expected, abs=1e-9)


def test_ssim_needs_one_window() -> None:
    """With 11 pixels there is one window; with 10 there is none and the answer is nan."""
    image = noise(1, 30, 15, dtype=torch.uint8)
    assert ssim_y(image, image, border=2) == pytest.approx(1)
    assert isnan(ssim_y(image[..., 1:], image[..., 1:], border=2))


@pytest.mark.parametrize("metric", [psnr_y, ssim_y])
def test_a_border_that_leaves_nothing_is_an_error(metric: Callable[[Tensor, Tensor, int], float]) -> None:
    """The message names the border and the size."""
    image = noise(1, 8, 9, dtype=torch.uint8)
    with pytest.raises(ValueError, match="border of 4 leaves nothing of 8 x 9"):
        metric(image, image, 4)
