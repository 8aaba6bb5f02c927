"""Prior files: weights as safetensors, which hold numbers only. A file is checked completely before anything starts.

A tensor of the head for scale 4 and one band is named "4.1.<its name in the network>", of that for clean images
"4.clean.<its name>". The metadata "srpipe-heads" hold, as JSON, the body of the heads and that of the clean heads. They
give the kind of a body if it is not additive, which all were at first. Weights are stored as float16, used as float32.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from sr_ops.networks.body_shapes import shapes as shapes_of
from sr_ops.priors.prior import CLEAN_BANDS, HEAD_BANDS, HEAD_SCALES, Head, Prior, body_of, largest
from sr_ops.settings import NO_PRIOR, Body, BodyKind, Network, Settings

from .. import storage
from ..errors import UsageError
from ..storage.failures import refusing

if TYPE_CHECKING:
    from torch import Tensor

SHIPPED = "shipped"
"""Name of the prior that comes with srpipe."""

_SHIPPED_FILE = Path(__file__).with_name("any_camera.safetensors")

_METADATA, _FORMER_METADATA = "srpipe-heads", "srpipe-prior"

_CLEAN = "clean"

MAX_WIDTH, MAX_DEPTH = 4096, 256
"""Beyond any usable network: sizes in a file are checked before anything of that size is created."""

_MAKE_ONE = "make one with `srpipe prior`"


@dataclass(frozen=True)
class PriorFile:
    """A prior as stored in a file."""

    data: bytes
    body: Body
    """Body of the heads for any camera."""
    heads: tuple[Head, ...]
    """Heads for any camera, in order."""
    clean_body: Body | None = None
    clean: tuple[int, ...] = ()
    """Scales with a head for clean images."""

    @property
    def largest(self) -> Body:
        """`Prior.largest`, known without torch."""
        return largest([self.body, self.clean_body or self.body])

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


def read_prior(choice: str, option: str = "--prior") -> PriorFile | None:
    """Read a prior by name: "shipped", "none" (returns None), or the path or uri of a file.

    Args:
        option: the option that gave the name, for messages.

    Raises:
        UsageError: nothing is there, or it is not a prior.
    """
    if choice == NO_PRIOR:
        return None
    return _shipped() if choice == SHIPPED else _read(storage.absolute(choice, what=option), option)


@cache
def _shipped() -> PriorFile:
    """Return the prior of this package, whose file does not change while the process lives."""
    return _read(str(_SHIPPED_FILE), "--prior")


def _read(uri: str, option: str) -> PriorFile:
    storage.check_service(uri)
    with refusing(uri, option, f"{_MAKE_ONE}, or use {option} shipped or none"):
        data = storage.read(uri)
    try:
        return parse_prior(data)
    except ValueError as error:
        raise UsageError(f"{option}: {uri} {error}; {_MAKE_ONE}") from error


def parse_prior(data: bytes) -> PriorFile:
    """Check the bytes of a prior. Raises ValueError, worded to follow "the file ...", if they are not a whole prior."""
    if data[:2] in (b"PK", b"\x80\x02", b"\x80\x04"):
        raise ValueError("is a pickle of PyTorch, which could run any code when opened and is never read")
    try:
        tensors = load(data)
    except (SafetensorError, KeyError, ValueError) as error:  # KeyError: a dtype unknown to numpy
        raise ValueError(f"is not a complete safetensors file ({error})") from error
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    metadata = header.get("__metadata__") or {}
    if _METADATA not in metadata and _FORMER_METADATA in metadata:
        raise ValueError("is a prior of an earlier srpipe, for networks that start from none any more")
    body, heads = _body(metadata, "body"), _heads(tensors)
    clean = tuple(scale for scale in HEAD_SCALES if any(name.startswith(f"{scale}.{_CLEAN}.") for name in tensors))
    clean_body = _body(metadata, _CLEAN) if clean else None
    shapes = {f"{scale}.{bands}": shapes_of(scale, bands, body) for scale, bands in heads}
    if clean_body is not None:
        if clean_body.kind is not body.kind:
            raise ValueError(f"is for two kinds of bodies: {body.kind}, and for clean images {clean_body.kind}")
        shapes |= {f"{scale}.{_CLEAN}": shapes_of(scale, CLEAN_BANDS, clean_body) for scale in clean}
    expected = {
        f"{head}.{name}": (shape, np.dtype(np.float16)) for head, its in shapes.items() for name, shape in its.items()
    }
    for scale in HEAD_SCALES:
        if (scale, 1) not in heads:
            raise ValueError(f"has no head for x{scale} and one band")
    if {name: (array.shape, array.dtype) for name, array in tensors.items()} != expected:
        sizes = ", ".join(f"width {each.width} and depth {each.depth}" for each in (body, clean_body) if each)
        raise ValueError(f"does not hold the tensors of {body.kind} heads of {sizes} in float16")
    if not all(np.isfinite(array).all() for array in tensors.values()):
        raise ValueError("holds weights that are not finite")
    return PriorFile(data, body, heads, clean_body, clean)


def _body(metadata: dict[str, str], which: str) -> Body:
    try:
        told = dict(json.loads(metadata[_METADATA])[which])
        kind = str(told.pop("kind", BodyKind.ADDITIVE))
        body = Body(**told)
        sizes = (type(body.width), type(body.depth)) == (int, int)
        if not (sizes and 0 < body.width <= MAX_WIDTH and 2 <= body.depth <= MAX_DEPTH):
            raise ValueError(f"width {body.width!r:.20}, depth {body.depth!r:.20}")
    except (KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"does not say what networks it is for ({error})") from error
    if kind not in set(BodyKind):
        known = ", ".join(BodyKind)
        raise ValueError(f"is for networks of a {kind!r:.40} body, and this srpipe knows {known}; use a later srpipe")
    return replace(body, kind=BodyKind(kind))


def _heads(names: Iterable[str]) -> tuple[Head, ...]:
    """Return the possible heads for which there is a tensor."""
    said = {tuple(name.split(".", 2)[:2]) for name in names}
    possible = [(scale, bands) for scale in HEAD_SCALES for bands in sorted(HEAD_BANDS)]
    return tuple((scale, bands) for scale, bands in possible if (str(scale), str(bands)) in said)


def check_fits(prior: PriorFile, settings: Settings) -> None:
    """Raise UsageError if the settings' network cannot start from a prior."""
    if settings.network != Network.DIRECT:
        raise UsageError(
            f"--prior: it holds {Network.DIRECT} networks of width {prior.body.width} and depth {prior.body.depth};"
            f" {settings.network} is fitted from scratch only; use --prior none, or --network {Network.DIRECT}"
        )


def weights(file: PriorFile) -> Prior:
    """Return the float32 weights in a prior file."""
    from safetensors.torch import load as load_tensors

    heads: dict[Head, dict[str, Any]] = {}
    clean: dict[int, dict[str, Any]] = {}
    for key, tensor in load_tensors(file.data).items():
        scale, bands, name = key.split(".", 2)
        head = clean.setdefault(int(scale), {}) if bands == _CLEAN else heads.setdefault((int(scale), int(bands)), {})
        head[name] = tensor.float()
    return Prior(file.body, heads, clean)


def to_bytes(prior: Prior) -> bytes:
    """Return the bytes of a prior file; equal weights give equal bytes."""
    import torch
    from safetensors.torch import save

    heads = {f"{scale}.{bands}": weights for (scale, bands), weights in prior.heads.items()}
    heads |= {f"{scale}.{_CLEAN}": weights for scale, weights in prior.clean.items()}
    tensors: dict[str, Tensor] = {
        f"{head}.{name}": tensor.to(torch.float16).contiguous()
        for head, weights in heads.items()
        for name, tensor in weights.items()
    }
    bodies = {"body": _described(prior.body)}
    if prior.clean:
        bodies[_CLEAN] = _described(body_of(next(iter(prior.clean.values()))))
    return save(tensors, {_METADATA: json.dumps(bodies)})


def _described(body: Body) -> dict[str, object]:
    described = asdict(body)
    if body.kind is BodyKind.ADDITIVE:  # earlier versions can read such a file, too
        del described["kind"]
    return described
