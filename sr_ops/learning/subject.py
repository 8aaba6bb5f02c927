"""One image before anything is learned from it: what all candidates for it are made from and judged by."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..enlarging.method import Learned
from ..enlarging.model import Fitted, Model, as_later_stage, build_network, network_of
from ..enlarging.stages import Stage, stages_of
from ..estimation.signs import Signs
from ..image.domain import Domain, fill, shows_nothing
from ..networks.residual_network import ResidualNetwork
from ..priors.prior import Prior
from ..registry import method_of
from ..settings import AUTO, Method, Settings
from .candidates import fit_pays, prior_serves
from .damage import CLEAN, Damage, find_damage
from .held_out import Examination, HeldOut, hold_out, whole
from .observation import Observation
from .pairs import Lesson, father_son_pyramid, shortest_side


@dataclass(frozen=True, eq=False)
class Subject:
    """An image, what it suffered, and the prior and the stages that its networks have."""

    lr: Tensor
    """(C, H, W), unknown samples filled."""
    known: Tensor | None
    """(H, W) bool; None if all samples are known."""
    domain: Domain
    settings: Settings
    prior: Prior | None
    """Where fits start; None for a start from scratch."""
    parts: HeldOut | None
    """What the first network may not learn from; None if nothing can be spared."""
    damage: Damage
    told: Tensor
    """(C, 2): what networks are told of the image (`direct.planes`)."""
    stages: tuple[Stage, ...]
    base: Model
    """The model without networks."""

    @classmethod
    def of(cls, observation: Observation, settings: Settings, prior: Prior | None) -> "Subject":
        """Look for what the image suffered; its noise is as it is given, or measured."""
        domain, given = observation.domain, observation.degradation
        known = domain.known_pixels
        lr = fill(observation.lr, domain.known) if observation.signs is None else observation.signs.image
        parts = hold_out(lr, stages_of(settings, given)[0].ratio, settings.seed, known)
        exactly = torch.float64  # so that `given` stays the degradation of all images with this noise
        noise = None if settings.noise == AUTO else torch.tensor(given.noise, dtype=exactly)
        damage = find_damage(observation.signs or Signs(lr, known), noise, given.is_bicubic)
        degradation, told = damage.as_noise_of(given), damage.told(len(lr)).to(lr.device)
        base = Model(Method.BICUBIC, degradation, (), told)
        return cls(lr, known, domain, settings, prior, parts, damage, told, stages_of(settings, degradation), base)

    @property
    def is_blank(self) -> bool:
        """Whether nothing at all can be learned: nothing is known, or of an image for AUTO all is flat.

        Which of base, prior and fit is best for a flat image would be rounding, and so each processor's own.
        """
        if self.known is not None and not bool(self.known.any()):
            return True
        return self.settings.method == Method.AUTO and shows_nothing(self.lr, self.known)

    @property
    def is_to_be_fitted(self) -> bool:
        """Whether a fit is possible, was asked for, and, for AUTO, is likely to be better and can be judged."""
        method, steps = self.settings.method, self.settings.fit.steps
        if min(self.lr.shape[-2:]) < shortest_side(self.stages[0].ratio) or method == Method.PRIOR:
            return False
        if self.prior is None:
            return method != Method.AUTO or self.parts is not None
        pays = self.parts is not None and fit_pays(self.stages[0].undone, self.damage)
        return steps > 0 and (method != Method.AUTO or pays)

    def by_base(self) -> Fitted:
        """Return what is learned where nothing is better than the base."""
        return Fitted(self.base, self.damage.sigmas if self.damage.looked else None, self.damage.lines)

    def by_method(self) -> Model:
        """Return what a method without networks learns."""
        method = self.settings.method
        learned: Learned = {}
        if method != Method.MODEL:
            learned = method_of(method).learn(self.lr, self.base.degradation, self.domain, self.settings)
        return replace(self.base, method=method, learned=learned)

    def by_networks(self, method: Method, networks: tuple[ResidualNetwork, ...]) -> Model:
        """Return the model with these networks; there may be more stages."""
        return replace(self.base, method=method, networks=networks)

    def examination(self, parts: HeldOut) -> Examination:
        """Return a test of first networks on these parts."""
        return Examination(parts, self.stages[0], self.damage, self.settings.seed, self.domain)

    def prior_serves(self, network: ResidualNetwork) -> bool:
        """Whether AUTO may take the prior as it is, of which this is the first network; it may where nothing tells."""
        everything = whole(self.lr, self.stages[0].ratio, self.known)
        if everything is None:
            return True
        test = self.examination(everything)
        return prior_serves(test.of(network, self.told), test.of_base(), self.damage, self.base.degradation.is_bicubic)

    def network(self, stage: int) -> ResidualNetwork:
        """Return a stage's network at its start: the prior's, or a fresh one."""
        ratio, device, bands = self.stages[stage].ratio, self.lr.device, len(self.lr)
        if self.prior is None:
            return build_network(bands, ratio, self.settings, device)
        clean = stage == 0 and self.base.degradation.is_bicubic and not self.told.any()
        bands, weights = self.prior.weights(ratio, bands, clean)
        return network_of(weights, bands, ratio, self.settings, device)

    def later_stages(self) -> tuple[ResidualNetwork, ...]:
        """Return the prior's networks of all stages but the first; none without a prior."""
        stages = range(1, len(self.stages)) if self.prior is not None else ()
        return tuple(as_later_stage(self.network(stage)) for stage in stages)

    def first_lesson(self) -> Lesson:
        """Return what the first network is to learn: all that is known of the image, but for the parts held out."""
        taught = None if self.parts is None else self.parts.taught
        if self.known is not None:
            taught = self.known[None].float() if taught is None else taught * self.known
        return self._lesson(0, self.lr, taught, self.damage)

    def later_lesson(self, stage: int, enlarged: Tensor, known: Tensor | None) -> Lesson:
        """Return what a later stage's network is to learn from what the earlier ones made of the image.

        Args:
            enlarged: (C, H, W).
            known: (H, W) bool; None if all of it is.
        """
        return self._lesson(stage, enlarged, None if known is None else known[None].float(), CLEAN)

    def _lesson(self, stage: int, image: Tensor, taught: Tensor | None, damage: Damage) -> Lesson:
        fit, seed = self.settings.fit, self.settings.seed
        of_sons = damage.with_noise(fit.son_noise / 255)
        return Lesson(father_son_pyramid(image, self.stages[stage], taught, of_sons, seed, fit.level_odds), self.told)
