"""A process takes part in a run only if its GPU works and it sees the run's output."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline import storage
from pipeline.codec import to_json
from pipeline.config import Device
from pipeline.errors import UsageError
from pipeline.output import layout
from pipeline.output.run_file import write_run_file
from pipeline.work.assignment import Assignment
from pipeline.work.joining import check_shared_output, usable_device
from pipeline.work.recording import Recorder
from pipeline.work.units import Row

from .fixture_types import MakeConfig, MakeRow
from .run_files import run_file


@pytest.mark.parametrize("told", [None, to_json(run_file("another")), b"{}", b"[]", b"{"])
def test_another_output_is_refused(told: bytes | None, tmp_path: Path, out: Path, tiny_config: MakeConfig) -> None:
    """On a disk of the node's own there is nothing, or what an earlier run left; the sentence names node and remedy."""
    if told is not None:
        storage.write(layout.run_json(str(out)), told)
    with pytest.raises(UsageError, match="that all nodes share") as refused:
        check_shared_output(Assignment(tiny_config(), run_id="this"))
    assert f"{tmp_path}/out on node {socket.gethostname()} " in str(refused.value)


def test_the_output_of_the_run_is_taken(out: Path, tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if it cannot be read: that is told by the images to be written there."""
    write_run_file(str(out), run_file("this"))
    check_shared_output(Assignment(tiny_config(), run_id="this"))

    def denied(_uri: str) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(storage, "read", denied)
    check_shared_output(Assignment(tiny_config(), run_id="this"))


BROKEN = [
    torch.AcceleratorError("CUDA error: device-side assert triggered\nCUDA kernel errors", 710),
    RuntimeError("Found no NVIDIA driver on your system.\nPlease check"),
    AssertionError("Torch not compiled with CUDA enabled"),
]


@pytest.mark.parametrize("error", BROKEN, ids=lambda error: type(error).__name__)
def test_a_gpu_that_does_not_work(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU takes its place, unless only a GPU is wanted: then one sentence names the node and what CUDA says."""

    def broken(*_: Any, **options: Any) -> None:
        assert options["device"] == "cuda"
        raise error

    monkeypatch.setattr(torch, "zeros", broken)
    assert usable_device("cpu", Device.AUTO) == "cpu"
    assert usable_device("cuda", Device.AUTO) == "cpu"
    with pytest.raises(UsageError) as refused:
        usable_device("cuda", Device.CUDA)
    said = str(refused.value)
    assert f"node {socket.gethostname()} cannot be used: {str(error).splitlines()[0].rstrip('.')};" in said
    assert "\n" not in said


def test_a_gpu_that_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is taken, by "auto" and by "cuda"."""
    monkeypatch.setattr(torch, "zeros", lambda *_, **_options: None)
    assert {usable_device("cuda", wanted) for wanted in (Device.AUTO, Device.CUDA)} == {"cuda"}


def test_a_gpu_that_fails_later_takes_no_record_along(
    tiny_config: MakeConfig, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its name is asked for once; a record begins without a word to it."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "H100")
    recorder = Recorder(tiny_config(), torch.device("cuda"))

    def broken(_device: Any) -> str:
        raise BROKEN[0]

    monkeypatch.setattr(torch.cuda, "get_device_name", broken)
    image: Row = row("a.png")
    from pipeline.output.clock import now

    assert recorder.begun(image, now()).device == "H100"
