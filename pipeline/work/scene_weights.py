"""The model of a scene as bytes: safetensors, which hold numbers only, in float32 and exact.

A tensor is named "<stage>.<bands of the network>.<its name in the network>", or "learned.<name>" if a method without
networks learned it. The metadata "model" hold, as JSON, method, kernel, noise, and what networks are told of the image.
"""

import json
from collections.abc import Mapping
from dataclasses import replace

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from sr_ops.enlarging.model import Model, as_later_stage, degradation_of, network_of
from sr_ops.enlarging.stages import stages_of
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.registry import METHODS, unknown
from sr_ops.settings import ALL_METHODS, BY_NETWORKS, Method, Settings

_METADATA = "model"

_LEARNED = "learned."


def model_to_bytes(model: Model, kernel: str) -> bytes:
    """Return the model as bytes.

    Args:
        kernel: that it was fitted for, as in `Settings.kernel`.
    """
    held = {
        f"{stage}.{network.bands}.{name}": tensor
        for stage, network in enumerate(model.networks)
        for name, tensor in network.state_dict().items()
    }
    held |= {_LEARNED + name: tensor for name, tensor in model.learned.items()}
    # copies, since safetensors takes no memory twice, and a residual block names its last convolution twice
    tensors = {name: tensor.cpu().clone(memory_format=torch.contiguous_format) for name, tensor in held.items()}
    told = None if model.told is None else model.told.tolist()
    described = {"method": str(model.method), "kernel": kernel, "noise": model.degradation.noise, "told": told}
    return save(tensors, {_METADATA: json.dumps(described)})


def model_from_bytes(data: bytes, settings: Settings, device: torch.device) -> tuple[Model, Settings]:
    """Return a model that gives the same pixels as the stored one, and the settings with its kernel.

    The kernel is as given, not as moved for the image's place. Raises ValueError for damaged bytes.
    """
    try:
        tensors = load(data)
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        described = json.loads(header["__metadata__"][_METADATA])
        settings = replace(settings, kernel=str(described["kernel"]))
        degradation = degradation_of(settings, tuple(described["noise"]))
        told = None if described["told"] is None else torch.tensor(described["told"], device=device)
        method = str(described["method"])
        if method in (*METHODS, Method.MODEL):
            learned = {name.removeprefix(_LEARNED): tensor.to(device) for name, tensor in tensors.items()}
            return Model(method, degradation, told=told, learned=learned), settings
        if method not in BY_NETWORKS:
            raise ValueError(unknown("method", method, ALL_METHODS))
        ratios = [stage.ratio for stage in stages_of(settings, degradation)]
        return Model(method, degradation, _networks(tensors, ratios, settings, device), told), settings
    except (SafetensorError, KeyError, RuntimeError, TypeError) as error:
        # RuntimeError: the tensors do not match the network
        raise ValueError(" ".join(str(error).split())) from error


def _networks(
    tensors: Mapping[str, Tensor], ratios: list[int], settings: Settings, device: torch.device
) -> tuple[ResidualNetwork, ...]:
    weights: dict[int, dict[str, Tensor]] = {}
    bands: dict[int, int] = {}
    for called, tensor in tensors.items():
        stage, bands_of_network, name = called.split(".", 2)
        weights.setdefault(int(stage), {})[name] = tensor
        bands[int(stage)] = int(bands_of_network)
    networks = [network_of(weights[stage], bands[stage], ratio, settings, device) for stage, ratio in enumerate(ratios)]
    return (*networks[:1], *map(as_later_stage, networks[1:]))
