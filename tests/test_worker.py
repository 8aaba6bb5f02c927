"""One image: what is written and recorded, in which order, and how each kind of failure is told."""

import hashlib
import io
import os
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jobs.sample_pictures import satellite_view
from pipeline import storage
from pipeline.codec import from_json
from pipeline.config import Device, RunConfig
from pipeline.errors import UsageError
from pipeline.output.layout import Commit, list_commits
from pipeline.output.record import Record
from pipeline.priors.prior_file import parse_prior, read_prior, weights
from pipeline.storage_options import S3Options, StorageOptions
from pipeline.work import image_work, stacked_fits
from pipeline.work.assignment import Assignment
from pipeline.work.device import inline_device
from pipeline.work.units import Row
from pipeline.work.worker import Worker
from sr_ops.camera.base import make_base
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model, degradation_of, network_of
from sr_ops.image.resample import downscale
from sr_ops.settings import FitSettings, Method, Network, Preset, Settings, preset

from .fixture_types import DrawPixels, MakePng, MakePrior, ReadTiles
from .results import pasted

MakeWorker = Callable[..., Worker]
MakeRow = Callable[..., Row]


@pytest.fixture
def make_worker(tmp_path: Path, tiny_settings: Settings) -> MakeWorker:
    """A worker that writes to tmp_path/out, without a prior or with the one of the given bytes."""

    def make(prior: bytes | None = None, **changes: object) -> Worker:
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


def process(worker: Worker, row: Row) -> Record:
    """The answer of a worker that is handed a unit of one row."""
    (record,) = worker([row])
    return record


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("key", ["a.png", "b.png", "sub/c.png"])
def test_image_becomes_tiles_and_a_record(
    key: str,
    scale: int,
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    row: MakeRow,
    read_tiles: ReadTiles,
    tmp_path: Path,
) -> None:
    """The tiles put together have scale times the size, and the record tells what they are."""
    record = process(make_worker(), row(key, scale))
    tiles = read_tiles(str(tmp_path / "out"))
    lr = images[key]
    height, width = lr.shape[:2]
    sr = pasted(tiles, key)
    assert sr.shape == (height * scale, width * scale, *lr.shape[2:])
    assert sr.dtype == np.uint8

    grid = (-(-height // 16), -(-width // 16))
    names = [f"{key}/r{r:04}_c{c:04}.png" for r in range(grid[0]) for c in range(grid[1])]
    assert list(tiles) == names
    sums = "".join(hashlib.sha256(tiles[name]).hexdigest() for name in names)
    assert record.output_sha256 == hashlib.sha256(sums.encode()).hexdigest()
    assert (record.status, record.error_type, record.key, record.tiles) == ("done", None, key, len(names))
    assert (record.width, record.height, record.sr_width, record.sr_height) == (
        width,
        height,
        width * scale,
        height * scale,
    )
    assert (record.bands, record.dtype, record.scale) == (lr.size // (height * width), "uint8", scale)
    assert (record.method_used, record.steps, record.seed, record.threads, record.device) == ("zssr", 2, 0, 1, "cpu")
    assert record.source_uri == str(tmp_path / key)
    assert record.output_uri == str(tmp_path / "out/tiles" / key)
    assert record.worker is not None
    assert record.worker.endswith(f":{os.getpid()}")


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("key", ["a.png", "b.png"])
def test_consistency_is_that_of_the_written_pixels(
    key: str,
    scale: int,
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    row: MakeRow,
    read_tiles: ReadTiles,
    tmp_path: Path,
) -> None:
    """Whoever reduces the PNGs again and subtracts the input finds the error that the record states, in grey levels."""
    record = process(make_worker(), row(key, scale))
    sr = pasted(read_tiles(str(tmp_path / "out")), key).astype(np.float64)
    lr = images[key].astype(np.float64)
    residual = np.atleast_3d(downscale(torch.from_numpy(np.atleast_3d(sr)).permute(2, 0, 1), scale).permute(1, 2, 0))
    residual = residual - np.atleast_3d(lr)
    assert record.consistency_mae == pytest.approx(np.abs(residual).mean(), abs=1e-3)
    assert record.consistency_rmse == pytest.approx(np.sqrt((residual**2).mean()), abs=1e-3)
    assert record.consistency_max == pytest.approx(np.abs(residual).max(), abs=1e-3)
    assert record.consistency_bias == pytest.approx(residual.mean(), abs=1e-3)
    assert record.consistency_rmse_bands == pytest.approx(np.sqrt((residual**2).mean((0, 1))), abs=1e-3)


@pytest.mark.usefixtures("images")
def test_times_and_commit(make_worker: MakeWorker, row: MakeRow, tmp_path: Path, tiny_settings: Settings) -> None:
    """No phase takes longer than the whole, times are UTC, and the commit record is the record."""
    before = datetime.now(UTC)
    record = process(make_worker(), row("a.png", 4))
    phases = (record.read_s, record.fit_s, record.infer_s, record.back_project_s, record.write_s)
    assert all(seconds is not None and seconds > 0 for seconds in phases)
    assert record.total_s is not None
    assert record.started_at is not None
    assert record.finished_at is not None
    computing = (record.fit_s, record.infer_s, record.back_project_s)
    assert sum(seconds or 0 for seconds in computing) <= record.total_s + 0.01  # tiles are written meanwhile
    assert (record.write_s or 0) <= record.total_s + 0.01
    assert before <= record.started_at <= record.finished_at <= datetime.now(UTC)
    assert record.peak_memory_bytes is not None
    assert record.peak_memory_bytes > 10**7

    source = storage.stat(str(tmp_path / "a.png")).fingerprint
    commit = Commit(RunConfig("", "", replace(tiny_settings, scale=4)).fingerprint(), "a.png", source)
    assert list_commits(str(tmp_path / "out")) == {"a.png": [commit]}
    assert from_json(Record, storage.read(commit.uri(str(tmp_path / "out")))) == record
    assert (record.config_fingerprint, record.source_fingerprint) == (commit.settings, source)


@pytest.mark.parametrize("method", ["auto", "zssr"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 30), (8, 8), (10, 10), (23, 40), (40, 23), (24, 24)])
def test_smallest_images(
    height: int,
    width: int,
    method: str,
    make_png: MakePng,
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
) -> None:
    """An image too small to fit, or to spare a part that judges the fit, is enlarged all the same; the record says how.

    From 8 pixels a side on it can be fitted, from 24 on the fit can be judged.
    """
    make_png(tmp_path / "t.png", height=height, width=width)
    record = process(make_worker(method=Method(method)), row("t.png"))
    assert (record.status, record.sr_width, record.sr_height) == ("done", 2 * width, 2 * height)
    judged = min(height, width) >= 24
    assert (record.reconstruction_psnr is not None) == (record.bicubic_reconstruction_psnr is not None) == judged
    fitted = min(height, width) >= (24 if method == "auto" else 8)
    assert (record.final_loss is not None) == fitted
    if method == "zssr" or not judged:
        expected = ("zssr", 2, "subpixel") if fitted else ("bicubic", 0, None)
        assert (record.method_used, record.steps, record.network) == expected


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("key", ["a.png", "b.png"])
def test_bicubic_on_demand(
    key: str,
    scale: int,
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Method bicubic is bicubic interpolation and back-projection exactly, and no fit, whatever prior there is."""
    bicubic = {"prior": make_prior(), "method": Method.BICUBIC, "tile_size": 64, "back_projections": 3}
    record = process(make_worker(**bicubic), row(key, scale))
    lr = images[key].astype(np.float32)[..., None] if images[key].ndim == 2 else images[key].astype(np.float32)
    bare = Settings(scale=scale, back_projections=3)
    model = Model(Method.BICUBIC, degradation_of(bare))
    sr = enlarge(torch.from_numpy(lr).permute(2, 0, 1) / 255, model, bare)
    expected = (sr * 255 + 0.5).floor().byte().permute(1, 2, 0).numpy()
    written = np.asarray(Image.open(io.BytesIO(read_tiles(str(tmp_path / "out"))[f"{key}/r0000_c0000.png"])))
    assert np.array_equal(np.atleast_3d(written), expected)
    assert (record.status, record.method_used, record.steps) == ("done", "bicubic", 0)
    assert record.network is record.prior_bands is record.final_loss is record.reconstruction_psnr is None
    assert record.back_project_s is not None
    assert record.back_project_s > 0


@pytest.mark.parametrize("value", [0, 100, 255])
def test_a_flat_image_is_bicubic(
    value: int,
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Where there is nothing to learn, auto takes bicubic, and a flat image stays flat."""
    Image.new("RGB", (40, 30), (value, value, value)).save(tmp_path / "t.png")
    record = process(make_worker(prior=make_prior(), method=Method.AUTO, tile_size=64), row("t.png"))
    assert (record.status, record.method_used, record.steps) == ("done", "bicubic", 0)
    assert record.network is record.prior_bands is None
    assert record.prior is not None
    (tile,) = read_tiles(str(tmp_path / "out")).values()
    assert np.unique(np.asarray(Image.open(io.BytesIO(tile)))).tolist() == [value]


@pytest.mark.parametrize(
    ("changes", "from_prior", "method", "steps", "used"),
    [
        ({}, False, "zssr", 2, 2),
        ({"scale": 4}, False, "zssr", 2, 2),
        ({}, True, "zssr", 2, 2),
        ({"method": Method.AUTO, "fit": FitSettings(steps=4, crop=16, learning_rate=1.0)}, False, "bicubic", 4, 0),
        ({"method": Method.PRIOR}, True, "prior", 0, 0),
        ({"fit": FitSettings(steps=0)}, True, "prior", 0, 0),
        ({"method": Method.BICUBIC}, True, "bicubic", 0, 0),
    ],
    ids=["fitted", "two stages", "from a prior", "a fit that lost", "the prior", "no step", "bicubic"],
)
def test_steps_that_were_made_and_those_that_count(
    changes: dict[str, Any],
    from_prior: bool,
    method: str,
    steps: int,
    used: int,
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    make_png: MakePng,
    tmp_path: Path,
) -> None:
    """A fit that lost has taken its steps, and none of them is in what enlarged the image."""
    make_png(tmp_path / "t.png", height=40, width=44)
    worker = make_worker(make_prior() if from_prior else None, **changes)
    record = process(worker, row("t.png", changes.get("scale", 2)))
    assert (record.status, record.method_used, record.steps, record.steps_used) == ("done", method, steps, used)


def test_auto_keeps_a_fit_that_wins(tmp_path: Path, row: MakeRow) -> None:
    """On a picture with edges the shipped prior wins over bicubic, and the result is the network's."""
    truth = torch.from_numpy(satellite_view(96)).permute(2, 0, 1)
    lr = downscale(truth.float(), 2).round().clamp(0, 255).byte()
    Image.fromarray(lr.permute(1, 2, 0).numpy()).save(tmp_path / "t.png")
    prior = read_prior("shipped")
    assert prior is not None
    settings = replace(preset(Preset.FAST, from_prior=True), scale=2, prior=prior.sha256)
    settings = replace(settings, width=prior.body.width, depth=prior.body.depth)
    record = process(Worker(Assignment(RunConfig("", str(tmp_path / "out"), settings), prior), "cpu"), row("t.png"))
    assert (record.status, record.method_used, record.network) == ("done", "prior", "direct")
    assert (record.prior, record.prior_bands, record.steps) == (prior.sha256, 3, 0)
    assert record.prior_reconstruction_psnr is not None
    assert record.bicubic_reconstruction_psnr is not None
    assert record.prior_reconstruction_psnr > record.bicubic_reconstruction_psnr


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("key", "held", "used"), [("a.png", (1, 3), 3), ("b.png", (1, 3), 1), ("a.png", (1,), 1), ("b.png", (1,), 1)]
)
def test_which_network_of_a_prior_is_used(
    key: str, held: tuple[int, ...], used: int, make_worker: MakeWorker, make_prior: MakePrior, row: MakeRow
) -> None:
    """An image in colour starts from the network of three bands; where there is none, and in gray, from that of one."""
    record = process(make_worker(prior=make_prior(bands=held)), row(key))
    assert (record.status, record.method_used, record.prior_bands) == ("done", "zssr", used)
    assert record.prior == parse_prior(make_prior(bands=held)).sha256


@pytest.mark.usefixtures("images")
def test_without_a_prior(make_worker: MakeWorker, row: MakeRow) -> None:
    """A fit from scratch says so."""
    record = process(make_worker(), row("a.png"))
    assert (record.prior, record.prior_bands, record.method_used) == ("none", None, "zssr")


@pytest.mark.parametrize("key", ["a.png", "b.png"])
def test_fits_start_from_the_prior(
    key: str,
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    make_prior: MakePrior,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """With no step the result is that of the prior's own network; a step leads on from there."""
    data = make_prior()
    bare = {"prior": data, "ensemble": False, "back_projections": 0, "tile_size": 64}
    record = process(make_worker(**bare, fit=FitSettings(steps=0)), row(key))
    assert (record.method_used, record.steps, record.final_loss) == ("prior", 0, None)
    written = np.asarray(Image.open(io.BytesIO(read_tiles(str(tmp_path / "out"))[f"{key}/r0000_c0000.png"])))
    lr = torch.from_numpy(np.atleast_3d(images[key]).astype(np.float32)).permute(2, 0, 1) / 255
    settings = Settings(scale=2, network=Network.DIRECT, width=8, depth=3)
    network = network_of(weights(data).heads[2, len(lr)], len(lr), 2, settings, torch.device("cpu"))
    base = make_base(degradation_of(settings), lr)
    with torch.inference_mode():
        made = network(lr[None], base[None], torch.zeros(1, len(lr), 2))[0]
    expected = (made.permute(1, 2, 0).numpy() * 255 + 0.5).clip(0, 255).astype(np.uint8)
    difference = np.abs(np.atleast_3d(written).astype(int) - expected)
    assert difference.max() <= 1
    assert (difference == 0).mean() > 0.99
    stepped = process(make_worker(**bare, fit=FitSettings(steps=5, crop=16, batch=1, learning_rate=0.01)), row(key))
    assert stepped.output_sha256 != record.output_sha256


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("error", [ZeroDivisionError("in a stack"), torch.OutOfMemoryError("of a GPU")])
def test_failing_fit_of_several(
    error: Exception,
    make_worker: MakeWorker,
    row: MakeRow,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whatever happens where images are fitted together, each is then done alone."""

    def fail(*_: object) -> None:
        raise error

    keys = ["a.png", "b.png", "sub/c.png"]
    alone = [record.output_sha256 for record in make_worker(stack=1)(map(row, keys))]
    monkeypatch.setattr(stacked_fits, "fit_stages_together", fail)
    made = list(make_worker(stack=3)(map(row, keys)))
    assert [(record.key, record.status, record.output_sha256) for record in made] == [
        (key, "done", sha256) for key, sha256 in zip(keys, alone, strict=True)
    ]
    assert "a bug in srpipe" not in capsys.readouterr().out


def test_icc_profile_is_in_every_tile(
    pixels: DrawPixels,
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Each tile alone says what its numbers mean as colours."""
    Image.fromarray(pixels()).save(tmp_path / "a.png", icc_profile=b"profile")
    process(make_worker(), row("a.png"))
    tiles = read_tiles(str(tmp_path / "out")).values()
    assert [Image.open(io.BytesIO(tile)).info["icc_profile"] for tile in tiles] == [b"profile"] * 4


@pytest.mark.usefixtures("images")
def test_pixels_depend_on_the_image_alone(make_worker: MakeWorker, row: MakeRow, tmp_path: Path) -> None:
    """Order, neighbours, worker and global random state change nothing."""
    keys = ["a.png", "b.png", "sub/c.png"]

    def shas(order: list[str], shared: bool) -> dict[str | None, str | None]:
        one = make_worker()
        made = (one if shared else make_worker())([row(key, stale=_commits(tmp_path, key)) for key in order])
        return {record.key: record.output_sha256 for record in made}

    first = shas(keys, shared=True)
    torch.manual_seed(1234)
    assert shas(keys[::-1], shared=True) == first
    assert {key: shas([key], shared=False)[key] for key in keys} == first
    assert len(set(first.values())) == 3


def _commits(tmp_path: Path, key: str) -> tuple[str, ...]:
    """All commit records of a key, for a row that shall be done again."""
    output = str(tmp_path / "out")
    return tuple(commit.uri(output) for commit in list_commits(output).get(key, []))


@pytest.mark.usefixtures("images")
def test_seed_changes_pixels(make_worker: MakeWorker, row: MakeRow, tmp_path: Path) -> None:
    """The seed is the one source of chance."""
    first = process(make_worker(), row("a.png")).output_sha256
    assert process(make_worker(seed=1), row("a.png", stale=_commits(tmp_path, "a.png"))).output_sha256 != first


@pytest.mark.usefixtures("images")
def test_committed_work_is_answered_from_its_record(
    make_worker: MakeWorker, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that is begun again does not do its finished images twice."""
    first = process(make_worker(), row("a.png"))
    monkeypatch.setattr(image_work, "fit_stages", None)
    assert process(make_worker(), row("a.png")) == first


@pytest.mark.usefixtures("images")
def test_order_of_writes(
    make_worker: MakeWorker, row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old commits go before the first tile comes; the new one comes last, after old tiles and other forms went."""
    process(make_worker(tile_size=8), row("a.png"))
    stale = _commits(tmp_path, "a.png")
    events: list[tuple[str, str]] = []

    def log(name: str, act: Callable[..., None]) -> Callable[..., None]:
        def logged(uri: str, *data: bytes) -> None:
            events.append((name, uri.removeprefix(f"{tmp_path}/out/").split("/")[0]))
            act(uri, *data)

        return logged

    for name in ("write", "remove"):
        monkeypatch.setattr(storage, name, log(name, getattr(storage, name)))
    process(make_worker(), row("a.png", stale=stale))
    tiles_and_mosaic, old_files = [("write", "tiles")] * 5, [("remove", "tiles")] * 5 + [("remove", "images")] * 2
    assert events == [("remove", "_commit"), *tiles_and_mosaic, *old_files, ("write", "_commit")]
    assert sorted(os.listdir(tmp_path / "out/tiles/a.png")) == [
        "mosaic.vrt",
        *(f"r000{r}_c000{c}.png" for r in (0, 1) for c in (0, 1)),
    ]


@pytest.mark.usefixtures("images")
def test_only_tiles_are_cleaned_up(make_worker: MakeWorker, row: MakeRow, tmp_path: Path) -> None:
    """Files of others beside the tiles, and images whose key lies below this one's, stay."""
    mine = [tmp_path / "out/tiles/a.png" / name for name in ("notes.txt", "r1.png", "b.png/r0000_c0000.png")]
    for path in mine:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    process(make_worker(), row("a.png"))
    assert all(path.exists() for path in mine)


@pytest.mark.parametrize(
    ("content", "error_type", "sentence"),
    [
        (None, "missing", r"nothing is at .*/x\.png; correct the uri or put the file back"),
        ("folder", "read", r"cannot read .*/x\.png: it is a folder.*; check access"),
        (b"", "corrupt", "the file is empty; replace it"),
        (
            b"P6 2 1 65535\n" + bytes(12),
            "unsupported",
            "16 bits a sample that would be cut to 8; convert it to a 16-bit",
        ),
    ],
)
def test_failures(
    content: bytes | str | None,
    error_type: str,
    sentence: str,
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is wrong with one image is its record, with the remedy, and leaves nothing in the output."""
    if isinstance(content, bytes):
        (tmp_path / "x.png").write_bytes(content)
    elif content == "folder":
        (tmp_path / "x.png").mkdir()
    record = process(make_worker(), row("x.png"))
    assert (record.status, record.error_type, record.key) == ("failed", error_type, "x.png")
    assert record.error_message is not None
    assert re.search(sentence, record.error_message)
    assert record.output_uri is record.tiles is record.consistency_mae is None
    assert record.finished_at is not None
    assert not (tmp_path / "out").exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.usefixtures("images")
def test_failing_write(make_worker: MakeWorker, row: MakeRow, tmp_path: Path) -> None:
    """Where the tiles cannot be stored, the image fails and is not committed."""
    (tmp_path / "out/tiles").mkdir(parents=True)
    (tmp_path / "out/tiles/a.png").touch()
    record = process(make_worker(), row("a.png"))
    assert (record.status, record.error_type) == ("failed", "write")
    assert "check space and access, then run again" in (record.error_message or "")
    assert list_commits(str(tmp_path / "out")) == {}


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("error", "error_type", "sentence"),
    [
        (
            torch.OutOfMemoryError("CUDA out of\n memory"),
            "memory",
            "out of memory, in the smallest pieces too; use fewer --workers",
        ),
        (MemoryError(), "memory", "in the smallest pieces too"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "memory", "out of memory"),
        (ZeroDivisionError("by\nzero"), "internal", "a bug in srpipe, please report it: ZeroDivisionError: by zero"),
    ],
)
def test_errors_inside(
    error: Exception,
    error_type: str,
    sentence: str,
    make_worker: MakeWorker,
    row: MakeRow,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Memory that runs out is told with the remedy; a bug is told with its traceback; the next image is done."""
    with monkeypatch.context() as patched:

        def fail(*_: object) -> None:
            raise error

        patched.setattr(image_work, "fit_stages", fail)
        record = process(make_worker(), row("a.png"))
    assert (record.status, record.error_type) == ("failed", error_type)
    assert sentence in (record.error_message or "")
    assert ("Traceback" in capsys.readouterr().err) == (error_type == "internal")
    assert process(make_worker(), row("a.png")).status == "done"


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("step", "error_type"),
    [("stat", "read"), ("read", "read"), ("write", "write"), ("list_folder", "write")],
)
def test_failing_storage_is_no_bug(
    step: str, error_type: str, make_worker: MakeWorker, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever storage refuses, the record says what could not be read or written, not that srpipe has a bug."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Access Denied")

    monkeypatch.setattr(storage, step, refuse)
    record = process(make_worker(), row("a.png"))
    assert (record.status, record.error_type) == ("failed", error_type)
    assert "Access Denied" in (record.error_message or "")


@pytest.mark.parametrize("stack", [1, 2, 5])
def test_failures_do_not_stop_a_unit(
    stack: int, images: dict[str, np.ndarray], make_worker: MakeWorker, row: MakeRow, tmp_path: Path
) -> None:
    """A unit gives one record a row, in the order of its rows, the first before the last is begun."""
    (tmp_path / "x.png").write_bytes(b"?")
    keys = ["x.png", *images, "none.png"]
    made = make_worker(stack=stack)([row(key) for key in keys])
    assert next(made).status == "failed"
    assert not (tmp_path / "out").exists()
    assert [(record.key, record.status) for record in made] == [
        *((key, "done") for key in images),
        ("none.png", "failed"),
    ]


def test_a_stack_differs_by_rounding(
    images: dict[str, np.ndarray],
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Images of several sizes, bands and scales that are fitted together come out as they do alone, by a level."""
    rows = [row(key, scale) for key, scale in zip(images, (2, 2, 3), strict=True)]
    alone = {record.key: record for record in make_worker(stack=1)(rows)}
    expected = read_tiles(str(tmp_path / "out"))
    for record in make_worker(stack=3)(rows):
        assert (record.status, record.scale, record.sr_width, record.network, record.steps) == (
            *("done", alone[record.key].scale, alone[record.key].sr_width, "subpixel", 2),
        )
        assert record.config_fingerprint != alone[record.key].config_fingerprint
    written = read_tiles(str(tmp_path / "out"))
    for key in images:
        difference = np.abs(pasted(written, key).astype(int) - pasted(expected, key))
        assert difference.max() <= 2
        assert difference.mean() < 0.1


@pytest.mark.parametrize("told", [("auto", "20"), ("20", "auto")])
def test_a_stack_keeps_what_rows_tell_of_their_noise(
    told: tuple[str, str], images: dict[str, np.ndarray], make_worker: MakeWorker, row: MakeRow
) -> None:
    """Noise that the row of one image gives is its own; that of its neighbour in the stack is measured."""
    rows = [replace(row(key), noise=noise) for key, noise in zip([*images][:2], told, strict=True)]
    alone = [record.noise for record in make_worker(stack=1)(rows)]
    assert [max(noise or (0.0,)) == pytest.approx(20) for noise in alone] == [noise == "20" for noise in told]
    assert [record.noise for record in make_worker(stack=2)(rows)] == alone


def test_threads_hold_for_the_process(tmp_path: Path, tiny_settings: Settings) -> None:
    """A worker computes with as many threads as it is told, and says so."""
    try:
        worker = Worker(Assignment(RunConfig("", str(tmp_path), tiny_settings, threads=2)), "cpu")
        record = process(worker, Row(0, 1, "x", str(tmp_path / "x"), 2, 0))
        assert (torch.get_num_threads(), record.threads) == (2, 2)
    finally:
        torch.set_num_threads(1)


@pytest.mark.skipif(torch.cuda.is_available(), reason="speaks of a machine without a GPU")
def test_device_without_gpu() -> None:
    """Asked for CUDA where there is none, the command is refused; auto takes the CPU."""
    assert inline_device(Device.AUTO) == inline_device(Device.CPU) == "cpu"
    with pytest.raises(UsageError, match="there is no GPU here; use --device auto or cpu"):
        inline_device(Device.CUDA)


def test_a_worker_uses_the_storage_options(tmp_path: Path, tiny_settings: Settings) -> None:
    """What a worker reads is asked of the store that its options name, in whatever process it is."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
    further = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
    options = StorageOptions(S3Options(endpoint, anon=True, further=further))
    worker = Worker(Assignment(RunConfig("", str(tmp_path / "out"), tiny_settings, storage=options)), "cpu")
    record = process(worker, Row(0, 1, "x", "s3://b/x.png", 2, 0))
    assert record.error_type == "read"
    assert f"{endpoint}/b/x.png" in (record.error_message or "")
