"""The lessons that an image gives: fathers, sons, what of them is held out, and crops of them."""

import pytest
import torch
from torch import Generator, Tensor
from torch.nn.functional import max_pool2d

from sr_ops.camera.degradation import Degradation
from sr_ops.image import dihedral
from sr_ops.image.resample import downscale, upscale
from sr_ops.learning.damage import Damage
from sr_ops.learning.pairs import Pair, draw_crops, father_son_pyramid, shortest_side
from sr_ops.settings import Network

from .cameras import blur, first_stage, scrambled
from .pictures import noise

STAGE = first_stage()
MIN_SIDE = shortest_side(2)


def mask_with_holes(height: int, width: int) -> Tensor:
    """(1, height, width): 0 in two squares, one at the border, and in one lone pixel; else 1."""
    taught = torch.ones(1, height, width)
    taught[:, 9:20, 11:22] = 0
    taught[:, :8, width - 8 :] = 0
    taught[:, height - 5, 4] = 0
    return taught


CAMERAS = {
    "from scratch": first_stage(),
    "gaussian at x2": first_stage(Network.DIRECT, blur(1.2, 2)),
    "gaussian at x3": first_stage(Network.DIRECT, blur(1.2, 3)),
    "no symmetry, at x4": first_stage(Network.DIRECT, Degradation((scrambled(7),), 4)),
    "the first stage of x8": first_stage(Network.DIRECT, blur(3.0, 8)),
}


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("size", [(48, 48), (33, 71), (20, 40), (17, 20)])
def test_pyramid_levels(size: tuple[int, int], camera: str) -> None:
    """Level i is 0.95^i of the image, of whole sons, with odds 0.9^i, each son what the camera sees of its father.

    The base is what the network will start from. What gives a son of fewer than 4 pixels a side is left out.
    """
    image, stage = noise(3, *size), CAMERAS[camera]
    ratio = stage.ratio
    pyramid = father_son_pyramid(image, stage)
    sizes = [[int(side * 0.95**level) // ratio * ratio for side in size] for level in range(10)]
    assert [list(pair.father.shape[-2:]) for pair in pyramid] == [each for each in sizes if min(each) >= 4 * ratio]
    assert torch.equal(pyramid[0].father, image[:, : sizes[0][0], : sizes[0][1]])
    for level, pair in enumerate(pyramid):
        assert pair.taught is None
        assert pair.ratio == ratio
        assert pair.weight == pytest.approx(0.9**level)
        assert torch.equal(pair.son, stage.undone.apply(pair.father))
        assert torch.equal(pair.base, stage.base(pair.son))
    if camera == "from scratch":
        assert torch.equal(pair.son, downscale(pair.father, 2))
        assert torch.equal(pair.base, upscale(pair.son, 2))


@pytest.mark.parametrize("camera", CAMERAS)
def test_too_small_an_image_is_an_error(camera: str) -> None:
    """The message names the size and the least size; of that one there is a pair."""
    stage = CAMERAS[camera]
    least = shortest_side(stage.ratio)
    for size in ((least - 1, 40), (40, least - 1), (1, 1)):
        with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} is too small.*at least {least}"):
            father_son_pyramid(noise(1, *size), stage)
    assert len(father_son_pyramid(noise(1, least, 40), stage)) == 1


def test_the_levels_are_copies_of_the_whole_image() -> None:
    """A smooth slope keeps its values at every level: no level is a part of the image, shifted or turned."""
    slope = torch.linspace(0.2, 0.8, 71).expand(1, 33, 71) + torch.linspace(0, 0.1, 33)[:, None]
    for pair in father_son_pyramid(slope, STAGE):
        height, width = pair.father.shape[-2:]
        expected = torch.linspace(0.2, 0.8, width).expand(1, height, width) + torch.linspace(0, 0.1, height)[:, None]
        torch.testing.assert_close(pair.father, expected, rtol=0, atol=0.02)


@pytest.mark.parametrize("size", [(48, 48), (33, 71), (64, 41), (100, 30), (25, 27)])
def test_nothing_is_learned_from_a_held_out_pixel_at_any_level(size: tuple[int, int]) -> None:
    """Where other held-out pixels change a father at all, it is not taught; three pixels farther off, it is."""
    image = noise(1, *size).double()
    taught = mask_with_holes(*size)
    changed_image = torch.where(taught == 0, noise(1, *size, seed=1).double() * 4 - 2, image)
    before, after = father_son_pyramid(image, STAGE, taught), father_son_pyramid(changed_image, STAGE, taught)
    for pair, changed_pair in zip(before, after, strict=True):
        assert pair.taught is not None
        assert pair.taught.shape == (1, *pair.father.shape[-2:])
        assert set(pair.taught.unique().tolist()) == {0.0, 1.0}
        assert pair.taught.dtype == torch.float32
        changed = ((changed_pair.father - pair.father).abs() > 1e-4).float()
        assert float((changed * pair.taught).sum()) == 0
        near = max_pool2d(changed, 7, stride=1, padding=3)
        assert bool(((near > 0) | (pair.taught == 1)).all())


def test_the_first_level_is_taught_as_the_image_is() -> None:
    """At full size the mask is handed on as it is, less the row and column that even sides leave out."""
    taught = mask_with_holes(33, 45)
    first = father_son_pyramid(noise(1, 33, 45), STAGE, taught)[0].taught
    assert first is not None
    assert torch.equal(first, taught[:, :32, :44])


def test_the_mask_changes_no_father_and_no_son() -> None:
    """It says what may be looked at; the pixels are those without it."""
    image = noise(3, 40, 33)
    free, held_out = (father_son_pyramid(image, STAGE, taught) for taught in (None, mask_with_holes(40, 33)))
    for pair, masked in zip(free, held_out, strict=True):
        assert torch.equal(pair.father, masked.father)
        assert torch.equal(pair.son, masked.son)
        assert pair.weight == masked.weight


def test_crops_are_aligned() -> None:
    """Away from its border a son's crop is the `downscale` of its father's: noise shows any shift or turn."""
    crops = draw_crops(father_son_pyramid(noise(3, 40, 60), STAGE), 24, 30, Generator().manual_seed(0))
    assert crops.sons.shape == (30, 3, 12, 12)
    assert crops.fathers.shape == (30, 3, 24, 24)
    assert crops.taught is None
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(downscale(crops.fathers, 2)[inner], crops.sons[inner], rtol=0, atol=1e-5)
    larger = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(upscale(crops.sons, 2)[larger], crops.bases[larger], rtol=0, atol=1e-5)


def test_the_mask_is_cut_and_turned_as_its_father_is() -> None:
    """Fathers that are their own masks stay so, crop by crop, though drawn from several pairs in every turn."""
    masks = [(noise(1, *size, seed=7) > 0.4).float() for size in ((20, 28), (24, 24), (30, 18))]
    pairs = [Pair(mask, downscale(mask, 2), mask, 1.0, mask) for mask in masks]
    crops = draw_crops(pairs, 12, 60, Generator().manual_seed(0))
    assert crops.taught is not None
    assert crops.taught.shape == (60, 1, 12, 12)
    assert torch.equal(crops.taught, crops.fathers)


def test_a_mask_changes_no_draw() -> None:
    """The same generator draws the same crops with a mask as without one."""
    image, taught = noise(3, 40, 60), mask_with_holes(40, 60)
    free = draw_crops(father_son_pyramid(image, STAGE), 24, 8, Generator().manual_seed(3))
    masked = draw_crops(father_son_pyramid(image, STAGE, taught), 24, 8, Generator().manual_seed(3))
    assert torch.equal(free.sons, masked.sons)
    assert torch.equal(free.fathers, masked.fathers)
    assert masked.taught is not None
    assert 0 < float(masked.taught.mean()) < 1


def test_the_draws_depend_on_the_generator_alone() -> None:
    """Equal generators draw equal crops, another one others, and torch's own random state is not touched."""
    pyramid = father_son_pyramid(noise(1, 30, 30), STAGE)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        first = draw_crops(pyramid, 16, 4, Generator().manual_seed(5))
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(draw_crops(pyramid, 16, 4, Generator().manual_seed(5)).fathers, first.fathers)
    assert not torch.equal(draw_crops(pyramid, 16, 4, Generator().manual_seed(6)).fathers, first.fathers)


def test_crops_fit_the_smallest_level() -> None:
    """Where the crop asked for is larger than the smallest father, all crops are as large as that allows."""
    taught = torch.ones(1, MIN_SIDE, 30)
    crops = draw_crops(father_son_pyramid(noise(1, MIN_SIDE, 30), STAGE, taught), 64, 5, Generator().manual_seed(0))
    assert crops.sons.shape == (5, 1, 4, 4)
    assert crops.bases.shape == crops.fathers.shape == (5, 1, 8, 8)
    assert crops.taught is not None
    assert crops.taught.shape == (5, 1, 8, 8)


def test_every_place_and_every_turn_is_drawn() -> None:
    """From a 3 x 4 son, crops of 2 x 2 come from all 6 places, each in all 8 turns."""
    son = torch.arange(12.0).reshape(1, 3, 4)
    pair = Pair(upscale(son, 2), son, upscale(son, 2), 1.0)
    sons = draw_crops((pair,), 4, 1000, Generator().manual_seed(0)).sons
    assert len({tuple(sorted(crop.flatten().tolist())) for crop in sons}) == 6
    assert len({tuple(crop.flatten().tolist()) for crop in sons}) == 6 * dihedral.ORDER


def test_levels_are_drawn_by_their_odds() -> None:
    """A level of three times the weight is drawn three times as often."""
    pyramid = tuple(
        Pair(*(torch.full((1, side, side), level) for side in (4, 2, 4)), 1 + 2 * level) for level in (0.0, 1.0)
    )
    crops = draw_crops(pyramid, 4, 4000, Generator().manual_seed(0))
    assert float(crops.sons.mean()) == pytest.approx(0.75, abs=0.03)
    assert torch.equal(crops.sons.mean((1, 2, 3)), crops.fathers.mean((1, 2, 3)))


def test_sons_are_damaged_and_fathers_are_not() -> None:
    """Noise of the given strength in every son, another in each level, the same for the same seed."""
    image, damage = noise(2, 60, 64), Damage(torch.tensor([0.1, 0.02]))
    clean, damaged = father_son_pyramid(image, STAGE), father_son_pyramid(image, STAGE, None, damage, 5)
    added = [with_noise.son - without.son for with_noise, without in zip(damaged, clean, strict=True)]
    for with_noise, without in zip(damaged, clean, strict=True):
        assert torch.equal(with_noise.father, without.father)
        assert with_noise.weight == without.weight
    for noise_of_level in added:
        torch.testing.assert_close(noise_of_level.std((1, 2)), torch.tensor([0.1, 0.02]), rtol=0.25, atol=0)
    assert not torch.equal(added[0][:, :20, :20], added[1][:, :20, :20])
    again = father_son_pyramid(image, STAGE, None, damage, 5)
    assert all(torch.equal(one.son, other.son) for one, other in zip(again, damaged, strict=True))
    other_seed = father_son_pyramid(image, STAGE, None, damage, 6)
    assert not torch.equal(other_seed[0].son, damaged[0].son)


def test_odds_of_levels_are_as_told() -> None:
    """Each level is drawn so many times as often as the next larger one."""
    pyramid = father_son_pyramid(noise(1, 60, 64), STAGE, odds=0.5)
    assert len(pyramid) == 10
    assert [pair.weight for pair in pyramid] == [0.5**level for level in range(10)]


def test_noise_beside_the_images_own() -> None:
    """Variances add; of an image without noise it is all there is."""
    torch.testing.assert_close(Damage(torch.tensor([0.3, 0.0])).with_noise(0.4).noise, torch.tensor([0.5, 0.4]))
    assert Damage().with_noise(0.02).sigmas == pytest.approx((0.02,))
    assert Damage().with_noise(0.0).noise is None
