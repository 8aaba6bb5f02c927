"""Fits of one or of several images: alone by `fit`, together by `fit_stack`."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch

from ..networks.residual_network import ResidualNetwork
from ..settings import FitSettings, Settings
from .fit import curve, fit
from .pairs import Lesson, son_side
from .stack import fit_stack

AfterStep = Callable[[int], None]
"""Called with the number of steps done; what it raises ends the fit."""

Taught = tuple[ResidualNetwork, Lesson]
"""A network, and what it is to learn."""


class Losses(NamedTuple):
    """How a fit went."""

    final: float
    """Mean over the last tenth of its steps."""
    curve: tuple[float, ...]
    """As by `fit.curve`."""


def stacks_of(lessons: Mapping[int, Taught], settings: FitSettings) -> list[list[int]]:
    """Return the lessons in groups, each of which one stack can hold: equal networks, bands and crops.

    A lesson that no stack can hold is a group of its own.
    """
    groups: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for index, (network, lesson) in lessons.items():
        kind: tuple[object, ...] = (index,)
        if network.stackable and not settings.adversarial:
            shapes = tuple(parameter.shape for parameter in network.parameters())
            kind = (shapes, len(lesson.told), son_side(lesson.pairs, settings.crop))
        groups[kind].append(index)
    return list(groups.values())


def fit_together(taught: Sequence[Taught], settings: Settings, after_step: AfterStep | None) -> list[Losses]:
    """Train each network in place, as one stack if there are several. Return how each went.

    Args:
        after_step: called with the number of steps done, after each; what it raises ends the fit.
    """
    networks, lessons = zip(*taught, strict=True)
    losses = torch.empty(settings.fit.steps, len(taught), device=lessons[0].told.device)
    if len(taught) == 1:
        final = [fit(networks[0], lessons[0], settings.fit, settings.seed, after_step, losses[:, 0])]
    else:
        final = fit_stack(networks, lessons, settings.fit, settings.seed, after_step, losses)
    return list(map(Losses, final, map(curve, losses.unbind(1))))
