"""A prior: what it learns from many images, which networks it holds, and what a fit makes of it."""

from collections.abc import Iterator
from dataclasses import replace
from signal import SIGINT, default_int_handler, pthread_kill, signal
from threading import Event, Thread, main_thread
from time import sleep

import numpy as np
import pytest
import torch
from torch import Tensor

from jobs.sample_pictures import satellite_view
from sr_ops.fit import fit
from sr_ops.networks import ResidualNetwork, build_network, fastest_dtype
from sr_ops.pairs import Pair, octave_pairs
from sr_ops.prior import Prior, network_bands, train_prior
from sr_ops.resample import downscale, upscale
from sr_ops.settings import FitSettings, Method, Network, Settings
from sr_ops.super_resolve import fit_stages, super_resolve

from .pictures import noise

BRIEF = FitSettings(steps=4, crop=16, batch=2)
TINY = Settings(scale=2, method=Method.ZSSR, width=8, depth=3, fit=BRIEF, ensemble=False)
CPU = torch.device("cpu")
names = pytest.mark.parametrize("name", list(Network))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Weights are equal only for equal thread counts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def scene() -> Tensor:
    """(3, 192, 192) float32: fields, a river and roads from above."""
    return torch.from_numpy(satellite_view(192).astype(np.float32) / 255).permute(2, 0, 1).contiguous()


def colour(seed: int = 0) -> Tensor:
    return noise(3, 40, 32, seed=seed)


def gray(seed: int = 1) -> Tensor:
    return noise(1, 24, 50, seed=seed)


def untrained(bands: int, settings: Settings = TINY) -> ResidualNetwork:
    return build_network(
        settings.network, bands, settings.width, settings.depth, settings.seed, CPU, fastest_dtype(CPU)
    )


def equal(one: Prior, other: Prior) -> bool:
    return one.keys() == other.keys() and all(
        one[bands].keys() == other[bands].keys()
        and all(torch.equal(tensor, other[bands][name]) for name, tensor in one[bands].items())
        for bands in one
    )


def copied(prior: Prior) -> Prior:
    return {bands: {name: tensor.clone() for name, tensor in weights.items()} for bands, weights in prior.items()}


def psnr(image: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((image - truth).square().mean()))


@pytest.mark.parametrize(
    ("images", "bands"),
    [([colour(), gray(), colour(2)], {1, 3}), ([colour()], {1, 3}), ([gray(), gray(2)], {1})],
    ids=["both", "colour", "gray"],
)
def test_the_networks_of_a_prior(images: list[Tensor], bands: set[int]) -> None:
    """One for a single band always, one for three where an image has three; float32, each with its network's names."""
    prior = train_prior(images, TINY, BRIEF)
    assert set(prior) == bands
    for count, weights in prior.items():
        untrained(count).load_state_dict(weights)
        assert {(tensor.dtype, tensor.device.type) for tensor in weights.values()} == {(torch.float32, "cpu")}


@names
def test_each_network_is_what_its_own_lessons_make_of_it(name: Network) -> None:
    """Three bands learn from the colour images, one band from every band of every image, as if trained alone."""
    settings = replace(TINY, network=name, seed=4)
    images = [colour(), gray(), colour(2)]
    by_hand = {1: untrained(1, settings), 3: untrained(3, settings)}
    in_colour = [pair for image in (images[0], images[2]) for pair in octave_pairs(image, BRIEF.crop)]
    single = [
        Pair(pair.father[[band]], pair.son[[band]], pair.weight / len(image))
        for image in images
        for pair in octave_pairs(image, BRIEF.crop)
        for band in range(len(image))
    ]
    fit(by_hand[3], in_colour, BRIEF, 4)
    fit(by_hand[1], single, BRIEF, 4)
    prior = train_prior(images, settings, BRIEF)
    assert equal(prior, {bands: network.state_dict() for bands, network in by_hand.items()})


def test_training_is_the_same_whatever_runs_beside_it() -> None:
    """Equal weights bit for bit while another fit keeps the processor busy, and torch's random state is left alone."""
    images = [colour(), gray()]
    stop = Event()

    def disturb() -> None:
        while not stop.is_set():
            fit(untrained(3), octave_pairs(colour(7), 16), BRIEF, 1)
            torch.rand(3)

    alone = train_prior(images, TINY, BRIEF)
    with torch.random.fork_rng():
        torch.manual_seed(123)
        before = torch.get_rng_state()
        assert equal(train_prior(images, TINY, BRIEF), alone)
        assert torch.equal(torch.get_rng_state(), before)
        beside = Thread(target=disturb)
        beside.start()
        try:
            for _ in range(3):
                assert equal(train_prior(images, TINY, BRIEF), alone)
        finally:
            stop.set()
            beside.join()
    assert not equal(train_prior(images, replace(TINY, seed=1), BRIEF), alone)


def test_every_image_has_the_same_odds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large or small, gray or in colour, an image's pairs have odds of 1 together, its bands an equal part each."""
    lessons: dict[int, list[Pair]] = {}

    def listen(network: ResidualNetwork, pairs: list[Pair], *_: object) -> float:
        lessons[network.bands] = pairs
        return 0.0

    monkeypatch.setattr("sr_ops.prior.fit", listen)
    levels = torch.tensor([0.1, 0.2, 0.3])[:, None, None]
    images = [levels.expand(3, 70, 90), (levels + 0.3).expand(3, 16, 20), torch.full((1, 33, 33), 0.8)]
    train_prior(images, TINY, BRIEF)

    def odds(pairs: list[Pair], bands: int) -> dict[float, float]:
        sums: dict[float, float] = {}
        for pair in pairs:
            assert len(pair.father) == len(pair.son) == bands
            level = round(float(pair.father[0].mean()), 3)
            assert float(pair.son[0].mean()) == pytest.approx(level, abs=1e-3)
            sums[level] = sums.get(level, 0) + pair.weight
        return sums

    assert odds(lessons[3], 3) == pytest.approx({0.1: 1, 0.4: 1})
    thirds = dict.fromkeys((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), 1 / 3)
    assert odds(lessons[1], 1) == pytest.approx({**thirds, 0.8: 1})


def test_without_a_step_or_a_start_a_prior_is_bicubic() -> None:
    """What trains from nothing starts as the untrained network of the settings' seed."""
    prior = train_prior([colour()], TINY, replace(BRIEF, steps=0))
    assert equal(prior, {bands: untrained(bands).state_dict() for bands in (1, 3)})


def test_training_goes_on_from_a_start() -> None:
    """Without a step the start comes back; with some, it matters, and itself stays as it was."""
    images = [colour(), gray()]
    start = train_prior(images, replace(TINY, seed=9), BRIEF)
    before = copied(start)
    assert equal(train_prior(images, TINY, replace(BRIEF, steps=0), start), start)
    further = train_prior(images, TINY, BRIEF, start)
    scratch = train_prior(images, TINY, BRIEF)
    assert all(not equal({0: further[bands]}, {0: scratch[bands]}) for bands in (1, 3))
    assert equal(start, before)


def test_a_network_that_the_start_does_not_hold_starts_from_nothing() -> None:
    """From a start for one band, the network for three begins as bicubic."""
    start = train_prior([gray()], replace(TINY, seed=9), BRIEF)
    prior = train_prior([colour()], TINY, replace(BRIEF, steps=0), start)
    assert equal(prior, {1: start[1], 3: untrained(3).state_dict()})


def test_progress_names_the_network() -> None:
    """`after_step` hears of each network's every step, in order."""
    heard: list[tuple[int, int]] = []
    train_prior([colour(), gray()], TINY, BRIEF, None, lambda bands, step: heard.append((bands, step)))
    for bands in (1, 3):
        assert [step for told, step in heard if told == bands] == [1, 2, 3, 4]
    assert len(heard) == 8


LONG = replace(BRIEF, steps=200)
"""Steps that last for 10 seconds when each waits for 50 ms: time enough to be stopped, on a busy machine too."""


@pytest.mark.parametrize("failing", [1, 3])
def test_a_training_that_fails_ends_the_other(failing: int) -> None:
    """What one of the two raises comes out, and the other one does not go on to its end."""
    heard: dict[int, int] = {}

    def after_step(bands: int, step: int) -> None:
        heard[bands] = step
        if bands == failing and step == 2:
            raise ZeroDivisionError
        sleep(0.05)

    with pytest.raises(ZeroDivisionError):
        train_prior([colour()], TINY, LONG, None, after_step)
    assert heard.pop(failing) == 2
    assert all(steps < LONG.steps for steps in heard.values())


def test_an_interrupt_ends_the_training() -> None:
    """Control-C does not wait for the last step."""
    heard: dict[int, int] = {}

    def after_step(bands: int, step: int) -> None:
        heard[bands] = step
        if (bands, step) == (3, 2):
            pthread_kill(main_thread().ident or 0, SIGINT)
        sleep(0.05)

    before = signal(SIGINT, default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train_prior([colour()], TINY, LONG, None, after_step)
    finally:
        signal(SIGINT, before)
    assert all(steps < LONG.steps for steps in heard.values())


def test_the_training_has_its_own_settings() -> None:
    """Steps, crops and rate are those of the training, not those of the fits that will start from it."""
    prior = train_prior([gray()], TINY, BRIEF)
    assert equal(train_prior([gray()], replace(TINY, fit=FitSettings(steps=0)), BRIEF), prior)
    assert not equal(train_prior([gray()], TINY, replace(BRIEF, learning_rate=1e-4)), prior)


def test_the_images_are_left_alone() -> None:
    """Training reads them and writes to none."""
    images = [colour(), gray()]
    before = [image.clone() for image in images]
    train_prior(images, TINY, BRIEF)
    assert all(map(torch.equal, images, before))


def test_which_network_an_image_starts_from() -> None:
    """That for its number of bands where the prior has it, else that for one band."""
    single: Prior = {1: {}}
    both: Prior = {1: {}, 3: {}}
    assert [network_bands(both, bands) for bands in (1, 2, 3, 4, 12)] == [1, 1, 3, 1, 1]
    assert [network_bands(single, bands) for bands in (1, 2, 3, 4, 12)] == [1, 1, 1, 1, 1]


@names
@pytest.mark.parametrize(("held", "bands", "expected"), [((1, 3), 3, 3), ((1,), 3, 1), ((1, 3), 4, 1), ((1, 3), 1, 1)])
def test_a_fit_of_no_steps_is_the_prior_itself(name: Network, held: tuple[int, ...], bands: int, expected: int) -> None:
    """All stages run the prior's weights as they are, on as many bands at a time as `network_bands` says."""
    settings = replace(TINY, network=name, scale=4, seed=5, fit=replace(BRIEF, steps=0))
    trained = train_prior([colour(), gray()], replace(settings, seed=9), BRIEF)
    prior = {count: trained[count] for count in held}
    lr = noise(bands, 20, 26)
    fitted = fit_stages(lr, settings, prior)
    assert len(fitted.model.networks) == 2
    for network in fitted.model.networks:
        assert network.bands == expected
        assert equal({0: network.state_dict()}, {0: prior[expected]})
    once = replace(settings, scale=2, back_projections=0)
    network = untrained(expected, settings)
    network.load_state_dict(prior[expected])
    answer = network(lr[None])[0].detach()
    assert float((answer - upscale(lr, 2)).abs().max()) > 1e-3
    torch.testing.assert_close(super_resolve(lr, once, prior), answer.clamp(0, 1), rtol=0, atol=1e-6)


def test_fits_do_not_change_the_prior() -> None:
    """The next image starts from the same weights."""
    prior = train_prior([colour(), gray()], TINY, BRIEF)
    before = copied(prior)
    fitted = fit_stages(colour(3), TINY, prior)
    assert not equal({0: fitted.model.networks[0].state_dict()}, {0: prior[3]})
    assert equal(prior, before)


def test_a_prior_is_better_than_nothing(scene: Tensor) -> None:
    """From the west of a scene it knows what 5 steps cannot learn of the east; so does its network for one band."""
    training = FitSettings(steps=100, crop=32, batch=4, learning_rate=4e-3)
    settings = replace(TINY, depth=4, fit=FitSettings(steps=5, crop=24, batch=4, learning_rate=1e-3))
    prior = train_prior([scene[..., :96]], settings, training)
    hr = scene[..., 96:]
    lr = downscale(hr, 2).clamp(0, 1)
    scratch = psnr(super_resolve(lr, settings), hr)
    bicubic = psnr(super_resolve(lr, replace(settings, method=Method.BICUBIC)), hr)
    for start in (prior, {1: prior[1]}):
        assert psnr(super_resolve(lr, settings, start), hr) > max(scratch, bicubic) + 0.1
