"""The model of a scene as bytes: safetensors, which hold numbers only, in float32 to the last bit.

A tensor is called "<stage>.<bands of the network>.<its name in the network>"; the metadata tell the method.
"""

import json

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sr_ops.settings import Method, Settings
from sr_ops.super_resolve import BICUBIC, Model, fitted_networks

_METHOD = "method"


def model_to_bytes(model: Model) -> bytes:
    tensors = {
        f"{stage}.{network.bands}.{name}": tensor.cpu().contiguous()
        for stage, network in enumerate(model.networks)
        for name, tensor in network.state_dict().items()
    }
    return save(tensors, {_METHOD: model.method.value})


def model_from_bytes(data: bytes, settings: Settings, device: torch.device) -> Model:
    """A model that gives the same pixels as the one that was stored. Raises ValueError for damaged bytes."""
    weights: dict[int, dict[str, Tensor]] = {}
    bands = 0
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        method = Method(header["__metadata__"][_METHOD])
        if method is Method.BICUBIC:
            return BICUBIC
        for called, tensor in tensors.items():
            stage, bands_of_network, name = called.split(".", 2)
            weights.setdefault(int(stage), {})[name] = tensor
            bands = int(bands_of_network)
        in_order = [weights[stage] for stage in range(len(settings.stage_scales))]
        return Model(method, fitted_networks(in_order, bands, settings, device))
    except (SafetensorError, KeyError, RuntimeError) as error:  # RuntimeError: other tensors than the network has
        raise ValueError(" ".join(str(error).split())) from error
