"""Weights of networks and priors, to be compared."""

import torch
from torch import Tensor, nn

from pipeline.priors.prior_file import parse_prior, weights
from sr_ops.priors.prior import Prior


def weights_of(network: nn.Module) -> Tensor:
    """All parameters of a network, in a row."""
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def prior_in(data: bytes) -> Prior:
    """The weights in the bytes of a prior file."""
    return weights(parse_prior(data))
