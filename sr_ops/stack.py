"""Many fits at once, for a device that one fit leaves mostly idle (a GPU): N networks are trained as one.

A stack is the network itself with every convolution in N groups: group n has the weights of network n, and its
channels are image n. Nothing flows from group to group, so every network learns what it would learn alone.

Measured on a CPU against `torch.func.vmap` over the stacked weights, which makes the same grouped convolutions itself:
a step of 4 networks took 74 against 135 ms in bfloat16, as long as four single steps, and its gradients were nearer to
theirs (6e-5 against 1e-3; float32: 1e-8 against 7e-7).
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import accumulate
from threading import Lock
from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from . import dihedral
from .fit import GRADIENT_NORM, last_tenth
from .loss import loss_of
from .one_cycle import one_cycle
from .pairs import Lesson, Pair, draw_places, son_side
from .residual_network import ResidualNetwork
from .settings import FitSettings, Loss

STEPS_BEFORE_CAPTURE = 3
"""Steps after which a GPU replays the rest: libraries set themselves up in the first ones, which no graph can hold."""

_CAPTURING = Lock()
"""A process can capture one CUDA graph at a time."""


def fit_stack(
    networks: Sequence[ResidualNetwork],
    lessons: Sequence[Lesson],
    settings: FitSettings,
    seed: int,
    after_step: Callable[[int], None] | None = None,
    losses: Tensor | None = None,
) -> list[float]:
    """Train each network in place on its own image's pairs: what `fit(network, lesson, settings, seed)` does for each.

    Every image gets the draws it would get alone, and only rounding tells the results apart, grown by training as a
    change of the first weights by 1e-6 would. Measured on a CPU: a stack of one equals `fit` bit for bit; in one of
    two, 50 steps from a prior ended within 0.002 dB of PSNR; from scratch, such a change moves any fit by 0.03 dB in 50
    steps and 0.2 dB in 200. The same arguments, thread count and device class give the same weights bit for bit.

    Args:
        networks: N >= 1, `stackable`, of one class, bands, scale, width, depth, dtype and device, where the lessons are
            too; they are changed only when all steps are done.
        lessons: that of image n at place n. The images have equally many bands, and sizes that give equal crops.
        after_step: called with the number of steps done, after each; a GPU may still be at work on the last ones.
        losses: (steps, N) float32 on that device: gets the losses before each step.

    Returns:
        Each network's mean loss of the last tenth of the steps; nan for no steps.

    Raises:
        ValueError: the images give crops of different sizes, or the networks or the settings are for `fit` alone.
    """
    if settings.adversarial or not all(network.stackable for network in networks):
        raise ValueError("these networks, or a fit with an adversary, can be fitted one by one only")
    device = lessons[0].told.device
    with _side_stream(device):
        stack = _stacked(networks)
        lesson = _StackCrops(lessons, settings, seed, networks[0])
        if losses is None:
            losses = torch.empty(settings.steps, len(networks), device=device)
        _train(stack, lesson, settings, losses, after_step)
        _hand_out(stack, networks)
        final: list[float] = losses[last_tenth(settings.steps)].mean(0).tolist()
    return final


def _stacked(networks: Sequence[ResidualNetwork]) -> ResidualNetwork:
    """One network for images side by side in the channels: parameters (N * O, ...) where the single ones have (O, ...).

    Its `residual` is what is meant to be called.
    """
    stack = copy.deepcopy(networks[0])
    for module in stack.modules():
        if isinstance(module, nn.Conv2d):
            module.groups = len(networks)
    with torch.no_grad():
        for parameter, *singles in zip(stack.parameters(), *(net.parameters() for net in networks), strict=True):
            parameter.data = torch.cat(singles)
    return stack.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _hand_out(stack: ResidualNetwork, networks: Sequence[ResidualNetwork]) -> None:
    with torch.no_grad():
        for together, *singles in zip(stack.parameters(), *(net.parameters() for net in networks), strict=True):
            for parameter, weights in zip(singles, together.chunk(len(networks)), strict=True):
                parameter.copy_(weights)
    for network in networks:
        network.eval()


class _Crops(NamedTuple):
    """What one step learns from: N networks of C bands and ratio r, B crops of each; channels last in memory.

    Where a network of one band learns from several, each band is a crop of its own.
    """

    seen: Tensor
    """(B, N * I, s, s), or at HR size: what the first convolution of each network sees, I channels."""
    bases: Tensor
    """(B, N * C, r s, r s)."""
    fathers: Tensor
    """(B, N * C, r s, r s)."""
    taught: Tensor
    """(B, N, r s, r s): 1 where the father may be learned from, else 0."""


class _StackCrops:
    """Draws for every image the crops that `fit` would draw from its pairs, step by step.

    The windows are drawn on the CPU, and each step gathers all of them at once: cut one by one, the crops would keep a
    GPU waiting for many times the length of a step.
    """

    def __init__(self, lessons: Sequence[Lesson], settings: FitSettings, seed: int, network: ResidualNetwork) -> None:
        pairs = [lesson.pairs for lesson in lessons]
        shapes = [(len(of_one[0].son), *2 * (son_side(of_one, settings.crop),)) for of_one in pairs]
        if len(set(shapes)) > 1:
            raise ValueError(f"the images of one stack must give sons of one shape, not {sorted(set(shapes))}")
        image_bands, self._side, _ = shapes[0]
        self._batch, self._network, self._ratio = settings.batch, network, pairs[0][0].ratio
        self._folds = image_bands // network.bands
        self._sons = _Album([pair.son for of_one in pairs for pair in of_one], self._side)
        self._fathers = _Album([_with_mask(pair) for of_one in pairs for pair in of_one], self._ratio * self._side)
        self._told = _told_of_crops([lesson.told for lesson in lessons], settings.batch, network.bands)
        self._first = [0, *accumulate(len(of_one) for of_one in pairs[:-1])]
        # Draws depend on the seed, the sizes and the odds alone: images of one size share theirs.
        self._kinds = [tuple((pair.son.shape, pair.weight) for pair in of_one) for of_one in pairs]
        self._draws = {
            kind: (of_one, Generator().manual_seed(seed)) for kind, of_one in zip(self._kinds, pairs, strict=True)
        }

    def crops(self) -> _Crops:
        """Those of the next step."""
        drawn = {kind: draw_places(pairs, self._side, self._batch, gen) for kind, (pairs, gen) in self._draws.items()}
        places = [
            [(first + pair, top, left, element) for pair, top, left, element in drawn[kind]]
            for first, kind in zip(self._first, self._kinds, strict=True)
        ]
        windows = torch.tensor(places).transpose(0, 1).to(self._sons.pixels.device, non_blocking=True)
        bands = self._network.bands
        sons = _side_by_side(self._sons.cut(windows, 1), bands)
        fathers = self._fathers.cut(windows, self._ratio)
        made, bases, taught = torch.split(fathers, [self._folds * bands, self._folds * bands, 1], -1)
        bases = _side_by_side(bases, bands)
        taught = _side_by_side(taught.expand(*taught.shape[:-1], self._folds), 1)
        return _Crops(self._seen(sons, bases), bases, _side_by_side(made, bands), taught)

    def _seen(self, sons: Tensor, bases: Tensor) -> Tensor:
        """What the networks see, side by side."""
        bands = self._network.bands
        each_son, each_base = (
            part.reshape(-1, bands, *part.shape[-2:]) for part in (sons.contiguous(), bases.contiguous())
        )
        seen = self._network.seen(each_son, each_base, self._told)
        together = seen.reshape(len(sons), -1, *seen.shape[-2:])
        return together.contiguous(memory_format=torch.channels_last)


def _told_of_crops(told: Sequence[Tensor], batch: int, bands: int) -> Tensor:
    """(C', 2) of N images to (B * N, bands, 2), B the crops of each: of one band every band is a crop of its own."""
    folded = torch.stack(list(told)).reshape(len(told), -1, bands, 2).transpose(0, 1)  # (folds, N, bands, 2)
    together: Tensor = folded.expand(batch, *folded.shape).flatten(0, 2)
    return together


def _with_mask(pair: Pair) -> Tensor:
    """(2 C + 1, H, W): the father, the base, and where the father may be learned from."""
    taught = torch.ones_like(pair.father[:1]) if pair.taught is None else pair.taught
    return torch.cat([pair.father, pair.base, taught])


def _side_by_side(crops: Tensor, bands: int) -> Tensor:
    """(B, s, s, N, C) to (B * C / bands, N * bands, s, s), channels last."""
    each = crops.view(*crops.shape[:-1], -1, bands).movedim(-2, 1).flatten(0, 1)
    return each.flatten(-2).permute(0, 3, 1, 2)


class _Album:
    """Images (C, H, W) of many sizes one after the other in one vector, so that one gather cuts from all of them."""

    def __init__(self, images: Sequence[Tensor], side: int) -> None:
        self.pixels = torch.cat([image.flatten() for image in images])
        device = self.pixels.device
        starts = [0, *accumulate(image.numel() for image in images[:-1])]
        geometry = [(start, image.shape[-1], image[0].numel()) for start, image in zip(starts, images, strict=True)]
        self._geometry = torch.tensor(geometry, device=device)
        self._planes = torch.arange(len(images[0]), device=device)
        places = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
        turned = torch.stack([dihedral.transform(places, element) for element in range(dihedral.ORDER)])
        self._turned = turned.to(device)
        """(8, 2, side, side): the row and the column that each pixel of a turned window has in the image."""

    def cut(self, windows: Tensor, ratio: int) -> Tensor:
        """(B, side, side, N, C) of windows (B, N, 4) that hold the image, top and left times 1 / `ratio`, element."""
        image, top, left, element = windows.unbind(-1)
        start, width, plane = self._geometry[image].unbind(-1)
        corner = start + ratio * (top * width + left)
        rows, columns = self._turned[element].permute(2, 0, 3, 4, 1)
        index = corner[:, None, None] + rows * width[:, None, None] + columns
        return self.pixels[index[..., None] + self._planes * plane[:, None, None, :, None]]


def _train(
    stack: ResidualNetwork,
    lesson: _StackCrops,
    settings: FitSettings,
    losses: Tensor,
    after_step: Callable[[int], None] | None,
) -> None:
    """All steps; the loss before each goes to `losses` (steps, N), on the device of all."""
    optimiser, schedule = one_cycle(stack.parameters(), settings)
    crops = lesson.crops()
    backward: Callable[[], Tensor] = partial(_backward, stack, crops, settings.loss)
    for step in range(settings.steps):
        if step > 0:
            for buffer, drawn in zip(crops, lesson.crops(), strict=True):
                buffer.copy_(drawn)
        if step == STEPS_BEFORE_CAPTURE and losses.is_cuda:
            backward = _captured(backward)
        losses[step] = backward()
        # Never captured: the schedule changes Adam's first beta too, and a graph would keep that of its capture.
        optimiser.step()
        schedule.step()
        if after_step is not None:
            after_step(step + 1)


def _backward(stack: ResidualNetwork, crops: _Crops, loss: Loss = Loss.L1) -> Tensor:
    """Leave the clipped gradients in the parameters; the loss (N,) of each network."""
    stack.zero_grad(set_to_none=True)
    losses = _losses(stack, crops, loss)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    _clip(stack, len(losses))
    return losses.detach()


def _losses(stack: ResidualNetwork, crops: _Crops, loss: Loss) -> Tensor:
    """(N,): each network's mean loss over what it may learn from."""
    errors = loss_of(loss, crops.bases + stack.mixed(crops.seen).float() - crops.fathers)
    taught = crops.taught[:, :, None]
    each = errors.view(*taught.shape[:2], -1, *taught.shape[-2:])
    looked_at = crops.taught.sum((0, 2, 3)) * each.shape[2]
    losses: Tensor = (each * taught).sum((0, 2, 3, 4)) / looked_at.clamp_min(1)
    return losses


def _clip(stack: ResidualNetwork, count: int) -> None:
    """`clip_grad_norm_` for each network on its own."""
    together = [parameter.grad for parameter in stack.parameters() if parameter.grad is not None]
    gradients = [gradient.view(count, -1, *gradient.shape[1:]) for gradient in together]
    each = [torch.linalg.vector_norm(gradient, dim=tuple(range(1, gradient.ndim))) for gradient in gradients]
    norms = torch.linalg.vector_norm(torch.stack(each), dim=0)
    factors = (GRADIENT_NORM / (norms + 1e-6)).clamp_max(1)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *(gradient.ndim - 1) * (1,)))


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """What is done inside goes to a CUDA stream of its own, which a capture needs; on a CPU this changes nothing."""
    if device.type != "cuda":
        yield
        return
    outer, side = torch.cuda.current_stream(device), torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    side.wait_stream(outer)
    try:
        with torch.cuda.stream(side):
            yield
    finally:
        outer.wait_stream(side)


def _captured(backward: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The same as one CUDA graph: a replay is one launch, where the call makes hundreds that take longer than the work.

    To be called on a side stream on which `backward` has run a few times. `backward` must have fixed shapes, read from
    tensors that stay where they are (hence the crops of every step are copied into those of the first), and decide
    nothing by what the device computed. What it returns and the gradients it leaves are the same tensors after every
    replay, with new values.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream()
    # Other threads may go on: what they do meanwhile concerns this capture only if it is thought of as "global".
    with _CAPTURING, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        losses = backward()

    def replay() -> Tensor:
        graph.replay()
        return losses

    return replay
