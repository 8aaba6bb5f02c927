"""The stages of an enlargement: the ratio of each network, and the degradation that it undoes.

Networks for any camera reach x2, x3 and x4 in one stage. Larger scales take two: x4, then x2 of its result, which is
reduced to the scale. Networks that know bicubic only go by x2 at a time.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

from torch import Tensor

from ..camera.back_projection import BICUBIC_REACH, reach_of
from ..camera.base import base_reach, make_base
from ..camera.conservation import passes
from ..camera.degradation import Degradation
from ..camera.kernels import bicubic, of_first_stage
from ..image.resample import upscale
from ..networks.body_shapes import reach
from ..registry import method_of, network_class
from ..settings import LARGEST_DIRECT, STAGE_SCALE, Method, Network, Settings

_CONSERVATION_REACH = 8
"""LR pixels from which `conservation.conserve` can move what was cut off."""


@dataclass(frozen=True, eq=False)
class Stage:
    """One stage of an enlargement, done by one network."""

    ratio: int
    """Scale of the network."""
    reached: int
    """Ratio of the stage's result to the LR image."""
    undone: Degradation
    """Degradation from the stage's result to its input, at `ratio`."""
    camera: Degradation
    """Degradation from the stage's result to the LR image, at `reached`."""
    interpolates: bool
    """Whether the base is bicubic interpolation alone, as for networks that know no other camera."""

    def base(self, image: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the base of the result: (..., C, h, w) to (..., C, h * ratio, w * ratio).

        Args:
            known: (..., C, h, w) bool; None if all samples are known.
        """
        return upscale(image, self.ratio) if self.interpolates else make_base(self.undone, image, known)


@lru_cache(maxsize=8)  # a degradation caches properties that are worth keeping from tile to tile
def stages_of(settings: Settings, degradation: Degradation) -> tuple[Stage, ...]:
    """Return all stages up to the scale of the settings, which must be that of `degradation`."""
    if settings.network == Network.DIRECT:
        return staged(settings.stage_scales, degradation)
    clean = Degradation((bicubic(settings.scale),), settings.scale)
    return staged(settings.stage_scales, clean, interpolates=True)


def staged(scales: tuple[int, ...], camera: Degradation, interpolates: bool = False) -> tuple[Stage, ...]:
    """Return stages that reach `scales`: the first one undoes the camera, later ones enlarge by STAGE_SCALE."""
    first, *later = scales
    seen = _seen_at(first, camera)
    return (
        Stage(first, first, seen, seen, interpolates),
        *(Stage(STAGE_SCALE, reached, _doubling(), _seen_at(reached, camera), interpolates) for reached in later),
    )


@cache
def _doubling() -> Degradation:
    return Degradation((bicubic(STAGE_SCALE),), STAGE_SCALE)


def _seen_at(reached: int, degradation: Degradation) -> Degradation:
    """Return the degradation from an image at ratio `reached` to the LR image: `degradation` itself at full scale."""
    scale = degradation.scale
    if reached == scale:
        return degradation
    if degradation.is_bicubic:
        return Degradation((bicubic(reached),), reached, degradation.noise)
    kernels = tuple(of_first_stage(kernel, scale, reached) for kernel in degradation.kernels)
    return Degradation(kernels, reached, degradation.noise)


def halo(settings: Settings, degradation: Degradation) -> int:
    """Return the LR pixels around a tile that its owned pixels depend on.

    It adds up bases, convolutions, back-projection and conservation. Noise would shorten the reach of the data step,
    but the halo does not rely on it. For a third party's model, whose reach is unknown, `Settings.model_halo` is used.
    """
    if settings.by_networks and settings.network != Network.DIRECT:
        # Stage i works at 2^i times the LR size, so all stages together reach less than twice as far as the first.
        return 2 * network_class(settings.network).reach_of(settings.depth) + BICUBIC_REACH + _CONSERVATION_REACH
    clear = degradation.clear
    back = reach_of(clear)
    conserved = passes(clear) * _CONSERVATION_REACH
    if settings.method == Method.MODEL:
        return settings.model_halo + back + conserved
    if not settings.by_networks:
        method = method_of(settings.method)
        return method.reach(degradation) + (0 if method.knows_camera else back) + conserved
    reaches = [base_reach(stage.undone) * stage.ratio // stage.reached for stage in stages_of(settings, clear)]
    seen = reach(settings.direct_body)
    seen += seen // LARGEST_DIRECT if len(reaches) > 1 else 0
    return seen + sum(reaches) + len(reaches) * back + conserved
