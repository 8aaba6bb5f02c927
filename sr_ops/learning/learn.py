"""What is learned from one image: a network fitted per stage, and whether it is to be trusted.

The first network is asked for parts of the image that it did not learn from. There it competes with the prior as it is
and with the base alone, and the best enlarges the image. Later stages of a prior stay as they are; from scratch they
learn from what the earlier ones made of the image, or of windows of a large one.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace

import torch
from torch import Tensor

from ..camera.degradation import Degradation
from ..enlarging.enlarge import enlarge, enlarge_tiled
from ..enlarging.method import Learned
from ..enlarging.model import Fitted, Model, Phase, as_later_stage, build_network, network_of, no_phase
from ..enlarging.stages import halo, stages_of
from ..estimation.signs import Signs
from ..image import sheet
from ..image.domain import Domain, fill, nearest, shows_nothing
from ..image.tiles import cut, owned, tile_at
from ..networks.residual_network import ResidualNetwork
from ..priors.prior import Prior
from ..registry import method_of
from ..settings import AUTO, Method, Settings
from .candidates import fit_pays, fit_serves, prior_serves
from .damage import CLEAN, Damage, find_damage
from .fits import AfterStep, Taught, fit_together, stacks_of
from .held_out import Examination, HeldOut, hold_out, whole
from .observation import Observation
from .pairs import Lesson, father_son_pyramid, shortest_side


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
    """`fit_stages` of several images on one device: fits that can be one computation are (`stack.fit_stack`).

    An image alone is fitted by `fit`, bit for bit as ever; in a stack its result differs by rounding. The phase "fit"
    of a stack counts for each of its images.

    Args:
        phases: one for each image.
        after_step: called after each optimiser step, of a stack once for all of its images.
    """
    images = [_Stages(each, settings, prior, phase) for each, phase in zip(observations, phases, strict=True)]
    while lessons := {index: taught for index, image in enumerate(images) if (taught := image.lesson()) is not None}:
        for stack in stacks_of(lessons, settings.fit):
            with ExitStack() as measured:
                for index in stack:
                    measured.enter_context(phases[index]("fit"))
                losses = fit_together([lessons[index] for index in stack], settings, after_step)
            for index, (loss, its_curve) in zip(stack, losses, strict=True):
                images[index].learned(loss, its_curve)
    return [image.fitted for image in images]


class _Stages:
    """The stages of one image, fitted one after the other by whoever asks for `lesson` and then calls `learned`."""

    def __init__(self, observation: Observation, settings: Settings, prior: Prior | None, phase: Phase) -> None:
        self._settings, self._prior, self._phase = settings, prior, phase
        self._domain, self._known = observation.domain, observation.domain.known_pixels
        self._lr = fill(observation.lr, self._domain.known)
        self._ratio = stages_of(settings, observation.degradation)[0].ratio
        self._parts = hold_out(self._lr, self._ratio, settings.seed, self._known)
        with phase("fit"):
            signs = observation.signs or Signs(self._lr, self._known)
            self._damage = _damage(signs, self._parts, settings, observation.degradation)
        degradation = self._damage.as_noise_of(observation.degradation)
        self._stages = stages_of(settings, degradation)
        self._told = self._damage.told(len(self._lr)).to(self._lr.device)
        self._plain = Model(Method.BICUBIC, degradation, (), self._told)
        self._taught: ResidualNetwork | None = None
        noise = self._damage.sigmas if self._damage.looked else None
        self.fitted = Fitted(self._plain, noise, self._damage.lines)
        """What was learned, as far as it goes."""
        self._fitting = self._begin()
        """Whether another stage is to be fitted."""

    def lesson(self) -> Taught | None:
        """What the network of the next stage is to learn; None when nothing is left to be fitted."""
        if not self._fitting:
            return None
        done = self.fitted.model.networks if self.fitted.model.method == Method.ZSSR else ()
        with self._phase("fit"):
            network = self._network(len(done))
        if not done:
            image, known, taught = self._lr, self._known, None if self._parts is None else self._parts.taught
        else:
            image, known = _enlarged(self._lr, self.fitted.model, self._settings, self._phase, self._domain)
            taught = None
        if known is not None:
            taught = known[None].float() if taught is None else taught * known
        own, fit = CLEAN if done else self._damage, self._settings.fit
        damage = own.with_noise(fit.son_noise / 255)
        with self._phase("fit"):
            stage, seed = self._stages[len(done)], self._settings.seed
            pairs = father_son_pyramid(image, stage, taught, damage, seed, fit.level_odds)
        self._taught = network
        return network, Lesson(pairs, self._told)

    def learned(self, loss: float, its_curve: tuple[float, ...]) -> None:
        """The network of the last lesson is fitted, with this final loss and this curve."""
        assert self._taught is not None
        network, self._taught = self._taught, None
        if self.fitted.model.method == Method.ZSSR:
            self._keep((*self.fitted.model.networks, as_later_stage(network)))
        elif self._first_wins(network, loss, its_curve):
            self._keep((network, *self._later_stages()))
        else:
            self._fitting = False

    def _begin(self) -> bool:
        """Take what is best without a fit, and whether there is to be one."""
        method = self._settings.method
        if self._known is not None and not bool(self._known.any()):
            return False
        if not self._settings.by_networks:
            with self._phase("fit"):
                self._learn_by(method)
            return False
        if method == Method.AUTO and shows_nothing(self._lr, self._known):  # scores are rounding alone
            return False
        with self._phase("fit"):
            self._examine_unfitted()
        too_small = min(self._lr.shape[-2:]) < shortest_side(self._ratio)
        unsure = method == Method.AUTO and (self._parts is None or not self._fit_pays())
        return not (too_small or unsure or method == Method.PRIOR or (self._prior and not self._settings.fit.steps))

    def _learn_by(self, method: str) -> None:
        """Take a method without networks."""
        learned: Learned = {}
        if method != Method.MODEL:
            degradation = self._plain.degradation
            learned = method_of(method).learn(self._lr, degradation, self._domain, self._settings)
        self.fitted = replace(self.fitted, model=replace(self._plain, method=method, learned=learned))

    def _fit_pays(self) -> bool:
        return self._prior is None or fit_pays(self._stages[0].learned.kernels, self._damage)

    def _examine_unfitted(self) -> None:
        """Score the base and the prior as it is, and take the better one."""
        self._examination = None
        if self._parts is not None:
            self._examination = Examination(self._parts, self._stages[0], self._damage, self._settings.seed)
            self.fitted = replace(self.fitted, bicubic_reconstruction_psnr=self._examination.of_base())
        if self._prior is None:
            return
        network = self._network(0)
        if self._examination is not None:
            self.fitted = replace(self.fitted, prior_reconstruction_psnr=self._examination.of(network, self._told))
        if self._settings.method != Method.AUTO or self._prior_serves(network):
            networks = (network, *self._later_stages())
            self.fitted = replace(self.fitted, model=replace(self._plain, method=Method.PRIOR, networks=networks))

    def _prior_serves(self, network: ResidualNetwork) -> bool:
        """Whether the prior as it is may be taken; it is where nothing tells."""
        everything = whole(self._lr, self._ratio, self._known)
        if everything is None:
            return True
        examination = Examination(everything, self._stages[0], self._damage, self._settings.seed)
        by_bicubic = self._plain.degradation.is_bicubic
        return prior_serves(examination.of(network, self._told), examination.of_base(), self._damage, by_bicubic)

    def _first_wins(self, network: ResidualNetwork, loss: float, its_curve: tuple[float, ...]) -> bool:
        """Take the scores of the first network, and whether it is kept."""
        self.fitted = replace(self.fitted, final_loss=loss, fit_curve=its_curve, steps=self._settings.fit.steps)
        if self._examination is None:
            return True
        with self._phase("fit"):
            psnr = self._examination.of(network, self._told)
        base, by_prior = self.fitted.bicubic_reconstruction_psnr, self.fitted.model.method == Method.PRIOR
        prior = self.fitted.prior_reconstruction_psnr if by_prior else None
        self.fitted = replace(self.fitted, reconstruction_psnr=psnr)
        return self._settings.method != Method.AUTO or fit_serves(psnr, base, prior)

    def _keep(self, networks: tuple[ResidualNetwork, ...]) -> None:
        self.fitted = replace(self.fitted, model=replace(self._plain, method=Method.ZSSR, networks=networks))
        self._fitting = len(networks) < len(self._stages)

    def _network(self, stage: int) -> ResidualNetwork:
        """One at its start: the prior's, or a fresh one."""
        ratio, device, bands = self._stages[stage].ratio, self._lr.device, len(self._lr)
        if self._prior is None:
            return build_network(bands, ratio, self._settings, device)
        clean = stage == 0 and self._plain.degradation.is_bicubic and not self._told.any()
        bands, weights = self._prior.weights(ratio, bands, clean)
        return network_of(weights, bands, ratio, self._settings, device)

    def _later_stages(self) -> tuple[ResidualNetwork, ...]:
        """Those of a prior."""
        if self._prior is None:
            return ()
        return tuple(as_later_stage(self._network(stage)) for stage in range(1, len(self._stages)))


def _damage(signs: Signs, parts: HeldOut | None, settings: Settings, degradation: Degradation) -> Damage:
    """What the image suffered: its noise as it is given, or measured."""
    told = None if settings.noise == AUTO else torch.tensor(degradation.noise)
    windows = None if parts is None else parts.windows
    return find_damage(signs, windows, told, degradation.is_bicubic)


def _enlarged(
    lr: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain
) -> tuple[Tensor, Tensor | None]:
    """What these stages make of the image for the next to learn from, (C, H, W), and what is known of it, (H, W).

    Of a large one it is a sheet of windows, each computed as in its place in the image.
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
