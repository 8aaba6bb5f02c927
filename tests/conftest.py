"""What many tests need: small pictures, a run that takes milliseconds, and S3 on this machine."""

from . import clean_environment  # noqa: F401

# isort: split
import errno
import logging
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from PIL import Image

from jobs.cli import main
from pipeline import storage
from pipeline.config import Device, Executor, RunConfig
from pipeline.driver.observer import Observer
from pipeline.driver.plan import Plan
from pipeline.manifest.manifest import Manifest
from pipeline.output import records
from pipeline.output.heartbeat import Heartbeat
from pipeline.output.record import Record
from pipeline.priors.prior_file import parse_prior
from pipeline.storage_options import StorageOptions
from pipeline.work.assignment import Assignment
from pipeline.work.enlarging import Enlargement
from pipeline.work.units import Answer, Row
from pipeline.work.worker import Worker
from sr_ops.settings import NO_PRIOR, FitSettings, Method, Network, Settings

from .fixture_types import MakeRow, MakeWorker, Refusal, Srpipe
from .results import files_below

settings.register_profile("srpipe", deadline=None, derandomize=True)  # a busy machine is no bug, and each run the same
settings.register_profile("anew", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "srpipe"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start Ray come first: the longest, which would else be left to one process at the end."""
    longest = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in longest)


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Sums in another order are other pixels: every test computes with one thread."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _storage_as_the_environment_says() -> Iterator[None]:
    """The storage options of a test end with it."""
    yield
    storage.use(StorageOptions(), None)


@pytest.fixture
def pixels() -> Callable[..., np.ndarray]:
    """Noise as (height, width) or (height, width, bands) uint8; a seed gives the same picture always."""

    def draw(height: int = 20, width: int = 24, bands: int = 3, seed: int = 0) -> np.ndarray:
        shape = (height, width) if bands == 1 else (height, width, bands)
        return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)

    return draw


@pytest.fixture
def make_png(pixels: Callable[..., np.ndarray]) -> Callable[..., np.ndarray]:
    """Write `pixels(**shape)` to a path as a PNG and give the pixels."""

    def make(path: Path, **shape: int) -> np.ndarray:
        drawn = pixels(**shape)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(drawn).save(path, "PNG")
        return drawn

    return make


@pytest.fixture
def closed_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder two levels below tmp_path that nobody may list, whoever runs the tests."""
    folder = tmp_path / "open/closed"
    folder.mkdir(parents=True)
    scandir = os.scandir

    def refusing(path: str) -> object:
        if path == str(folder):
            raise PermissionError(errno.EACCES, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    return folder


@pytest.fixture
def images(tmp_path: Path, make_png: Callable[..., np.ndarray]) -> dict[str, np.ndarray]:
    """a.png, b.png and sub/c.png below tmp_path, in colour and gray, and the manifest of the three, m.csv."""
    drawn = {
        "a.png": make_png(tmp_path / "a.png", seed=1),
        "b.png": make_png(tmp_path / "b.png", seed=2, height=33, width=17, bands=1),
        "sub/c.png": make_png(tmp_path / "sub/c.png", seed=3, height=9, width=12),
    }
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"{name}\n" for name in drawn))
    return drawn


@pytest.fixture
def tiny_settings() -> Settings:
    """All stages of the real thing with next to no work; tiles so small that the pictures of `images` need several.

    Always by a fit: two steps would hardly ever win over bicubic.
    """
    fit = FitSettings(steps=2, crop=16, batch=1)
    return Settings(scale=2, method=Method.ZSSR, width=8, depth=3, fit=fit, tile_size=16)


@pytest.fixture
def direct_settings(tiny_settings: Settings) -> Settings:
    """`tiny_settings` for the networks of a prior."""
    return replace(tiny_settings, network=Network.DIRECT)


@pytest.fixture
def make_prior() -> Callable[..., bytes]:
    """The bytes of a prior file; a seed gives the same weights always, which are far from the base.

    Its body has the size of `tiny_settings`, or another.
    """

    def make(
        bands: tuple[int, ...] = (1, 3),
        seed: int = 0,
        width: int = 8,
        depth: int = 3,
        scales: tuple[int, ...] = (2, 3, 4),
    ) -> bytes:
        import torch

        from pipeline.priors.prior_file import to_bytes
        from sr_ops.networks.direct import DirectNetwork
        from sr_ops.networks.layers import initialise
        from sr_ops.priors.prior import Prior
        from sr_ops.settings import Body

        body, heads = Body(width, depth), {}
        for scale in scales:
            for number in bands:
                network = DirectNetwork(number, scale, body, torch.float32)
                generator = torch.Generator().manual_seed(seed)
                initialise(network.body, generator)
                heads[scale, number] = network.state_dict()
                heads[scale, number][f"body.{depth}.weight"].normal_(std=0.02, generator=generator)
        return to_bytes(Prior(body, heads))

    return make


@pytest.fixture
def tiny_config(tmp_path: Path, tiny_settings: Settings, direct_settings: Settings) -> Callable[..., RunConfig]:
    """An inline run on the CPU of tmp_path/m.csv into tmp_path/out, with changes; from a prior with its networks."""

    def make(**changes: Any) -> RunConfig:
        from_scratch = changes.get("prior_name", NO_PRIOR) == NO_PRIOR
        config = RunConfig(
            manifest=str(tmp_path / "m.csv"),
            output=str(tmp_path / "out"),
            settings=tiny_settings if from_scratch else direct_settings,
            executor=Executor.INLINE,
            device=Device.CPU,
        )
        return replace(config, **changes)

    return make


@pytest.fixture
def each_tile_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiles of a small image read what they depend on, as those of a large one do, and not all of it at once."""
    monkeypatch.setattr(Enlargement, "halo", property(lambda image: image.least_halo))


@pytest.fixture
def both_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[type], None]:
    """Let no worker process of Ray begin a unit of a type before two have one, however fast the first is."""

    def meet(kind: type) -> None:
        from pipeline.driver import dataflow
        from pipeline.work.units import unit_from_json

        meeting = tmp_path / "meeting"
        meeting.mkdir()

        class Meeting(dataflow._UnitWorker):
            def __call__(self, batch: Any) -> Iterator[Any]:
                ends = time.monotonic() + 60
                if isinstance(unit_from_json(batch["unit"][0]), kind):
                    (meeting / str(os.getpid())).touch()
                    while len(list(meeting.iterdir())) < 2 and time.monotonic() < ends:
                        time.sleep(0.05)
                    (meeting / "over").touch()  # nobody waits again
                yield from super().__call__(batch)

        monkeypatch.setattr(dataflow, "_UnitWorker", Meeting)

    return meet


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The output of `tiny_config`."""
    return tmp_path / "out"


@pytest.fixture
def one_part_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine, the records of a small run are one part."""
    monkeypatch.setattr("pipeline.output.records._FLUSH_SECONDS", 3600.0)


@pytest.fixture
def srpipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command line in tmp_path, in this process; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["srpipe", *arguments])
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
        with pytest.raises(SystemExit) as stopped:
            main()
        for number, handler in handlers.items():
            signal.signal(number, handler)
        output = capsys.readouterr()
        return int(stopped.value.code or 0), output.out, output.err

    return run


@pytest.fixture
def refusal(srpipe: Srpipe, tmp_path: Path) -> Refusal:
    """Run a command line in tmp_path that is refused: exit 2, nothing on stdout, nothing written; its one sentence."""

    def run(*arguments: str) -> str:
        before, files = sorted(tmp_path.rglob("*")), files_below(tmp_path)
        code, out, err = srpipe(*arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith("srpipe: ")
        assert (sorted(tmp_path.rglob("*")), files_below(tmp_path)) == (before, files)
        return err

    return run


class Watcher(Observer):
    """An observer that remembers what it was told."""

    def __init__(self) -> None:
        self.plans: list[Plan] = []
        self.records: list[Record] = []
        self.looks: list[tuple[str, int, int]] = []
        self.answers: list[Answer] = []

    def looking(self, what: str, done: int, todo: int) -> None:
        self.looks.append((what, done, todo))

    def planned(self, plan: Plan, _manifest: Manifest) -> None:
        self.plans.append(plan)

    def working(self, heartbeat: Callable[[], Heartbeat]) -> None:
        self.heartbeat = heartbeat

    def answered(self, answer: Answer) -> None:
        self.answers.append(answer)

    def finished(self, record: Record) -> None:
        self.records.append(record)


@pytest.fixture
def observer() -> Watcher:
    return Watcher()


@pytest.fixture
def read_tiles() -> Callable[[str], dict[str, bytes]]:
    """The files below OUT/tiles but the mosaics, as relative name -> bytes."""

    def read(output: str) -> dict[str, bytes]:
        folder = storage.join(output, "tiles")
        uris = [uri for uri in storage.find(folder) if not uri.endswith("/mosaic.vrt")]
        return {uri.removeprefix(folder + "/"): storage.read(uri) for uri in uris}

    return read


@pytest.fixture
def read_records() -> Callable[[str], dict[Any, dict[str, Any]]]:
    """The rows of OUT/manifest.parquet by key; a row without a key by its line."""

    def read(output: str) -> dict[Any, dict[str, Any]]:
        rows = records.read_table(storage.join(output, "manifest.parquet")).to_pylist()
        by_key = {row["key"] if row["key"] is not None else row["manifest_line"]: row for row in rows}
        assert len(by_key) == len(rows)
        return by_key

    return read


@pytest.fixture(scope="session")
def _s3_environment() -> Iterator[dict[str, str]]:
    """What leads to an S3 server: the one of TEST_S3_ENDPOINT, whose keys are AWS_*, or moto in this process."""
    endpoint = os.environ.get("TEST_S3_ENDPOINT")
    if endpoint:
        yield {"AWS_ENDPOINT_URL_S3": endpoint, "AWS_ENDPOINT_URL": endpoint}
        return

    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


@pytest.fixture(scope="session")
def other_s3_endpoint() -> Iterator[str]:
    """Another S3 server, in a process of its own: those of one process hold the same buckets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def s3_bucket(_s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A new empty bucket, as s3://name, gone after the test; the environment leads there, of child processes too."""
    import s3fs

    for name, value in _s3_environment.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    own = s3fs.S3FileSystem(skip_instance_cache=True)  # a test may take the keys out of the environment
    bucket = f"srpipe-test-{secrets.token_hex(8)}"
    own.mkdir(bucket)
    yield f"s3://{bucket}"
    own.rm(bucket, recursive=True)
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def make_worker(tmp_path: Path, tiny_settings: Settings) -> MakeWorker:
    """A worker that writes to tmp_path/out, without a prior or with the one of the given bytes."""

    def make(prior: bytes | None = None, **changes: Any) -> Worker:
        prior_file = None if prior is None else parse_prior(prior)
        if prior_file is not None:
            changes = {"prior": prior_file.sha256, "network": Network.DIRECT, **changes}
        settings = replace(tiny_settings, **changes)
        return Worker(Assignment(RunConfig("", str(tmp_path / "out"), settings, retries=0), prior_file), "cpu")

    return make


@pytest.fixture
def row(tmp_path: Path) -> MakeRow:
    """The row of an image in tmp_path; its name is its key."""

    def make(key: str, scale: int = 2, stale: tuple[str, ...] = ()) -> Row:
        return Row(0, 1, key, str(tmp_path / key), scale, 0, stale)

    return make
