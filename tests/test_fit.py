"""What a network learns from pairs: the loss, what of a father it may look at, the steps."""

from dataclasses import replace
from itertools import pairwise
from math import cos, isnan, pi
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from sr_ops.image.resample import downscale, upscale
from sr_ops.learning.fit import fit
from sr_ops.learning.pairs import Crops, Lesson, Pair, draw_crops
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.settings import FitSettings, Network

from .cameras import enlarged_by, first_stage, lesson_of, network_at_start, untold
from .pictures import checkerboard, noise
from .weights import weights_of

SMALL = FitSettings(steps=80, crop=24, batch=4, learning_rate=5e-3)


def half_taught(image: Tensor) -> Tensor:
    """(1, H, W): every second of squares of 10 pixels, like the fields of a chess board."""
    rows, columns = (torch.arange(side) // 10 for side in image.shape[-2:])
    return ((rows[:, None] + columns) % 2).float()[None]


def tiny_network(name: Network = Network.SUBPIXEL, bands: int = 1) -> ResidualNetwork:
    return network_at_start(name, bands, 16, 4)


def fitted_weights(image: Tensor, seed: int) -> Tensor:
    network = tiny_network()
    fit(network, lesson_of(image), FitSettings(steps=3, crop=16), seed)
    return weights_of(network)


def made_by(network: ResidualNetwork, crops: Crops) -> Tensor:
    """What it makes of crops of clean images."""
    bands = crops.sons.shape[1]
    made: Tensor = network(crops.sons, crops.bases, untold(bands).expand(len(crops.sons), -1, -1))
    return made


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((image.clamp(0, 1) - truth).square().mean()))


def test_the_seed_decides_the_crops() -> None:
    """Equal seeds draw equal crops and so give equal weights, bit for bit; other seeds give others."""
    image = noise(1, 30, 30)
    fitted = fitted_weights(image, seed=3)
    assert torch.equal(fitted, fitted_weights(image, seed=3))
    assert not torch.equal(fitted, fitted_weights(image, seed=4))


def test_global_random_state_is_neither_read_nor_moved() -> None:
    """A fit does not depend on torch's global random state, and leaves it as it was."""
    fitted = []
    for global_seed in (1, 2):
        with torch.random.fork_rng():
            torch.manual_seed(global_seed)
            before = torch.get_rng_state()
            fitted.append(fitted_weights(noise(1, 20, 20), seed=0))
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*fitted)


@pytest.mark.parametrize("name", list(Network))
def test_a_fit_learns_sharp_edges(name: Network) -> None:
    """On a checkerboard the loss falls by a third in a few dozen steps and the answer for the son gains 3 dB."""
    image = checkerboard()
    lesson = lesson_of(image, stage=first_stage(name))
    start = fit(tiny_network(name), lesson, FitSettings(steps=1, crop=24, batch=16), 0)
    network = tiny_network(name)
    final = fit(network, lesson, SMALL, 0)
    assert final < start * 2 / 3
    son = downscale(image, 2)[None]
    with torch.inference_mode():
        assert psnr(enlarged_by(network, son, first_stage(name))[0], image) > psnr(upscale(son, 2)[0], image) + 3


def test_no_step_is_bicubic() -> None:
    """Without a step there is no loss and the network still gives the bicubic enlargement."""
    image = noise(1, 16, 16)
    network = tiny_network()
    assert isnan(fit(network, lesson_of(image), FitSettings(steps=0), 0))
    assert torch.equal(enlarged_by(network, image[None], first_stage()), upscale(image[None], 2))


@pytest.mark.parametrize("bands", [1, 3])
def test_the_loss_is_the_mean_absolute_difference(bands: int) -> None:
    """After one step the loss is that of the untrained network, bicubic, on the first crops drawn."""
    lesson = lesson_of(noise(bands, 30, 30).round())
    loss = fit(tiny_network(bands=bands), lesson, FitSettings(steps=1, crop=16), seed=7)
    crops = draw_crops(lesson.pairs, 16, 4, Generator().manual_seed(7))
    assert loss == pytest.approx(float((crops.bases - crops.fathers).abs().mean()), rel=1e-5)


@pytest.mark.parametrize("bands", [1, 3])
def test_the_loss_is_the_mean_over_what_is_taught(bands: int) -> None:
    """Of the absolute differences of all bands, those count where the mask is 1, picked out one by one."""
    image = noise(bands, 30, 30)
    lesson = lesson_of(image, half_taught(image))
    loss = fit(tiny_network(bands=bands), lesson, FitSettings(steps=1, crop=16), seed=7)
    crops = draw_crops(lesson.pairs, 16, 4, Generator().manual_seed(7))
    assert crops.taught is not None
    errors = (crops.bases - crops.fathers).abs()
    picked = errors[crops.taught.bool().expand_as(errors)]
    assert 0 < len(picked) < errors.numel()
    assert loss == pytest.approx(float(picked.mean()), rel=1e-5)


@pytest.mark.parametrize("name", list(Network))
def test_what_is_held_out_has_no_influence(name: Network) -> None:
    """Fathers that differ where they are not taught, and only there, give the same losses and weights bit for bit."""
    image = noise(3, 30, 30)
    lesson = lesson_of(image, half_taught(image), first_stage(name))
    results = []
    for seed in (1, 2):
        others = []
        for pair in lesson.pairs:
            assert pair.taught is not None
            father = torch.where(pair.taught == 1, pair.father, 5 * noise(*pair.father.shape, seed=seed))
            others.append(replace(pair, father=father))
        network = tiny_network(name, bands=3)
        loss = fit(network, replace(lesson, pairs=tuple(others)), FitSettings(steps=4, crop=16), 0)
        results.append((loss, weights_of(network)))
    assert results[0][0] == results[1][0]
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][1], weights_of(tiny_network(name, bands=3)))


def test_every_taught_pixel_has_an_influence() -> None:
    """A father that differs in one taught pixel gives other weights."""
    son = noise(1, 8, 8)
    taught = torch.zeros(1, 16, 16)
    taught[0, 5, 6] = 1
    fitted = []
    for value in (0.0, 1.0):
        father = upscale(son, 2)
        father[0, 5, 6] = value
        network = tiny_network()
        pair = Pair(father, son, upscale(son, 2), 1.0, taught)
        fit(network, Lesson((pair,), untold(1)), FitSettings(steps=1, crop=16), 0)
        fitted.append(weights_of(network))
    assert not torch.equal(*fitted)


def test_a_mask_of_ones_is_no_mask() -> None:
    """An image taught everywhere is learned from as one without a mask."""
    image = noise(3, 30, 30)
    free, masked = tiny_network(bands=3), tiny_network(bands=3)
    settings = FitSettings(steps=3, crop=16)
    loss = fit(free, lesson_of(image), settings, 0)
    assert fit(masked, lesson_of(image, torch.ones(1, 30, 30)), settings, 0) == pytest.approx(loss, rel=1e-5)
    torch.testing.assert_close(weights_of(masked), weights_of(free), rtol=0, atol=1e-4)


def test_crops_with_nothing_to_learn_change_nothing() -> None:
    """Of an image held out as a whole the loss is 0, and the network stays as it was."""
    network = tiny_network()
    before = weights_of(network)
    lesson = lesson_of(noise(1, 20, 20), torch.zeros(1, 20, 20))
    assert fit(network, lesson, FitSettings(steps=2, crop=16), 0) == 0
    assert torch.equal(weights_of(network), before)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Crops]:
    """Fills with the crops that fits draw."""
    crops: list[Crops] = []

    def drawing(*arguments: Any) -> Crops:
        crops.append(draw_crops(*arguments))
        return crops[-1]

    monkeypatch.setattr("sr_ops.learning.fit.draw_crops", drawing)
    return crops


def test_the_final_loss_is_the_mean_of_the_last_tenth(drawn: list[Crops]) -> None:
    """With a learning rate of nothing, 20 steps report the mean loss of bicubic on the last two draws."""
    lesson = lesson_of(noise(1, 30, 30))
    loss = fit(tiny_network(), lesson, FitSettings(steps=20, crop=16, learning_rate=1e-12), 0)
    losses = [float((crops.bases - crops.fathers).abs().mean()) for crops in drawn]
    assert len(losses) == 20
    assert loss == pytest.approx(sum(losses[-2:]) / 2, rel=1e-5)


def test_a_step_follows_the_gradient_of_its_own_crops(drawn: list[Crops]) -> None:
    """With a learning rate of nothing, the gradient after some steps has the direction of the last crops' alone."""
    lesson = lesson_of(noise(1, 30, 30))
    network, by_hand = tiny_network(), tiny_network()
    fit(network, lesson, FitSettings(steps=3, crop=16, learning_rate=1e-12), 0)
    (made_by(by_hand, drawn[-1]) - drawn[-1].fathers).abs().mean().backward()
    gradients = [
        torch.cat([parameter.grad.flatten() for parameter in each.parameters() if parameter.grad is not None])
        for each in (network, by_hand)
    ]
    assert float(torch.cosine_similarity(*gradients, dim=0)) > 0.9999


def one_cycle(step: int, steps: int, least: float, peak: float, last: float) -> float:
    """Half a cosine up over the first 30 % of the steps, another one down over the rest (Smith & Topin 2018)."""
    top = 0.3 * steps - 1
    if step <= top:
        return peak + (least - peak) * (1 + cos(pi * step / top)) / 2
    return last + (peak - last) * (1 + cos(pi * (step - top) / (steps - 1 - top))) / 2


@pytest.mark.parametrize("bands", [1, 3])
def test_all_steps_by_hand(drawn: list[Crops], bands: int) -> None:
    """Adam (Kingma & Ba 2015) with clipped gradients, its rate and first beta on one cycle, gives the same weights."""
    image = noise(bands, 30, 30).round()
    settings = FitSettings(steps=10, crop=16, learning_rate=2e-3)
    network, by_hand = tiny_network(bands=bands), tiny_network(bands=bands)
    loss = fit(network, lesson_of(image, half_taught(image)), settings, 0)
    parameters = list(by_hand.parameters())
    moments = [(torch.zeros_like(parameter), torch.zeros_like(parameter)) for parameter in parameters]
    for step, crops in enumerate(drawn):
        assert crops.taught is not None
        errors = (made_by(by_hand, crops) - crops.fathers).abs()[crops.taught.bool().expand_as(crops.fathers)]
        gradients = torch.autograd.grad(errors.mean(), parameters)
        norm = float(sum(gradient.square().sum() for gradient in gradients)) ** 0.5
        rate = one_cycle(step, 10, 2e-3 / 25, 2e-3, 2e-3 / 25e4)
        beta = one_cycle(step, 10, 0.95, 0.85, 0.95)
        with torch.no_grad():
            for parameter, gradient, (first, second) in zip(parameters, gradients, moments, strict=True):
                clipped = gradient * min(1, 0.1 / norm)
                first.mul_(beta).add_((1 - beta) * clipped)
                second.mul_(0.99).add_(0.01 * clipped**2)
                unbiased = first / (1 - beta ** (step + 1)), second / (1 - 0.99 ** (step + 1))
                parameter -= rate * unbiased[0] / (unbiased[1].sqrt() + 1e-8)
    assert loss == pytest.approx(float(errors.detach().mean()), rel=1e-3)
    torch.testing.assert_close(weights_of(network), weights_of(by_hand), rtol=0, atol=1e-5)
    for parameter, start in zip(network.parameters(), tiny_network(bands=bands).parameters(), strict=True):
        assert not torch.equal(parameter, start)


@pytest.mark.parametrize("name", list(Network))
def test_no_step_is_longer_than_the_clipped_gradient(name: Network) -> None:
    """On an image of black and white noise, whose gradients are three times as long, a step uses one of norm 0.1."""
    network = tiny_network(name)
    fit(network, lesson_of(noise(1, 32, 32).round(), stage=first_stage(name)), FitSettings(steps=5, crop=16), 0)
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert float(torch.cat([gradient.flatten() for gradient in gradients]).norm()) == pytest.approx(0.1, rel=1e-3)


def test_the_pairs_are_left_alone() -> None:
    """A fit reads the image, its pairs and their masks, and writes to none of them."""
    image = noise(1, 20, 20)
    lesson = lesson_of(image, half_taught(image))
    parts = (part for pair in lesson.pairs for part in (pair.father, pair.son, pair.base, pair.taught))
    tensors = [image, *(part for part in parts if part is not None)]
    before = [tensor.clone() for tensor in tensors]
    fit(tiny_network(), lesson, FitSettings(steps=2, crop=16), 0)
    assert all(map(torch.equal, tensors, before))


def test_steps_are_told_as_they_are_done() -> None:
    """`after_step` hears 1, 2, 3, ..., each time after the weights have changed; without a step, nothing."""
    network = tiny_network()
    lesson = lesson_of(noise(1, 20, 20))
    heard: list[int] = []
    seen = [weights_of(network)]

    def after_step(step: int) -> None:
        heard.append(step)
        seen.append(weights_of(network))

    fit(network, lesson, FitSettings(steps=4, crop=16), 0, after_step)
    assert heard == [1, 2, 3, 4]
    assert all(not torch.equal(earlier, later) for earlier, later in pairwise(seen))
    assert torch.equal(seen[-1], weights_of(network))
    heard.clear()
    fit(network, lesson, FitSettings(steps=0, crop=16), 0, after_step)
    assert heard == []


@pytest.mark.parametrize("rate", [1e-3, 4e-3])
def test_steps_grow_to_the_learning_rate_and_die_away(rate: float) -> None:
    """One cycle: short steps at first, about the learning rate at the longest, next to none at the end."""
    network = tiny_network()
    seen = [weights_of(network)]
    lesson = lesson_of(checkerboard())
    settings = FitSettings(steps=40, crop=16, learning_rate=rate)
    fit(network, lesson, settings, 0, lambda _step: seen.append(weights_of(network)))
    lengths = [float((later - earlier).abs().max()) for earlier, later in pairwise(seen)]
    assert lengths[0] == pytest.approx(rate / 25, rel=0.1)
    assert 0.7 < max(lengths) / rate < 3
    assert 5 < lengths.index(max(lengths)) < 20
    assert lengths[-1] < rate / 100
