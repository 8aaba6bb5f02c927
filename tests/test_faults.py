"""`make test-faults`: real processes, real Ray, a real S3 server, and real faults in the middle of the work.

After each, as `Collection.check` asserts: every row has exactly one record, every PNG opens, the pixels are those of an
undisturbed run, and what was committed before the fault was not done again. docs/reliability.md says what is promised.
"""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from jobs.sample_pictures import photograph, printed_page, satellite_view
from pipeline import storage
from pipeline.codec import to_json
from pipeline.config import Device, RunConfig
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.output import records
from pipeline.output.layout import list_commits, run_json
from pipeline.output.record import Record
from sr_ops.settings import FitSettings, Settings

from .flaky_store import Fault, flaky_store

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

NAMES = [f"{index}.png" for index in range(10)]
OPTIONS = ["-s", "2", "--prior", "none", "--steps", "25", "--width", "16", "--depth", "4", "--retries", "6"]
SETTINGS = Settings(scale=2, width=16, depth=4, fit=FitSettings(steps=25))
"""The same as RunConfig has it."""


class Collection:
    """Ten pictures, their manifest, and what an undisturbed run makes of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for index, name in enumerate(NAMES):
            draw = (satellite_view, photograph, printed_page)[index % 3]
            Image.fromarray(draw(128)[index : index + 72, index : index + 80]).save(folder / name)
        self.manifest = folder / "m.csv"
        self.manifest.write_text("uri\n" + "".join(f"{name}\n" for name in NAMES))
        self.truth: dict[str, bytes] = {}

    def command(self, output: str, *options: str) -> list[str]:
        return [sys.executable, "-m", "jobs.cli", "run", str(self.manifest), "-o", output, *OPTIONS, *options]

    def check(self, output: str, expected: dict[str, str] | None = None, before: dict[str, Any] | None = None) -> None:
        """All that a finished run promises.

        Args:
            expected: status of the rows that are not done.
            before: `commits` at the time of the fault.
        """
        table = records.read_table(storage.join(output, "manifest.parquet")).to_pylist()
        statuses = {row["key"]: row["error_type"] or row["status"] for row in table}
        assert len(table) == len(NAMES)
        assert statuses == {**dict.fromkeys(NAMES, "done"), **(expected or {})}
        done = {name for name, status in statuses.items() if status == "done"}
        assert set(list_commits(output)) == done
        for name in done:
            data = storage.read(storage.join(output, "tiles", name, "r0000_c0000.png"))
            Image.open(io.BytesIO(data)).load()
            assert data == self.truth[name]
        if before is not None:
            assert {uri: source for uri, source in commits(output).items() if uri in before} == before
        assert storage.exists(storage.join(output, "_SUCCESS")) == (len(done) == len(NAMES))
        assert not storage.find(storage.join(output, "_lock"))


def commits(output: str) -> dict[str, Any]:
    """Uri and version of every commit record: one that was written again has another version."""
    return {
        uri: source for uri, source in storage.find(storage.join(output, "_commit")).items() if uri.endswith(".json")
    }


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> Collection:
    made = Collection(tmp_path_factory.mktemp("collection"))
    output = str(made.folder / "truth")
    ended = subprocess.run(made.command(output, "--executor", "inline"), check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    made.truth = {name: (made.folder / "truth/tiles" / name / "r0000_c0000.png").read_bytes() for name in NAMES}
    return made


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "out")


@pytest.fixture
def begin() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command; whatever becomes of the test, its processes end."""
    started: list[subprocess.Popen[str]] = []

    def start(command: list[str], **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    """What the condition gives once it holds, while the process is at work."""
    while not (found := condition()):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return found


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, err = process.communicate(timeout=400)
    assert "Traceback" not in err, err
    return process.returncode, err


def worker_pids(output: str) -> set[int]:
    """The processes that committed something."""
    names = (json.loads(storage.read(uri))["worker"] for uri in commits(output))
    return {int(name.rpartition(":")[2]) for name in names}


def test_a_worker_is_killed(collection: Collection, out: str, begin: Callable[..., Any]) -> None:
    """Ray starts another; the run ends with 0 as if nothing had been."""
    process = begin(collection.command(out, "--workers", "2"))
    pids = wait_for(lambda: worker_pids(out), process)
    before = commits(out)
    os.kill(pids.pop(), signal.SIGKILL)
    assert finish(process)[0] == 0
    collection.check(out, before=before)


POISONED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != {module!r}:
            return None
        sys.meta_path.remove(self)
        import importlib.util
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module

        def exec_module(module):
            load(module)
            opened, poison = getattr(module, {function!r}), open({poison!r}, "rb").read()

            def deadly(path, *rest):
                if open(path, "rb").read() == poison:
                    os.kill(os.getpid(), signal.SIGKILL)
                return opened(path, *rest)

            setattr(module, {function!r}, deadly)

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""
"""A sitecustomize.py: one image kills a process that calls a function to open it."""

POISONS = {
    "worker": ("pipeline.work.fetching", "open_image", "2 worker processes died at work on it"),
    "decoder": ("pipeline.imagery.reading.routing", "open_file", "the decoder died of signal 9 at work on"),
}


@pytest.mark.parametrize("victim", POISONS)
def test_a_poison_image(
    victim: str, collection: Collection, out: str, tmp_path: Path, begin: Callable[..., Any]
) -> None:
    """What kills its process twice is recorded as crashed, and its neighbours are done."""
    poison = collection.folder / NAMES[4]
    site = tmp_path / "site"
    site.mkdir()
    module, function, sentence = POISONS[victim]
    (site / "sitecustomize.py").write_text(POISONED.format(module=module, function=function, poison=str(poison)))
    path = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH", str(Path.cwd())))))
    code, err = finish(begin(collection.command(out, "--workers", "1"), PYTHONPATH=path))
    assert code == 3, err
    assert sentence in err
    collection.check(out, {NAMES[4]: "crashed"})


CLUSTER = """
import json, sys
from pipeline.driver import dataflow  # sets Ray's environment before Ray is imported
from pipeline.config import Device, RunConfig, parse_config
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.driver.ray_start import provide_token
from ray.cluster_utils import Cluster

config = parse_config(json.loads(sys.argv[1]))
provide_token()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
nodes = [cluster.add_node(num_cpus=1, object_store_memory=100 << 20) for _ in range(2)]

class Breaking(Observer):
    seen = 0
    def planned(self, plan, manifest): ...
    def finished(self, record):
        self.seen += 1
        if self.seen == 2:
            cluster.remove_node(nodes[0], allow_graceful=False)

from dataclasses import replace
summary = run(replace(config, address=cluster.address), Breaking())
print(summary.done)
cluster.shutdown()
"""


NARROW_CLUSTER = """
import json, sys
from dataclasses import replace
from pipeline.driver import dataflow  # sets Ray's environment before Ray is imported
from pipeline.config import parse_config
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.driver.ray_start import provide_token
from ray.cluster_utils import Cluster

class Nobody(Observer):
    pass

config = parse_config(json.loads(sys.argv[1]))
provide_token()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "object_store_memory": 100 << 20})
for processors, memory in ((3, 2.5e9), (1, 9.5e9), (2, 0.5e9)):
    cluster.add_node(num_cpus=processors, memory=int(memory), object_store_memory=100 << 20)
print(run(replace(config, workers=None, address=cluster.address), Nobody()).done)
cluster.shutdown()
"""


def config_of(collection: Collection, out: str) -> RunConfig:
    return RunConfig(
        manifest=str(collection.manifest), output=out, settings=SETTINGS, device=Device.CPU, workers=2, retries=6
    )


def test_no_more_workers_on_a_node_than_its_memory_holds(
    collection: Collection, out: str, begin: Callable[..., Any]
) -> None:
    """Of a joined cluster: one has processors for three and memory for two, one a processor, one no memory."""
    process = begin([sys.executable, "-c", NARROW_CLUSTER, to_json(config_of(collection, out)).decode()])
    out_text, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out_text.split()[-1] == str(len(NAMES))
    assert json.loads(storage.read(run_json(out)))["workers"] == {
        "count": 3,
        "why": "processors for 6, memory for 11 of 1.0 GB each, on 3 nodes",
    }


def test_a_node_is_lost(collection: Collection, out: str, begin: Callable[..., Any]) -> None:
    """Its images are done on the other one, and no image is blamed for it."""
    process = begin(
        [sys.executable, "-c", CLUSTER, to_json(config_of(collection, out)).decode()],
        RAY_health_check_period_ms="1000",
        RAY_health_check_timeout_ms="1000",
        RAY_health_check_failure_threshold="3",
    )
    out_text, err = process.communicate(timeout=500)
    assert process.returncode == 0, err
    assert out_text.split()[-1] == str(len(NAMES))
    collection.check(out)
    hosts = [row["attempt"] for row in records.read_table(f"{out}/manifest.parquet").to_pylist()]
    assert set(hosts) == {1}


@pytest.mark.parametrize("executor", ["ray", "inline"])
@pytest.mark.parametrize(
    ("sign", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["KILL", "TERM", "INT"]
)
def test_the_driver_is_stopped(
    collection: Collection, out: str, begin: Callable[..., Any], sign: signal.Signals, code: int, executor: str
) -> None:
    """However it ends, the same command goes on at once, and does again at most what was in flight."""
    process = begin(collection.command(out, "--executor", executor))
    wait_for(lambda: len(commits(out)) >= 3, process)
    process.send_signal(sign)
    ended, err = finish(process)
    assert ended == code, err
    before = commits(out)
    assert 3 <= len(before) < len(NAMES)
    if sign is not signal.SIGKILL:
        assert "run the same command to resume" in err
    code, err = finish(begin(collection.command(out, "--executor", "inline")))
    assert code == 0, err
    collection.check(out, before=before)


@pytest.fixture
def s3_out(s3_bucket: str) -> tuple[str, str]:
    """An output on S3, and the server's endpoint."""
    return f"{s3_bucket}/out", os.environ["AWS_ENDPOINT_URL_S3"]


Plan = Callable[[int, str, str], Fault | None]


def halved_twice() -> Plan:
    """The first two uploads of every tile."""
    seen: Counter[str] = Counter()

    def plan(_number: int, method: str, path: str) -> Fault | None:
        if method != "PUT" or "/tiles/" not in path:
            return None
        seen[path] += 1
        return "half" if seen[path] <= 2 else None

    return plan


PLANS: dict[str, Callable[[], Plan]] = {
    "every third request is told to slow down": lambda: lambda number, *_: "503" if number % 3 == 1 else None,
    "every fifth answer is lost": lambda: lambda number, *_: "cut" if number % 5 == 2 else None,
    "every ninth request is never answered": lambda: lambda number, *_: "hang" if number % 9 == 4 else None,
    "uploads of tiles break off at half": halved_twice,
}


@pytest.mark.parametrize("plan", PLANS)
def test_a_store_with_bad_days(
    collection: Collection, s3_out: tuple[str, str], begin: Callable[..., Any], plan: str
) -> None:
    """Requests are repeated until they are done; nothing half is ever seen."""
    output, endpoint = s3_out
    with flaky_store(endpoint, PLANS[plan]()) as store:
        impatient = 'config_kwargs={"read_timeout": 2}'  # a minute is the default
        options = ("--executor", "inline", "--output-s3-endpoint-url", store.url, "--output-storage-option", impatient)
        code, err = finish(begin(collection.command(output, *options)))
        assert len(store.faults) >= len(NAMES) // 2
    assert code == 0, err
    collection.check(output)


def test_a_store_that_goes_away_and_comes_back(
    collection: Collection, s3_out: tuple[str, str], begin: Callable[..., Any]
) -> None:
    """While nobody answers the run waits, and goes on when the server is there again."""
    output, endpoint = s3_out
    down = threading.Event()

    def plan(_n: int, method: str, path: str) -> Fault | None:
        if not down.is_set() and method == "PUT" and "_commit" in path:
            down.set()
            return "cut"
        return None

    with flaky_store(endpoint, plan) as store:
        process = begin(collection.command(output, "--executor", "inline", "--output-s3-endpoint-url", store.url))
        wait_for(down.is_set, process)
        store.stop()
        time.sleep(4)  # the outage itself
        assert process.poll() is None
        store.start()
        code, err = finish(process)
    assert code == 0, err
    collection.check(output)


def test_the_disk_is_full(collection: Collection, tmp_path: Path, begin: Callable[..., Any]) -> None:
    """What could not be stored fails with the reason; with more room the same command does just that."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        output = str(disk / "out")
        code, err = finish(begin(collection.command(output, "--executor", "inline")))
        assert code in (1, 3), err
        assert "No space left on device" in err
        before = commits(output)
        assert 0 < len(before) < len(NAMES)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        code, err = finish(begin(collection.command(output, "--executor", "inline")))
        assert code == 0, err
        collection.check(output, before=before)
    finally:
        subprocess.run(["umount", disk], check=True)


def test_inputs_break_and_vanish(collection: Collection, tmp_path: Path) -> None:
    """Those are records; the others are done. What is mended and put back is done by the same run again."""
    folder = tmp_path / "in"
    shutil.copytree(collection.folder, folder, ignore=shutil.ignore_patterns("truth"))
    (folder / NAMES[2]).write_bytes((folder / NAMES[2]).read_bytes()[:200])

    class Vandal(Observer):
        def planned(self, *_: object) -> None:
            (folder / NAMES[5]).unlink()

        def finished(self, _record: Record) -> None: ...

    output = str(tmp_path / "out")
    config = replace(config_of(collection, output), manifest=str(folder / "m.csv"))
    summary = run(config, Vandal())
    assert summary.errors == {"corrupt": 1, "missing": 1}
    collection.check(output, {NAMES[2]: "corrupt", NAMES[5]: "missing"})
    before = commits(output)
    for name in (NAMES[2], NAMES[5]):
        shutil.copy(collection.folder / name, folder / name)

    class Nobody(Vandal):
        def planned(self, *_: object) -> None: ...

    assert run(config, Nobody()).done == 2
    collection.check(output, before=before)


@pytest.mark.parametrize("place", ["local", "s3"])
def test_two_drivers_on_one_output(
    collection: Collection, request: pytest.FixtureRequest, tmp_path: Path, begin: Callable[..., Any], place: str
) -> None:
    """Started together, one does all the work and the other is refused with exit 2 and changes nothing."""
    output = str(tmp_path / "out") if place == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    both = [begin(collection.command(output, "--executor", "inline")) for _ in range(2)]
    ended = sorted(finish(process) for process in both)
    assert [code for code, _ in ended] == [0, 2], ended
    assert "is at work on" in ended[1][1] or "just begun" in ended[1][1]
    collection.check(output)


def test_a_killed_run_elsewhere_is_waited_for(collection: Collection, out: str, begin: Callable[..., Any]) -> None:
    """The lock of a machine that fell silent holds for its minute and not longer."""
    process = begin(collection.command(out, "--executor", "inline"))
    wait_for(lambda: commits(out), process)
    process.kill()
    process.communicate()
    (lock,) = Path(out).glob("_lock/*.json")
    lease = json.loads(lock.read_text())
    lock.write_text(json.dumps({**lease, "host": "elsewhere", "machine": "another"}))
    code, err = finish(begin(collection.command(out, "--executor", "inline")))
    assert code == 2
    assert "elsewhere" in err
    lock.write_text(
        json.dumps({**lease, "host": "elsewhere", "machine": "another", "expires_at": "2020-01-01T00:00:00+00:00"})
    )
    assert finish(begin(collection.command(out, "--executor", "inline")))[0] == 0
    collection.check(out)
