"""What enlarges an image that has a prior: its fit, the prior as it is or the base, by parts held out of it."""

from dataclasses import replace
from math import isnan

import pytest
import torch
from torch import Generator, Tensor

from sr_ops import super_resolve
from sr_ops.camera.degradation import Degradation
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Fitted, Model, network_of, no_phase
from sr_ops.enlarging.stages import stages_of
from sr_ops.estimation.jpeg import round_to_steps, steps_of_quality
from sr_ops.image.domain import Domain, nearest
from sr_ops.learning import subject
from sr_ops.learning.damage import Damage
from sr_ops.learning.held_out import Examination, HeldOut, hold_out
from sr_ops.learning.learn import fit_stages, fit_stages_together
from sr_ops.learning.observation import Observation
from sr_ops.learning.pairs import Lesson
from sr_ops.networks.direct import JPEG_NOISE, JPEG_UNIT, NOISE_UNIT, DirectNetwork
from sr_ops.networks.layers import initialise
from sr_ops.networks.residual_network import ResidualNetwork, fastest_dtype
from sr_ops.priors.heads import deeper
from sr_ops.priors.prior import Head, Prior, Weights
from sr_ops.settings import AUTO, Body, FitSettings, Method, Network, Settings

from .cameras import CPU, blur, matlab, motion, random_prior
from .pictures import noise, star, white_noise

BODY = Body(8, 4)
FIT = FitSettings(steps=3, crop=32, batch=2, learning_rate=1e-3)
DIRECT = Settings(scale=2, network=Network.DIRECT, width=8, depth=4, fit=FIT, ensemble=False)
KEEN = replace(DIRECT, fit=FitSettings(steps=60, crop=24, batch=4, learning_rate=5e-3))
"""Learns the rays of a `star` in an instant."""


def prior_adding(value: float, bands: tuple[int, ...] = (1, 3)) -> Prior:
    """The base, and so much everywhere; hidden layers as at the start of a training."""
    heads: dict[Head, Weights] = {}
    for scale in (2, 3, 4):
        for number in bands:
            network = DirectNetwork(number, scale, BODY, torch.float32)
            initialise(network.body, Generator().manual_seed(0))
            weights = network.state_dict()
            weights[f"body.{BODY.depth}.bias"].fill_(value)
            heads[scale, number] = weights
    return Prior(BODY, heads)


BASE, BRIGHTER, MUCH_BRIGHTER = prior_adding(0.0), prior_adding(0.004), prior_adding(0.1)


def network(prior: Prior, bands: int, settings: Settings) -> ResidualNetwork:
    return network_of(prior.heads[settings.stage_scales[0], bands], bands, settings.stage_scales[0], settings, CPU)


def figures(fitted: Fitted) -> tuple[float, float, float, float]:
    """Of the loss, the fit, the prior and the base."""
    psnr = fitted.reconstruction_psnr, fitted.prior_reconstruction_psnr, fitted.bicubic_reconstruction_psnr
    return fitted.final_loss, *psnr


def same_weights(one: ResidualNetwork, other: ResidualNetwork) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_noise_that_is_told_makes_no_camera_anew() -> None:
    """A camera keeps its spectra, and is that of all images with this noise."""
    camera = replace(matlab(2), noise=(2 / 255,))
    fitted = fit_stages(Observation(star(80), camera), replace(KEEN, scale=2, noise="2", method=Method.PRIOR), BASE)
    assert fitted.model.degradation is camera
    assert fitted.model.degradation.clear is camera.clear


SHAKEN = {scale: Degradation((motion(1),), scale) for scale in (2, 3, 4)}
"""A camera of a kind that fits pay for."""


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_fit_that_wins_is_taken(scale: int) -> None:
    """On sharp rays a fit from the base beats it and the prior; it is the first network, and its figures are told."""
    settings = replace(KEEN, scale=scale)
    fitted = fit_stages(Observation(star(80), SHAKEN[scale]), settings, BASE)
    assert (fitted.model.method, fitted.steps) == (Method.ZSSR, 60)
    loss, fit, prior, base = figures(fitted)
    assert loss > 0
    assert fit > prior == base
    assert not same_weights(fitted.model.networks[0], network(BASE, 1, settings))


@pytest.mark.parametrize("degradation", [matlab(2), matlab(4), blur(1.2, 2), blur(0.8, 3), blur(4.0, 4)])
def test_of_gaussians_and_bicubic_the_prior_is_taken_as_it_is(degradation: Degradation) -> None:
    """Nothing is fitted, and so nothing is asked of a fit; told to fit, it does."""
    settings = replace(DIRECT, scale=degradation.scale)
    fitted = fit_stages(Observation(star(80), degradation), settings, BASE, after_step=never)
    assert (fitted.model.method, fitted.steps) == (Method.PRIOR, 0)
    assert isnan(fitted.reconstruction_psnr)
    assert fitted.prior_reconstruction_psnr > 0
    told = fit_stages(Observation(star(80), degradation), replace(settings, method=Method.ZSSR), BASE)
    assert told.model.method is Method.ZSSR


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_a_fit_that_went_astray_is_not_taken(scale: int) -> None:
    """Too long steps spoil it; then the prior as it is enlarges, and the figures say why."""
    settings = replace(DIRECT, scale=scale, fit=replace(FIT, learning_rate=0.3))
    prior = random_prior(std=1e-4)
    fitted = fit_stages(Observation(star(64), SHAKEN[scale]), settings, prior)
    loss, fit, as_it_is, base = figures(fitted)
    assert not any(map(isnan, (loss, as_it_is, base)))
    assert not fit > as_it_is - 1
    assert (fitted.model.method, fitted.steps) == (Method.PRIOR, 3)
    assert same_weights(fitted.model.networks[0], network(prior, 1, settings))


def test_a_fit_a_little_below_its_prior_is_taken() -> None:
    """Of a camera that fits pay for: parts held out do not tell so well."""
    camera = SHAKEN[2]
    fitted = fit_stages(Observation(star(80), camera), replace(KEEN, method=Method.ZSSR), BASE)
    prior = Prior(BODY, {**BASE.heads, (2, 1): fitted.model.networks[0].state_dict()})
    again = fit_stages(Observation(star(80), camera), replace(DIRECT, fit=replace(FIT, learning_rate=3e-3)), prior)
    assert again.prior_reconstruction_psnr - 1 < again.reconstruction_psnr < again.prior_reconstruction_psnr
    assert again.model.method is Method.ZSSR


@pytest.mark.parametrize(
    ("camera", "noise", "bands", "clean"),
    [(matlab(2), "0", 3, True), (matlab(2), "4", 3, False), (blur(1.0, 2), "0", 3, False), (matlab(2), "0", 1, False)],
    ids=["clean", "noise", "another kernel", "one band"],
)
def test_clean_images_have_heads_of_their_own(camera: Degradation, noise: str, bands: int, clean: bool) -> None:
    """Three bands that MATLAB's bicubic made small, with nothing told but that."""
    deep = {2: deeper(BRIGHTER.heads[2, 3], 6)}
    settings = replace(DIRECT, method=Method.PRIOR, noise=noise)
    degradation = replace(camera, noise=(float(noise) / 255,))
    observation = Observation(star(64).expand(bands, -1, -1), degradation)
    fitted = fit_stages(observation, settings, Prior(BODY, BRIGHTER.heads, deep))
    assert len(fitted.model.networks[0].body) == (6 if clean else 4) + 1


def test_a_fit_that_beats_a_bad_prior_but_not_the_base_is_not_taken() -> None:
    """From a prior that is clearly worse than the base, three steps do not come so far as the base."""
    fitted = fit_stages(Observation(0.3 + 0.4 * noise(1, 60, 64), SHAKEN[2]), DIRECT, prior_adding(0.2))
    _, fit, prior, base = figures(fitted)
    assert prior < fit < base
    assert (fitted.model.method, fitted.model.networks) == (Method.BICUBIC, ())


@pytest.mark.parametrize(
    ("prior", "method"), [(BASE, "prior"), (BRIGHTER, "prior"), (MUCH_BRIGHTER, "bicubic")], ids=["base", "near", "far"]
)
def test_a_prior_clearly_worse_than_the_base_is_not_taken(prior: Prior, method: str) -> None:
    """By far more than a decibel over all of the image; one a little worse is. Told to, it is taken anyway."""
    lr, settings = star(64), replace(DIRECT, fit=replace(FIT, steps=0))
    fitted = fit_stages(Observation(lr, blur(1.0, 2)), settings, prior)
    assert fitted.model.method == method
    gain = fitted.prior_reconstruction_psnr - fitted.bicubic_reconstruction_psnr
    assert (gain < -0.5) is (method == "bicubic")
    told = fit_stages(Observation(lr, blur(1.0, 2)), replace(settings, method=Method.PRIOR), prior)
    assert told.model.method is Method.PRIOR
    assert same_weights(told.model.networks[0], network(prior, 1, settings))


@pytest.mark.parametrize(("camera", "taken"), [(blur(1.0, 2), True), (matlab(2), False)], ids=["blurred", "bicubic"])
def test_a_blurred_image_has_to_speak_louder(camera: Degradation, taken: bool) -> None:
    """Its sons are blurred twice: a prior that is a decibel worse than the base on them is taken all the same."""
    prior = prior_adding(0.03)
    fitted = fit_stages(Observation(star(64), camera), replace(DIRECT, fit=replace(FIT, steps=0)), prior)
    assert (fitted.model.method == Method.PRIOR) is taken


@pytest.mark.parametrize(("jpeg", "taken"), [(True, True), (False, False)], ids=["JPEG", "no JPEG"])
def test_a_jpeg_has_to_speak_louder(jpeg: bool, taken: bool) -> None:
    """Its sons show blocks as detail: a prior that is worse than the base on them by less than 1.5 dB is taken."""
    lr = star(64)
    if jpeg:
        lr = round_to_steps(lr, steps_of_quality(90))
    fitted = fit_stages(Observation(lr, matlab(2)), replace(DIRECT, fit=replace(FIT, steps=0)), prior_adding(0.03))
    assert (fitted.model.method == Method.PRIOR) is taken


def test_all_of_the_image_says_whether_a_prior_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not the parts held out alone: it learned from none of the image."""
    asked = []

    class Asked(Examination):
        def __init__(self, parts: HeldOut, *rest: object) -> None:
            asked.append(parts.windows.shape)
            super().__init__(parts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(subject, "Examination", Asked)
    fit_stages(Observation(star(64), matlab(2)), DIRECT, BASE)
    assert torch.Size((1, 1, 64, 64)) in asked


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("method", [Method.AUTO, Method.ZSSR])
def test_no_step_takes_the_prior_as_it_is(scale: int, method: Method) -> None:
    """For all stages, with the prior's figures and no loss."""
    settings = replace(DIRECT, scale=scale, method=method, fit=replace(FIT, steps=0))
    prior = random_prior(std=1e-4)
    fitted = fit_stages(Observation(star(64), blur(0.4 * scale, scale)), settings, prior, after_step=never)
    assert fitted.model.method is Method.PRIOR
    ratios = [stage.ratio for stage in stages_of(settings, matlab(scale))]
    assert [each.scale for each in fitted.model.networks] == ratios
    assert isnan(fitted.final_loss)
    assert isnan(fitted.reconstruction_psnr)
    assert fitted.prior_reconstruction_psnr > 0


def never(_step: int) -> None:
    raise AssertionError("fitted")


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("method", [Method.AUTO, Method.PRIOR])
def test_a_small_image_takes_the_prior_as_it_is(scale: int, method: Method) -> None:
    """Where no part can be spared nothing is fitted by itself, and nothing speaks against the prior."""
    least = 12 * min(scale, 4)
    for size in ((least - 1, 60), (60, least - 1), (5, 7), (1, 2)):
        settings = replace(DIRECT, scale=scale, method=method)
        observation = Observation(noise(1, *size), blur(0.4 * scale, scale))
        fitted = fit_stages(observation, settings, MUCH_BRIGHTER, after_step=never)
        assert fitted.model.method is Method.PRIOR
        assert all(map(isnan, figures(fitted)))
        assert super_resolve(noise(1, *size), settings, MUCH_BRIGHTER).shape == (1, size[0] * scale, size[1] * scale)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
def test_told_to_fit_a_small_image_is_fitted_if_it_can_be(scale: int) -> None:
    """From sons of 4 pixels on; below the prior as it is, for want of a lesson."""
    settings, least = replace(DIRECT, scale=scale, method=Method.ZSSR), 4 * min(scale, 4)
    for side, method in ((least, Method.ZSSR), (least - 1, Method.PRIOR)):
        fitted = fit_stages(Observation(noise(1, side, 40), matlab(scale)), settings, BASE)
        assert fitted.model.method is method
        assert isnan(fitted.final_loss) is (method is Method.PRIOR)
        assert isnan(fitted.reconstruction_psnr)


@pytest.mark.parametrize("prior", [BASE, MUCH_BRIGHTER])
@pytest.mark.parametrize("rate", [1e-3, 0.3])
def test_told_to_fit_the_fit_is_taken(prior: Prior, rate: float) -> None:
    """Whatever comes of it."""
    settings = replace(DIRECT, method=Method.ZSSR, fit=replace(FIT, learning_rate=rate))
    fitted = fit_stages(Observation(star(64), blur(1.0, 2)), settings, prior)
    assert fitted.model.method is Method.ZSSR
    assert len(fitted.model.networks) == 1
    assert not isnan(fitted.final_loss)


def test_bicubic_asks_no_network() -> None:
    """By that method nothing is fitted or examined."""
    settings = replace(DIRECT, method=Method.BICUBIC)
    fitted = fit_stages(Observation(star(64), blur(1.0, 2)), settings, BASE, after_step=never)
    assert (fitted.model.method, fitted.model.networks) == (Method.BICUBIC, ())
    assert all(map(isnan, figures(fitted)))


@pytest.mark.parametrize("fits", [True, False])
def test_later_stages_are_the_priors(fits: bool) -> None:
    """At x8 the first network alone is fitted; the second enlarges as it is, in float32."""
    settings = replace(KEEN, scale=8, method=Method.ZSSR if fits else Method.PRIOR)
    first, second = fit_stages(Observation(star(64), blur(3.0, 8)), settings, BASE).model.networks
    assert (first.scale, second.scale) == (4, 2)
    assert same_weights(first, network(BASE, 1, settings)) is not fits
    assert same_weights(second, network(BASE, 1, replace(settings, scale=2)))
    assert (first.autocast_dtype, second.autocast_dtype) == (fastest_dtype(CPU), torch.float32)


@pytest.mark.parametrize(("bands", "held", "taken"), [(1, (1, 3), 1), (3, (1, 3), 3), (4, (1, 3), 1), (3, (1,), 1)])
def test_an_image_takes_the_head_for_its_bands(bands: int, held: tuple[int, ...], taken: int) -> None:
    """Of as many where there is one, else that for one."""
    fitted = fit_stages(Observation(noise(bands, 40, 44), matlab(2)), DIRECT, prior_adding(0.0, held))
    assert fitted.model.networks[0].bands == taken


# ---- damage ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def lessons(monkeypatch: pytest.MonkeyPatch) -> list[Lesson]:
    """Fills with what networks are taught."""
    taught: list[Lesson] = []

    def spy(_network: ResidualNetwork, lesson: Lesson, *_rest: object) -> float:
        taught.append(lesson)
        return 0.0

    monkeypatch.setattr("sr_ops.learning.fits.fit", spy)
    return taught


def added_to_sons(lesson: Lesson, degradation: Degradation) -> Tensor:
    """(C,): the standard deviation of what sons have besides what the camera saw of their fathers."""
    pair = lesson.pairs[0]
    return (pair.son - degradation.apply(pair.father)).std((1, 2))


def test_noise_that_is_told_is_in_the_sons_and_told_to_the_network(lessons: list[Lesson]) -> None:
    """Band by band, weak noise too, and undone as such: nothing is measured."""
    settings, sigmas = replace(DIRECT, method=Method.ZSSR, noise="given"), (0.004, 0.02, 0.05)
    degradation = replace(blur(1.2, 2), noise=sigmas)
    fitted = fit_stages(Observation(0.2 + 0.6 * noise(3, 120, 120), degradation), settings, BASE)
    (lesson,) = lessons
    torch.testing.assert_close(added_to_sons(lesson, degradation), torch.tensor(sigmas), rtol=0.1, atol=0)
    expected = torch.stack([torch.tensor(sigmas) / NOISE_UNIT, torch.zeros(3)], -1)
    torch.testing.assert_close(lesson.told, expected)
    assert fitted.model.told is not None
    torch.testing.assert_close(fitted.model.told, expected)
    assert fitted.noise == fitted.model.degradation.noise == pytest.approx(sigmas)


@pytest.mark.parametrize("sigma", [0.0, 0.002, 0.02, 0.08])
def test_noise_is_measured_where_it_is_not_told(lessons: list[Lesson], sigma: float) -> None:
    """What is visible of it is in the sons, in the degradation and in what the network is told, whatever was given."""
    lr = 0.5 + sigma * white_noise(1, 160, 160)
    settings = replace(DIRECT, method=Method.ZSSR, noise=AUTO)
    fitted = fit_stages(Observation(lr, blur(1.2, 2, 0.3)), settings, BASE)
    (lesson,) = lessons
    measured = sigma if sigma > 0.7 / 255 else 0.0
    assert fitted.noise == pytest.approx((measured,), rel=0.15)
    assert float(lesson.told[0, 0]) * NOISE_UNIT == pytest.approx(measured, rel=0.15)
    assert float(added_to_sons(lesson, blur(1.2, 2))) == pytest.approx(measured, rel=0.2, abs=1e-6)
    assert fitted.model.degradation.noise == pytest.approx((measured,), rel=0.15)


def test_no_noise_by_word_is_none(lessons: list[Lesson]) -> None:
    """Of a noisy image that is said to be clean: no noise in the sons, none told."""
    lr = 0.5 + 0.08 * white_noise(1, 160, 160)
    fitted = fit_stages(Observation(lr, matlab(2)), replace(DIRECT, method=Method.ZSSR, noise="0"), BASE)
    (lesson,) = lessons
    assert torch.equal(lesson.told, torch.zeros(1, 2))
    assert torch.equal(lesson.pairs[0].son, matlab(2).apply(lesson.pairs[0].father))
    assert fitted.noise == (0.0,)
    assert not fitted.model.degradation.is_noisy


@pytest.mark.parametrize("method", [Method.AUTO, Method.ZSSR])
def test_a_jpeg_is_nothing_to_learn_from(lessons: list[Lesson], method: Method) -> None:
    """A fit would learn JPEG's blocks and a maker's sharpening for truth, and its score on other parts would agree."""
    lr = round_to_steps(0.2 + 0.6 * noise(1, 96, 96), steps_of_quality(60))
    fitted = fit_stages(Observation(lr, matlab(2)), replace(DIRECT, method=method), BASE)
    assert len(lessons) == (method is Method.ZSSR)
    assert (fitted.model.method is Method.ZSSR) == (method is Method.ZSSR)


def test_what_jpeg_lost_is_told_and_counts_as_noise(lessons: list[Lesson]) -> None:
    """Its mean step by its unit; in the data step as so much noise, which is not told as noise of the image."""
    steps = steps_of_quality(30)
    lr = round_to_steps(0.2 + 0.6 * noise(1, 96, 96), steps)
    fitted = fit_stages(Observation(lr, matlab(2)), replace(DIRECT, method=Method.ZSSR, noise="0"), BASE)
    (lesson,) = lessons
    mean = float(steps.mean())
    torch.testing.assert_close(lesson.told, torch.tensor([[0.0, mean / JPEG_UNIT]]))
    assert fitted.noise == (0.0,)
    assert fitted.model.degradation.noise == pytest.approx((mean * JPEG_NOISE,), rel=1e-5)
    torch.testing.assert_close(round_to_steps(lesson.pairs[0].son, steps), lesson.pairs[0].son, rtol=0, atol=1e-5)


def test_the_figures_are_those_of_damaged_sons() -> None:
    """Base and prior are asked for what the image's own camera, noise included, makes of the parts."""
    lr, settings, prior = 0.2 + 0.6 * noise(3, 80, 90), replace(DIRECT, noise="given"), random_prior(std=1e-3)
    degradation = replace(blur(1.2, 2), noise=(0.0, 0.03, 0.05))
    fitted = fit_stages(Observation(lr, degradation), settings, prior)
    parts = hold_out(lr, 2, 0)
    assert parts is not None
    damage = Damage(torch.tensor(degradation.noise))
    examination = Examination(parts, stages_of(settings, damage.as_noise_of(degradation))[0], damage, 0)
    assert fitted.bicubic_reconstruction_psnr == examination.of_base()
    expected = examination.of(network(prior, 3, settings), damage.told(3))
    assert fitted.prior_reconstruction_psnr == pytest.approx(expected, abs=1e-4)


def test_what_is_told_shows_in_the_pixels() -> None:
    """A network that is told of noise makes another picture."""
    prior = random_prior(std=0.02)
    lr, settings = noise(3, 24, 26), replace(DIRECT, method=Method.PRIOR, noise="0")
    clean = fit_stages(Observation(lr, matlab(2)), settings, prior).model
    noisy = replace(clean, told=Damage(torch.tensor([0.05])).told(3))
    assert not torch.equal(enlarge(lr, clean, settings), enlarge(lr, noisy, settings))
    unsaid = Model(clean.method, clean.degradation, clean.networks)
    assert torch.equal(enlarge(lr, clean, settings), enlarge(lr, unsaid, settings))


# ---- together --------------------------------------------------------------------------------------------------------


def test_images_that_nothing_joins_are_fitted_as_if_alone() -> None:
    """Of several images with other bands, or too small for equal crops, each gets its own bit for bit."""
    settings = replace(DIRECT, scale=4, method=Method.ZSSR)
    lrs = [noise(3, 50, 52), noise(1, 50, 60), noise(1, 20, 30), noise(1, 5, 40), noise(2, 60, 50)]
    cameras = [blur(1.0 + 0.2 * index, 4, 0.01 * index) for index in range(5)]
    observations = list(map(Observation, lrs, cameras))
    together = fit_stages_together(observations, settings, BASE, [no_phase] * 5)
    methods = [Method.ZSSR, Method.ZSSR, Method.ZSSR, Method.PRIOR, Method.ZSSR]
    assert [fitted.model.method for fitted in together] == methods
    for observation, fitted in zip(observations, together, strict=True):
        alone = fit_stages(observation, settings, BASE)
        assert all(map(same_weights, fitted.model.networks, alone.model.networks))
        assert str(figures(fitted)) == str(figures(alone)), "equal, nan or not"


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("camera", [matlab(2), SHAKEN[2]], ids=["bicubic", "shaken"])
def test_a_flat_image_is_bicubic_without_a_fit(value: float, camera: Degradation) -> None:
    """Which of base, prior and fit is better there would be rounding, and so each processor's own.

    Unknown samples tell nothing. Told to fit, srpipe does; its pixels are as flat.
    """
    lr = torch.full((3, 64, 60), value)
    lr[1] /= 2
    holed = lr.clone()
    holed[:, 3:9, 5:30] = torch.nan
    observation = Observation(holed, camera, Domain(~holed.isnan()))
    auto = replace(DIRECT, method=Method.AUTO)
    for prior in (None, BASE, MUCH_BRIGHTER):
        fitted = fit_stages(observation, auto, prior)
        assert (fitted.model.method, fitted.steps) == (Method.BICUBIC, 0)
        pixel = Observation(lr[:, :1, :1], camera)
        assert fit_stages(pixel, auto, prior).model.method is Method.BICUBIC, "too small, too"
    fitted = fit_stages(observation, replace(DIRECT, method=Method.ZSSR), MUCH_BRIGHTER)
    assert (fitted.model.method, fitted.steps) == (Method.ZSSR, FIT.steps)
    assert torch.equal(super_resolve(lr, replace(DIRECT, method=Method.ZSSR)), nearest(lr, 2))


def test_a_band_that_is_nowhere_known_decides_nothing() -> None:
    """As of a sensor that failed: the other bands are enlarged by the prior as ever."""
    lr = star(64).repeat(3, 1, 1)
    lr[1] = torch.nan
    fitted = fit_stages(Observation(lr, matlab(2), Domain(~lr.isnan())), replace(DIRECT, method=Method.PRIOR), BRIGHTER)
    assert fitted.model.method is Method.PRIOR


def test_images_fitted_together_are_what_they_are_alone() -> None:
    """Each by its own camera and noise, with its method and, but for rounding, its figures and pixels."""
    lrs = [star(64), torch.full((1, 60, 64), 0.5), 1 - star(72)]
    cameras = [SHAKEN[2], blur(1.0, 2), replace(SHAKEN[2], noise=(0.01,))]
    settings = replace(KEEN, noise="given")
    observations = list(map(Observation, lrs, cameras))
    together = fit_stages_together(observations, settings, BASE, [no_phase] * 3)
    assert [fitted.model.method for fitted in together] == [Method.ZSSR, Method.BICUBIC, Method.ZSSR]
    for observation, fitted in zip(observations, together, strict=True):
        alone = fit_stages(observation, settings, BASE)
        assert figures(fitted)[1:] == pytest.approx(figures(alone)[1:], abs=0.3, nan_ok=True)
        difference = enlarge(observation.lr, fitted.model, settings) - enlarge(observation.lr, alone.model, settings)
        assert float(difference.square().mean().sqrt()) < 0.01
