"""What of a network may be fitted to an image: all of it, its last layers, or a factor for each channel."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sr_ops.networks.residual_network import ResidualNetwork

LAST = 2
"""Convolutions that are the last layers."""


@dataclass(frozen=True)
class Variant:
    """One way to fit."""

    name: str
    prepare: Callable[[ResidualNetwork], None]
    """Freezes what stays, and adds what else is to be learned."""
    rate: float
    """Peak of the learning rate: the fewer the weights, the larger it may be."""


class Scaled(nn.Module):
    """A frozen convolution, and a factor for each channel of its result."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.convolution = convolution
        self.factors = nn.Parameter(torch.ones(convolution.out_channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.convolution(x)
        # The product in float32: to bfloat16 a factor of 1.003 is 1.
        return (result * self.factors).to(result.dtype)

    def folded(self) -> nn.Conv2d:
        """The convolution with its factors in its weights."""
        with torch.no_grad():
            self.convolution.weight *= self.factors[..., None]
            assert self.convolution.bias is not None
            self.convolution.bias *= self.factors.flatten()
        return self.convolution


def all_weights(network: ResidualNetwork) -> None:
    """As `fit` does it."""
    network.requires_grad_(True)


def last_layers(network: ResidualNetwork) -> None:
    """Nothing is learned before the last two convolutions, and no gradient goes farther back."""
    network.requires_grad_(False)
    for parent, name in _of_kind(network, nn.Conv2d)[-LAST:]:
        parent.get_submodule(name).requires_grad_(True)


def channel_factors(network: ResidualNetwork) -> None:
    """All convolutions stay; what each makes is multiplied channel by channel."""
    network.requires_grad_(False)
    for parent, name in _of_kind(network, nn.Conv2d):
        convolution = parent.get_submodule(name)
        assert isinstance(convolution, nn.Conv2d)
        setattr(parent, name, Scaled(convolution).to(convolution.weight.device))


def fold(network: ResidualNetwork) -> None:
    """Make it a network of plain convolutions again."""
    for parent, name in _of_kind(network, Scaled):
        scaled = parent.get_submodule(name)
        assert isinstance(scaled, Scaled)
        setattr(parent, name, scaled.folded())


def learned(network: nn.Module) -> int:
    """How many numbers a fit changes."""
    return sum(weights.numel() for weights in network.parameters() if weights.requires_grad)


def _of_kind(network: nn.Module, kind: type[nn.Module]) -> list[tuple[nn.Module, str]]:
    """Where such modules are, in the order in which they are called: in which module, and under what name."""
    paths = [path for path, module in network.named_modules() if isinstance(module, kind)]
    return [(network.get_submodule(parent), name) for parent, _, name in (path.rpartition(".") for path in paths)]


VARIANTS = (
    Variant("all weights", all_weights, 1e-4),
    Variant("last layers", last_layers, 3e-4),
    Variant("channel factors", channel_factors, 3e-3),
)
