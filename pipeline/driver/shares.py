"""What each worker takes of a Ray cluster, and how many workers there may be. Does not load Ray."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..config import Device, RunConfig
from ..errors import UsageError
from .capacity import Workers, workers_for, workers_here


@dataclass(frozen=True)
class Share:
    """What one worker takes of the cluster."""

    device: str
    cpus: float | None
    gpus: float | None
    memory: float | None
    """Bytes for Ray to reserve; None if it need not."""


def cluster_address(config: RunConfig) -> str | None:
    """Return the address of the cluster to join; None if a local one is to be started."""
    return config.address or os.environ.get("RAY_ADDRESS")


def share_of(config: RunConfig, each: float, nodes: Sequence[Mapping[str, float]]) -> tuple[Share, Workers]:
    """Return what a worker of `each` bytes takes, and how many there may be.

    Uses CUDA if there is a GPU, or if one is requested of a cluster that may still add it.

    Args:
        nodes: the resources of each living node, by Ray's names.

    Raises:
        UsageError: a GPU is requested, and there is none.
    """
    joined = cluster_address(config) is not None
    expected = config.device is Device.CUDA and config.workers is not None and joined
    if expected or (config.device is not Device.CPU and _total("GPU", nodes) and (joined or _cuda_works())):
        share = config.gpus_per_worker or 1.0
        memory, workers = _fitting(config, "GPU", share, each, nodes)
        return Share("cuda", None, share, memory), workers
    if config.device is Device.CUDA:
        raise UsageError(f"--device cuda: {_why_no_gpu(joined, nodes)}")
    if config.gpus_per_worker is not None:
        raise UsageError("--gpus-per-worker: there is no GPU here; leave it out")
    memory, workers = _fitting(config, "CPU", config.threads, each, nodes)
    return Share("cpu", config.threads, None, memory), workers


def _why_no_gpu(joined: bool, nodes: Sequence[Mapping[str, float]]) -> str:
    """Return why none can be used, and what to do."""
    if joined:
        return "the cluster has no GPU now; use --device cpu, or --workers N if the cluster grows"
    if _total("GPU", nodes):
        return "torch cannot use the GPU here; update its driver or torch, or use --device auto or cpu"
    return "there is no GPU here; use --device auto or cpu"


def _cuda_works() -> bool:
    """Return whether torch can use a GPU that Ray sees on this machine: its driver may be too old."""
    import torch

    return torch.cuda.is_available()


def _fitting(
    config: RunConfig, resource: str, share: float, each: float, nodes: Sequence[Mapping[str, float]]
) -> tuple[float | None, Workers]:
    """Return the bytes for Ray to reserve per worker, and how many workers fit.

    On a joined cluster Ray knows each node's memory, at most 70 % of it for workers, and places no more workers on a
    node than fit, also on nodes that join later. For this machine we know what is free now. A requested number is
    always granted.
    """
    if config.workers is not None:
        return None, Workers(config.workers, "--workers")
    what = {"CPU": "processors", "GPU": "GPUs"}[resource]
    if cluster_address(config) is None:
        return None, workers_here(int(_total(resource, nodes) / share), what, each)
    offered = [(int(node.get(resource, 0) / share), node.get("memory")) for node in nodes]
    fits_somewhere = any(places and memory and memory >= each for places, memory in offered)
    return each if fits_somewhere else None, workers_for(offered, what, each)


def _total(resource: str, nodes: Sequence[Mapping[str, float]]) -> float:
    return sum(node.get(resource, 0) for node in nodes)
