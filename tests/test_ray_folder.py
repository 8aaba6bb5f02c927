"""Ray's sockets have a place, however long the path of the temporary folder is."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.driver.ray_folder import ray_folder
from pipeline.errors import UsageError
from pipeline.storage import processes

from .fixture_types import MakePng


def test_a_short_temporary_folder_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it would choose itself; what Ray's own variable says goes before TMPDIR."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    for folder in ("/tmp", "/scratch/jobs/12345678"):
        monkeypatch.setenv("TMPDIR", folder)
        with ray_folder() as chosen:
            assert chosen is None
    monkeypatch.setenv("TMPDIR", "/" + 50 * "x")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    with ray_folder() as chosen:
        assert chosen is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Ray looks at TMPDIR on Linux alone")
def test_where_no_folder_is_short_the_command_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the folder and a remedy that works; one that another user made under our name is not taken."""
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/" + 50 * "x")
    for places in ((str(tmp_path / ("x" * 40)),), ("/no/such/place",)):
        monkeypatch.setattr("pipeline.driver.ray_folder._SHORT", places)
        with (
            pytest.raises(UsageError, match=r"/x{50} is too long .*; set TMPDIR to one of at most 39 bytes"),
            ray_folder(),
        ):
            pass
    monkeypatch.setenv("TMPDIR", "/" + 38 * "x")
    with ray_folder() as chosen:
        assert chosen is None
    monkeypatch.setenv("TMPDIR", "/" + 39 * "x")
    with pytest.raises(UsageError), ray_folder():
        pass


@pytest.mark.timeout(170)
@pytest.mark.ray
def test_a_run_with_a_long_temporary_folder(tmp_path: Path, make_png: MakePng) -> None:
    """A job scheduler's, say: Ray works, the images are done, and nothing of ours stays in the short one."""
    make_png(tmp_path / "a.png")
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="x" * 48) as folder:
        environment = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_TMPDIR")}
        environment |= {"TMPDIR": folder, "PYTHONPATH": str(Path(__file__).parent.parent)}
        command = [sys.executable, "-m", "jobs.cli", "run", "a.png", "-o", "out", "-s", "2", "--method", "bicubic"]
        with subprocess.Popen(
            [*command, "--workers", "1"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE
        ) as process:
            _, err = process.communicate()
        assert process.returncode == 0, err
        mark = f"-{process.pid}-"
        assert not [name for name in os.listdir("/tmp") if name.startswith(processes.TEMPORARY) and mark in name]
    assert pq.read_table(tmp_path / "out/manifest.parquet")["status"].to_pylist() == ["done"]
