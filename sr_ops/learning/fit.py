"""Fitting a network to training pairs: crops of random pairs, a loss, one Adam step after the other.

The pairs of one image make a fit to that image (ZSSR, Shocher et al. 2018, section 3). They are made once; a step
resizes nothing.
"""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn.utils import clip_grad_norm_

from ..networks.layers import GRADIENT_NORM, Dropout
from ..networks.residual_network import ResidualNetwork
from ..settings import FitSettings, Loss
from .adversary import Adversary
from .loss import loss_of
from .one_cycle import one_cycle
from .pairs import Crops, Lesson, draw_crops

MOST_POINTS = 32
"""Most points of the loss curve that is kept of a fit."""


def fit(
    network: ResidualNetwork,
    lesson: Lesson,
    settings: FitSettings,
    seed: int,
    after_step: Callable[[int], None] | None = None,
    losses: Tensor | None = None,
) -> float:
    """Train `network` in place, on its device, where the lesson is too.

    The same network, lesson, settings, seed, thread count and device class give the same weights bit for bit.

    Args:
        after_step: called with the number of steps done, after each.
        losses: (steps,) float32 on the device of the lesson: gets the loss before each step.

    Returns:
        The mean loss, without an adversarial term, of the last tenth of the steps; nan for no steps.
    """
    generator = Generator().manual_seed(seed)
    optimiser, schedule = one_cycle(network.parameters(), settings)
    adversary = Adversary(lesson, settings, seed) if settings.adversarial else None
    # In one piece: small tensors, kept among large ones that come and go, fragment the heap.
    if losses is None:
        losses = torch.empty(settings.steps, device=lesson.pairs[0].son.device)
    network.train()
    for layer in network.modules():
        if isinstance(layer, Dropout):
            layer.generator = generator
    for step in range(settings.steps):
        crops = draw_crops(lesson.pairs, settings.crop, settings.batch, generator)
        made = network(crops.sons, crops.bases, lesson.told.expand(len(crops.sons), -1, -1))
        loss = _loss(settings.loss, made, crops)
        learned = loss if adversary is None else loss + adversary.term(made, crops)
        optimiser.zero_grad(set_to_none=True)
        learned.backward()  # type: ignore[no-untyped-call]
        clip_grad_norm_(network.parameters(), GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        losses[step] = loss.detach()
        if after_step is not None:
            after_step(step + 1)
    network.eval()
    return float(losses[last_tenth(settings.steps)].mean())  # of none nan


def last_tenth(steps: int) -> slice:
    """Return the steps whose mean loss a fit reports, at least one."""
    return slice(-max(1, steps // 10), None)


def curve(losses: Tensor) -> tuple[float, ...]:
    """Return the mean loss in each of MOST_POINTS equal parts of all steps, or in each step if there are fewer."""
    parts = torch.tensor_split(losses.cpu(), min(MOST_POINTS, len(losses))) if len(losses) else ()
    return tuple(float(part.mean()) for part in parts)


def _loss(loss: Loss, made: Tensor, crops: Crops) -> Tensor:
    """Return the mean loss over what may be learned from."""
    errors = loss_of(loss, made - crops.fathers)
    if crops.taught is None:
        return errors.mean()
    looked_at = (crops.taught.sum() * errors.shape[1]).clamp_min(1)
    return (errors * crops.taught).sum() / looked_at
