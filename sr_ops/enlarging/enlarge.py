"""Enlarging a window of the LR image by a model: stage after stage, each held to what the camera saw."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from ..camera.back_projection import back_project, iterate
from ..camera.conservation import conserve, passes
from ..camera.degradation import Degradation
from ..image.borders import mirrored
from ..image.dihedral import ORDER, median_and_variance
from ..image.domain import UNIT, Domain, fill, flat, keep_flat, nearest, shows_nothing
from ..image.resample import resize
from ..image.tiles import cut, cut_enlarged, owned, paste, plan_even, plan_tiles
from ..networks.direct import DirectNetwork, trust
from ..networks.members import mean_and_variance
from ..networks.residual_network import ResidualNetwork
from ..registry import METHODS, method_of
from ..settings import Method, Network, Settings
from .model import Model, Phase, no_phase
from .restorer import restored
from .stages import halo, stages_of

_BANDS_AT_ONCE = 4
"""Bands enlarged together where each could be alone; it bounds the memory of images of many bands."""

_PIECE, _PIECE_ON_CPU = 1024, 128
"""Longest side, without the halo, of the pieces that a network fitted from scratch runs on. On a CPU larger ones are
slower, since the allocator gives their memory back after every layer; on a GPU smaller ones leave it idle. Direct
networks run by strips (`members`)."""


@torch.inference_mode()
def enlarge(
    window: Tensor,
    model: Model,
    settings: Settings,
    phase: Phase = no_phase,
    domain: Domain = UNIT,
) -> Tensor:
    """Run as many stages as the model has networks on a window; methods without networks go to the full scale.

    Args:
        window: (C, h, w) float32, in [0, 1] for the most part.
        domain: of the window.

    Returns:
        (C, h * s, w * s) float32 in the range of `domain`, s the scale the last of these stages reaches, also where
        nothing is known. Within `stages.halo` LR pixels of a window border that is not an image border the result is
        not that of the whole image.
    """
    return enlarge_and_compare(window, model, settings, phase, domain)[0]


@torch.inference_mode()
def enlarge_and_compare(
    window: Tensor,
    model: Model,
    settings: Settings,
    phase: Phase = no_phase,
    domain: Domain = UNIT,
) -> tuple[Tensor, Tensor | None]:
    """Return what `enlarge` does, and how far the members of its self-ensembles lie apart, sample by sample.

    Returns:
        The enlargement; and, of the same shape, the members' standard deviation before any back-projection, in units
        of the window. Of several stages it is the root of the summed variances, those of earlier stages enlarged by
        bilinear interpolation. None where no stage has more than one member.
    """
    if domain.known is not None:
        window = fill(window, domain.known).clamp(*domain.bounds(window))  # 0 far from what is known may be no value
    if len(window) <= _BANDS_AT_ONCE or any(network.bands > 1 for network in model.networks):
        return _enlarge(window, model, settings, phase, domain)
    parts = []
    for first in range(0, len(window), _BANDS_AT_ONCE):
        stop = min(first + _BANDS_AT_ONCE, len(window))
        some, of_some = model.of_bands(first, stop), domain.of_bands(first, stop)
        parts.append(_enlarge(window[first:stop], some, settings, phase, of_some))
    spreads = [spread for _, spread in parts if spread is not None]
    return torch.cat([image for image, _ in parts]), torch.cat(spreads) if spreads else None


def _enlarge(
    window: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain
) -> tuple[Tensor, Tensor | None]:
    stages = stages_of(settings, model.degradation)[: len(model.networks)]
    image, seen = window, model.degradation
    if shows_nothing(window, None):  # as beside a scene that was rotated: `keep_flat` would replace whatever was made
        image = nearest(window, stages[-1].reached if stages else seen.scale)
        return image, torch.zeros_like(image) if stages and _has_members(settings) else None
    variances: list[Tensor] = []
    if model.method in METHODS:
        image = _by_method(window, model, settings, phase, domain)
    elif model.method == Method.MODEL:
        image = _by_model(window, model, settings, phase, domain)
    for number, (network, stage) in enumerate(zip(model.networks, stages, strict=True)):
        seen, first = stage.camera, number == 0
        told = model.told if first and model.told is not None else window.new_zeros(len(window), 2)
        with phase("infer"):
            base = stage.base(image, domain.known if first else None)
            operator = _operator(network, told.to(window), settings, first)
            run = operator if isinstance(network, DirectNetwork) else partial(_in_pieces, operator, network.reach)
            image, of_stage = run(image, base)
            image = resize(image, (window.shape[-2] * stage.reached, window.shape[-1] * stage.reached))
            variances += [] if of_stage is None else [of_stage]
        with phase("back_project"):
            image = _held_to(window, image, model, seen, settings, domain)
    image, spread, still = keep_flat(image, window, seen.scale), _deviation(variances, image.shape), flat(window)
    if spread is not None:
        spread.masked_fill_(nearest(still, seen.scale), 0.0)  # no member changes what is copied
    if settings.back_projections:
        with phase("back_project"):
            for _ in range(passes(seen)):
                image = conserve(image, window, seen, domain, still)
    return image, spread


def _deviation(variances: list[Tensor], shape: torch.Size) -> Tensor | None:
    """Return the root of the summed variances (C, ., .) of stages, in a result of this shape; None without any."""
    total: Tensor | None = None
    for variance in variances:
        same = variance.shape == shape
        enlarged = variance if same else interpolate(variance[None], shape[-2:], mode="bilinear")[0]
        total = enlarged if total is None else total.add_(enlarged)
    return None if total is None else total.sqrt_()


def _held_to(
    window: Tensor, image: Tensor, model: Model, seen: Degradation, settings: Settings, domain: Domain
) -> Tensor:
    """Return what a network made, back-projected as the settings say; `seen` is the degradation of its stage."""
    if settings.back_projection_factor and settings.network != Network.DIRECT:
        return iterate(image, window, seen, settings.back_projections, settings.back_projection_factor, domain)
    return back_project(image, window, seen, settings.back_projections, domain, lossy=model.is_of_jpeg)


def _by_method(window: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain) -> Tensor:
    method = method_of(model.method)
    seen = model.degradation
    margin = 2 + seen.side // 2 // seen.scale if method.knows_camera and seen.is_unlike_gaussian else 0
    with phase("infer"):
        learned = {name: tensor.to(window.device) for name, tensor in model.learned.items()}
        image = method.enlarge(mirrored(window, margin), seen, _unknown_around(domain, window, margin), learned)
        edge, (height, width) = margin * seen.scale, image.shape[-2:]
        image = image[:, edge : height - edge, edge : width - edge]
    if method.knows_camera:
        return image.clamp(*domain.bounds(image))
    with phase("back_project"):
        return back_project(image, window, seen, settings.back_projections, domain, doubt=1.0)


def _unknown_around(domain: Domain, window: Tensor, margin: int) -> Domain:
    """Return the domain of a window with a margin of which nothing is known.

    What lies beyond the border is a mirror image for programs that shrink, but not for a camera that moved. Methods
    that mirror it anew in each of many iterations drift away from the image there, or diverge.
    """
    if not margin:
        return domain
    known = torch.ones_like(window, dtype=torch.bool) if domain.known is None else domain.known
    return replace(domain, known=pad(known, (margin,) * 4, value=False))


def _by_model(window: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain) -> Tensor:
    assert model.restorer is not None
    with phase("infer"):
        image = restored(window, model.restorer, settings.model_halo, model.in_colour)
    with phase("back_project"):
        seen, times = model.degradation, settings.back_projections
        return back_project(image, window, seen, times, domain, lossy=model.is_of_jpeg)


_ELEMENTS = {1: (0,), 4: (0, 2, 4, 6), ORDER: range(ORDER)}
"""Elements of the dihedral group, by the number of members."""

Operator = Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]]
"""Makes an enlargement of an image and its base, with the variance of its members; None for a single member."""


def _operator(network: ResidualNetwork, told: Tensor, settings: Settings, first_stage: bool) -> Operator:
    """Return the network under its self-ensemble."""
    if isinstance(network, DirectNetwork):
        # In a second stage seven members more are worth 0.015 dB, for most of the time.
        several = first_stage and _has_members(settings)
        return _trusted(mean_and_variance(network, told, _ELEMENTS[settings.members if several else 1]))

    def member(turned: Tensor, its_base: Tensor) -> Tensor:
        enlarged: Tensor = network(turned[None], its_base[None], told[None])[0]
        return enlarged

    if settings.ensemble:
        return partial(median_and_variance, member, twelve=settings.members > ORDER)
    return lambda image, its_base: (member(image, its_base), None)


def _has_members(settings: Settings) -> bool:
    """Return whether the first stage has more than one; networks fitted from scratch have 8 at least."""
    return settings.ensemble and (settings.members > 1 or settings.network != Network.DIRECT)


def _trusted(operator: Operator) -> Operator:
    """Return an operator whose result is the base where the image is beyond what a direct network has learned from."""

    def enlarged(image: Tensor, base: Tensor) -> tuple[Tensor, Tensor | None]:
        made, variance = operator(image, base)
        share = trust(image)
        if share is None:
            return made, variance
        share = interpolate(share[None], base.shape[-2:], mode="bilinear")[0]
        return base + share * (made - base), None if variance is None else share.square() * variance

    return enlarged


def _in_pieces(operator: Operator, reach: int, image: Tensor, base: Tensor) -> tuple[Tensor, Tensor | None]:
    """Enlarge (C, h, w) in pieces, each with a halo of `reach`."""
    height, width = image.shape[-2:]
    ratio = base.shape[-1] // width
    canvas = torch.empty_like(base)
    variances: Tensor | None = None
    for piece in plan_even(height, width, _PIECE_ON_CPU if image.device.type == "cpu" else _PIECE, reach):
        enlarged, variance = operator(cut(image, piece), cut_enlarged(base, piece, ratio))
        paste(canvas, piece, owned(enlarged, piece, ratio), ratio)
        if variance is not None:
            variances = torch.empty_like(canvas) if variances is None else variances
            paste(variances, piece, owned(variance, piece, ratio), ratio)
    return canvas, variances


def enlarge_tiled(lr: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain) -> Tensor:
    """Enlarge all tiles of the LR image, and put them together."""
    bands, height, width = lr.shape
    stages = len(model.networks)
    scale = settings.stage_scales[stages - 1] if stages else settings.scale
    canvas = lr.new_empty(bands, height * scale, width * scale)
    for tile in plan_tiles(height, width, settings.tile_size, halo(settings, model.degradation)):
        sr = enlarge(cut(lr, tile), model, settings, phase, domain.of(tile.rows.read, tile.columns.read))
        paste(canvas, tile, owned(sr, tile, scale), scale)
    return canvas
