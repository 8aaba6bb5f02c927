"""Reptile (Nichol, Achiam, Schulman 2018): a start learned to be good after a few steps, not before them.

Each round fits a network to one image for a few steps, then moves the start some way to where the fit ended. What
benchmarks/collection.py compares with the joint training of `sr_ops.prior`.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from random import Random

import torch
from torch import Tensor

from sr_ops.fit import fit
from sr_ops.networks import ResidualNetwork, build_network, fastest_dtype
from sr_ops.pairs import Pair, octave_pairs
from sr_ops.prior import RGB_BANDS, Prior
from sr_ops.settings import FitSettings, Settings

EPSILON = 1.0
"""How far the first round moves, of the way; falls evenly to 0, as in the paper."""


def train_reptile(
    images: Sequence[Tensor], settings: Settings, training: FitSettings, inner_steps: int, start: Prior
) -> dict[int, dict[str, Tensor]]:
    """As `sr_ops.prior.train_prior`, from as many optimiser steps and crops, by the other objective.

    Args:
        images: (C, H, W) float32 in [0, 1], C = 1 or 3, sides at least `training.crop`, on the device to train on.
        training: `steps` in all, of which each round takes `inner_steps`; the rate is that of the fits in the rounds.
        start: the prior to go on from; only its networks are trained.
    """
    inner = replace(training, steps=inner_steps)
    rounds = training.steps // inner_steps
    device = images[0].device

    def train(bands: int) -> dict[str, Tensor]:
        network = build_network(
            settings.network, bands, settings.width, settings.depth, settings.seed, device, fastest_dtype(device)
        )
        network.load_state_dict(start[bands])
        lessons = [pairs for image in images if (pairs := _lesson(image, bands, training.crop))]
        reptile(network, lessons, inner, rounds, settings.seed)
        return {name: tensor.cpu() for name, tensor in network.state_dict().items()}

    with ThreadPoolExecutor() as pool:  # as the joint training does: two networks keep two cores busy
        return dict(zip(start, pool.map(train, start), strict=True))


def reptile(
    network: ResidualNetwork, lessons: Sequence[Sequence[Pair]], inner: FitSettings, rounds: int, seed: int
) -> None:
    """Train `network` in place: `rounds` fits by `inner`, each to the pairs of one image drawn by the seed."""
    draw = Random(seed)
    for number in range(rounds):
        begin = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        fit(network, draw.choice(lessons), inner, seed + number)
        share = EPSILON * (1 - number / rounds)
        moved = {name: torch.lerp(begin[name], end, share) for name, end in network.state_dict().items()}
        network.load_state_dict(moved)


def _lesson(image: Tensor, bands: int, crop: int) -> list[Pair]:
    """The pairs of one image, for one band those of each of its bands; none for another number of bands."""
    if len(image) == bands:
        return list(octave_pairs(image, crop))
    if bands == 1:
        return [pair for band in range(len(image)) for pair in octave_pairs(image[[band]], crop)]
    assert bands == RGB_BANDS
    return []
