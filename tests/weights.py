"""Weights of networks, to be compared."""

import torch
from torch import Tensor, nn


def weights_of(network: nn.Module) -> Tensor:
    """All parameters of a network, in a row."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
