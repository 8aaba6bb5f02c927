"""The methods and networks with names, for `srpipe methods`."""

from dataclasses import asdict, dataclass

from sr_ops.registry import METHODS, NETWORKS, method_of, network_class
from sr_ops.settings import BY_NETWORKS, Method, Network


@dataclass(frozen=True)
class _Listed:
    name: str
    line: str
    source: str
    kernel: str
    """How it undoes a kernel other than bicubic."""


_ITSELF, _DATA_STEP, _NONE = "itself", "data step", "bicubic alone"

_OF_OTHERS = _Listed(
    Method.MODEL,
    "A third party's trained model, as ONNX or for spandrel, given by --weights.",
    "whoever trained it",
    _DATA_STEP,
)

_LINES = {
    Method.AUTO: "The prior, or a network fitted to the image where that pays; bicubic where they clearly lose on the"
    " image made small again.",
    Method.PRIOR: "The prior's network as it is; nothing is fitted.",
    Method.ZSSR: "A network fitted to the image itself; --network selects it.",
}


def as_objects() -> dict[str, list[dict[str, str]]]:
    """Return the list for programs."""
    return {kind: [asdict(one) for one in listed] for kind, listed in _listed().items()}


def as_text() -> str:
    """Return a line for each, followed by its source."""
    blocks = []
    for kind, listed in _listed().items():
        width = max(len(one.name) for one in listed) + 2
        lines = [f"{one.name:<{width}}{one.line}\n{'':<{width}}{one.source}; kernels: {one.kernel}" for one in listed]
        blocks.append("\n".join([f"--{kind}", *lines]))
    return "\n\n".join(blocks)


def _listed() -> dict[str, list[_Listed]]:
    shocher = "Shocher et al. 2018"
    by_networks = [_Listed(name, _LINES[Method(name)], shocher, _ITSELF) for name in BY_NETWORKS]
    others = [
        _Listed(name, one.line, one.source, _ITSELF if one.knows_camera else _DATA_STEP)
        for name, one in ((name, method_of(name)) for name in METHODS)
    ]
    direct = _Listed(Network.DIRECT, "The prior's: sees the image and what a data step makes of it.", shocher, _ITSELF)
    fitted = [_Listed(name, one.line, one.source, _NONE) for name, one in ((n, network_class(n)) for n in NETWORKS)]
    return {"method": [*by_networks, _OF_OTHERS, *others], "network": [direct, *fitted]}
