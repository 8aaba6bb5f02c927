"""From one LR image to its enlargement: fit a network per x2 stage, then enlarge window by window.

A scale s takes ceil(log2 s) stages. Each stage runs its network under the self-ensemble, is brought down to the size
asked for when it overshoots (x3 is x4 reduced), and is back-projected against the LR image. A later stage's network
is fitted on what the earlier stages made of the image, or of windows of a large one. Where the fit of the first does no
better than bicubic on parts it did not learn from, the enlargement is bicubic, back-projected.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from math import ceil, nan

import torch
from torch import Tensor

from . import sheet
from .back_projection import back_project
from .conservation import conserve
from .damage import CLEAN
from .dihedral import self_ensemble
from .domain import UNIT, Domain, fill, flat, keep_flat, nearest
from .fit import fit
from .held_out import HeldOut, hold_out, score
from .networks import ResidualNetwork, build_network, fastest_dtype
from .pairs import MIN_SIDE, Pair, father_son_pyramid, son_side
from .prior import Prior, Weights, network_bands
from .resample import resize, upscale
from .settings import STAGE_SCALE, Method, Settings
from .stack import fit_stack
from .tiles import cut, owned, paste, plan_tiles, tile_at


@dataclass(frozen=True)
class Model:
    """How one image is enlarged."""

    method: Method
    """ZSSR or BICUBIC: what AUTO came to."""
    networks: tuple[ResidualNetwork, ...] = ()
    """One per stage, of the first stages for a start; BICUBIC has none."""


BICUBIC = Model(Method.BICUBIC)
"""Interpolation and back-projection alone."""


@dataclass(frozen=True)
class Fitted:
    """What was learned from one image."""

    model: Model
    """Bicubic by choice, or because a fit was not possible or would not have been better."""
    final_loss: float = nan
    """Mean L1 of the first stage's last tenth of steps; nan without a fit."""
    reconstruction_psnr: float = nan
    """PSNR in dB of the first network on parts it did not learn from (`held_out`); nan where none could be spared."""
    bicubic_reconstruction_psnr: float = nan
    """The same for bicubic."""


Phase = Callable[[str], AbstractContextManager[object]]
"""Called with "fit", "infer" or "back_project" around each such piece of work; lets a caller measure time."""


def no_phase(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


_BANDS_AT_ONCE = 4
"""Enlarged together, where they need not be: bounds the memory of images of many bands."""

_PIECE, _PIECE_ON_CPU = 1024, 256
"""Longest side of what a network sees at once, less the halo. What a layer makes of 256 x 256 pixels the C library's
allocator keeps for the next one; of more (32 MB) it asks the system anew each time, which takes half as long again as
the convolutions. A GPU would be idle with so little."""

_INTERPOLATION_REACH = 2
"""Pixels that bicubic enlargement reads on each side."""


def super_resolve(lr: Tensor, settings: Settings, prior: Prior | None = None, domain: Domain = UNIT) -> Tensor:
    """Enlarge (C, H, W) float32 in [0, 1] to (C, H * scale, W * scale) float32 in [0, 1], on the tensor's device.

    With another `domain` samples lie between its bounds, most of them in [0, 1]; those not known are ignored, NaN too.

    Bit-equal for equal arguments, thread count and device class. Callers that write tiles as they come, or spread
    them over machines, use `fit_stages` and `enlarge` as this does.
    """
    fitted = fit_stages(lr, settings, prior, domain=domain)
    return _enlarge_tiled(lr, fitted.model, settings, no_phase, domain)


AfterStep = Callable[[int], None]
"""Called with the number of steps done; what it raises ends the fit."""


def fit_stages(
    lr: Tensor,
    settings: Settings,
    prior: Prior | None = None,
    phase: Phase = no_phase,
    after_step: AfterStep | None = None,
    domain: Domain = UNIT,
) -> Fitted:
    """Fit one network per stage to what is known of (C, H, W) float32 in [0, 1], on the tensor's device.

    With `Method.AUTO` the first network is scored on parts of the image it did not learn from. Where it does not win
    over bicubic, or the image is too small to spare a part, the model is BICUBIC; so it is for an image with a side
    shorter than `pairs.MIN_SIDE`, whatever the method.

    Args:
        prior: where the fits start; None for a start from scratch.
        after_step: called after each optimiser step of each stage.
    """
    (fitted,) = fit_stages_together([lr], settings, prior, [phase], after_step, [domain])
    return fitted


def fit_stages_together(
    lrs: Sequence[Tensor],
    settings: Settings,
    prior: Prior | None,
    phases: Sequence[Phase],
    after_step: AfterStep | None = None,
    domains: Sequence[Domain] | None = None,
) -> list[Fitted]:
    """`fit_stages` of several images on one device: fits that can be one computation are (`stack.fit_stack`).

    An image alone is fitted by `fit`, bit for bit as ever; in a stack its result differs by rounding. The phase "fit"
    of a stack counts for each of its images.

    Args:
        after_step: called after each optimiser step, of a stack once for all of its images.
    """
    domains = domains or [UNIT] * len(lrs)
    images = [
        _Stages(lr, domain, settings, prior, phase) for lr, domain, phase in zip(lrs, domains, phases, strict=True)
    ]
    while lessons := {index: lesson for index, image in enumerate(images) if (lesson := image.lesson()) is not None}:
        for stack in _stackable(lessons, settings.fit.crop):
            with ExitStack() as measured:
                for index in stack:
                    measured.enter_context(phases[index]("fit"))
                losses = _fit([lessons[index] for index in stack], settings, after_step)
            for index, loss in zip(stack, losses, strict=True):
                images[index].learned(loss)
    return [image.fitted for image in images]


@dataclass(frozen=True)
class _Lesson:
    """A network and what it is to learn from."""

    network: ResidualNetwork
    pairs: Sequence[Pair]


class _Stages:
    """The stages of one image, fitted one after the other by whoever asks for `lesson` and then calls `learned`."""

    def __init__(self, lr: Tensor, domain: Domain, settings: Settings, prior: Prior | None, phase: Phase) -> None:
        self._domain, self._known = domain, domain.known_pixels
        self._settings, self._prior, self._phase = settings, prior, phase
        self._lr = fill(lr, domain.known)
        self._parts = hold_out(self._lr, settings.seed, self._known)
        self._networks: list[ResidualNetwork] = []
        self._taught: _Lesson | None = None
        self.fitted = Fitted(BICUBIC)
        """What was learned, as far as it goes."""
        too_small = min(lr.shape[-2:]) < MIN_SIDE or (self._parts is None and settings.method is Method.AUTO)
        nothing = self._known is not None and not bool(self._known.any())
        self._ended = settings.method is Method.BICUBIC or too_small or nothing

    def lesson(self) -> "_Lesson | None":
        """What the network of the next stage is to learn from; None when nothing is left to be fitted."""
        if self._ended:
            return None
        if not self._networks:
            image, known, parts = self._lr, self._known, self._parts
        else:
            model = Model(Method.ZSSR, tuple(self._networks))
            image, known = _enlarged(self._lr, model, self._settings, self._phase, self._domain)
            parts = None
        self._taught = _lesson(image, known, parts, self._settings, self._prior)
        return self._taught

    def learned(self, loss: float) -> None:
        """The network of the last lesson is fitted, with this final loss."""
        assert self._taught is not None
        network, self._taught = self._taught.network, None
        if self._networks:
            self._networks.append(_as_later_stage(network))
        elif self._first_wins(network, loss):
            self._networks.append(network)
        else:
            self._ended = True
            return
        self._ended = len(self._networks) == len(self._settings.stage_scales)
        self.fitted = replace(self.fitted, model=Model(Method.ZSSR, tuple(self._networks)))

    def _first_wins(self, network: ResidualNetwork, loss: float) -> bool:
        """Take the scores of the first network, and whether it is kept."""
        if self._parts is None:
            self.fitted = Fitted(BICUBIC, loss)
            return True
        with self._phase("fit"):
            result = score(network, self._parts)
        self.fitted = Fitted(BICUBIC, loss, result.learned, result.bicubic)
        return self._settings.method is not Method.AUTO or result.fit_wins


def _enlarged(
    lr: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain
) -> tuple[Tensor, Tensor | None]:
    """What these stages make of the image for the next to learn from, (C, H, W), and what is known of it, (H, W).

    Of a large one it is a sheet of windows, each computed as in its place in the image.
    """
    bands, height, width = lr.shape
    scale, known = settings.stage_scales[len(model.networks) - 1], domain.known_pixels
    if sheet.is_fitted_whole(bands, height * scale, width * scale):
        enlarged = _enlarge_tiled(lr, model, settings, phase, domain)
        return enlarged, None if known is None else nearest(known, scale)
    places = sheet.places(height, width, settings.seed, scale)
    shares = ((1.0 if known is None else float(known[place].float().mean()), place) for place in places)
    windows = []
    for rows, columns in sheet.pick(shares, sheet.windows_on(bands)):
        tile = tile_at(rows, columns, height, width, settings.halo)
        sr = enlarge(cut(lr, tile), model, settings, phase, domain.of(tile.rows.read, tile.columns.read))
        known_here = None if domain.known is None else nearest(domain.known[:, rows, columns], scale)
        windows.append((owned(sr, tile, scale), known_here))
    enlarged, known_there = sheet.lay_out(windows)
    return enlarged, known_there.all(0)


def _lesson(
    image: Tensor, known: Tensor | None, parts: HeldOut | None, settings: Settings, prior: Prior | None
) -> _Lesson:
    """A network at its start, and the pairs of what is known of the image, less the parts held out."""
    bands = len(image) if prior is None else network_bands(prior, len(image))
    network = _network(bands, settings, image.device)
    if prior is not None:
        network.load_state_dict(prior[bands])
    taught = None if parts is None else parts.taught
    if known is not None:
        taught = known[None].float() if taught is None else taught * known
    damage = CLEAN if parts is None else parts.damage
    return _Lesson(network, father_son_pyramid(image, taught, damage, settings.seed))


def _network(bands: int, settings: Settings, device: torch.device) -> ResidualNetwork:
    dtype = fastest_dtype(device)
    return build_network(settings.network, bands, settings.width, settings.depth, settings.seed, device, dtype)


def _as_later_stage(network: ResidualNetwork) -> ResidualNetwork:
    """A fitted network as it enlarges what an earlier stage computed.

    Tiles know that to 1e-7, which bfloat16 can turn into a whole step of its own, 7e-4 of the range. The first stage
    reads the LR pixels themselves, equal to the bit in every tile.
    """
    network.autocast_dtype = torch.float32
    return network


def _stackable(lessons: Mapping[int, _Lesson], crop: int) -> list[list[int]]:
    """The lessons in groups that one stack can hold: of networks and of images of equal bands, with equal crops."""
    groups: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
    for index, lesson in lessons.items():
        groups[lesson.network.bands, len(lesson.pairs[0].son), son_side(lesson.pairs, crop)].append(index)
    return list(groups.values())


def _fit(lessons: Sequence[_Lesson], settings: Settings, after_step: AfterStep | None) -> list[float]:
    if len(lessons) == 1:
        return [fit(lessons[0].network, lessons[0].pairs, settings.fit, settings.seed, after_step)]
    networks, pairs = [lesson.network for lesson in lessons], [lesson.pairs for lesson in lessons]
    return fit_stack(networks, pairs, settings.fit, settings.seed, after_step)


def fitted_networks(
    weights: Sequence[Weights], bands: int, settings: Settings, device: torch.device
) -> tuple[ResidualNetwork, ...]:
    """The networks of a `Model` anew from the `state_dict` of each and the bands they have in common, for `enlarge`."""
    networks = [_network(bands, settings, device).eval() for _ in weights]
    for network, parameters in zip(networks, weights, strict=True):
        network.load_state_dict(parameters)
    return (*networks[:1], *map(_as_later_stage, networks[1:]))


@torch.inference_mode()
def enlarge(
    window: Tensor,
    model: Model,
    settings: Settings,
    phase: Phase = no_phase,
    domain: Domain = UNIT,
) -> Tensor:
    """Run as many stages as the model has networks on a window of the LR image; BICUBIC goes to the full scale.

    Args:
        window: (C, h, w) float32, in [0, 1] for the most part.
        domain: of the window.

    Returns:
        (C, h * s, w * s) float32 in the range of `domain`, s the scale the last of these stages reaches, also where
        nothing is known. Within `settings.halo` LR pixels of a window border that is not an image border the result is
        not that of the whole image.
    """
    if len(window) > _BANDS_AT_ONCE and all(network.bands == 1 for network in model.networks):
        starts = range(0, len(window), _BANDS_AT_ONCE)
        spans = [(start, min(start + _BANDS_AT_ONCE, len(window))) for start in starts]
        return torch.cat([_enlarge(window[a:b], model, settings, phase, domain.of_bands(a, b)) for a, b in spans])
    return _enlarge(window, model, settings, phase, domain)


def _enlarge(window: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain) -> Tensor:
    window = fill(window, domain.known)
    image, scale = window, settings.scale
    if model.method is Method.BICUBIC:
        image = _back_project(upscale(window, scale), window, settings, scale, phase, domain)
    for network, scale in zip(model.networks, settings.stage_scales[: len(model.networks)], strict=True):
        with phase("infer"):
            image = _run(network, image, settings)
            image = resize(image, (window.shape[-2] * scale, window.shape[-1] * scale))
        image = _back_project(image, window, settings, scale, phase, domain)
    image = keep_flat(image, window, scale)
    if settings.back_projections:
        with phase("back_project"):
            image = conserve(image, window, scale, domain, flat(window))
    return image


def _run(network: ResidualNetwork, image: Tensor, settings: Settings) -> Tensor:
    """The network's enlargement of (C, h, w), in pieces."""

    def once(turned: Tensor) -> Tensor:
        enlarged: Tensor = network(turned[None].contiguous(memory_format=torch.channels_last))[0]
        return enlarged

    bands, height, width = image.shape
    canvas = image.new_empty(bands, height * STAGE_SCALE, width * STAGE_SCALE)
    longest, most = max(height, width), _PIECE_ON_CPU if image.device.type == "cpu" else _PIECE
    side = ceil(longest / ceil(longest / most))
    for piece in plan_tiles(height, width, side, settings.depth + _INTERPOLATION_REACH):
        seen = cut(image, piece)
        enlarged = self_ensemble(once, seen) if settings.ensemble else once(seen)
        paste(canvas, piece, owned(enlarged, piece, STAGE_SCALE), STAGE_SCALE)
    return canvas


def _back_project(sr: Tensor, lr: Tensor, settings: Settings, scale: int, phase: Phase, domain: Domain) -> Tensor:
    with phase("back_project"):
        return back_project(sr, lr, scale, settings.back_projections, domain)


def _enlarge_tiled(lr: Tensor, model: Model, settings: Settings, phase: Phase, domain: Domain) -> Tensor:
    """`enlarge` over all tiles of the LR image, put together."""
    bands, height, width = lr.shape
    stages = len(model.networks)
    scale = settings.scale if model.method is Method.BICUBIC else settings.stage_scales[stages - 1]
    canvas = lr.new_empty(bands, height * scale, width * scale)
    for tile in plan_tiles(height, width, settings.tile_size, settings.halo):
        sr = enlarge(cut(lr, tile), model, settings, phase, domain.of(tile.rows.read, tile.columns.read))
        paste(canvas, tile, owned(sr, tile, scale), scale)
    return canvas
