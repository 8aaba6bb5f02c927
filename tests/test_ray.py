"""The worker pool gives what this process gives, in silence. Each start of Ray takes ten seconds: there are few."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import s3fs

from pipeline import storage
from pipeline.config import Executor
from pipeline.driver.run import run
from pipeline.storage_options import S3Options, StorageOptions

from .fixture_types import MakeConfig, MakePng, MakePrior, ReadRecords, ReadTiles

pytestmark = [pytest.mark.timeout(170), pytest.mark.ray]


@pytest.fixture
def mixture(tmp_path: Path, images: dict[str, np.ndarray], make_png: MakePng) -> None:
    """Six rows: four pictures at two scales, one of them by a camera with noise, a broken file and a missing one."""
    make_png(tmp_path / "d.png", seed=4, height=30, width=30)
    (tmp_path / "broken.png").write_bytes(b"?")
    names = [*images, "broken.png", "none.png"]
    rows = [*(f"{name},,," for name in names), "d.png,3,gaussian:1.2,5"]
    (tmp_path / "m.csv").write_text("\n".join(["uri,scale,kernel,noise", *rows, ""]))


@pytest.mark.usefixtures("mixture")
def test_ray_equals_inline(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    read_records: ReadRecords,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    make_prior: MakePrior,
    both_work: Callable[[type], None],
) -> None:
    """All is as with one process, and Ray prints nothing."""
    both_work(list)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr("pipeline.driver.plan._UNIT_ROWS", 2)
    output = f"{tmp_path}/ray"
    (tmp_path / "p").write_bytes(make_prior())
    prior = str(tmp_path / "p")
    expected = run(tiny_config(prior_name=prior), observer)
    capfd.readouterr()
    handler = signal.getsignal(signal.SIGTERM)
    summary = run(tiny_config(prior_name=prior, executor=Executor.RAY, workers=2, output=output), observer)
    assert capfd.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGTERM) is handler
    assert (summary.done, summary.errors) == (expected.done, expected.errors) == (4, {"corrupt": 1, "missing": 1})
    assert read_tiles(output) == read_tiles(str(tmp_path / "out"))
    here, there = read_records(str(tmp_path / "out")), read_records(output)
    assert set(here) == set(there)
    for key, row in here.items():
        same = set(row) - {"output_uri", "worker", "workers", "workers_why", "peak_memory_bytes"}
        same -= {name for name in row if name.endswith(("_s", "_at"))}
        assert {name: row[name] for name in same} == {name: there[key][name] for name in same}
    assert {(row["workers"], row["workers_why"]) for row in there.values()} == {(2, "--workers")}
    assert {(row["workers"], row["workers_why"]) for row in here.values()} == {(1, "--executor inline")}
    assert len({row["worker"] for row in there.values()} - {row["worker"] for row in here.values()}) == 2


def test_workers_reach_the_stores_of_the_options(
    tmp_path: Path,
    images: dict[str, np.ndarray],
    s3_bucket: str,
    other_s3_endpoint: str,
    tiny_config: MakeConfig,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Workers read from one store and write to another by options alone; credentials they find for themselves."""
    for name in images:
        storage.write(f"{s3_bucket}/{name}", (tmp_path / name).read_bytes())
    options = StorageOptions(S3Options(os.environ["AWS_ENDPOINT_URL"]), S3Options(other_s3_endpoint))
    s3fs.S3FileSystem(endpoint_url=other_s3_endpoint).mkdir("ray")
    for name in ("RAY_ADDRESS", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    config = tiny_config(manifest=s3_bucket, output="s3://ray/out", storage=options, executor=Executor.RAY, workers=1)
    assert run(config, observer).done == 3
    assert len(storage.find("s3://ray/out/tiles")) == 13
    assert s3fs.S3FileSystem(endpoint_url=other_s3_endpoint).exists("ray/out/_SUCCESS")


@pytest.mark.usefixtures("images")
def test_nothing_to_do_starts_nothing(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_prior: MakePrior
) -> None:
    """A run whose rows are all done loads neither Ray nor torch, with a prior too."""
    (tmp_path / "p").write_bytes(make_prior())
    run(tiny_config(prior_name=str(tmp_path / "p")), observer)
    program = """if True:
        import pickle, sys
        from pipeline.driver.observer import Observer
        from pipeline.driver.run import run

        class Nobody(Observer):
            pass

        assert run(pickle.load(sys.stdin.buffer), Nobody()).already_done == 3
        print({"ray", "torch", "pipeline.driver.dataflow"} & set(sys.modules))
    """
    given = pickle.dumps(tiny_config(prior_name=str(tmp_path / "p"), executor=Executor.RAY))
    ended = subprocess.run([sys.executable, "-c", program], input=given, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"set()\n", b"")


@pytest.mark.usefixtures("images")
def test_a_worker_that_does_not_start_is_replaced(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node on which a process cannot begin ends nothing."""
    from pipeline.driver import dataflow

    fallen = tmp_path / "fallen"

    class Falling(dataflow._UnitWorker):
        def __init__(self, **arguments: Any) -> None:
            if not fallen.exists():
                fallen.write_text("")
                raise ImportError("a damaged node")
            super().__init__(**arguments)

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(dataflow, "_UnitWorker", Falling)
    assert run(tiny_config(executor=Executor.RAY, workers=1), observer).done == 3
    assert fallen.exists()


def test_an_output_that_workers_do_not_share_ends_the_run(tmp_path: Path, tiny_config: MakeConfig, images: Any) -> None:  # noqa: ARG001
    """As on a node with a disk of its own, where no run.json is. No token is left in the user's home."""
    program = """if True:
        import pickle, sys
        from pathlib import Path
        from pipeline.driver.observer import Observer
        from pipeline.driver.run import run
        from pipeline.errors import UsageError

        config = pickle.load(sys.stdin.buffer)

        class Elsewhere(Observer):
            def working(self, heartbeat):
                Path(config.output, "run.json").unlink()

        try:
            run(config, Elsewhere())
        except UsageError as error:
            print(error)
    """
    home = tmp_path / "home"
    given = pickle.dumps(tiny_config(executor=Executor.RAY, workers=2))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=given, capture_output=True, check=False, env=environment)
    said = ended.stdout.decode()
    assert said.startswith(f"the output {tmp_path}/out on node "), ended.stderr.decode()
    assert "give one that all nodes share" in said
    assert not (tmp_path / "out" / "_SUCCESS").exists()
    assert not (tmp_path / "out" / "tiles").exists()
    assert not home.exists()


def test_metrics_and_signs_of_life(tmp_path: Path, tiny_config: MakeConfig, images: Any) -> None:  # noqa: ARG001
    """A run with Ray shows its figures at the exporter of its node, and both its workers as alive."""
    program = """if True:
        import pickle, sys, time, urllib.request
        from pipeline.driver import beating, figures, plan
        from pipeline.driver.observer import Observer
        from pipeline.driver.run import run

        plan._UNIT_ROWS, beating._LOCAL_SECONDS = 1, 0.3

        class Looking(Observer):
            seen = 0

            def working(self, heartbeat):
                self.heartbeat = heartbeat

            def finished(self, record):
                import ray

                self.seen += 1
                (node,) = ray.nodes()
                address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
                ends = time.monotonic() + 60
                while self.seen == 3 and time.monotonic() < ends:
                    text = urllib.request.urlopen(address, timeout=10).read().decode()
                    lines = [line for line in text.splitlines() if line.startswith("ray_srpipe_")]
                    values = {line.partition("{")[0]: float(line.rpartition(" ")[2]) for line in lines}
                    alive = self.heartbeat().workers.alive
                    if values.get("ray_srpipe_images_done_total") == 2 and alive == 2:
                        break
                    time.sleep(0.2)
                if self.seen == 3:
                    expected = {f"ray_{name}" for name in (*figures.GAUGES, *figures.COUNTERS)}
                    print(expected - set(values), values["ray_srpipe_images_done_total"], alive)
                    print([line for line in lines if "failed" in line and 'error_type="missing"' in line] != [])

        run(pickle.load(sys.stdin.buffer), Looking())
    """
    (tmp_path / "m.csv").write_text("uri\na.png\nb.png\ngone.png\n")
    given = pickle.dumps(tiny_config(executor=Executor.RAY, workers=2))
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {"RAY_metrics_report_interval_ms": "300", "PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program]
    ended = subprocess.run(command, input=given, capture_output=True, check=False, env=environment)
    assert ended.stdout.decode() == "set() 2.0 2\nTrue\n", ended.stderr.decode()
