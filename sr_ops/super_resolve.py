"""From one LR image to its enlargement: fit a network per x2 stage, then enlarge window by window.

A scale s takes ceil(log2 s) stages. Each stage runs its network under the self-ensemble, is brought down to the size
asked for when it overshoots (x3 is x4 reduced), and is back-projected against the LR image. A later stage's network
is fitted on what the earlier stages made of the image, or of windows of a large one. Where the fit of the first does no
better than bicubic on parts it did not learn from, the enlargement is bicubic, back-projected.
"""

from collections import defaultdict
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
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
class Fitted:
    """What was learned from one image."""

    networks: tuple[ResidualNetwork, ...]
    """One per stage; none means plain bicubic, by choice or because a fit would not have been better."""
    final_loss: float
    """Mean L1 of the first stage's last tenth of steps; nan without a fit."""
    reconstruction_psnr: float
    """PSNR in dB of the first network on parts it did not learn from (`held_out`); nan where none could be spared."""
    bicubic_reconstruction_psnr: float
    """The same for bicubic."""

    @property
    def method(self) -> Method:
        return Method.ZSSR if self.networks else Method.BICUBIC


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
    return _enlarge_tiled(lr, fitted.networks, settings, no_phase, domain)


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
    over bicubic, or the image is too small to spare a part, `networks` is empty; so it is for an image with a side
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
        _stages(lr, domain, settings, prior, phase) for lr, domain, phase in zip(lrs, domains, phases, strict=True)
    ]
    fitted: dict[int, Fitted] = {}
    losses: dict[int, float | None] = dict.fromkeys(range(len(images)))
    while losses:
        lessons: dict[int, _Lesson] = {}
        for index, loss in losses.items():
            try:
                lessons[index] = images[index].send(loss)  # type: ignore[arg-type]  # None starts a generator
            except StopIteration as end:
                fitted[index] = end.value
        losses = {}
        for stack in _stackable(lessons, settings.fit.crop):
            with ExitStack() as measured:
                for index in stack:
                    measured.enter_context(phases[index]("fit"))
                losses.update(zip(stack, _fit([lessons[index] for index in stack], settings, after_step), strict=True))
    return [fitted[index] for index in range(len(images))]


@dataclass(frozen=True)
class _Lesson:
    """A network and what it is to learn from."""

    network: ResidualNetwork
    pairs: Sequence[Pair]


def _stages(
    lr: Tensor, domain: Domain, settings: Settings, prior: Prior | None, phase: Phase
) -> Generator[_Lesson, float, Fitted]:
    """The stages of one image. Gives each fit away as a lesson, and is told its final loss when that is done."""
    known = domain.known_pixels
    lr = fill(lr, domain.known)
    parts = hold_out(lr, settings.seed, known)
    too_small = min(lr.shape[-2:]) < MIN_SIDE or (parts is None and settings.method is Method.AUTO)
    nothing = known is not None and not bool(known.any())
    if settings.method is Method.BICUBIC or too_small or nothing:
        return Fitted((), nan, nan, nan)
    lesson = _lesson(lr, known, parts, settings, prior)
    loss = yield lesson
    with phase("fit"):
        result = None if parts is None else score(lesson.network, parts)
    scores = (nan, nan) if result is None else (result.learned, result.bicubic)
    if settings.method is Method.AUTO and result is not None and not result.fit_wins:
        return Fitted((), loss, *scores)
    networks = [lesson.network]
    while len(networks) < len(settings.stage_scales):
        enlarged, known_there = _enlarged(lr, tuple(networks), settings, phase, domain)
        lesson = _lesson(enlarged, known_there, None, settings, prior)
        yield lesson
        networks.append(_as_later_stage(lesson.network))
    return Fitted(tuple(networks), loss, *scores)


def _enlarged(
    lr: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings, phase: Phase, domain: Domain
) -> tuple[Tensor, Tensor | None]:
    """What these stages make of the image for the next to learn from, (C, H, W), and what is known of it, (H, W).

    Of a large one it is a sheet of windows, each computed as in its place in the image.
    """
    bands, height, width = lr.shape
    scale, known = settings.stage_scales[len(networks) - 1], domain.known_pixels
    if sheet.is_fitted_whole(bands, height * scale, width * scale):
        enlarged = _enlarge_tiled(lr, networks, settings, phase, domain)
        return enlarged, None if known is None else nearest(known, scale)
    places = sheet.places(height, width, settings.seed, scale)
    shares = ((1.0 if known is None else float(known[place].float().mean()), place) for place in places)
    windows = []
    for rows, columns in sheet.pick(shares, sheet.windows_on(bands)):
        tile = tile_at(rows, columns, height, width, settings.halo)
        sr = enlarge(cut(lr, tile), networks, settings, phase, domain.of(tile.rows.read, tile.columns.read))
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
    """`Fitted.networks` anew from the `state_dict` of each and the bands they have in common, for `enlarge`."""
    networks = [_network(bands, settings, device).eval() for _ in weights]
    for network, parameters in zip(networks, weights, strict=True):
        network.load_state_dict(parameters)
    return (*networks[:1], *map(_as_later_stage, networks[1:]))


@torch.inference_mode()
def enlarge(
    window: Tensor,
    networks: tuple[ResidualNetwork, ...],
    settings: Settings,
    phase: Phase = no_phase,
    domain: Domain = UNIT,
) -> Tensor:
    """Run the first `len(networks)` stages on a window of the LR image; with no network, bicubic to the full scale.

    Args:
        window: (C, h, w) float32, in [0, 1] for the most part.
        domain: of the window.

    Returns:
        (C, h * s, w * s) float32 in the range of `domain`, s the scale the last of these stages reaches, also where
        nothing is known. Within `settings.halo` LR pixels of a window border that is not an image border the result is
        not that of the whole image.
    """
    if len(window) > _BANDS_AT_ONCE and all(network.bands == 1 for network in networks):
        starts = range(0, len(window), _BANDS_AT_ONCE)
        spans = [(start, min(start + _BANDS_AT_ONCE, len(window))) for start in starts]
        return torch.cat([_enlarge(window[a:b], networks, settings, phase, domain.of_bands(a, b)) for a, b in spans])
    return _enlarge(window, networks, settings, phase, domain)


def _enlarge(
    window: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings, phase: Phase, domain: Domain
) -> Tensor:
    window = fill(window, domain.known)
    image, scale = window, settings.scale
    if not networks:
        image = _back_project(upscale(window, scale), window, settings, scale, phase, domain)
    for network, scale in zip(networks, settings.stage_scales[: len(networks)], strict=True):
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


def _enlarge_tiled(
    lr: Tensor, networks: tuple[ResidualNetwork, ...], settings: Settings, phase: Phase, domain: Domain
) -> Tensor:
    """`enlarge` over all tiles of the LR image, put together."""
    bands, height, width = lr.shape
    scale = settings.stage_scales[len(networks) - 1] if networks else settings.scale
    canvas = lr.new_empty(bands, height * scale, width * scale)
    for tile in plan_tiles(height, width, settings.tile_size, settings.halo):
        sr = enlarge(cut(lr, tile), networks, settings, phase, domain.of(tile.rows.read, tile.columns.read))
        paste(canvas, tile, owned(sr, tile, scale), scale)
    return canvas
