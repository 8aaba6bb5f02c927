"""What is measured as noise, and as the blocks of JPEG."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn.functional import avg_pool2d

from jobs.scenes import photograph_scene, satellite_scene
from sr_ops.damage import blocking, noise_sigma
from sr_ops.held_out import hold_out


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=Generator().manual_seed(seed))


def white_noise(*shape: int, seed: int = 0) -> Tensor:
    """Of standard deviation 1."""
    return torch.randn(shape, generator=Generator().manual_seed(seed))


def star(side: int) -> Tensor:
    """(1, side, side): 14 sharp rays."""
    fine = torch.arange(4 * side) / 4 - side / 2 + 0.1
    rays = torch.sin(7 * torch.atan2(fine[:, None], fine) + 0.3) > 0
    return avg_pool2d(0.2 + 0.6 * rays.float()[None], 4)


def windows_of(image: Tensor) -> Tensor:
    parts = hold_out(image, 0)
    assert parts is not None
    return parts.windows


def slope(side: int) -> Tensor:
    return 0.2 + 0.6 * (torch.arange(side)[:, None] + 0.5 * torch.arange(side))[None] / (1.5 * side)


@pytest.mark.parametrize("sigma", [0.004, 0.02, 0.06])
@pytest.mark.parametrize("ground", [lambda side: torch.full((1, side, side), 0.5), slope])
@pytest.mark.parametrize("side", [48, 200])
def test_white_noise_is_measured(sigma: float, ground: Callable[[int], Tensor], side: int) -> None:
    """On flat or sloping ground the answer is within 15 %, of a small image, which has few blocks, within 30 %."""
    measured = noise_sigma(windows_of(ground(side) + sigma * white_noise(1, side, side)))
    assert measured.shape == (1,)
    assert float(measured) == pytest.approx(sigma, rel=0.15 if side == 200 else 0.3)


def test_noise_is_measured_despite_texture() -> None:
    """Where a part of the image is smooth, sharp rays in the rest are not taken for noise."""
    image = torch.cat([star(200), slope(200)], dim=-1) + 0.02 * white_noise(1, 200, 400)
    assert float(noise_sigma(windows_of(image))) == pytest.approx(0.02, rel=0.25)


def checkerboard(side: int, cell: int) -> Tensor:
    cells = torch.arange(side) // cell
    return 0.2 + 0.6 * ((cells[:, None] + cells) % 2).float()[None]


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
    assert float(noise_sigma(windows_of(image))) < 2e-4


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_black_or_white_has_no_noise(level: float) -> None:
    """Where every block is cut off at the end of the range nothing is known, and nothing is said."""
    assert float(noise_sigma(torch.full((3, 1, 40, 40), level))) == 0
    cut_off = (level + 0.02 * white_noise(3, 1, 40, 40)).clamp(0, 1)
    assert float(noise_sigma(cut_off)) == 0


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_noise_that_is_cut_off_is_not_counted(level: float) -> None:
    """Half an image at the end of the range, where noise looks weaker, does not hide the noise of the other half."""
    image = torch.full((1, 200, 200), 0.5)
    image[..., 100:] = level
    measured = noise_sigma(windows_of((image + 0.02 * white_noise(1, 200, 200)).clamp(0, 1)))
    assert float(measured) == pytest.approx(0.02, rel=0.2)


def test_each_band_has_its_own_noise() -> None:
    """The answer for a band is that for its windows alone."""
    strengths = torch.tensor([0.03, 0.0, 0.01, 0.1])[:, None, None]
    windows = windows_of(0.5 + strengths * white_noise(4, 100, 100))
    measured = noise_sigma(windows)
    alone = torch.cat([noise_sigma(windows[:, [band]]) for band in range(4)])
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
    """Windows of a single block each give the formula's figures, all up to one factor, which noise of 1 tells."""
    windows = noise(6, 1, 10, 10).double()
    measured = [float(noise_sigma(window[None])) for window in windows]
    ratios = np.array([immerkaer(window[0].numpy()) for window in windows]) / measured
    assert ratios == pytest.approx([ratios[0]] * 6, rel=1e-5)
    assert 0.6 < ratios[0] < 1


def test_the_smoothest_tenth_of_all_blocks_counts() -> None:
    """The answer is the first decile of the formula over the whole blocks of 8 x 8 in all windows."""
    windows = noise(3, 1, 30, 21).double() * torch.linspace(0.1, 1, 21)
    blocks = [
        immerkaer(window[0, 8 * row : 8 * row + 10, 8 * column : 8 * column + 10].numpy())
        for window in windows
        for row in range(3)
        for column in range(2)
    ]
    single = noise(1, 1, 10, 10).double()
    factor = float(noise_sigma(single)) / immerkaer(single[0, 0].numpy())
    assert float(noise_sigma(windows)) == pytest.approx(factor * np.quantile(blocks, 0.1), rel=1e-5)


@pytest.mark.parametrize(("level", "inside"), [(0.0, 1e-6), (1.0, 1 - 1e-6)])
def test_one_pixel_at_the_end_of_the_range_leaves_its_block_out(level: float, inside: float) -> None:
    """Of two blocks the other is the answer; a pixel almost there, or in the frame around the blocks, does nothing."""
    window = 0.25 + 0.5 * noise(1, 1, 10, 18)
    for row, column, kept in ((4, 3, slice(8, 18)), (8, 8, slice(8, 18)), (1, 9, slice(0, 10)), (0, 3, slice(0, 18))):
        nearly, at_the_end = window.clone(), window.clone()
        nearly[..., row, column], at_the_end[..., row, column] = inside, level
        assert float(noise_sigma(at_the_end)) == pytest.approx(float(noise_sigma(nearly[..., kept])), rel=1e-4)


def scene(draw: Callable[[int], np.ndarray], quality: int | None) -> Tensor:
    """(3, 160, 160) of a scene, compressed at a JPEG quality or not at all."""
    buffer = io.BytesIO()
    picture = Image.fromarray(draw(160))
    picture.save(buffer, "PNG") if quality is None else picture.save(buffer, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(buffer).convert("RGB"))).permute(2, 0, 1).float() / 255


@pytest.mark.parametrize("draw", [photograph_scene, satellite_scene])
def test_blocks_of_jpeg_are_seen(draw: Callable[[int], np.ndarray]) -> None:
    """The coarser the compression, the more; an image that was never compressed shows less than a level."""
    levels = [blocking(scene(draw, quality)) * 255 for quality in (5, 15, 40)]
    assert levels[0] > levels[1] > levels[2]
    assert levels[1] > 2
    assert blocking(scene(draw, None)) * 255 < 1


def test_blocks_are_counted_where_jpeg_puts_them() -> None:
    """The step across the borders of 8 x 8 blocks, in both directions: elsewhere, or in one direction, it is none."""
    cells = torch.arange(96) // 8
    board = 0.4 + 0.1 * (cells[:, None] + cells).remainder(2)[None]
    assert blocking(board) == pytest.approx(0.1, rel=0.15)
    assert blocking(board.expand(3, -1, -1)) == pytest.approx(0.1, rel=0.15)
    assert blocking(board.roll(3, -1)) < 1e-6
    assert blocking(0.4 + 0.1 * cells.remainder(2).expand(1, 96, 96)) == 0
    assert blocking(torch.full((1, 96, 96), 0.5)) == 0


def test_too_few_blocks_tell_nothing() -> None:
    """Below 64 pixels a side the picture's own edges may lie on the borders by chance."""
    cells = torch.arange(64) // 8
    board = 0.4 + 0.1 * (cells[:, None] + cells).remainder(2)[None]
    assert blocking(board) > 0
    assert blocking(board[:, :63]) == blocking(board[:, :, :63]) == 0
