"""Whether a fit may be trusted: the parts kept from it, and the question asked of them."""

from collections.abc import Callable
from math import inf, log10, nan

import pytest
import torch
from torch import Tensor

from sr_ops.held_out import MIN_SIDE, HeldOut, HeldOutScore, hold_out, score
from sr_ops.jpeg import round_to_steps, steps_of_quality
from sr_ops.networks import ResidualNetwork, build_network
from sr_ops.resample import downscale, upscale
from sr_ops.settings import Network

from .pictures import noise, star, white_noise

SIZES = [(24, 24), (25, 40), (49, 31), (24, 200), (48, 48), (101, 120), (160, 240), (400, 500)]
some_sizes = pytest.mark.parametrize("size", SIZES)


def held(image: Tensor, seed: int = 0) -> HeldOut:
    parts = hold_out(image, seed)
    assert parts is not None
    return parts


def numbered(height: int, width: int, bands: int = 1) -> Tensor:
    """Every pixel its own number, exact in float32."""
    return torch.arange(float(bands * height * width)).reshape(bands, height, width)


def places(parts: HeldOut, image: Tensor) -> list[tuple[int, int]]:
    """Top and left of each window, read off a `numbered` image."""
    return [divmod(int(window[0, 0, 0]), image.shape[-1]) for window in parts.windows]


class Fixed(ResidualNetwork):
    """Answers with what a function of the image and its bicubic enlargement says is to be added."""

    def __init__(self, added: Callable[[Tensor, Tensor], Tensor], bands: int = 1) -> None:
        super().__init__(bands, torch.float32)
        self.added = added

    def residual(self, image: Tensor, enlarged: Tensor) -> Tensor:
        return self.added(image, enlarged)


@some_sizes
@pytest.mark.parametrize("seed", [0, 7])
def test_windows_are_parts_of_the_image_with_the_squares_in_them(size: tuple[int, int], seed: int) -> None:
    """Each window is cut from the image, has even sides, and the squares within them are just what is not taught."""
    image = numbered(*size, bands=2)
    parts = held(image, seed)
    height, width = parts.windows.shape[-2:]
    rows, columns = parts.centre
    assert height % 2 == width % 2 == 0
    assert parts.windows.shape[1] == 2
    assert 0 <= rows.start < rows.stop <= height
    assert 0 <= columns.start < columns.stop <= width
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


@some_sizes
def test_a_square_is_far_from_the_border_of_its_window(size: tuple[int, int]) -> None:
    """16 pixels, as far as the default network looks, or a third of a side too short for that; 16 x 16 where it can."""
    parts = held(noise(1, *size))
    for middle, side, whole in zip(parts.centre, parts.windows.shape[-2:], size, strict=True):
        assert abs(middle.start - (side - middle.stop)) <= 1
        assert middle.start >= min(16, whole // 3)
        if min(size) >= 48:
            assert middle.stop - middle.start == 16


@pytest.mark.parametrize("size", [(23, 100), (100, 23), (8, 8), (1, 1)])
def test_a_small_image_can_spare_nothing(size: tuple[int, int]) -> None:
    """With a side below 24 pixels there is nothing to hold out, and from there on there is."""
    assert MIN_SIDE == 24
    assert hold_out(noise(3, *size), 0) is None
    assert hold_out(noise(3, *(max(side, 24) for side in size)), 0) is not None


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


def test_the_image_is_left_alone() -> None:
    """Neither holding out nor scoring writes to it."""
    image = 0.2 + 0.6 * noise(3, 60, 60)
    before = image.clone()
    score(build_network(Network.SUBPIXEL, 3, 4, 2, 0, image.device, torch.float32), held(image))
    assert torch.equal(image, before)


@pytest.mark.parametrize("network", list(Network))
@pytest.mark.parametrize("bands", [1, 3])
def test_an_untrained_network_ties_and_does_not_win(network: Network, bands: int) -> None:
    """It is bicubic exactly: no reason to prefer it."""
    image = noise(bands, 50, 60)
    figures = score(build_network(network, bands, 4, 3, 0, image.device, torch.float32), held(image))
    assert figures.learned == figures.bicubic
    assert not figures.fit_wins


def test_a_network_that_knows_the_truth_wins() -> None:
    """Nothing beats it."""
    parts = held(star(60))
    figures = score(Fixed(lambda _image, enlarged: parts.windows - enlarged), parts)
    assert figures.learned > 100 > figures.bicubic
    assert figures.fit_wins


def test_a_network_that_adds_an_error_loses() -> None:
    """A network a little brighter than bicubic everywhere is worse."""
    image = 0.5 + 0.1 * white_noise(1, 60, 60)
    figures = score(Fixed(lambda _image, enlarged: torch.full_like(enlarged, 0.05)), held(image))
    assert figures.learned < figures.bicubic
    assert not figures.fit_wins


class Sons(Fixed):
    """Bicubic, and a note of what it was asked to enlarge."""

    def __init__(self, bands: int) -> None:
        super().__init__(self._note, bands)
        self.seen = torch.empty(0)

    def _note(self, image: Tensor, enlarged: Tensor) -> Tensor:
        self.seen = image
        return torch.zeros_like(enlarged)


def test_the_sons_are_damaged_as_the_image_is() -> None:
    """The network is asked to enlarge noise of the image's strength in each band, the same for the same seed."""
    sigmas = torch.tensor([0.01, 0.04, 0.08])
    parts = held(0.5 + sigmas[:, None, None] * white_noise(3, 200, 200))
    network = Sons(3)
    score(network, parts)
    added = network.seen - downscale(parts.windows, 2)
    torch.testing.assert_close(added.std((0, 2, 3)), sigmas, rtol=0.2, atol=0)
    first = network.seen
    score(network, parts)
    assert torch.equal(network.seen, first)
    score(network, held(0.5 + 0.01 * white_noise(3, 200, 200)))
    clean = held(0.5 + 0.01 * white_noise(3, 200, 200))
    torch.testing.assert_close(network.seen, downscale(clean.windows, 2))


def test_the_sons_of_a_jpeg_are_rounded_to_its_steps() -> None:
    """Rounding them again changes nothing."""
    steps = steps_of_quality(20)
    parts = held(round_to_steps(0.2 + 0.6 * noise(1, 96, 96), steps))
    network = Sons(1)
    score(network, parts)
    torch.testing.assert_close(round_to_steps(network.seen, steps), network.seen, rtol=0, atol=1e-5)
    assert not torch.equal(network.seen, downscale(parts.windows, 2))


@pytest.mark.parametrize(
    ("learned", "bicubic", "wins"),
    [
        (30.1, 30.0, True),
        (30.0, 30.0, False),
        (29.9, 30.0, False),
        (inf, 30.0, True),
        (inf, inf, False),
        (100.0, inf, False),
        (nan, 30.0, False),
    ],
)
def test_who_wins(learned: float, bicubic: float, wins: bool) -> None:
    """Better than bicubic; a tie is none, and a fit gone astray never wins."""
    assert HeldOutScore(learned, bicubic).fit_wins == wins


def test_psnr_against_the_image_itself() -> None:
    """The figure for bicubic is the PSNR over the squares alone, all bands, clipped to the range, by NumPy."""
    image = (noise(3, 60, 75) * 1.6 - 0.3).clamp(0, 1)
    parts = held(image)
    answer = upscale(downscale(parts.windows.double(), 2), 2).clamp(0, 1).numpy()
    rows, columns = parts.centre
    errors = (answer - parts.windows.double().numpy())[..., rows, columns]
    network = build_network(Network.SUBPIXEL, 3, 4, 2, 0, image.device, torch.float32)
    assert score(network, parts).bicubic == pytest.approx(-10 * log10((errors**2).mean()), abs=1e-3)


def test_only_the_squares_count() -> None:
    """A network that is wrong in all that surrounds them, and right in them, is as good as one that is always right."""
    parts = held(star(60))
    outside = torch.ones_like(parts.windows)
    outside[..., parts.centre[0], parts.centre[1]] = 0
    figures = score(Fixed(lambda _image, enlarged: parts.windows + outside - enlarged), parts)
    assert figures.learned > 100


def test_the_answer_is_clipped_as_the_pixels_will_be() -> None:
    """Beyond white is white: no error."""
    image = torch.zeros(1, 60, 60)
    image[..., 20:] = 1
    parts = held(image)
    figures = score(Fixed(lambda _image, enlarged: 3 * parts.windows - 1 - enlarged), parts)
    assert figures.learned > 100
