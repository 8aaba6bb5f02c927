"""How noise grows with brightness, told from scenes whose noise is known."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from torch import Generator, Tensor

from sr_ops.estimation.jpeg import round_to_steps, steps_of_quality
from sr_ops.estimation.noise_line import NoiseLine, noise_line
from sr_ops.estimation.signs import Signs
from sr_ops.learning.damage import find_damage

from .fixture_types import ReadRecords, Srpipe
from .rasters import write_raster
from .scenes import scene, seen

LEVEL = 1 / 255


def shaded(seed: int, side: int = 320) -> Tensor:
    """(1, side, side): a scene that is darker above, as seen by a camera, from about 0.15 to 0.85."""
    shade = torch.linspace(0.2, 0.8, 2 * side)[:, None]
    return seen((scene(2 * side, seed) - 0.5 + shade).clamp(0, 1), 1.2, 1.2, 0)


def noisy(clean: Tensor, offset: float, slope: float) -> Tensor:
    """8 bits, noise of a variance of offset + slope * level, in grey levels."""
    sigma = (offset + slope * 255 * clean).sqrt() * LEVEL
    image = clean + sigma * torch.randn(clean.shape, generator=Generator().manual_seed(8))
    return (image * 255).round().clamp(0, 255) / 255


def line_of(image: Tensor) -> NoiseLine:
    """In grey levels."""
    (line,) = Signs(image).noise_lines
    assert line is not None
    return NoiseLine(line.offset / LEVEL**2, line.slope / LEVEL)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("offset", "slope"), [(4.0, 0.2), (1.0, 0.4), (60.0, -0.2)])
def test_a_line_is_found(offset: float, slope: float, seed: int) -> None:
    """The slope within a third, the variance at a dark, a middle and a bright level within 0.3 of the middle's."""
    found = line_of(noisy(shaded(seed), offset, slope))
    assert found.slope == pytest.approx(slope, rel=1 / 3)
    middle = offset + slope * 128
    for level in (50, 128, 205):
        assert found.variance(level) == pytest.approx(offset + slope * level, abs=0.3 * middle), level


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sigma", [2.0, 6.0])
def test_noise_that_is_the_same_everywhere_has_no_slope(sigma: float, seed: int) -> None:
    """From black to white its variance changes by less than a quarter."""
    found = line_of(noisy(shaded(seed), sigma**2, 0))
    assert abs(found.slope) * 255 < sigma**2 / 4
    assert found.variance(128) == pytest.approx(sigma**2, rel=0.25)


@pytest.mark.parametrize("seed", range(2))
def test_what_is_cut_off_at_the_ends_makes_no_slope(seed: int) -> None:
    """Black has no noise to be seen: it is not taken for noise that grows with the light."""
    clean = shaded(seed)
    clean[:, :60] = 0
    found = line_of(noisy(clean, 36, 0))
    assert abs(found.slope) * 255 < 36 / 5
    assert found.variance(200) == pytest.approx(36, rel=0.3)


def test_no_line_is_told_of_levels_that_are_alike() -> None:
    """Nor of an image too small for three parts, nor of what is flat."""
    estimate = Signs(noisy(shaded(1), 9, 0)).estimate
    assert estimate is not None
    even = noisy(0.5 + 0.2 * (shaded(1) - shaded(1).mean(-1, keepdim=True)), 9, 0)
    assert noise_line(even[0], None, estimate) is None
    assert noise_line(noisy(shaded(1), 9, 0)[0, :40, :48], None, estimate) is None
    assert Signs(torch.full((2, 128, 128), 0.5)).noise_lines == (None, None)


def test_each_band_has_its_own_line_where_noise_was_measured() -> None:
    """Not of a clean image, nor of a JPEG, nor where the noise was told."""
    clean = shaded(2).expand(2, -1, -1)
    image = torch.cat([noisy(clean[:1], 25, 0), noisy(clean[1:], 1, 0.4)])
    even, growing = find_damage(Signs(image)).lines
    assert even is not None
    assert growing is not None
    assert abs(even.slope) < growing.slope / 4
    assert find_damage(Signs(image), torch.tensor([0.02])).lines == ()
    assert find_damage(Signs(clean)).lines == ()
    jpeg = round_to_steps(noisy(shaded(2), 900, 0), steps_of_quality(70)).clamp(0, 1)
    spoiled = find_damage(Signs(jpeg))
    assert spoiled.noise is not None
    assert spoiled.lines == ()


def test_the_record_has_it_in_the_file_s_units(srpipe: Srpipe, tmp_path: Path, read_records: ReadRecords) -> None:
    """Counts of 16 bits that begin far above 0: variance = offset + slope * count, by band."""
    image = noisy(shaded(2), 4, 0.3)
    counts = (3000 + 40 * 255 * image).round().numpy().astype(np.uint16)
    counts = np.concatenate([counts, 2 * counts])
    write_raster(tmp_path / "a.tif", counts, transform=rasterio.Affine(10, 0, 0, 0, -10, 0))
    ran = ("--method", "bicubic", "--executor", "inline", "-s", "2", "-o", "out")
    assert srpipe("run", "a.tif", *ran)[0] == 0
    (record,) = read_records("out").values()
    slopes, offsets = record["noise_slope"], record["noise_offset"]
    assert slopes == pytest.approx([0.3 * 40, 0.3 * 80], rel=1 / 3)
    for gain, slope, offset in zip((1, 2), slopes, offsets, strict=True):
        middle = gain * (3000 + 40 * 128)
        assert offset + slope * middle == pytest.approx((4 + 0.3 * 128) * (40 * gain) ** 2, rel=0.25)
