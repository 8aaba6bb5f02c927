"""Weights of direct networks as one file: a head for each scale and number of bands, safetensors, float16.

A tensor of the head for scale 4 and one band is called "4.1.<its name in the network>"; the metadata "srpipe-heads"
tell, as JSON, the body that all of them have.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from sr_ops.direct import Body, DirectNetwork

Head = tuple[int, int]
"""Scale and bands."""

SHIPPED = Path(__file__).with_name("any_camera.safetensors")

_METADATA = "srpipe-heads"


def to_bytes(heads: Mapping[Head, Mapping[str, Tensor]], body: Body) -> bytes:
    """The file's bytes; equal weights give equal bytes."""
    tensors = {
        f"{scale}.{bands}.{name}": tensor.to(torch.float16).contiguous()
        for (scale, bands), weights in sorted(heads.items())
        for name, tensor in weights.items()
    }
    return save(tensors, {_METADATA: json.dumps({"body": asdict(body)})})


def read(path: Path, autocast_dtype: torch.dtype) -> dict[Head, DirectNetwork]:
    """The networks of a file, float32, on the CPU.

    Files are our own: a damaged one raises what safetensors and torch do.

    Raises:
        ValueError: the file holds something else.
    """
    networks: dict[Head, DirectNetwork] = {}
    with safe_open(path, framework="pt") as file:
        described = json.loads((file.metadata() or {}).get(_METADATA, "null"))
        if described is None:
            raise ValueError(f"{path} holds no heads of a direct network")
        weights: dict[Head, dict[str, Tensor]] = {}
        for key in file.keys():  # noqa: SIM118 - no mapping
            scale, bands, name = key.split(".", 2)
            weights.setdefault((int(scale), int(bands)), {})[name] = file.get_tensor(key).float()
    for (scale, bands), tensors in weights.items():
        network = DirectNetwork(bands, scale, Body(**described["body"]), autocast_dtype)
        network.load_state_dict(tensors)
        networks[scale, bands] = network.to(memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    return networks
