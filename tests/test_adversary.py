"""The adversarial term: it tells the image's own patches from others and never sees what is held out."""

from dataclasses import replace

import torch
from torch import Generator, Tensor

from sr_ops.learning.adversary import Adversary
from sr_ops.learning.fit import fit
from sr_ops.learning.pairs import Crops, draw_crops
from sr_ops.settings import FitSettings, Network

from .cameras import lesson_of, network_at_start
from .pictures import noise, star
from .weights import weights_of

SETTINGS = FitSettings(steps=60, crop=24, batch=4, adversarial=1.0)


def blurred(crops: Crops) -> Tensor:
    return torch.nn.functional.avg_pool2d(crops.fathers, 5, stride=1, padding=2, count_include_pad=False)


def test_it_learns_to_tell_what_is_not_the_images_own() -> None:
    """Blurred patches pass at first as any others, and later are found out; the sharp ones are not."""
    lesson, generator = lesson_of(star(64)), Generator().manual_seed(0)
    adversary = Adversary(lesson, SETTINGS, 0)
    terms = []
    for _ in range(SETTINGS.steps):
        crops = draw_crops(lesson.pairs, 24, 4, generator)
        terms.append(float(adversary.term(blurred(crops), crops)))
    with torch.no_grad():
        own, others = adversary._network(crops.fathers).mean(), adversary._network(blurred(crops)).mean()
    assert terms[0] < 1.1
    assert float(own - others) > 0.3


def test_its_term_moves_what_was_made() -> None:
    """The gradient reaches what the network made, in proportion to the weight, and not the fathers."""
    lesson = lesson_of(star(64))
    gradients = []
    for weight in (1.0, 3.0):
        adversary, generator = Adversary(lesson, replace(SETTINGS, adversarial=weight), 0), Generator().manual_seed(0)
        for _ in range(3):
            crops = draw_crops(lesson.pairs, 24, 4, generator)
            made = blurred(crops).requires_grad_()
            term = adversary.term(made, crops)
        (gradient,) = torch.autograd.grad(term, made)
        gradients.append(gradient)
    assert float(gradients[0].abs().max()) > 0
    torch.testing.assert_close(gradients[1], 3 * gradients[0])


def test_what_is_held_out_is_never_seen() -> None:
    """Whatever the fathers are there, the same network is learned."""
    held_out = torch.ones(1, 48, 48)
    held_out[:, 10:30, 14:36] = 0
    states = []
    for seed in (1, 2):
        lesson = lesson_of(star(48), held_out)
        spoilt = torch.where(held_out > 0, lesson.pairs[0].father, noise(1, 48, 48, seed=seed))
        pair = replace(lesson.pairs[0], father=spoilt)
        network = network_at_start(Network.SUBPIXEL, 1)
        fit(network, replace(lesson, pairs=(pair,)), replace(SETTINGS, steps=6), 0)
        states.append(weights_of(network))
    assert torch.equal(*states)


def test_the_weight_decides_what_is_learned() -> None:
    """Without it a fit is what it was, bit for bit; with it another, whose loss is told without the term."""
    lesson, learned, losses = lesson_of(star(48)), [], []
    for weight in (0.0, 0.0, 0.5):
        network = network_at_start(Network.SUBPIXEL, 1)
        losses.append(fit(network, lesson, replace(SETTINGS, steps=12, adversarial=weight), 0))
        learned.append(weights_of(network))
    assert torch.equal(learned[0], learned[1])
    assert not torch.equal(learned[0], learned[2])
    assert losses[2] < 0.3
