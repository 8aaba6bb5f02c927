"""The stages of an enlargement: what each network enlarges by, and which degradation it undoes.

Networks that know any camera go to x2, x3 and x4 at once, and beyond in two stages: x4, then x2 of what that made,
which is brought down to the scale asked for. Those that know bicubic alone go by 2 at a time.
"""

from dataclasses import dataclass
from functools import lru_cache

from torch import Tensor

from .base import base_reach, make_base
from .body_shapes import reach
from .conservation import passes
from .degradation import Degradation
from .kernels import bicubic, of_first_stage
from .methods import method_of
from .networks import network_class
from .resample import upscale
from .settings import LARGEST_DIRECT, STAGE_SCALE, Method, Network, Settings

_CONSERVATION_REACH = 8
"""LR pixels from which `conservation.conserve` brings what was cut off."""

_EXACT_REACH = 16
"""LR pixels beyond which back-projection by MATLAB's bicubic carries less than 1e-7 of a change."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One network's part of the way."""

    ratio: int
    """What its network enlarges by."""
    reached: int
    """The ratio of its result to the LR image."""
    learned: Degradation
    """What makes the image that this stage enlarges of its result, at `ratio`."""
    seen: Degradation
    """What makes the LR image of its result, at `reached`."""
    interpolates: bool
    """Whether its base is bicubic interpolation alone, as networks have it that know no other camera."""

    def base(self, image: Tensor, known: Tensor | None = None) -> Tensor:
        """What the data alone say of the result: (..., C, h, w) to (..., C, h * ratio, w * ratio).

        Args:
            known: (..., C, h, w) bool; None for everywhere.
        """
        return upscale(image, self.ratio) if self.interpolates else make_base(self.learned, image, known)


@lru_cache(maxsize=8)  # what a degradation knows of itself is worth keeping from tile to tile
def stages_of(settings: Settings, degradation: Degradation) -> tuple[Stage, ...]:
    """All stages to the scale of the settings, which is that of `degradation`."""
    stages: list[Stage] = []
    direct = settings.network == Network.DIRECT
    for number, reached in enumerate(settings.stage_scales):
        seen = seen_at(reached, degradation) if direct else Degradation((bicubic(reached),), reached)
        ratio = reached if direct and number == 0 else STAGE_SCALE
        learned = seen if number == 0 else Degradation((bicubic(ratio),), ratio)
        stages.append(Stage(ratio, reached, learned, seen, interpolates=not direct))
    return tuple(stages)


def seen_at(reached: int, degradation: Degradation) -> Degradation:
    """What makes the LR image of an image at a ratio to it; the last stage's is the whole degradation."""
    scale = degradation.scale
    if reached == scale:
        return degradation
    if degradation.is_bicubic:
        return Degradation((bicubic(reached),), reached, degradation.noise)
    kernels = tuple(of_first_stage(kernel, scale, reached) for kernel in degradation.kernels)
    return Degradation(kernels, reached, degradation.noise)


def halo(settings: Settings, degradation: Degradation) -> int:
    """LR pixels around a tile that can reach its owned pixels: bases, convolutions, back-projection, conservation.

    Noise makes the data step reach less far; it is not counted on. Of a model of others nobody knows how far it sees:
    as far as `Settings.model_halo` it is counted in.
    """
    if settings.by_networks and settings.network != Network.DIRECT:
        # Stage i works at 2^i times the LR size, so all stages together reach less than twice as far as the first one.
        return 2 * network_class(settings.network).reach_of(settings.depth) + _EXACT_REACH + _CONSERVATION_REACH
    clear = Degradation(degradation.kernels, degradation.scale) if degradation.is_noisy else degradation
    back = _EXACT_REACH if clear.is_bicubic else clear.reach
    conserved = passes(clear) * _CONSERVATION_REACH
    if settings.method == Method.MODEL:
        return settings.model_halo + back + conserved
    if not settings.by_networks:
        method = method_of(settings.method)
        return method.reach(degradation) + (0 if method.knows_camera else back) + conserved
    reaches = [base_reach(stage.learned) * stage.ratio // stage.reached for stage in stages_of(settings, clear)]
    seen = reach(settings.direct_body)
    seen += seen // LARGEST_DIRECT if len(reaches) > 1 else 0
    return seen + sum(reaches) + len(reaches) * back + conserved
