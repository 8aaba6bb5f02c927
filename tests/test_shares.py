"""What a worker takes of a cluster: a GPU where one can be used, else processors."""

from typing import Any

import pytest
import torch

from pipeline.config import Device
from pipeline.driver.shares import Share, share_of
from pipeline.errors import UsageError

from .fixture_types import MakeConfig

ON_GPU, ON_CPU = Share("cuda", None, 1.0, None), Share("cpu", 1, None, None)

NODES = [{"CPU": 4.0, "GPU": 1.0}]


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


@pytest.mark.parametrize(
    ("options", "nodes", "each", "expected", "number"),
    [
        ({"gpus_per_worker": 0.5}, [{"GPU": 2.0, "memory": 40e9}], 1e9, Share("cuda", None, 0.5, 1e9), 4),
        ({"gpus_per_worker": 0.25}, [{"GPU": 1.0, "memory": 2.5e9}], 1e9, Share("cuda", None, 0.25, 1e9), 2),
        ({}, [{"CPU": 8.0, "memory": 5e9}], 2e9, Share("cpu", 1, None, 2e9), 2),
        (
            {"threads": 4},
            [{"CPU": 8.0, "memory": 50e9}, {"CPU": 6.0, "memory": 50e9}],
            2e9,
            Share("cpu", 4, None, 2e9),
            3,
        ),
        ({}, [{"CPU": 8.0, "memory": 1e9}], 2e9, Share("cpu", 1, None, None), 1),
    ],
)
def test_a_cluster_has_as_many_workers_as_fit(
    options: dict[str, Any], nodes: Any, each: float, expected: Share, number: int, tiny_config: MakeConfig
) -> None:
    """By GPUs or processors, and by the memory of each node; Ray reserves what it could place somewhere."""
    config = tiny_config(address="head:6379", device=Device.AUTO, **options)
    share, workers = share_of(config, each, nodes)
    assert (share, workers.count) == (expected, number)


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        (None, "there is no GPU here; use --device auto or cpu"),
        ("head:6379", "the cluster has no GPU now; use --device"),
    ],
)
def test_no_gpu_is_told_with_what_helps(address: str | None, sentence: str, tiny_config: MakeConfig) -> None:
    """More workers help on a cluster that grows, and nowhere else."""
    with pytest.raises(UsageError, match=f"--device cuda: {sentence}"):
        share_of(tiny_config(device=Device.CUDA, address=address), 1e9, [{"CPU": 4.0}])


def test_a_share_of_no_gpu_is_refused(tiny_config: MakeConfig) -> None:
    """It says what to leave out."""
    with pytest.raises(UsageError, match="--gpus-per-worker: there is no GPU here; leave it out"):
        share_of(tiny_config(gpus_per_worker=0.5, device=Device.AUTO), 1e9, [{"CPU": 4.0}])


@pytest.mark.parametrize("works", [True, False])
def test_a_gpu_of_this_machine_must_work(works: bool, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray counts the cards; torch may lack CUDA, or the driver be too old for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: works)
    share, workers = share_of(tiny_config(device=Device.AUTO, workers=2), 1e9, NODES)
    assert (share, workers.count) == (ON_GPU if works else ON_CPU, 2)
    if not works:
        with pytest.raises(UsageError, match="torch cannot use the GPU here; update its driver or torch"):
            share_of(tiny_config(device=Device.CUDA), 1e9, NODES)


@pytest.mark.parametrize(
    ("device", "nodes", "expected"),
    [
        (Device.AUTO, NODES, ON_GPU),
        (Device.AUTO, [{"CPU": 4.0}], ON_CPU),
        (Device.CPU, NODES, ON_CPU),
        (Device.CUDA, [], ON_GPU),
    ],
)
def test_the_gpus_of_a_cluster_are_not_judged_by_this_machine(
    device: Device, nodes: Any, expected: Share, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They count as Ray tells of them, and may still be to come if the number of workers is given."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: pytest.fail("asked"))
    share, _ = share_of(tiny_config(device=device, workers=2, address="head:6379"), 1e9, nodes)
    assert share == expected
