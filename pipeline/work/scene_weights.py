"""The fitted networks of a scene as bytes: safetensors, which hold numbers only, in float32 to the last bit.

A tensor is called "<stage>.<bands of the network>.<its name in the network>".
"""

from collections.abc import Sequence

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sr_ops.networks import ResidualNetwork
from sr_ops.settings import Settings
from sr_ops.super_resolve import fitted_networks


def networks_to_bytes(networks: Sequence[ResidualNetwork]) -> bytes:
    return save(
        {
            f"{stage}.{network.bands}.{name}": tensor.cpu().contiguous()
            for stage, network in enumerate(networks)
            for name, tensor in network.state_dict().items()
        }
    )


def networks_from_bytes(data: bytes, settings: Settings, device: torch.device) -> tuple[ResidualNetwork, ...]:
    """Networks that give the same pixels as those that were stored. Raises ValueError for damaged bytes."""
    weights: dict[int, dict[str, Tensor]] = {}
    bands = 0
    try:
        for called, tensor in load(data).items():
            stage, bands_of_network, name = called.split(".", 2)
            weights.setdefault(int(stage), {})[name] = tensor
            bands = int(bands_of_network)
        return fitted_networks([weights[stage] for stage in range(len(weights))], bands, settings, device)
    except (SafetensorError, KeyError, RuntimeError) as error:  # RuntimeError: other tensors than the network has
        raise ValueError(" ".join(str(error).split())) from error
