"""One image: what is written and recorded, and in which order."""

import hashlib
import io
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import storage
from pipeline.codec import from_json
from pipeline.config import Device, RunConfig
from pipeline.errors import UsageError
from pipeline.output.layout import Commit, list_commits
from pipeline.output.record import Record
from pipeline.storage_options import S3Options, StorageOptions
from pipeline.work import image_work
from pipeline.work.assignment import Assignment
from pipeline.work.device import inline_device
from pipeline.work.units import Row
from pipeline.work.worker import Worker
from sr_ops.image.resample import downscale
from sr_ops.settings import Settings

from .fixture_types import DrawPixels, MakeRow, MakeWorker, ReadTiles
from .results import answer, pasted


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
    record = answer(make_worker(), row(key, scale))
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
    record = answer(make_worker(), row(key, scale))
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
    record = answer(make_worker(), row("a.png", 4))
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


def test_icc_profile_is_in_every_tile(
    pixels: DrawPixels,
    make_worker: MakeWorker,
    row: MakeRow,
    tmp_path: Path,
    read_tiles: ReadTiles,
) -> None:
    """Each tile alone says what its numbers mean as colours."""
    Image.fromarray(pixels()).save(tmp_path / "a.png", icc_profile=b"profile")
    answer(make_worker(), row("a.png"))
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
    first = answer(make_worker(), row("a.png")).output_sha256
    assert answer(make_worker(seed=1), row("a.png", stale=_commits(tmp_path, "a.png"))).output_sha256 != first


@pytest.mark.usefixtures("images")
def test_committed_work_is_answered_from_its_record(
    make_worker: MakeWorker, row: MakeRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit that is begun again does not do its finished images twice."""
    first = answer(make_worker(), row("a.png"))
    monkeypatch.setattr(image_work, "fit_stages", None)
    assert answer(make_worker(), row("a.png")) == first


@pytest.mark.usefixtures("images")
def test_order_of_writes(
    make_worker: MakeWorker, row: MakeRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old commits go before the first tile comes; the new one comes last, after old tiles and other forms went.

    Of other forms there are two, each with three files that GIS programs may have left beside it.
    """
    answer(make_worker(tile_size=8), row("a.png"))
    stale = _commits(tmp_path, "a.png")
    events: list[tuple[str, str]] = []

    def log(name: str, act: Callable[..., None]) -> Callable[..., None]:
        def logged(uri: str, *data: bytes) -> None:
            events.append((name, uri.removeprefix(f"{tmp_path}/out/").split("/")[0]))
            act(uri, *data)

        return logged

    for name in ("write", "remove"):
        monkeypatch.setattr(storage, name, log(name, getattr(storage, name)))
    answer(make_worker(), row("a.png", stale=stale))
    tiles_and_mosaic, old_files = [("write", "tiles")] * 5, [("remove", "tiles")] * 5 + [("remove", "images")] * 8
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
    answer(make_worker(), row("a.png"))
    assert all(path.exists() for path in mine)


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
        record = answer(worker, Row(0, 1, "x", str(tmp_path / "x"), 2, 0))
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
    record = answer(worker, Row(0, 1, "x", "s3://b/x.png", 2, 0))
    assert record.error_type == "read"
    assert f"{endpoint}/b/x.png" in (record.error_message or "")
