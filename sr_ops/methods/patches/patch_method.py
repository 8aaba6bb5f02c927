"""Methods that enlarge patch by patch, using what they learned from the image's own patches (`own_examples`).

They enlarge by x2 at a time, from coarse to fine: examples are then of a small step, of which images have most. A step
starts from the base and adds what similar patches lacked.
"""

from abc import abstractmethod
from functools import lru_cache
from math import ceil
from typing import ClassVar

import torch
from torch import Tensor

from ...camera.back_projection import back_project, reach_of
from ...camera.base import base_reach
from ...camera.degradation import Degradation
from ...enlarging.method import EnlargingMethod, Learned
from ...enlarging.stages import Stage, staged
from ...image.domain import UNIT, Domain
from ...image.resample import resize
from ...settings import STAGE_SCALE, Settings, doublings
from .own_examples import PATCH_REACH, Examples, examples_of, laid_over, patches_of

_AT_ONCE = 16384
"""Patches that are looked up together; bounds the memory."""

_BACK_PROJECTIONS = 2
"""Iterations after each step but the last, which is followed by the caller's."""

_FIRST, _LATER = "first", "later"
"""Kinds of steps. Later steps enlarge the result of the first, which has bicubic's blur, whatever the camera."""


class PatchMethod(EnlargingMethod):
    """Learns from examples of the image, and predicts the residual of each patch."""

    most_examples: ClassVar[int]

    @abstractmethod
    def learn_from(self, examples: Examples, seed: int) -> dict[str, Tensor]:
        """Return what is needed of the examples, by name."""

    @abstractmethod
    def residuals(self, shapes: Tensor, learned: Learned) -> Tensor:
        """Return residuals (N, (LAID * 2)^2) at contrast 1 for (N, SIDE^2) shapes, as in `Patches.shapes`."""

    def reach(self, degradation: Degradation) -> int:
        total, steps = 0.0, steps_of(degradation)
        for number, step in enumerate(steps):
            total += (base_reach(step.undone) + PATCH_REACH) / STAGE_SCALE**number
            if number < len(steps) - 1:
                total += reach_of(step.camera)
        return ceil(total) + 1  # for reducing the last step to the scale

    def learn(self, lr: Tensor, degradation: Degradation, domain: Domain, settings: Settings) -> Learned:
        steps = steps_of(degradation)
        kinds = {_FIRST: steps[0]}
        if len(steps) > 1 and not _alike(steps):
            kinds[_LATER] = steps[1]
        learned: dict[str, Tensor] = {}
        for kind, step in kinds.items():
            examples = examples_of(lr, step, domain, self.most_examples, settings.seed)
            if examples is not None:
                of_kind = self.learn_from(examples, settings.seed)
                learned |= {f"{kind}.{name}": tensor.contiguous() for name, tensor in of_kind.items()}
        return learned

    def enlarge(self, window: Tensor, degradation: Degradation, domain: Domain, learned: Learned) -> Tensor:
        steps, image = steps_of(degradation), window
        height, width = window.shape[-2:]
        for number, step in enumerate(steps):
            kind = _FIRST if number == 0 or _alike(steps) else _LATER
            image = self._enlarged(image, step, domain if number == 0 else UNIT, _of_kind(learned, kind))
            image = resize(image, (height * step.reached, width * step.reached))
            if number < len(steps) - 1:
                image = back_project(image, window, step.camera, _BACK_PROJECTIONS, domain, doubt=1.0)
        return image

    def _enlarged(self, image: Tensor, step: Stage, domain: Domain, learned: Learned) -> Tensor:
        """Enlarge (C, h, w) by one step; with the base alone if nothing was learned."""
        base = step.base(image, domain.known)
        if not learned:
            return base
        return torch.stack(
            [band + self._lacking(lr, step.ratio, learned) for band, lr in zip(base, image, strict=True)]
        )

    def _lacking(self, image: Tensor, ratio: int, learned: Learned) -> Tensor:
        """Predict what the base of (h, w) lacks, (h * ratio, w * ratio)."""
        patches = patches_of(image)
        places = patches.lively.nonzero()[:, 0]
        sample = self.residuals(patches.shapes[:1], learned)
        residuals = sample.new_zeros(len(patches.shapes), sample.shape[1])
        for some in torch.split(places, _AT_ONCE):
            residuals[some] = self.residuals(patches.shapes[some], learned) * patches.contrasts[some]
        return laid_over(residuals, len(image), ratio)


@lru_cache(maxsize=8)  # a degradation caches properties that are worth keeping from tile to tile
def steps_of(degradation: Degradation) -> tuple[Stage, ...]:
    """Return the steps of x2 each; the last one overshoots a scale that is not a power of 2."""
    return staged(doublings(degradation.scale), degradation)


def _alike(steps: tuple[Stage, ...]) -> bool:
    """Whether the later steps undo the same degradation as the first."""
    return steps[0].undone.is_bicubic and not steps[0].undone.is_noisy


def _of_kind(learned: Learned, kind: str) -> Learned:
    return {name.removeprefix(f"{kind}."): tensor for name, tensor in learned.items() if name.startswith(f"{kind}.")}
