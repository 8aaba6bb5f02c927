"""Whether a network may be trusted: the parts kept from its fit, and the question asked of them."""

from collections.abc import Callable
from math import isnan, log10, nan

import pytest
import torch
from torch import Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.enlarging.stages import Stage
from sr_ops.estimation.jpeg import round_to_steps, steps_of_quality
from sr_ops.image.domain import Domain
from sr_ops.image.resample import downscale, upscale
from sr_ops.learning.damage import CLEAN, Damage
from sr_ops.learning.held_out import Examination, HeldOut, hold_out, whole
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.settings import Network

from .cameras import blur, first_stage, network_at_start, scrambled, untold
from .pictures import noise, star, white_noise

SIZES = [(24, 24), (25, 40), (49, 31), (24, 200), (48, 48), (101, 120), (160, 240), (400, 500)]
some_sizes = pytest.mark.parametrize("size", SIZES)
ratios = pytest.mark.parametrize("ratio", [2, 3, 4])
STAGES = {
    "from scratch": first_stage(),
    "gaussian at x2": first_stage(Network.DIRECT, blur(1.3, 2)),
    "no symmetry, at x3": first_stage(Network.DIRECT, Degradation((scrambled(9),), 3)),
    "noise, at x4": first_stage(Network.DIRECT, blur(1.8, 4, 0.02)),
}
some_stages = pytest.mark.parametrize("stage", STAGES)


def held(image: Tensor, seed: int = 0, ratio: int = 2) -> HeldOut:
    parts = hold_out(image, ratio, seed)
    assert parts is not None
    return parts


def examination(parts: HeldOut, stage: Stage | None = None, damage: Damage = CLEAN, seed: int = 0) -> Examination:
    return Examination(parts, stage or first_stage(), damage, seed)


def squares(parts: HeldOut) -> tuple[slice, slice]:
    """Rows and columns of the square within each window."""
    (counted,) = parts.counted[:1, 0]
    rows, columns = counted.any(1).nonzero().flatten(), counted.any(0).nonzero().flatten()
    assert int(counted.sum()) == len(rows) * len(columns)
    assert bool((parts.counted == counted).all())
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def numbered(height: int, width: int, bands: int = 1) -> Tensor:
    """Every pixel its own number, exact in float32."""
    return torch.arange(float(bands * height * width)).reshape(bands, height, width)


def places(parts: HeldOut, image: Tensor) -> list[tuple[int, int]]:
    """Top and left of each window, read off a `numbered` image."""
    return [divmod(int(window[0, 0, 0]), image.shape[-1]) for window in parts.windows]


class Fixed(ResidualNetwork):
    """Answers with what a function of the image and its base says is to be added."""

    def __init__(self, added: Callable[[Tensor, Tensor], Tensor], bands: int = 1, scale: int = 2) -> None:
        super().__init__(bands, scale, torch.float32)
        self.added = added

    def forward(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:  # noqa: ARG002 - one of the three
        return base + self.added(image, base)


@ratios
@some_sizes
@pytest.mark.parametrize("seed", [0, 7])
def test_windows_are_parts_of_the_image_with_the_squares_in_them(size: tuple[int, int], seed: int, ratio: int) -> None:
    """Each window is cut from the image, has whole sons, and the squares within them are just what is not taught."""
    size = (size[0] * ratio // 2, size[1] * ratio // 2)
    image = numbered(*size, bands=2)
    parts = held(image, seed, ratio)
    height, width = parts.windows.shape[-2:]
    rows, columns = squares(parts)
    assert height % ratio == width % ratio == 0
    assert parts.windows.shape[1] == 2
    taught = torch.ones(1, *size)
    for window, (top, left) in zip(parts.windows, places(parts, image), strict=True):
        assert torch.equal(window, image[:, top : top + height, left : left + width])
        taught[:, top + rows.start : top + rows.stop, left + columns.start : left + columns.stop] = 0
    assert torch.equal(parts.taught, taught)


@some_sizes
@pytest.mark.parametrize("seed", [0, 7])
def test_about_a_tenth_is_held_out(size: tuple[int, int], seed: int) -> None:
    """Two squares at least and 24 at most; of an image too small for 24, a tenth, less where squares overlap."""
    parts = held(noise(1, *size), seed)
    share = float(1 - parts.taught.mean())
    assert 2 <= len(parts.windows) <= 24
    if len(parts.windows) < 24:
        assert 0.05 < share < 0.13
    else:
        assert share < 0.1


@ratios
@some_sizes
def test_a_square_is_far_from_the_border_of_its_window(size: tuple[int, int], ratio: int) -> None:
    """8 pixels of the son, nearly as far as the default network looks, or a third of a side too short for that."""
    size = (size[0] * ratio // 2, size[1] * ratio // 2)
    parts = held(noise(1, *size), ratio=ratio)
    for middle, side, length in zip(squares(parts), parts.windows.shape[-2:], size, strict=True):
        assert abs(middle.start - (side - middle.stop)) <= 1
        assert middle.start >= min(8 * ratio - 1, length // 3 - ratio)
        if min(size) >= 16 + 16 * ratio:
            assert middle.stop - middle.start == 16


@ratios
def test_a_small_image_can_spare_nothing(ratio: int) -> None:
    """With a side below 12 pixels of the son there is nothing to hold out, and from there on there is."""
    least = 12 * ratio
    for size in ((least - 1, 100), (100, least - 1), (8, 8), (1, 1)):
        small, large = noise(3, *size), noise(3, *(max(side, least) for side in size))
        assert hold_out(small, ratio, 0) is whole(small, ratio) is None
        assert None not in (hold_out(large, ratio, 0), whole(large, ratio))


def test_the_seed_decides_the_places() -> None:
    """Equal seeds hold out the same, others something else; torch's own random state is neither read nor moved."""
    image = noise(1, 120, 90)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        before = torch.get_rng_state()
        taught = held(image, 3).taught
        assert torch.equal(torch.get_rng_state(), before)
        torch.manual_seed(2)
        assert torch.equal(held(image, 3).taught, taught)
    assert not torch.equal(held(image, 4).taught, taught)


@pytest.mark.parametrize("seed", range(4))
def test_the_squares_are_spread_evenly(seed: int) -> None:
    """Of 24 windows in a large image 6 lie in each quarter of the places there are, and 3 in each eighth of a side."""
    image = numbered(1000, 1200)
    found = torch.tensor(places(held(image, seed), image)).double()
    across = found / torch.tensor([1000 - 48 + 1, 1200 - 48 + 1])
    quarter = (2 * across).long()
    assert torch.bincount(2 * quarter[:, 0] + quarter[:, 1]).tolist() == [6] * 4
    for axis in (0, 1):
        assert torch.bincount((8 * across[:, axis]).long()).tolist() == [3] * 8


def test_the_whole_image_can_be_drawn() -> None:
    """Over many seeds windows come from the first row and column to the last."""
    image = numbered(50, 52)
    found = [place for seed in range(200) for place in places(held(image, seed), image)]
    assert {top for top, _ in found} == set(range(50 - 48 + 1))
    assert {left for _, left in found} == set(range(52 - 48 + 1))


@some_stages
def test_the_image_is_left_alone(stage: str) -> None:
    """Neither holding out nor an examination writes to it."""
    image = 0.2 + 0.6 * noise(3, 60, 60)
    before = image.clone()
    for parts in (held(image, ratio=STAGES[stage].ratio), whole(image, STAGES[stage].ratio)):
        assert parts is not None
        examination(parts, STAGES[stage], Damage(torch.tensor([0.1]))).of_base()
    assert torch.equal(image, before)


# ---- the question ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("network", list(Network))
@pytest.mark.parametrize("bands", [1, 3])
def test_an_untrained_network_ties(network: Network, bands: int) -> None:
    """It is the base exactly."""
    asked = examination(held(noise(bands, 50, 60)), first_stage(network, blur(1.0, 2)))
    assert asked.of(network_at_start(network, bands), untold(bands)) == asked.of_base()


def test_a_network_that_knows_the_truth_wins() -> None:
    """Nothing beats it."""
    parts = held(star(60))
    asked = examination(parts)
    assert asked.of(Fixed(lambda _image, base: parts.windows - base), untold(1)) > 100 > asked.of_base()


def test_a_network_that_adds_an_error_loses() -> None:
    """A network a little brighter than the base everywhere is worse; one gone astray has no figure."""
    asked = examination(held(0.5 + 0.1 * white_noise(1, 60, 60)))
    assert asked.of(Fixed(lambda _image, base: torch.full_like(base, 0.05)), untold(1)) < asked.of_base()
    assert isnan(asked.of(Fixed(lambda _image, base: nan * base), untold(1)))


class Asked(Fixed):
    """The base, and a note of what it was asked."""

    def __init__(self, bands: int) -> None:
        super().__init__(lambda _image, base: torch.zeros_like(base), bands)
        self.sons = self.bases = self.told = torch.empty(0)

    def forward(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        self.sons, self.bases, self.told = image, base, told
        return base


@some_stages
def test_it_is_asked_as_the_image_will_be(stage: str) -> None:
    """Of what the camera sees of the windows, with the base that the stage makes, and told what the image is told."""
    its_stage, told = STAGES[stage], torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    parts, network = held(noise(3, 80, 90), ratio=STAGES[stage].ratio), Asked(3)
    examination(parts, its_stage).of(network, told)
    assert torch.equal(network.sons, its_stage.undone.apply(parts.windows))
    assert torch.equal(network.bases, its_stage.base(network.sons))
    assert torch.equal(network.told, told.expand(len(parts.windows), 3, 2))


def test_the_sons_are_damaged_as_the_image_is() -> None:
    """The network is asked to enlarge noise of the given strength in each band, the same for the same seed."""
    damage = Damage(torch.tensor([0.01, 0.04, 0.08]))
    parts, network = held(noise(3, 200, 200)), Asked(3)
    examination(parts, damage=damage).of(network, untold(3))
    first = network.sons
    assert damage.noise is not None
    added = first - downscale(parts.windows, 2)
    torch.testing.assert_close(added.std((0, 2, 3)), damage.noise, rtol=0.2, atol=0)
    assert torch.equal(network.bases, upscale(first, 2))
    examination(parts, damage=damage).of(network, untold(3))
    assert torch.equal(network.sons, first)
    examination(parts, damage=damage, seed=1).of(network, untold(3))
    assert not torch.equal(network.sons, first)


def test_the_sons_of_a_jpeg_are_rounded_to_its_steps() -> None:
    """Rounding them again changes nothing."""
    steps = steps_of_quality(20)
    parts, network = held(round_to_steps(0.2 + 0.6 * noise(1, 96, 96), steps)), Asked(1)
    examination(parts, damage=Damage(None, steps)).of(network, untold(1))
    torch.testing.assert_close(round_to_steps(network.sons, steps), network.sons, rtol=0, atol=1e-5)
    assert not torch.equal(network.sons, downscale(parts.windows, 2))


@some_stages
def test_psnr_against_the_image_itself(stage: str) -> None:
    """The figure for the base is the PSNR over the squares alone, all bands, clipped to the range, by NumPy."""
    image = (noise(3, 70, 75) * 1.6 - 0.3).clamp(0, 1)
    its_stage = STAGES[stage]
    parts = held(image, ratio=its_stage.ratio)
    answer = its_stage.base(its_stage.undone.apply(parts.windows)).clamp(0, 1).double().numpy()
    errors = (answer - parts.windows.double().numpy())[:, :, *squares(parts)]
    assert examination(parts, its_stage).of_base() == pytest.approx(-10 * log10((errors**2).mean()), abs=1e-3)


def test_only_the_squares_count() -> None:
    """A network that is wrong in all that surrounds them, and right in them, is as good as one that is always right."""
    parts = held(star(60))
    outside = (~parts.counted).float()
    assert examination(parts).of(Fixed(lambda _image, base: parts.windows + outside - base), untold(1)) > 100


def test_the_whole_image_counts_where_it_is_known() -> None:
    """What is wrong where nothing is known is no error, and what is wrong in one known pixel is."""
    image, known = star(60), torch.ones(60, 60, dtype=torch.bool)
    known[10:20, 30:50] = False
    everything = whole(image, 2, known)
    assert everything is not None
    asked = examination(everything)
    unknown = (~known).float()
    assert asked.of(Fixed(lambda _image, base: image + unknown - base), untold(1)) > 100
    unknown[9, 30] = 1
    expected = -10 * log10(float((image[0, 9, 30] + 1).clamp(0, 1) - image[0, 9, 30]) ** 2 / float(known.sum()))
    wrong = asked.of(Fixed(lambda _image, base: image + unknown - base), untold(1))
    assert wrong == pytest.approx(expected, abs=1e-3)


def test_the_answer_is_clipped_where_the_samples_end() -> None:
    """Of 16 bits or floats a few samples lie far beyond 1, of each band its own: they are no error of every answer."""
    image = 0.5 + 0.1 * white_noise(2, 60, 60)
    image[0, 30, ::2] = 4.0
    parts = held(image)
    ends = torch.tensor([4.0, 1.0])[:, None, None]
    true, twice = (Fixed(lambda _, base, by=by: by * parts.windows - base, 2) for by in (1, 2))
    assert Examination(parts, first_stage(), CLEAN, 0, Domain(high=ends)).of(true, untold(2)) > 100
    assert examination(parts).of(true, untold(2)) < 20
    assert Examination(parts, first_stage(), CLEAN, 0, Domain(high=ends)).of(twice, untold(2)) < 10


def test_the_answer_is_clipped_as_the_pixels_will_be() -> None:
    """Beyond white is white: no error."""
    image = torch.zeros(1, 60, 60)
    image[..., 20:] = 1
    parts = held(image)
    assert examination(parts).of(Fixed(lambda _image, base: 3 * parts.windows - 1 - base), untold(1)) > 100
