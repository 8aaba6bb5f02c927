"""What is learned from one image: a network fitted per stage, and whether it is to be trusted.

The first network is asked for parts of the image that it did not learn from. There it competes with the prior as it is
and with the base alone, by the rules of `candidates`. Later stages of a prior stay as they are; from scratch they
learn from what the earlier ones made of the image, or of windows of a large one.
"""

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import replace

from torch import Tensor

from ..enlarging.enlarge import enlarge, enlarge_tiled
from ..enlarging.model import Fitted, Model, Phase, as_later_stage, no_phase
from ..enlarging.stages import halo
from ..image import sheet
from ..image.domain import Domain, nearest
from ..image.tiles import cut, owned, tile_at
from ..priors.prior import Prior
from ..settings import Method, Settings
from .candidates import fit_serves
from .fits import AfterStep, Losses, Taught, fit_together, stacks_of
from .held_out import Examination
from .observation import Observation
from .subject import Subject


def fit_stages(
    observation: Observation,
    settings: Settings,
    prior: Prior | None,
    phase: Phase = no_phase,
    after_step: AfterStep | None = None,
) -> Fitted:
    """Fit one network per stage to what is known of an image, on the device of its tensor.

    With `Method.AUTO` the first network is scored on parts of the image that it did not learn from, beside the prior as
    it is and the base. A flat image gets BICUBIC. Where no part can be spared, JPEG spoiled the image, or it is too
    small to be fitted, the prior is taken as it is; without a prior the model is BICUBIC, or of a JPEG fitted.

    Args:
        prior: where the fits start; None for a start from scratch.
        after_step: called after each optimiser step of each stage.
    """
    (fitted,) = fit_stages_together([observation], settings, prior, [phase], after_step)
    return fitted


def fit_stages_together(
    observations: Sequence[Observation],
    settings: Settings,
    prior: Prior | None,
    phases: Sequence[Phase],
    after_step: AfterStep | None = None,
) -> list[Fitted]:
    """Do `fit_stages` for several images on one device: fits that can be one computation are (`stack.fit_stack`).

    An image alone is fitted by `fit`, bit for bit as ever; in a stack its result differs by rounding. The phase "fit"
    of a stack counts for each of its images.

    Args:
        phases: one for each image.
        after_step: called after each optimiser step, of a stack once for all of its images.
    """
    courses = [_course(each, settings, prior, phase) for each, phase in zip(observations, phases, strict=True)]
    fitted: dict[int, Fitted] = {}
    losses: dict[int, Losses | None] = dict.fromkeys(range(len(courses)))
    while losses:
        lessons: dict[int, Taught] = {}
        for index, of_last in losses.items():
            try:
                lessons[index] = courses[index].send(of_last)
            except StopIteration as end:
                fitted[index] = end.value
        losses = {}
        for stack in stacks_of(lessons, settings.fit):
            with ExitStack() as measured:
                for index in stack:
                    measured.enter_context(phases[index]("fit"))
                of_stack = fit_together([lessons[index] for index in stack], settings, after_step)
            losses.update(zip(stack, of_stack, strict=True))
    return [fitted[index] for index in range(len(courses))]


def _course(
    observation: Observation, settings: Settings, prior: Prior | None, phase: Phase
) -> Generator[Taught, Losses | None, Fitted]:
    """Learn from one image: yield a network with its lesson, be sent the losses once it has learned, and so on."""
    with phase("fit"):
        subject = Subject.of(observation, settings, prior)
    fitted = subject.by_base()
    if subject.is_blank:
        return fitted
    with phase("fit"):
        if not settings.by_networks:
            return replace(fitted, model=subject.by_method())
        examination = None if subject.parts is None else subject.examination(subject.parts)
        fitted = _unfitted(subject, fitted, examination)
        if not subject.is_to_be_fitted:
            return fitted
        network, lesson = subject.network(0), subject.first_lesson()
    losses = yield network, lesson
    assert losses is not None
    del lesson  # later stages need the room of its pairs
    fitted = replace(fitted, final_loss=losses.final, fit_curve=losses.curve, steps=settings.fit.steps)
    if examination is not None:
        with phase("fit"):
            fitted = replace(fitted, reconstruction_psnr=examination.of(network, subject.told))
        if settings.method == Method.AUTO and not _serves(fitted):
            return fitted
    networks = (network, *subject.later_stages())
    while len(networks) < len(subject.stages):
        model = subject.by_networks(Method.ZSSR, networks)
        enlarged, known = _enlarged(subject.lr, model, settings, phase, subject.domain)
        with phase("fit"):
            network = subject.network(len(networks))
            lesson = subject.later_lesson(len(networks), enlarged, known)
        yield network, lesson
        networks = (*networks, as_later_stage(network))
    return replace(fitted, model=subject.by_networks(Method.ZSSR, networks))


def _unfitted(subject: Subject, fitted: Fitted, examination: Examination | None) -> Fitted:
    """Score the base and the prior as it is, and take the better one."""
    if examination is not None:
        fitted = replace(fitted, bicubic_reconstruction_psnr=examination.of_base())
    if subject.prior is None:
        return fitted
    network = subject.network(0)
    if examination is not None:
        fitted = replace(fitted, prior_reconstruction_psnr=examination.of(network, subject.told))
    if subject.settings.method == Method.AUTO and not subject.prior_serves(network):
        return fitted
    return replace(fitted, model=subject.by_networks(Method.PRIOR, (network, *subject.later_stages())))


def _serves(fitted: Fitted) -> bool:
    """Whether the fit, whose score is the last one taken, is better than the model that would be taken without it."""
    prior = fitted.prior_reconstruction_psnr if fitted.model.method == Method.PRIOR else None
    return fit_serves(fitted.reconstruction_psnr, fitted.bicubic_reconstruction_psnr, prior)


def _enlarged(
    lr: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain
) -> tuple[Tensor, Tensor | None]:
    """Return what these stages make of the image for the next to learn from, (C, H, W), and where it is known, (H, W).

    Of a large image it is a sheet of windows, each computed as in its place in the image.
    """
    bands, height, width = lr.shape
    scale, known = settings.stage_scales[len(model.networks) - 1], domain.known_pixels
    if sheet.is_fitted_whole(bands, height * scale, width * scale):
        enlarged = enlarge_tiled(lr, model, settings, phase, domain)
        return enlarged, None if known is None else nearest(known, scale)
    places = sheet.places(height, width, settings.seed, scale)
    shares = ((1.0 if known is None else float(known[place].float().mean()), place) for place in places)
    windows = []
    for rows, columns in sheet.pick(shares, sheet.windows_on(bands)):
        tile = tile_at(rows, columns, height, width, halo(settings, model.degradation))
        sr = enlarge(cut(lr, tile), model, settings, phase, domain.of(tile.rows.read, tile.columns.read))
        known_here = None if domain.known is None else nearest(domain.known[:, rows, columns], scale)
        windows.append((owned(sr, tile, scale), known_here))
    enlarged, known_there = sheet.lay_out(windows)
    return enlarged, known_there.all(0)
