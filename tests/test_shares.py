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


@pytest.mark.parametrize("works", [True, False])
def test_a_gpu_of_this_machine_must_work(works: bool, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray counts the cards; torch may lack CUDA, or the driver be too old for it."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: works)
    share, workers = share_of(tiny_config(device=Device.AUTO, workers=2), 1e9, NODES)
    assert (share, workers.count) == (ON_GPU if works else ON_CPU, 2)
    if not works:
        with pytest.raises(UsageError, match="there is no GPU now"):
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
