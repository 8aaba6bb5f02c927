"""What a worker tries again, and what it gives up: with the real parts, and faults at their edges."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine
from torch import Tensor

from pipeline import storage
from pipeline.config import RunConfig
from pipeline.driver.run import run
from pipeline.output.layout import list_commits
from pipeline.storage.patience import Patience
from pipeline.work import enlarging, image_work, stacked_fits, stopwatch
from pipeline.work.assignment import Assignment
from pipeline.work.ledger import MOST_DEATHS, Book, Ledger
from pipeline.work.stopwatch import DeadlineError, Stopwatch
from pipeline.work.units import Row
from pipeline.work.worker import Worker
from sr_ops.enlarging.model import degradation_of
from sr_ops.enlarging.stages import halo
from sr_ops.settings import Method, Settings

from .cameras import SIZE_CHANGES_NO_BIT
from .fixture_types import MakeConfig, MakePng, MakePrior, ReadTiles
from .rasters import write_raster
from .results import answer, furthest

PASSING = ConnectionResetError(104, "Connection reset by peer")
LASTING = PermissionError(13, "Permission denied")


class Flaky:
    """An operation that fails with each of some errors once, then works."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_may_pass_is_tried_again_with_longer_pauses() -> None:
    """So many times, each pause drawn from twice the one before; then the result, or the last error."""
    pauses: list[float] = []
    patiently = Patience(3, pauses.append)
    assert patiently(Flaky(PASSING, PASSING, PASSING)) == "done"
    assert all(low <= pause <= 2 * low for low, pause in zip([0.25, 0.5, 1], pauses, strict=True))
    stubborn = Flaky(*[PASSING] * 9)
    with pytest.raises(ConnectionResetError):
        patiently(stubborn)
    assert stubborn.calls == 4
    Patience(12, pauses.append)(Flaky(*[PASSING] * 12))
    assert 15 <= pauses[-1] <= max(pauses) <= 30


@pytest.mark.parametrize("error", [LASTING, FileNotFoundError(2, "gone"), OSError(28, "full"), ValueError("a bug")])
def test_what_will_not_pass_is_told_at_once(error: Exception) -> None:
    """Not there, not allowed, full, or a bug: one call."""
    lasting = Flaky(error)
    with pytest.raises(type(error)):
        Patience(5, lambda _seconds: pytest.fail("slept"))(lasting)
    assert lasting.calls == 1


@pytest.fixture
def make_worker(tmp_path: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Worker]:
    """A worker that writes to tmp_path/out and hardly waits before it tries again."""
    monkeypatch.setattr("pipeline.storage.patience.FIRST_WAIT", 1e-3)

    def make(settings: Settings = tiny_settings, **options: Any) -> Worker:
        ledger = options.pop("ledger", None)
        return Worker(Assignment(RunConfig("", str(tmp_path / "out"), settings, **options)), "cpu", ledger)

    return make


def row(tmp_path: Path, key: str) -> Row:
    return Row(0, 1, key, str(tmp_path / key), 2, 0)


def failing(operation: Callable[..., Any], errors: list[OSError], only: str = "") -> Callable[..., Any]:
    """`operation`, which fails with each error once where its uri holds `only`."""

    def call(uri: str, *rest: Any) -> Any:
        if errors and only in uri:
            raise errors.pop(0)
        return operation(uri, *rest)

    return call


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("operation", "only", "error_type"),
    [
        ("stat", "a.png", "read"),
        ("on_disk", "a.png", "read"),
        ("read", "_commit", "read"),
        ("write", "tiles", "write"),
        ("write", "_commit", "write"),
        ("list_folder", "tiles", "write"),
    ],
)
def test_every_access_of_a_worker_is_tried_again(
    operation: str,
    only: str,
    error_type: str,
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two faults that pass are two pauses; one more is the image's record, which names the fault."""
    undisturbed = getattr(storage, operation)
    errors: list[OSError] = [PASSING, PASSING]
    monkeypatch.setattr(storage, operation, failing(undisturbed, errors, only))
    assert answer(make_worker(retries=2), row(tmp_path, "a.png")).status == "done"
    assert not errors
    monkeypatch.setattr(storage, operation, failing(undisturbed, [PASSING] * 3, only))
    record = answer(make_worker(retries=2), replace(row(tmp_path, "a.png"), key="again"))
    assert (record.status, record.error_type) == ("failed", error_type)
    assert "Connection reset by peer" in (record.error_message or "")


def test_a_stopwatch_with_a_limit() -> None:
    """It lets a phase begin until the time is up, and never after; without a limit always."""
    watch = Stopwatch()
    with watch("fit"):
        pass
    watch.limit(60)
    watch.check()
    watch.limit(0)
    with pytest.raises(DeadlineError), watch("fit"):
        pytest.fail("began")
    with pytest.raises(DeadlineError):
        watch.check(7)
    watch.limit(None)
    watch.check()


@pytest.mark.parametrize("stack", [1, 2])
def test_an_image_that_takes_too_long_fails_alone(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: MakePng,
    tiny_settings: Settings,
    stack: int,
) -> None:
    """A fit of hours ends within its time, in a stack too; a worker that may take longer does the same image."""
    for name in "xy":  # of one size, so that they make a stack
        make_png(tmp_path / name)
    endless = replace(tiny_settings, stack=stack, fit=replace(tiny_settings.fit, steps=20_000))
    rows = [row(tmp_path, name) for name in "xy"]
    started = time.monotonic()
    records = list(make_worker(endless, max_seconds=1)(rows))
    assert time.monotonic() - started < 20
    assert [record.error_type for record in records] == ["deadline", "deadline"]
    assert "raise --max-seconds-per-image" in (records[0].error_message or "")
    assert not list_commits(str(tmp_path / "out"))
    assert answer(make_worker(max_seconds=600), rows[0]).status == "done"


class Clock:
    """The clock of a stopwatch on a machine that takes no time but what a test adds."""

    seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


def test_an_image_of_a_stack_may_take_as_long_as_one_alone(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: MakePng,
    tiny_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has not failed when all together are over the time of one; and its part of a stack's fit counts."""
    for name in "xy":
        make_png(tmp_path / name)
    rows = [row(tmp_path, name) for name in "xy"]
    stacked, together = replace(tiny_settings, stack=2), stacked_fits.fit_stages_together

    clock = Clock()
    monkeypatch.setattr(stopwatch, "time", clock)

    def slowly(images: Any, settings: Settings, prior: Any, watches: Any, *rest: Any) -> Any:
        with watches[0]("fit"), watches[1]("fit"):
            clock.seconds += 16
        return together(images, settings, prior, watches, *rest)

    monkeypatch.setattr(stacked_fits, "fit_stages_together", slowly)
    assert [record.status for record in make_worker(stacked, max_seconds=15)(rows)] == ["done", "done"]

    def just_in_time(images: Any, settings: Settings, prior: Any, watches: Any, *rest: Any) -> Any:
        fitted = together(images, settings, prior, watches, *rest)
        for watch in watches:
            watch.limit(None)
        with watches[0]("fit"), watches[1]("fit"):
            clock.seconds += 16
        return fitted

    monkeypatch.setattr(stacked_fits, "fit_stages_together", just_in_time)
    again = [replace(row(tmp_path, name), redo=True) for name in "xy"]
    assert [record.error_type for record in make_worker(stacked, max_seconds=15)(again)] == ["deadline", "deadline"]


def test_the_time_of_an_image_does_not_begin_again_where_memory_runs_out(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: MakePng,
    tiny_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Three attempts in smaller and smaller pieces together may take no longer than one."""
    make_png(tmp_path / "x", height=150, width=150)

    def too_little(*_: object) -> None:
        time.sleep(0.7)
        raise MemoryError

    monkeypatch.setattr(enlarging, "enlarge_and_compare", too_little)
    settings = replace(tiny_settings, tile_size=128)
    assert answer(make_worker(settings), row(tmp_path, "x")).error_type == "memory"
    assert answer(make_worker(settings, max_seconds=1.5), row(tmp_path, "x")).error_type == "deadline"


def short_of_memory(most: int) -> Callable[..., tuple[Tensor, Tensor | None]]:
    """`enlarge_and_compare` on a machine that holds windows of so many pixels."""
    undisturbed = enlarging.enlarge_and_compare

    def enlarge(window: Tensor, *rest: Any) -> tuple[Tensor, Tensor | None]:
        if window[0].numel() > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return undisturbed(window, *rest)

    return enlarge


def test_an_image_too_large_for_the_memory_is_done_in_pieces(
    tmp_path: Path,
    tiny_settings: Settings,
    make_worker: Callable[..., Worker],
    make_png: MakePng,
    read_tiles: ReadTiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same files as with enough memory, to one grey level where the processor adds up pieces in another order; with
    too little for any piece only this image fails."""
    make_png(tmp_path / "big.png", height=150, width=170)
    make_png(tmp_path / "small.png", height=20, width=20)
    settings = replace(tiny_settings, tile_size=128)
    enough = answer(make_worker(settings), row(tmp_path, "big.png"))
    tiles = read_tiles(str(tmp_path / "out"))
    for uri in [
        commit.uri(str(tmp_path / "out"))
        for commits in list_commits(str(tmp_path / "out")).values()
        for commit in commits
    ]:
        storage.remove(uri)
    reach = 2 * halo(settings, degradation_of(settings))
    monkeypatch.setattr(enlarging, "enlarge_and_compare", short_of_memory((32 + reach) ** 2))
    in_pieces = answer(make_worker(settings), row(tmp_path, "big.png"))
    assert (in_pieces.status, in_pieces.attempt, enough.attempt) == ("done", 3, 1)
    assert furthest(read_tiles(str(tmp_path / "out")), tiles) <= (0 if SIZE_CHANGES_NO_BIT else 1)
    assert (in_pieces.output_sha256 == enough.output_sha256) or not SIZE_CHANGES_NO_BIT
    assert in_pieces.consistency_mae == pytest.approx(enough.consistency_mae, rel=1e-6 if SIZE_CHANGES_NO_BIT else 1e-3)
    monkeypatch.setattr(enlarging, "enlarge_and_compare", short_of_memory(400))
    records = list(make_worker(settings)([replace(row(tmp_path, "big.png"), redo=True), row(tmp_path, "small.png")]))
    assert [record.error_type for record in records] == ["memory", None]


def write_kind(kind: str, path: Path) -> None:
    """An image of which some is unknown: a part, and the whole of a piece of 32 x 32 pixels."""
    samples = np.random.default_rng(8).integers(1, 256, (4 if kind == "rgba" else 2, 70, 110), dtype=np.uint8)
    known = np.ones((70, 110), np.bool_)
    known[20:70, 30:70] = known[10:15, 5:30] = False
    if kind == "rgba":
        samples[3] = np.where(known, samples[3], 0)
        Image.fromarray(np.moveaxis(samples, 0, -1)).save(path, "PNG")
    elif kind == "mask":
        write_raster(path, samples, known, crs="EPSG:32633", transform=Affine(10, 0, 500_000, 0, -10, 5_000_000))
    else:
        write_raster(path, samples * known, nodata=0)


def layers(folder: Path) -> NDArray[Any]:
    """The bands of a result or of its map, and what is known of it."""
    with rasterio.open(folder / "mosaic.vrt") as file:
        return np.concatenate([file.read(), file.dataset_mask()[None]]).astype(float)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize("kind", ["mask", "rgba", "nodata"])
def test_pieces_are_put_together_in_their_places(
    kind: str,
    tmp_path: Path,
    tiny_config: MakeConfig,
    make_prior: MakePrior,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Samples, masks and the map, of what is unknown, too, and where a result pixel is no whole part of one of the
    image."""
    write_kind(kind, tmp_path / "x")
    (tmp_path / "m.csv").write_text("uri\nx\n")
    (tmp_path / "p").write_bytes(make_prior())
    config = tiny_config(prior_name=str(tmp_path / "p"), disagreement=True, output=str(tmp_path / "enough"))
    told = {"method": Method.PRIOR, "scale": 3, "result_size": "times:2.5x1.5", "tile_size": 64, "noise": "0"}
    config = replace(config, settings=replace(config.settings, **told))
    assert run(config, observer).done == 1
    undisturbed, errors = enlarging.enlarge_and_compare, [torch.OutOfMemoryError("CUDA out of memory")]

    def short_of_memory_once(*arguments: Any) -> tuple[Tensor, Tensor | None]:
        if errors:
            raise errors.pop()
        return undisturbed(*arguments)

    monkeypatch.setattr(enlarging, "enlarge_and_compare", short_of_memory_once)
    assert run(replace(config, output=str(tmp_path / "pieces")), observer).done == 1
    assert [record.attempt for record in observer.records] == [1, 2]
    for place in ("tiles/x", "disagreement/x"):
        enough, in_pieces = (layers(tmp_path / output / place) for output in ("enough", "pieces"))
        assert np.nanmax(enough[0]) > 0
        np.testing.assert_allclose(in_pieces, enough, rtol=1e-3, atol=0 if SIZE_CHANGES_NO_BIT else 1)


def test_the_ledger_counts_deaths_on_machines_that_are_still_there() -> None:
    """What was begun and not ended died with its process, unless the machine is gone; what ended is forgotten."""
    living = {"n1", "n2"}
    ledger = Book(lambda: living)
    assert ledger.begin("a", "n1", "t1") == 0
    ledger.end("a")
    assert not ledger.suspects(["a", "never begun"])
    assert ledger.begin("a", "n1", "t2") == 0
    assert ledger.suspects(["b", "a"])
    assert ledger.begin("a", "n2", "t3") == 1
    living.discard("n2")
    assert ledger.begin("a", "n1", "t4") == 1
    assert ledger.begin("a", "n1", "t5") == MOST_DEATHS == 2
    assert ledger.begin("a", "n1", "t6") == 2
    assert ledger.begin("b", "n1", "t7") == 0
    assert ledger.begin("b", "n1", "t7") == 0, "the same call again, whose answer was lost"
    assert ledger.begin("b", "n1", "t8") == 1


class Witness(Ledger):
    """A ledger that says what it was told, and knows of deaths."""

    def __init__(self, **deaths: int) -> None:
        self.deaths = deaths
        self.told: list[str] = []

    def suspects(self, keys: Iterator[str]) -> bool:
        return any(self.deaths.get(key) for key in keys)

    def begin(self, key: str) -> int:
        self.told.append(f"begin {key}")
        return self.deaths.get(key, 0)

    def end(self, key: str) -> None:
        self.told.append(f"end {key}")

    def dying(self, key: str, words: str) -> None:
        self.told.append(f"{key}: {words}")

    def last_words(self, key: str) -> str | None:
        return f"{key} as it said" if key == "y" else None


@pytest.mark.parametrize("stack", [1, 3])
def test_after_a_death_images_are_done_one_by_one(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: MakePng,
    tiny_settings: Settings,
    stack: int,
) -> None:
    """None is begun before the last has ended; what killed two processes is not begun, and stays in the book."""
    for name in "xyz":
        make_png(tmp_path / name)
    rows = [row(tmp_path, name) for name in "xyz"]
    book = Witness(y=1, z=2)
    records = list(make_worker(replace(tiny_settings, stack=stack), ledger=book)(rows))
    assert [(record.error_type, record.attempt) for record in records] == [(None, 1), (None, 2), ("crashed", 1)]
    assert book.told == ["begin x", "end x", "begin y", "end y", "begin z"]
    assert "2 worker processes died" in (records[2].error_message or "")
    calm = Witness()
    list(make_worker(replace(tiny_settings, stack=stack), ledger=calm)([*rows, row(tmp_path, "none")]))
    assert sorted(calm.told) == sorted(f"{word} {key}" for word in ("begin", "end") for key in ("x", "y", "z", "none"))


def test_a_broken_gpu_ends_the_process(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: MakePng,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where somebody starts it anew; alone, it is told as the image's record."""
    make_png(tmp_path / "x")

    def broken(*_: object) -> None:
        raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")

    class Ended(BaseException):
        pass

    def exit_process(code: int) -> None:
        raise Ended(code)

    monkeypatch.setattr(image_work, "fit_stages", broken)
    monkeypatch.setattr(os, "_exit", exit_process)
    assert answer(make_worker(), row(tmp_path, "x")).error_type == "internal"
    book = Witness()
    with pytest.raises(Ended):
        answer(make_worker(ledger=book), row(tmp_path, "x"))
    said = f"x: CUDA error: an illegal memory access was encountered on node {socket.gethostname()}"
    assert book.told == ["begin x", said]


def test_what_the_last_process_said_is_in_the_record(tmp_path: Path, make_worker: Callable[..., Worker]) -> None:
    """It was the GPU, not the image; what says nothing died of pixels or for want of memory."""
    records = list(make_worker(ledger=Witness(x=2, y=2))([row(tmp_path, name) for name in "xy"]))
    silent, told = (record.error_message or "" for record in records)
    assert "of its pixels or for want of memory" in silent
    assert told == "2 worker processes died at work on it, the last of y as it said; check that GPU, then run again"
    ledger = Book(lambda: {"n"})
    ledger.dying("x", "so")
    assert (ledger.last_words("x"), ledger.last_words("y")) == ("so", None)
    ledger.end("x")
    assert ledger.last_words("x") is None
