"""Prior files: weights as safetensors, which hold numbers only. A file is checked whole before anything starts.

A tensor of the network for n bands is called "<n>.<its name in the network>"; the metadata "srpipe-prior" tell, as
JSON, which network they are for. Weights are stored in float16, and used in float32.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from sr_ops.settings import NO_PRIOR, STAGE_SCALE, Network, Settings

from .. import storage
from ..errors import UsageError

if TYPE_CHECKING:
    from sr_ops.prior import Prior

SHIPPED = "shipped"
"""The name of the prior that comes with srpipe."""

_SHIPPED_FILE = Path(__file__).with_name("shipped_prior.safetensors")

_METADATA = "srpipe-prior"
"""One key for all of it: safetensors writes several in random order, and equal weights should be equal bytes."""

_MAX_WIDTH, _MAX_DEPTH, _MAX_BANDS = 4096, 256, 1024
"""Beyond any network that could be fitted: what a file claims is checked before anything of that size is made."""

_MAKE_ONE = "make one with `srpipe prior`"


@dataclass(frozen=True)
class PriorFile:
    """A prior as it lies on disk."""

    data: bytes
    network: Network
    width: int
    depth: int
    bands: tuple[int, ...]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def read_prior(choice: str, option: str = "--prior") -> PriorFile | None:
    """The prior called `choice`: "shipped", "none" (gives None), or the path or uri of a file.

    Args:
        option: what the choice was made with.

    Raises:
        UsageError: nothing is there, or it is no prior.
    """
    if choice == NO_PRIOR:
        return None
    uri = str(_SHIPPED_FILE) if choice == SHIPPED else storage.absolute(choice)
    storage.check_service(uri)
    try:
        data = storage.read(uri)
    except FileNotFoundError as error:
        raise UsageError(f"{option}: nothing is at {uri}; {_MAKE_ONE}, or use {option} shipped or none") from error
    except OSError as error:
        raise UsageError(f"{option}: cannot read {uri}: {storage.reason(error)}; check access") from error
    try:
        return parse_prior(data)
    except ValueError as error:
        raise UsageError(f"{option}: {uri} {error}; {_MAKE_ONE}") from error


def parse_prior(data: bytes) -> PriorFile:
    """Raises ValueError, with what follows "the file ...", for bytes that are no whole prior."""
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        raise ValueError("is a pickle of PyTorch, which could run any code when opened and is never read")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype that numpy has not
        raise ValueError(f"is no whole safetensors file ({error})") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    try:
        described = json.loads(header["__metadata__"][_METADATA])
        network, width, depth = Network(described["network"]), int(described["width"]), int(described["depth"])
        bands = tuple(map(int, described["bands"]))
        if not (0 < width <= _MAX_WIDTH and 2 <= depth <= _MAX_DEPTH and max(bands) <= _MAX_BANDS):
            raise ValueError(f"width {width}, depth {depth} and {list(bands)} bands")
    except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"does not say what network it is for ({error})") from error
    expected = {f"{n}.{name}": shape for n in bands for name, shape in _shapes(network, n, width, depth).items()}
    if {name: array.shape for name, array in tensors.items()} != expected or 1 not in bands:
        raise ValueError(f"does not hold the tensors of {network} {width} x {depth} for {list(bands)} bands")
    if not all(np.isfinite(array).all() for array in tensors.values()):
        raise ValueError("holds weights that are not finite")
    return PriorFile(data, network, width, depth, bands)


def check_fits(prior: PriorFile, settings: Settings, option: str = "--prior") -> None:
    """Raises UsageError when the prior is for another network than the settings'."""
    held, wanted = (prior.network, prior.width, prior.depth), (settings.network, settings.width, settings.depth)
    if held != wanted:
        raise UsageError(
            f"{option}: it is for the network {held[0]} of width {held[1]} and depth {held[2]}, not {wanted[0]} of"
            f" width {wanted[1]} and depth {wanted[2]}; use {option} none, or train one for it with `srpipe prior`"
        )


def weights(data: bytes) -> "Prior":
    """The weights of a prior file that was checked, float32."""
    from safetensors.torch import load as load_tensors

    prior: dict[int, dict[str, object]] = {}
    for name, tensor in load_tensors(data).items():
        bands, _, parameter = name.partition(".")
        prior.setdefault(int(bands), {})[parameter] = tensor.float()
    return prior  # type: ignore[return-value]


def to_bytes(prior: "Prior", settings: Settings) -> bytes:
    """A prior file's bytes; equal weights give equal bytes."""
    import torch
    from safetensors.torch import save

    tensors = {
        f"{bands}.{name}": tensor.to(torch.float16).contiguous()
        for bands, network in sorted(prior.items())
        for name, tensor in network.items()
    }
    described = {
        "network": settings.network.value,
        "width": settings.width,
        "depth": settings.depth,
        "bands": sorted(prior),
    }
    return save(tensors, {_METADATA: json.dumps(described)})


def _shapes(network: Network, bands: int, width: int, depth: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights, told without torch; a test compares them with the network's own."""
    last = bands * STAGE_SCALE**2 if network is Network.SUBPIXEL else bands
    widths = [bands, *[width] * (depth - 1), last]
    names = (
        ["body.0", *(f"body.{layer}.convolution" for layer in range(1, depth - 1)), f"body.{depth}"]
        if network is Network.SUBPIXEL
        else [f"body.{2 * layer}" for layer in range(depth)]
    )
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, name in enumerate(names):
        shapes[f"{name}.weight"] = (widths[layer + 1], widths[layer], 3, 3)
        shapes[f"{name}.bias"] = (widths[layer + 1],)
    return shapes
