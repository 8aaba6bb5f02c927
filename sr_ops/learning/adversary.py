"""An adversarial loss over the image's own patches: fathers against the network's enlargements of their sons.

The discriminator has no strides and a small receptive field, like those of PatchGAN (Isola et al. 2017), SinGAN
(Shaham et al. 2019) and KernelGAN (Bell-Kligler et al. 2019). It learns beside the network which patches are the
image's own. The loss is least squares (Mao et al. 2017); both are updated once per step, in turn.
"""

import torch
from torch import Generator, Tensor, nn

from ..networks.layers import convolution, initialise
from ..settings import FitSettings
from .one_cycle import one_cycle
from .pairs import Crops, Lesson

_WIDTH = 32
_HIDDEN = 3
"""Convolutions between the first and the last. The discriminator then sees patches of 11 x 11 pixels."""

_SLOPE = 0.2


class Adversary:
    """The discriminator of one fit, on the device of the lesson. Its initial weights depend on the seed alone."""

    def __init__(self, lesson: Lesson, settings: FitSettings, seed: int) -> None:
        son = lesson.pairs[0].son
        hidden = (layer for _ in range(_HIDDEN) for layer in (nn.LeakyReLU(_SLOPE), convolution(_WIDTH, _WIDTH)))
        with torch.device("meta"):
            network = nn.Sequential(
                convolution(len(son), _WIDTH), *hidden, nn.LeakyReLU(_SLOPE), convolution(_WIDTH, 1)
            )
        network = network.to_empty(device="cpu")
        initialise(network, Generator().manual_seed(seed))
        self._network: nn.Sequential = network.to(son.device)
        self._optimiser, self._schedule = one_cycle(self._network.parameters(), settings)
        self._weight = settings.adversarial

    def term(self, made: Tensor, crops: Crops) -> Tensor:
        """Return the adversarial part of the loss of `made`, the enlargements of `crops`; update the discriminator.

        The discriminator never sees held-out pixels of the fathers: they are replaced by those of `made`.
        """
        fathers = crops.fathers
        if crops.taught is not None:
            fathers = torch.where(crops.taught > 0, fathers, made.detach())
        self._optimiser.zero_grad(set_to_none=True)
        own, others = self._network(fathers), self._network(made.detach())
        ((own - 1).square().mean() + others.square().mean()).backward()
        self._optimiser.step()
        self._schedule.step()
        self._network.requires_grad_(False)
        passing = (self._network(made) - 1).square().mean()
        self._network.requires_grad_(True)
        weighed: Tensor = self._weight * passing
        return weighed
