"""Power by octaves, of fields whose spectrum is known because it was drawn."""

import pytest
import torch
from torch import Generator, Tensor

from sr_ops.measures.octaves import OctavePowers

SIDE = 256


def scene(exponent: float, gain: float = 1.0, seed: int = 0, ratio: int = 2) -> Tensor:
    """Random phases under power 1 / f^exponent, times `gain` beyond half a cycle per LR pixel."""
    frequency = torch.hypot(torch.fft.fftfreq(SIDE)[:, None], torch.fft.rfftfreq(SIDE)).double() * ratio
    amplitude = frequency.clamp_min(ratio / SIDE) ** (-exponent / 2)
    amplitude[frequency > 0.5] *= gain**0.5
    drawn = torch.randn(2, *frequency.shape, generator=Generator().manual_seed(seed), dtype=torch.float64)
    return torch.fft.irfft2(torch.complex(*drawn) * amplitude, s=(SIDE, SIDE))


def excess(image: Tensor, ratio: float = 2) -> float:
    powers = OctavePowers.of(image, torch.ones(image.shape, dtype=torch.bool), (ratio, ratio))
    assert powers is not None
    found = powers.excess()
    assert found is not None
    return found


@pytest.mark.parametrize("exponent", [1.5, 2.0, 3.0])
@pytest.mark.parametrize("ratio", [2, 4])
def test_a_scene_of_any_slope_has_no_excess(exponent: float, ratio: int) -> None:
    """Whatever its contrast."""
    assert excess(700 * scene(exponent, ratio=ratio), ratio) == pytest.approx(0, abs=4)


@pytest.mark.parametrize("ratio", [2, 3, 4, 8])
def test_a_checkerboard_is_found_at_any_scale(ratio: int) -> None:
    """It is the highest frequency that there is, octaves beyond the data."""
    image = scene(2.5, ratio=ratio)
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    board = 0.3 * image.std() * (1 - 2 * ((rows + columns) % 2))
    assert excess(image + board, ratio) > excess(image, ratio) + 10


@pytest.mark.parametrize("decibels", [-10, 6, 20])
def test_what_is_added_beyond_the_data_is_told_in_decibels(decibels: float) -> None:
    found = excess(scene(2.0, 10 ** (decibels / 10))) - excess(scene(2.0))
    assert found == pytest.approx(decibels, abs=0.7)


def test_other_ratios_along_the_axes() -> None:
    """Stretched along one axis, a scene that is seen with that ratio has the same octaves, none of them empty."""
    image = scene(2.0).repeat_interleave(2, 1)
    powers = OctavePowers.of(image, torch.ones(image.shape, dtype=torch.bool), (2.0, 4.0))
    assert powers is not None
    assert powers.excess() == pytest.approx(excess(scene(2.0)), abs=1.5)


def test_parts_add_up() -> None:
    parts = [scene(2.0, seed=seed) for seed in range(2)]
    everywhere = torch.ones(SIDE, SIDE, dtype=torch.bool)
    one, other = (OctavePowers.of(part, everywhere, (2, 2)) for part in parts)
    both = OctavePowers.of(torch.cat(parts, 1), torch.ones(SIDE, 2 * SIDE, dtype=torch.bool), (2, 2))
    assert one is not None
    assert other is not None
    assert both is not None
    total = one + other
    assert total.sums == pytest.approx([mine + theirs for mine, theirs in zip(one.sums, other.sums, strict=True)])
    ratios = [of_sum / of_both for of_sum, of_both in zip(total.sums, both.sums, strict=True)]
    assert max(ratios) / min(ratios) < 1.5


def test_unknown_blocks_do_not_count() -> None:
    """A fill that would be an edge is in none of the blocks that count; of no block there is nothing to tell."""
    image, known = scene(2.0), torch.ones(SIDE, SIDE, dtype=torch.bool)
    spoiled, known[:32] = image.clone(), False
    spoiled[:32] = 1e6
    assert OctavePowers.of(spoiled, known, (2, 2)) == OctavePowers.of(image, known, (2, 2))
    assert OctavePowers.of(spoiled, known, (2, 2)) != OctavePowers.of(spoiled, torch.ones_like(known), (2, 2))
    assert OctavePowers.of(image, torch.zeros_like(known), (2, 2)) is None


@pytest.mark.parametrize(("shape", "ratio"), [((63, 200), 2.0), ((200, 63), 2.0), ((200, 200), 1.5)])
def test_what_is_too_small(shape: tuple[int, int], ratio: float) -> None:
    image = torch.rand(shape)
    assert OctavePowers.of(image, image >= 0, (ratio, ratio)) is None


def test_a_flat_image_has_no_slope() -> None:
    powers = OctavePowers.of(torch.full((64, 64), 9.0), torch.ones(64, 64, dtype=torch.bool), (2, 2))
    assert powers is not None
    assert powers.excess() is None
