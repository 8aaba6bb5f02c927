"""What is measured as noise, and how damage is put into sons."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.estimation.jpeg import round_to_steps, steps_of_quality
from sr_ops.estimation.signs import Signs
from sr_ops.learning.damage import CLEAN, Damage, find_damage, noise_sigma
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.settings import Method, Settings

from .pictures import checkerboard, noise, star, white_noise
from .scenes import scene


def slope(side: int) -> Tensor:
    return 0.2 + 0.6 * (torch.arange(side)[:, None] + 0.5 * torch.arange(side))[None] / (1.5 * side)


@pytest.mark.parametrize("sigma", [0.004, 0.02, 0.06])
@pytest.mark.parametrize("ground", [lambda side: torch.full((1, side, side), 0.5), slope])
@pytest.mark.parametrize("side", [48, 200])
def test_white_noise_is_measured(sigma: float, ground: Callable[[int], Tensor], side: int) -> None:
    """On flat or sloping ground the answer is within 15 %, of a small image, which has few blocks, within 30 %."""
    measured = noise_sigma(ground(side) + sigma * white_noise(1, side, side))
    assert measured.shape == (1,)
    assert float(measured) == pytest.approx(sigma, rel=0.15 if side == 200 else 0.3)


def test_noise_is_measured_despite_texture() -> None:
    """Where a part of the image is smooth, sharp rays in the rest are not taken for noise."""
    image = torch.cat([star(200), slope(200)], dim=-1) + 0.02 * white_noise(1, 200, 400)
    assert float(noise_sigma(image)) == pytest.approx(0.02, rel=0.25)


@pytest.mark.parametrize(
    "image",
    [
        checkerboard(200, 20),
        slope(200),
        torch.full((1, 200, 200), 0.3),
        0.5 + 0.3 * torch.sin(torch.arange(200) / 20).expand(1, 200, 200),
        0.5 + 0.3 * torch.sin(torch.arange(200)[:, None] / 20) * torch.cos(torch.arange(200) / 20)[None, None],
    ],
    ids=["checkerboard", "slope", "flat", "waves", "hills"],
)
def test_an_image_without_noise_has_none(image: Tensor) -> None:
    """Straight edges and smooth changes are no noise."""
    assert float(noise_sigma(image)) < 2e-4


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_or_white_has_no_noise(level: float) -> None:
    """Where every block is cut off at the end of the range nothing is known, and nothing is said."""
    assert float(noise_sigma(torch.full((1, 40, 40), level))) == 0
    cut_off = (level + 0.02 * white_noise(1, 40, 40)).clamp(0, 1)
    assert float(noise_sigma(cut_off)) == 0


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_noise_that_is_cut_off_is_not_counted(level: float) -> None:
    """Half an image at the end of the range, where noise looks weaker, does not hide the noise of the other half."""
    image = torch.full((1, 200, 200), 0.5)
    image[..., 100:] = level
    measured = noise_sigma((image + 0.02 * white_noise(1, 200, 200)).clamp(0, 1))
    assert float(measured) == pytest.approx(0.02, rel=0.2)


def test_each_band_has_its_own_noise() -> None:
    """The answer for a band is that for it alone."""
    strengths = torch.tensor([0.03, 0.0, 0.01, 0.1])[:, None, None]
    image = 0.5 + strengths * white_noise(4, 100, 100)
    measured = noise_sigma(image)
    alone = torch.cat([noise_sigma(image[[band]]) for band in range(4)])
    torch.testing.assert_close(measured, alone)
    torch.testing.assert_close(measured, strengths.flatten(), rtol=0.25, atol=1e-6)


def immerkaer(window: np.ndarray) -> float:
    """Root mean square over a block of the difference of two Laplacians, loop by loop; 1 of white noise of 1."""
    height, width = window.shape
    kernel = ((1, -2, 1), (-2, 4, -2), (1, -2, 1))
    total = 0.0
    for row in range(1, height - 1):
        for column in range(1, width - 1):
            response = 0.0
            for down in range(3):
                for across in range(3):
                    response += kernel[down][across] * window[row + down - 1, column + across - 1]
            total += response**2
    norm = sum(weight**2 for row in kernel for weight in row)
    return float((total / norm / ((height - 2) * (width - 2))) ** 0.5)


def test_one_block_is_immerkaers_formula() -> None:
    """Bands of a single block each give the formula's figures, all up to one factor, which noise of 1 tells."""
    bands = noise(6, 10, 10).double()
    ratios = np.array([immerkaer(band.numpy()) for band in bands]) / noise_sigma(bands).numpy()
    assert ratios == pytest.approx([ratios[0]] * 6, rel=1e-5)
    assert 0.6 < ratios[0] < 1


def test_the_smoothest_twentieth_of_all_blocks_counts() -> None:
    """The answer is that quantile of the formula over the whole blocks of 8 x 8, without those that see a hole."""
    image = noise(1, 45, 93).double() * torch.linspace(0.1, 1, 93)
    known = torch.ones(45, 93, dtype=torch.bool)
    known[20, 8] = False  # in one block, and in the frame around the next
    of_block = {
        (row, column): immerkaer(image[0, 8 * row : 8 * row + 10, 8 * column : 8 * column + 10].numpy())
        for row in range(5)
        for column in range(11)
    }
    single = noise(1, 10, 10).double()
    factor = float(noise_sigma(single)) / immerkaer(single[0].numpy())
    expected = factor * np.quantile(list(of_block.values()), 0.05)
    assert float(noise_sigma(image)) == pytest.approx(expected, rel=1e-5)
    del of_block[2, 0], of_block[2, 1]
    expected = factor * np.quantile(list(of_block.values()), 0.05)
    assert float(noise_sigma(image, known)) == pytest.approx(expected, rel=1e-5)
    assert float(noise_sigma(image, torch.zeros_like(known))) == 0


@pytest.mark.parametrize(("level", "inside"), [(0.0, 1e-6), (1.0, 1 - 1e-6)])
def test_one_pixel_at_the_end_of_the_range_leaves_its_block_out(level: float, inside: float) -> None:
    """Of two blocks the other is the answer; a pixel almost there, or in the frame around the blocks, does nothing."""
    window = 0.25 + 0.5 * noise(1, 10, 18)
    for row, column, kept in ((4, 3, slice(8, 18)), (8, 8, slice(8, 18)), (1, 9, slice(0, 10)), (0, 3, slice(0, 18))):
        nearly, at_the_end = window.clone(), window.clone()
        nearly[..., row, column], at_the_end[..., row, column] = inside, level
        assert float(noise_sigma(at_the_end)) == pytest.approx(float(noise_sigma(nearly[..., kept])), rel=1e-4)


def noisy(sigma: float, side: int = 96, bands: int = 1) -> Tensor:
    return 0.5 + sigma * white_noise(bands, side, side)


def found(image: Tensor) -> Damage:
    return find_damage(Signs(image))


def test_only_visible_noise_is_damage() -> None:
    """From 3 grey levels on, of a kernel other than bicubic from 0.7 on; and the noisiest band decides."""
    assert found(noisy(2.4 / 255)).noise is None
    assert find_damage(Signs(noisy(1 / 255)), by_bicubic=False).noise is not None
    assert find_damage(Signs(noisy(0.5 / 255)), by_bicubic=False).noise is None
    assert float(found(noisy(4 / 255)).noise) == pytest.approx(4 / 255, rel=0.2)  # type: ignore[arg-type]
    image = 0.5 + torch.tensor([1, 2, 14])[:, None, None] / 255 * white_noise(3, 96, 96)
    noise_of_bands = found(image).noise
    assert noise_of_bands is not None
    torch.testing.assert_close(noise_of_bands * 255, torch.tensor([1.0, 2, 14]), rtol=0.25, atol=0)


def test_fine_texture_is_not_noise() -> None:
    """A scene may differ from pixel to pixel as if by noise, but falls off towards high frequencies."""
    busy = scene(192)
    assert float(noise_sigma(busy)) > 2.5 / 255
    assert found(busy).noise is None
    noise = found(busy + 4 / 255 * white_noise(1, 192, 192)).noise
    assert noise is not None
    assert float(noise) == pytest.approx(4 / 255, rel=0.25)


def test_a_small_jpeg_is_not_called_noisy() -> None:
    """Below 96 pixels a side it has too few blocks to tell noise from texture."""
    steps = steps_of_quality(60)
    assert found(round_to_steps(noisy(0.2, 96), steps)).noise is not None
    small = found(round_to_steps(noisy(0.2, 95), steps))
    assert small.noise is None
    assert not small.looked


def test_a_tiny_image_is_not_called_clean() -> None:
    """It has no spectrum that could tell noise from texture: its noise is not known."""
    tiny = found(noisy(20 / 255, 24))
    assert tiny.noise is None
    assert not tiny.looked
    assert found(noisy(0, 24)).looked


def test_noise_put_into_sons_is_that_of_the_image() -> None:
    """White, of the measured strength in each band, and the same again for the same generator's state."""
    damage = Damage(torch.tensor([0.1, 0.02]))
    sons = torch.full((5, 2, 60, 60), 0.5)
    damaged = damage.put_into(sons, Generator().manual_seed(3))
    added = damaged - sons
    torch.testing.assert_close(added.std((0, 2, 3)), torch.tensor([0.1, 0.02]), rtol=0.05, atol=0)
    assert abs(float((added[..., 1:] * added[..., :-1]).mean())) < 2e-4
    assert torch.equal(damage.put_into(sons, Generator().manual_seed(3)), damaged)
    assert not torch.equal(damage.put_into(sons, Generator().manual_seed(4)), damaged)


def test_jpeg_comes_after_the_noise() -> None:
    """As in a camera: what is left is on the comb of the steps, noise and all."""
    steps = steps_of_quality(20)
    damaged = Damage(torch.tensor([0.1]), steps).put_into(noise(1, 64, 64), Generator().manual_seed(0))
    torch.testing.assert_close(round_to_steps(damaged, steps), damaged, rtol=0, atol=1e-5)


def test_what_is_clean_stays() -> None:
    """No damage changes nothing, and draws nothing."""
    sons, generator = noise(2, 3, 16, 16), Generator().manual_seed(0)
    before = generator.get_state()
    assert torch.equal(CLEAN.put_into(sons, generator), sons)
    assert torch.equal(generator.get_state(), before)
    assert found(slope(96)) == CLEAN


def test_a_clean_image_shares_the_degradation_of_its_camera() -> None:
    """What a degradation has found out about itself is then found once for all images of a run."""
    degradation = Degradation((bicubic(2),), 2)
    assert Damage().as_noise_of(degradation) is degradation
    assert Damage(torch.tensor([0.1])).as_noise_of(degradation).noise == pytest.approx((0.1,))


def test_damage_is_found_where_no_part_can_be_spared() -> None:
    """An image of less than 48 pixels a side can spare none at x4, but may be a JPEG all the same."""
    steps = steps_of_quality(40)
    lr = round_to_steps(scene(44, bands=3), steps).clamp(0, 1)
    observation = Observation(lr, Degradation((bicubic(4),), 4))
    told = fit_stages(observation, Settings(scale=4, method=Method.BICUBIC), None).model.told
    assert told is not None
    assert torch.equal(told, Damage(jpeg_steps=steps).told(3))
