"""The lessons an image gives (fathers, sons, crops) and what a network makes of them."""

from collections.abc import Iterator
from math import isnan, log10

import pytest
import torch
from torch import Generator, Tensor

from sr_ops.fit import MIN_SIDE, Pair, draw_crops, father_son_pyramid, fit, reconstruction_psnr
from sr_ops.networks import ResidualNetwork, build_network
from sr_ops.resample import downscale, upscale
from sr_ops.settings import FitSettings, Network

SMALL = FitSettings(steps=80, crop=24, batch=4, learning_rate=5e-3)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Weights are equal only for equal thread counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=Generator().manual_seed(seed))


def checkerboard(side: int = 48, cell: int = 6) -> Tensor:
    """(1, side, side): sharp and periodic, so the image shrunk teaches what the image needs."""
    cells = torch.arange(side) // cell
    return 0.2 + 0.6 * ((cells[:, None] + cells) % 2).float()[None]


def tiny_network(name: Network = Network.SUBPIXEL, bands: int = 1) -> ResidualNetwork:
    return build_network(name, bands, 16, 4, 0, torch.device("cpu"), torch.float32)


def fitted_weights(image: Tensor, seed: int) -> Tensor:
    network = tiny_network()
    fit(network, image, FitSettings(steps=3, crop=16), seed)
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


@pytest.mark.parametrize("size", [(48, 48), (33, 71), (MIN_SIDE, 20)])
def test_pyramid_levels(size: tuple[int, int]) -> None:
    """Level i is 0.95^i of the image with even sides and odds 0.9^i, and each son is the `downscale` of its father."""
    image = noise(3, *size)
    pyramid = father_son_pyramid(image)
    assert len(pyramid) == 10
    assert torch.equal(pyramid[0].father, image[:, : size[0] // 2 * 2, : size[1] // 2 * 2])
    for level, pair in enumerate(pyramid):
        assert pair.weight == pytest.approx(0.9**level)
        assert torch.equal(pair.son, downscale(pair.father, 2))
        for side, whole in zip(pair.father.shape[-2:], size, strict=True):
            assert side % 2 == 0
            assert 0 <= whole * 0.95**level - side < 2


@pytest.mark.parametrize("size", [(7, 40), (40, 7), (1, 1)])
def test_too_small_an_image_is_an_error(size: tuple[int, int]) -> None:
    """The message names the size and the least size."""
    with pytest.raises(ValueError, match=f"{size[0]} x {size[1]} is too small.*at least 8"):
        fit(tiny_network(), noise(1, *size), SMALL, 0)


def test_crops_are_aligned() -> None:
    """Away from its border a son's crop is the `downscale` of its father's: noise shows any shift or turn."""
    sons, fathers = draw_crops(father_son_pyramid(noise(3, 40, 60)), 24, 30, Generator().manual_seed(0))
    assert sons.shape == (30, 3, 12, 12)
    assert fathers.shape == (30, 3, 24, 24)
    inner = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(downscale(fathers, 2)[inner], sons[inner], rtol=0, atol=1e-5)


def test_crops_fit_the_smallest_level() -> None:
    """Where the crop asked for is larger than the smallest father, all crops are as large as that allows."""
    sons, fathers = draw_crops(father_son_pyramid(noise(1, MIN_SIDE, 30)), 64, 5, Generator().manual_seed(0))
    assert sons.shape == (5, 1, 2, 2)
    assert fathers.shape == (5, 1, 4, 4)


def test_every_place_and_every_turn_is_drawn() -> None:
    """From a 3 x 4 son, crops of 2 x 2 come from all 6 places, each in all 8 turns."""
    son = torch.arange(12.0).reshape(1, 3, 4)
    pair = Pair(upscale(son, 2), son, 1.0)
    sons, _ = draw_crops((pair,), 4, 1000, Generator().manual_seed(0))
    assert len({tuple(sorted(crop.flatten().tolist())) for crop in sons}) == 6
    assert len({tuple(crop.flatten().tolist()) for crop in sons}) == 6 * 8


def test_levels_are_drawn_by_their_odds() -> None:
    """A level of three times the weight is drawn three times as often."""
    pyramid = tuple(
        Pair(torch.full((1, 4, 4), level), torch.full((1, 2, 2), level), 1 + 2 * level) for level in (0.0, 1.0)
    )
    sons, fathers = draw_crops(pyramid, 4, 4000, Generator().manual_seed(0))
    assert float(sons.mean()) == pytest.approx(0.75, abs=0.03)
    assert torch.equal(sons.mean((1, 2, 3)), fathers.mean((1, 2, 3)))


def test_the_seed_decides_the_crops() -> None:
    """Equal seeds draw equal crops and so give equal weights, bit for bit; other seeds give others."""
    image = noise(1, 30, 30)
    weights = fitted_weights(image, seed=3)
    assert torch.equal(weights, fitted_weights(image, seed=3))
    assert not torch.equal(weights, fitted_weights(image, seed=4))


def test_global_random_state_is_neither_read_nor_moved() -> None:
    """A fit does not depend on torch's global random state, and leaves it as it was."""
    weights = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            weights.append(fitted_weights(noise(1, 20, 20), seed=0))
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*weights)


@pytest.mark.parametrize("name", list(Network))
def test_a_fit_learns_sharp_edges(name: Network) -> None:
    """On a checkerboard the loss falls by a third in a few dozen steps and the answer for the son gains 3 dB."""
    image = checkerboard()
    start = fit(tiny_network(name), image, FitSettings(steps=1, crop=24, batch=16), 0)
    network = tiny_network(name)
    final = fit(network, image, SMALL, 0)
    assert final < start * 2 / 3
    learned, bicubic = reconstruction_psnr(network, image)
    assert learned > bicubic + 3


def test_no_step_is_bicubic() -> None:
    """Without a step there is no loss and the network still gives the bicubic enlargement."""
    image = noise(1, 16, 16)
    network = tiny_network()
    assert isnan(fit(network, image, FitSettings(steps=0), 0))
    assert torch.equal(network(image[None]), upscale(image[None], 2))


def test_the_loss_is_the_mean_absolute_difference() -> None:
    """After one step the loss is that of the untrained network, bicubic, on the first crops drawn."""
    image = noise(1, 30, 30)
    loss = fit(tiny_network(), image, FitSettings(steps=1, crop=16), seed=7)
    sons, fathers = draw_crops(father_son_pyramid(image), 16, 4, Generator().manual_seed(7))
    assert loss == pytest.approx(float((upscale(sons, 2) - fathers).abs().mean()), rel=1e-5)


def test_the_final_loss_is_the_mean_of_the_last_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a learning rate of nothing, 20 steps report the mean loss of bicubic on the last two draws."""
    image = noise(1, 30, 30)
    drawn: list[tuple[Tensor, Tensor]] = []

    def drawing(*arguments: object) -> tuple[Tensor, Tensor]:
        drawn.append(draw_crops(*arguments))  # type: ignore[arg-type]
        return drawn[-1]

    monkeypatch.setattr("sr_ops.fit.draw_crops", drawing)
    loss = fit(tiny_network(), image, FitSettings(steps=20, crop=16, learning_rate=1e-12), 0)
    losses = [float((upscale(sons, 2) - fathers).abs().mean()) for sons, fathers in drawn]
    assert len(losses) == 20
    assert loss == pytest.approx(sum(losses[-2:]) / 2, rel=1e-5)


@pytest.mark.parametrize("name", list(Network))
def test_no_step_is_longer_than_the_clipped_gradient(name: Network) -> None:
    """On an image of black and white noise, whose gradients are three times as long, a step uses one of norm 0.1."""
    network = tiny_network(name)
    fit(network, noise(1, 32, 32).round(), FitSettings(steps=5, crop=16), 0)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert float(torch.cat([gradient.flatten() for gradient in gradients]).norm()) == pytest.approx(0.1, rel=1e-3)


def test_the_image_is_left_alone() -> None:
    """A fit reads the image and does not write to it."""
    image = noise(1, 20, 20)
    before = image.clone()
    fit(tiny_network(), image, FitSettings(steps=2, crop=16), 0)
    assert torch.equal(image, before)


@pytest.mark.parametrize("size", [(16, 12), (15, 13)])
def test_reconstruction_psnr_of_an_untrained_network(size: tuple[int, int]) -> None:
    """Both figures are the PSNR of the bicubic answer for the son, clipped, over all bands."""
    image = noise(3, *size).round()
    father = image[:, : size[0] // 2 * 2, : size[1] // 2 * 2]
    answer = upscale(downscale(father, 2), 2).clamp(0, 1).double().numpy()
    expected = -10 * log10(((answer - father.double().numpy()) ** 2).mean())
    figures = reconstruction_psnr(tiny_network(bands=3), image)
    assert figures == pytest.approx((expected, expected), abs=1e-4)


def test_reconstruction_psnr_looks_at_the_centre_of_a_large_image() -> None:
    """Only the central 512 pixels of a side count."""
    image = noise(1, 8, 532)
    centre = image[..., 10:522]
    assert reconstruction_psnr(tiny_network(), image) == reconstruction_psnr(tiny_network(), centre)
