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
from threading import Lock

import torch
from torch import Tensor, nn

from ..networks.layers import GRADIENT_NORM
from ..networks.residual_network import ResidualNetwork
from ..settings import FitSettings, Loss
from .fit import last_tenth
from .loss import loss_of
from .one_cycle import one_cycle
from .pairs import Lesson
from .stack_crops import StackedCrops, StackedLessons

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
        lesson = StackedLessons(lessons, settings, seed, networks[0])
        if losses is None:
            losses = torch.empty(settings.steps, len(networks), device=device)
        _train(stack, lesson, settings, losses, after_step)
        _hand_out(stack, networks)
        final: list[float] = losses[last_tenth(settings.steps)].mean(0).tolist()
    return final


def _stacked(networks: Sequence[ResidualNetwork]) -> ResidualNetwork:
    """Return one network for images side by side in the channels: parameters are (N * O, ...) instead of (O, ...).

    Only its `mixed` is meant to be called.
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


def _train(
    stack: ResidualNetwork,
    lesson: StackedLessons,
    settings: FitSettings,
    losses: Tensor,
    after_step: Callable[[int], None] | None,
) -> None:
    """Take all steps; the loss before each goes to `losses` (steps, N), on the device of all."""
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


def _backward(stack: ResidualNetwork, crops: StackedCrops, loss: Loss) -> Tensor:
    """Leave the clipped gradients in the parameters; return the loss (N,) of each network."""
    stack.zero_grad(set_to_none=True)
    losses = _losses(stack, crops, loss)
    losses.sum().backward()  # type: ignore[no-untyped-call]
    _clip(stack, len(losses))
    return losses.detach()


def _losses(stack: ResidualNetwork, crops: StackedCrops, loss: Loss) -> Tensor:
    """Return (N,): each network's mean loss over what it may learn from."""
    errors = loss_of(loss, crops.bases + stack.mixed(crops.seen).float() - crops.fathers)
    taught = crops.taught[:, :, None]
    each = errors.view(*taught.shape[:2], -1, *taught.shape[-2:])
    looked_at = crops.taught.sum((0, 2, 3)) * each.shape[2]
    losses: Tensor = (each * taught).sum((0, 2, 3, 4)) / looked_at.clamp_min(1)
    return losses


def _clip(stack: ResidualNetwork, count: int) -> None:
    """Clip the gradients of each network on its own, as `clip_grad_norm_` does."""
    together = [parameter.grad for parameter in stack.parameters() if parameter.grad is not None]
    gradients = [gradient.view(count, -1, *gradient.shape[1:]) for gradient in together]
    each = [torch.linalg.vector_norm(gradient, dim=tuple(range(1, gradient.ndim))) for gradient in gradients]
    norms = torch.linalg.vector_norm(torch.stack(each), dim=0)
    factors = (GRADIENT_NORM / (norms + 1e-6)).clamp_max(1)
    for gradient in gradients:
        gradient.mul_(factors.view(-1, *(gradient.ndim - 1) * (1,)))


@contextmanager
def _side_stream(device: torch.device) -> Iterator[None]:
    """Put what is done inside on a CUDA stream of its own, which a capture needs; on a CPU this changes nothing."""
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
    """Return `backward` as one CUDA graph: one launch instead of hundreds, which take longer than the work.

    To be called on a side stream on which `backward` has run a few times. `backward` must have fixed shapes, read from
    tensors that stay where they are (hence the crops of every step are copied into those of the first), and decide
    nothing by what the device computed. What it returns and the gradients it leaves are the same tensors after every
    replay, with new values.
    """
    graph = torch.cuda.CUDAGraph()
    stream = torch.cuda.current_stream()
    # Other threads may go on: what they do meanwhile would concern a "global" capture only.
    with _CAPTURING, torch.cuda.graph(graph, stream=stream, capture_error_mode="thread_local"):
        losses = backward()

    def replay() -> Tensor:
        graph.replay()
        return losses

    return replay
