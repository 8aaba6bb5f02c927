"""What a killed process leaves is swept, and nothing else: by names that tell whose they are."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import storage
from pipeline.driver.run import run
from pipeline.output.leftovers import sweep_output, sweep_temporary
from pipeline.storage import processes

from .fixture_types import MakeConfig

HOLDING = """if True:
    import sys, tempfile
    from pipeline.storage import local_disk, processes
    from unittest import mock

    def wait(*_):
        print("holding", flush=True)
        sys.stdin.read()

    tempfile.mkstemp(prefix=processes.temporary_prefix())
    with mock.patch("os.replace", wait):
        local_disk.write(sys.argv[1] + "/tiles/x/r0000_c0000.png", b"half")
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary folder of this process and of those that it starts."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture
def holder(tmp_path: Path, temporary: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process in the middle of a write to tmp_path/out, which holds a temporary file, too."""
    assert temporary.is_dir()
    command = [sys.executable, "-c", HOLDING, str(tmp_path / "out")]
    root = str(Path(__file__).parent.parent)
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": root}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"holding\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith((".tmp-", ".probe-", "srpipe-")))


def test_what_a_living_process_owns_stays_until_it_is_killed(
    tmp_path: Path, temporary: Path, holder: "subprocess.Popen[bytes]"
) -> None:
    """Its half-written file in the output and its copy in the temporary folder; then both go."""
    out = tmp_path / "out"
    mine = tempfile.mkdtemp(prefix=processes.temporary_prefix())
    (Path(mine) / "inside").touch()
    for left in ([1, 2], [0, 1]):
        sweep_output(str(out))
        sweep_temporary()
        assert [len(names(out)), len(names(temporary))] == left
        os.kill(holder.pid, signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)  # dead, and not yet buried
    assert Path(mine, "inside").exists()


@pytest.mark.usefixtures("images")
def test_the_next_run_sweeps(
    tmp_path: Path,
    temporary: Path,
    holder: "subprocess.Popen[bytes]",
    tiny_config: MakeConfig,
    observer: Any,
) -> None:
    """What was left by a killed one, in whatever folder of the output, of this version or an earlier one."""
    holder.kill()
    holder.wait()
    out = tmp_path / "out"
    earlier = [out / "_commit/abc/.tmp-0123456789abcdef", out / ".probe-01234567"]
    for path in earlier:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert [len(names(out)), len(names(temporary))] == [3, 1]
    assert run(tiny_config(), observer).done == 3
    assert names(out) == names(temporary) == []


def test_what_is_not_ours_or_may_be_anothers_stays(tmp_path: Path, temporary: Path) -> None:
    """A person's files; those of other machines, in the temporary folder until they are forgotten; other outputs."""
    out = tmp_path / "out"
    elsewhere = "01234567-1-1-"
    kept = [out / ".tmp-notes", out / "sub/.tmp-x", out / f"nested/tiles/.tmp-{elsewhere}{'0' * 16}"]
    kept += [temporary / "srpipe-demo", temporary / "srpipe-pictures", temporary / f"srpipe-{elsewhere}x"]
    swept = [out / f"tiles/a/.tmp-{elsewhere}{'0' * 16}", temporary / f"srpipe-{elsewhere}y"]
    for path in [*kept, *swept, out / "nested/run.json"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for path in (*kept[3:5], swept[1]):
        os.utime(path, (time.time() - 10**6,) * 2)
    sweep_output(str(out))
    sweep_temporary()
    assert all(path.exists() for path in kept)
    assert not any(path.exists() for path in swept)


def test_nothing_is_swept_on_s3(s3_bucket: str) -> None:
    """Objects are whole or not there."""
    storage.write(f"{s3_bucket}/out/.tmp-0123456789abcdef", b"")
    sweep_output(f"{s3_bucket}/out")
    assert storage.exists(f"{s3_bucket}/out/.tmp-0123456789abcdef")


def test_a_process_whose_number_is_anothers_by_now_is_gone() -> None:
    """Number and start together tell a process; of another machine nothing is known."""
    machine, number, began = processes.tag().split("-")
    assert processes.is_owner_gone(f"x-{processes.tag()}-y") is False
    assert processes.is_owner_gone(f"x-{machine}-{number}-{int(began) - 1}") is True
    assert processes.is_owner_gone(f"x-{'0' * 8}-{number}-{began}") is None
    assert processes.is_owner_gone("x") is None
