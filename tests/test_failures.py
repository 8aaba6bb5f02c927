"""What is tried again, what is given up, and when a run stops: with the real parts, and faults at their edges."""

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from pipeline import storage
from pipeline.codec import to_json, to_plain
from pipeline.config import Existing, RunConfig, parse_config
from pipeline.driver.limits import ENOUGH, LimitReachedError, RunLimits
from pipeline.driver.observer import Observer
from pipeline.driver.retry import failed_work
from pipeline.driver.run import run
from pipeline.errors import ErrorType, UsageError
from pipeline.output.layout import list_commits, lock
from pipeline.output.lock import Lock
from pipeline.output.record import Record
from pipeline.storage.patience import Patience
from pipeline.work import enlarging, image_work, stacked_fits
from pipeline.work.ledger import MOST_DEATHS, CrashLedger
from pipeline.work.stopwatch import DeadlineError, Stopwatch
from pipeline.work.units import Row
from pipeline.work.worker import Worker
from sr_ops.model import degradation_of
from sr_ops.settings import Settings
from sr_ops.stages import halo

MakeConfig = Callable[..., RunConfig]
ReadTiles = Callable[[str], dict[str, bytes]]
ReadRecords = Callable[[str], dict[Any, dict[str, Any]]]

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
    assert [0.25, 0.5, 1] <= pauses <= [0.5, 1, 2]
    stubborn = Flaky(*[PASSING] * 9)
    with pytest.raises(ConnectionResetError):
        patiently(stubborn)
    assert stubborn.calls == 4
    Patience(12, pauses.append)(Flaky(*[PASSING] * 12))
    assert max(pauses) <= 30


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
        return Worker(RunConfig("", str(tmp_path / "out"), settings, **options), None, "cpu", ledger=ledger)

    return make


def row(tmp_path: Path, key: str) -> Row:
    return Row(0, 1, key, str(tmp_path / key), 2, 0)


def process(worker: Worker, row: Row) -> Record:
    """The answer of a worker that is handed a unit of one row."""
    (record,) = worker([row])
    return record


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
    assert process(make_worker(retries=2), row(tmp_path, "a.png")).status == "done"
    assert not errors
    monkeypatch.setattr(storage, operation, failing(undisturbed, [PASSING] * 3, only))
    record = process(make_worker(retries=2), replace(row(tmp_path, "a.png"), key="again"))
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
    make_png: Callable[..., np.ndarray],
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
    assert process(make_worker(max_seconds=600), rows[0]).status == "done"


def test_an_image_of_a_stack_may_take_as_long_as_one_alone(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: Callable[..., np.ndarray],
    tiny_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has not failed when all together are over the time of one; and its part of a stack's fit counts."""
    for name in "xy":
        make_png(tmp_path / name)
    rows = [row(tmp_path, name) for name in "xy"]
    stacked, together = replace(tiny_settings, stack=2), stacked_fits.fit_stages_together

    def slowly(images: Any, settings: Settings, prior: Any, watches: Any, *rest: Any) -> Any:
        with watches[0]("fit"), watches[1]("fit"):
            time.sleep(1.6)
        return together(images, settings, prior, watches, *rest)

    monkeypatch.setattr(stacked_fits, "fit_stages_together", slowly)
    assert [record.status for record in make_worker(stacked, max_seconds=1.5)(rows)] == ["done", "done"]

    def just_in_time(images: Any, settings: Settings, prior: Any, watches: Any, *rest: Any) -> Any:
        fitted = together(images, settings, prior, watches, *rest)
        for watch in watches:
            watch.limit(None)
        with watches[0]("fit"), watches[1]("fit"):
            time.sleep(1.6)
        return fitted

    monkeypatch.setattr(stacked_fits, "fit_stages_together", just_in_time)
    again = [replace(row(tmp_path, name), redo=True) for name in "xy"]
    assert [record.error_type for record in make_worker(stacked, max_seconds=1.5)(again)] == ["deadline", "deadline"]


def test_the_time_of_an_image_does_not_begin_again_where_memory_runs_out(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: Callable[..., np.ndarray],
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
    assert process(make_worker(settings), row(tmp_path, "x")).error_type == "memory"
    assert process(make_worker(settings, max_seconds=1.5), row(tmp_path, "x")).error_type == "deadline"


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
    make_png: Callable[..., np.ndarray],
    read_tiles: ReadTiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same files of the same pixels as with enough memory; with too little for any piece only this image fails."""
    make_png(tmp_path / "big.png", height=150, width=170)
    make_png(tmp_path / "small.png", height=20, width=20)
    settings = replace(tiny_settings, tile_size=128)
    enough = process(make_worker(settings), row(tmp_path, "big.png"))
    tiles = read_tiles(str(tmp_path / "out"))
    for uri in [
        commit.uri(str(tmp_path / "out"))
        for commits in list_commits(str(tmp_path / "out")).values()
        for commit in commits
    ]:
        storage.remove(uri)
    reach = 2 * halo(settings, degradation_of(settings))
    monkeypatch.setattr(enlarging, "enlarge_and_compare", short_of_memory((32 + reach) ** 2))
    in_pieces = process(make_worker(settings), row(tmp_path, "big.png"))
    assert (in_pieces.status, in_pieces.attempt, enough.attempt) == ("done", 3, 1)
    assert read_tiles(str(tmp_path / "out")) == tiles
    assert in_pieces.output_sha256 == enough.output_sha256
    assert in_pieces.consistency_mae == pytest.approx(enough.consistency_mae)
    monkeypatch.setattr(enlarging, "enlarge_and_compare", short_of_memory(400))
    records = list(make_worker(settings)([replace(row(tmp_path, "big.png"), redo=True), row(tmp_path, "small.png")]))
    assert [record.error_type for record in records] == ["memory", None]


def test_the_ledger_counts_deaths_on_machines_that_are_still_there() -> None:
    """What was begun and not ended died with its process, unless the machine is gone; what ended is forgotten."""
    living = {"n1", "n2"}
    ledger = CrashLedger(lambda: living)
    assert ledger.begin("a", "n1") == 0
    ledger.end("a")
    assert not ledger.suspects(["a", "never begun"])
    assert ledger.begin("a", "n1") == 0
    assert ledger.suspects(["b", "a"])
    assert ledger.begin("a", "n2") == 1
    living.discard("n2")
    assert ledger.begin("a", "n1") == 1
    assert ledger.begin("a", "n1") == MOST_DEATHS == 2
    assert ledger.begin("a", "n1") == 2
    assert ledger.begin("b", "n1") == 0


class Book:
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


@pytest.mark.parametrize("stack", [1, 3])
def test_after_a_death_images_are_done_one_by_one(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: Callable[..., np.ndarray],
    tiny_settings: Settings,
    stack: int,
) -> None:
    """None is begun before the last has ended; what killed two processes is not begun, and stays in the book."""
    for name in "xyz":
        make_png(tmp_path / name)
    rows = [row(tmp_path, name) for name in "xyz"]
    book = Book(y=1, z=2)
    records = list(make_worker(replace(tiny_settings, stack=stack), ledger=book)(rows))
    assert [(record.error_type, record.attempt) for record in records] == [(None, 1), (None, 2), ("crashed", 1)]
    assert book.told == ["begin x", "end x", "begin y", "end y", "begin z"]
    assert "2 worker processes died" in (records[2].error_message or "")
    calm = Book()
    list(make_worker(replace(tiny_settings, stack=stack), ledger=calm)([*rows, row(tmp_path, "none")]))
    assert sorted(calm.told) == sorted(f"{word} {key}" for word in ("begin", "end") for key in ("x", "y", "z", "none"))


def test_a_broken_gpu_ends_the_process(
    tmp_path: Path,
    make_worker: Callable[..., Worker],
    make_png: Callable[..., np.ndarray],
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
    assert process(make_worker(), row(tmp_path, "x")).error_type == "internal"
    with pytest.raises(Ended):
        process(make_worker(ledger=Book()), row(tmp_path, "x"))


def record(status: str) -> Record:
    return Record(key="k", manifest_line=1, source_uri="u", status=status)


def test_the_failure_rate_counts_from_twenty_images_on() -> None:
    """Over the rate, not at it; what came before there were enough counts too."""
    limits = RunLimits(0.5, None)
    for _ in range(ENOUGH - 1):
        limits.count(record("failed"))
    for _ in range(ENOUGH - 1):
        fine = RunLimits(0.5, None)
        fine.count(record("done"))
    with pytest.raises(LimitReachedError, match="20 of 20 images failed, over --max-failure-rate"):
        limits.count(record("failed"))
    exactly = RunLimits(0.5, None)
    for status in ["done", "failed"] * ENOUGH:
        exactly.count(record(status))
    with pytest.raises(LimitReachedError):
        exactly.count(record("failed"))
    never = RunLimits(None, None)
    for _ in range(3 * ENOUGH):
        never.count(record("failed"))


def slow(items: int) -> Iterator[int]:
    """The last of them is never ready."""
    yield from range(items)
    threading.Event().wait(60)


def test_the_time_ends_the_waiting_for_an_image() -> None:
    """Also while nothing comes; the alarm of the process is put back as it was."""
    before = signal.getsignal(signal.SIGALRM)
    started = time.monotonic()
    watched = RunLimits(None, 0.0001).watch(slow(3))
    assert list(islice(watched, 3)) == [0, 1, 2]
    with pytest.raises(LimitReachedError, match="--max-hours 0"):
        next(watched)
    assert 0.3 < time.monotonic() - started < 20
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert list(RunLimits(None, 1).watch(iter([1, 2]))) == [1, 2]


def test_a_record_is_kept_whole_before_the_time_ends_the_run() -> None:
    """The alarm waits while a record is kept, and the next is not waited for."""
    watched = RunLimits(None, 0.0001).watch(slow(3))
    assert next(watched) == 0
    time.sleep(0.6)
    with pytest.raises(LimitReachedError):
        next(watched)


def test_without_signals_the_time_is_looked_at_between_images() -> None:
    """A thread that is not the main one has no alarm, and stops after the image it waited for."""
    result: list[object] = []

    def watch() -> None:
        limits = RunLimits(None, 0.0001)
        items = iter([1, 2, 3])
        try:
            for item in limits.watch(items):
                result.append(item)
                time.sleep(0.5)
        except LimitReachedError:
            result.append("stopped")

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert result == [1, "stopped"]


@pytest.fixture
def many(tmp_path: Path, make_png: Callable[..., np.ndarray]) -> None:
    """A manifest of 30 rows: the first 25 are missing, the others are pictures."""
    for index in range(25, 30):
        make_png(tmp_path / f"{index}.png", height=12, width=12, seed=index)
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"{index}.png\n" for index in range(30)))


@pytest.mark.usefixtures("many")
def test_a_run_that_fails_too_often_stops_and_goes_on(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Rows not attempted are skipped with the reason; without the limit the same command does them."""
    stopped = run(tiny_config(max_failure_rate=0.3), observer)
    assert stopped.stopped is not None
    assert "over --max-failure-rate 0.3" in stopped.stopped
    assert stopped.done + stopped.failed == ENOUGH
    assert stopped.skipped == 10
    rows = read_records(str(tmp_path / "out"))
    assert len(rows) == 30
    reasons = {row["error_message"] for row in rows.values() if row["status"] == "skipped"}
    assert reasons == {f"not attempted: {stopped.stopped}"}
    assert not (tmp_path / "out/_SUCCESS").exists()
    assert not (tmp_path / "out/_lock").exists()
    finished = run(tiny_config(), observer)
    assert (finished.done + finished.already_done, finished.failed, finished.skipped) == (5, 25, 0)
    assert finished.stopped is None


@pytest.mark.usefixtures("images")
def test_a_run_out_of_time_stops(tmp_path: Path, srpipe: Callable[..., tuple[int, str, str]]) -> None:
    """Exit code 4, the sentence says why, and the same command without the limit ends with 0."""
    options = ("run", "m.csv", "-o", "out", "-s", "2", "--executor", "inline", "--prior", "none", "--steps", "1")
    code, out, _ = srpipe(*options, "--max-hours", "0")
    assert (code, "stopped (--max-hours 0 are over)" in out, "3 skipped" in out) == (4, True, True)
    assert srpipe(*options)[0] == 0
    assert (tmp_path / "out/_SUCCESS").exists()


@pytest.mark.usefixtures("images")
def test_the_time_ends_an_image_in_this_process_too(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Its fit of hours is dropped and told as not attempted, not as a failure."""
    settings = replace(tiny_config().settings, fit=replace(tiny_config().settings.fit, steps=10**6))
    started = time.monotonic()
    summary = run(tiny_config(settings=settings, max_hours=1 / 3600), observer)
    assert time.monotonic() - started < 30
    assert (summary.failed, summary.skipped) == (0, 3)
    assert {row["status"] for row in read_records(str(tmp_path / "out")).values()} == {"skipped"}


@pytest.mark.usefixtures("images")
def test_of_two_commits_of_a_key_none_is_believed(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """Nothing says which record matches the tiles: the image is processed again, and one record is left."""
    run(tiny_config(), observer)
    out = str(tmp_path / "out")
    (commit,) = list_commits(out)["a.png"]
    storage.write(replace(commit, settings="0123456789abcdef").uri(out), storage.read(commit.uri(out)))
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.already_done) == (1, 2)
    assert list_commits(out)["a.png"] == [commit]


@pytest.mark.usefixtures("images")
def test_two_runs_on_one_output(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """The second is refused while the first is at work, and changes nothing; after it, it finds all done."""

    class Second(Observer):
        def __init__(self) -> None:
            self.refused = ""

        def planned(self, *_: object) -> None: ...

        def finished(self, _record: Record) -> None:
            files = sorted(path for path in (tmp_path / "out").rglob("*") if "_lock" not in str(path))
            with pytest.raises(UsageError, match="is at work on") as refused:
                run(tiny_config(), observer)
            self.refused = str(refused.value)
            assert files == sorted(path for path in (tmp_path / "out").rglob("*") if "_lock" not in str(path))

    second = Second()
    summary = run(tiny_config(), second)
    assert summary.run_id in second.refused
    assert run(tiny_config(), observer).already_done == 3


@pytest.mark.usefixtures("images")
def test_a_run_whose_output_was_taken_over_stops(
    tmp_path: Path, srpipe: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With exit code 1 and one sentence, before it touches the table of the other."""
    original = Worker.__call__

    def taken_over(self: Worker, unit: Any) -> Iterator[Record]:
        for done in original(self, unit):
            Path(lock(str(tmp_path / "out"), 2)).write_text("{}")
            time.sleep(0.6)  # until the lease is to be renewed
            yield done

    monkeypatch.setattr(Worker, "__call__", taken_over)
    monkeypatch.setattr("pipeline.output.lock.Lock", partial(Lock, term=timedelta(seconds=2)))
    code, _, err = srpipe(
        "run", "m.csv", "-o", "out", "-s", "2", "--executor", "inline", "--prior", "none", "--steps", "1"
    )
    assert code == 1
    assert "another run has taken" in err
    assert not (tmp_path / "out/manifest.parquet").exists()


@pytest.mark.usefixtures("images")
def test_retry_does_what_failed_and_nothing_else(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    make_png: Callable[..., np.ndarray],
    read_records: ReadRecords,
) -> None:
    """With the manifest and settings of the run, from anywhere; only the kinds that are asked for."""
    (tmp_path / "b.png").write_bytes(b"?")
    (tmp_path / "m.csv").write_text("uri\na.png\nb.png\nsub/c.png\nd.png\n")
    first = run(tiny_config(limit=3, max_hours=5), observer)
    assert first.errors == {"corrupt": 1}
    run(tiny_config(), observer)
    make_png(tmp_path / "b.png", height=9, width=9)
    make_png(tmp_path / "d.png", height=9, width=9)
    out = str(tmp_path / "out")
    config, keys = failed_work(out, [ErrorType.MISSING])
    assert keys == {"d.png"}
    assert config == replace(tiny_config(), existing=Existing.RESUME)
    summary = run(config, observer, keys)
    assert (summary.done, summary.already_done, summary.skipped, summary.failed) == (1, 2, 1, 0)
    assert read_records(out)["b.png"]["error_type"] == "corrupt"
    assert not (tmp_path / "out/_SUCCESS").exists()
    config, keys = failed_work(out, [])
    assert keys == {"b.png"}
    assert run(config, observer, keys).done == 1
    assert {row["status"] for row in read_records(out).values()} == {"done"}
    assert (tmp_path / "out/_SUCCESS").exists()
    with pytest.raises(UsageError, match="nothing to retry"):
        failed_work(out, [])


@pytest.mark.usefixtures("images")
def test_retry_from_another_folder(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    make_prior: Callable[..., bytes],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the run was given relative to its folder, manifest, root and prior, still means the same."""
    (tmp_path / "m.csv").write_text("uri\na.png\nlate.png\n")
    (tmp_path / "p").write_bytes(make_prior())
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    run(tiny_config(manifest="m.csv", root=".", prior_name="p"), observer)
    (tmp_path / "late.png").write_bytes((tmp_path / "a.png").read_bytes())
    monkeypatch.chdir(tmp_path / "elsewhere")
    config, keys = failed_work(str(tmp_path / "out"), [])
    (tmp_path / "p").write_bytes(make_prior(seed=1))
    with pytest.raises(UsageError, match="is another one than when"):
        failed_work(str(tmp_path / "out"), [])
    (tmp_path / "p").write_bytes(make_prior())
    assert run(config, observer, keys).done == 1


@pytest.mark.usefixtures("images")
def test_retry_on_the_command_line(tmp_path: Path, srpipe: Callable[..., tuple[int, str, str]]) -> None:
    """It needs OUT alone; exit codes as those of run."""
    (tmp_path / "m.csv").write_text("uri\na.png\nd.png\n")
    run_it = ("run", "m.csv", "-o", "out", "-s", "2", "--executor", "inline", "--prior", "none", "--steps", "1")
    assert srpipe(*run_it)[0] == 3
    assert srpipe("retry", "out", "--error-type", "corrupt")[0] == 2
    assert srpipe("retry", "out", "--error-type", "nonsense")[0] == 2
    assert srpipe("retry", "out", "--json")[0] == 3
    (tmp_path / "d.png").write_bytes((tmp_path / "a.png").read_bytes())
    code, out, _ = srpipe("retry", "out")
    assert code == 0
    assert "1 done, 1 already done" in out
    code, _, err = srpipe("retry", "nowhere")
    assert code == 2
    assert "holds no run" in err


@pytest.mark.usefixtures("images")
def test_retry_refuses_what_it_would_not_do_alike(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of a version that gives other pixels, or knew other options, is not mixed with this one's."""
    (tmp_path / "m.csv").write_text("uri\na.png\nd.png\n")
    run(tiny_config(), observer)
    out = str(tmp_path / "out")
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.config.ALGORITHM_VERSION", 10**6)
        with pytest.raises(UsageError, match="use srpipe run"):
            failed_work(out, [])
    text = (tmp_path / "out/run.json").read_text()
    for damaged, sentence in (
        (text.replace('"settings"', '"zettings"'), "another version"),
        (text[:50], "is damaged"),
        ("[]", "another version"),
    ):
        (tmp_path / "out/run.json").write_text(damaged)
        with pytest.raises(UsageError, match=sentence):
            failed_work(out, [])


@pytest.mark.usefixtures("images")
def test_retry_leaves_the_pool_of_the_run_behind(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, srpipe: Callable[..., tuple[int, str, str]]
) -> None:
    """A run of four workers is retried in one process; and what the manifest no longer names is no work."""
    (tmp_path / "m.csv").write_text("uri\nlate.png\n")
    run(tiny_config(max_failure_rate=0.5), observer)
    held = json.loads((tmp_path / "out/run.json").read_text())
    held["config"] |= {"workers": 4, "executor": "ray", "address": "127.0.0.1:1"}
    (tmp_path / "out/run.json").write_text(json.dumps(held))
    assert failed_work(str(tmp_path / "out"), [])[0].max_failure_rate is None
    (tmp_path / "late.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    code, _, err = srpipe("retry", "out", "--executor", "inline")
    assert (code, "is to be done by" in err) == (2, True)
    (tmp_path / "m.csv").write_text("uri\nlate.png\n")
    assert srpipe("retry", "out", "--executor", "inline")[0] == 0


def test_a_config_survives_json(tiny_config: MakeConfig) -> None:
    """What run.json holds gives the same RunConfig again, every kind of value in it."""
    config = tiny_config(gpus_per_worker=0.5, workers=3, limit=2, root="/r", strict=True, max_seconds=1.5, deep=True)
    assert parse_config(json.loads(to_json(config))) == config
    with pytest.raises(ValueError, match="unknown"):
        parse_config({**to_plain(config), "unknown": 1})
    with pytest.raises(ValueError, match="sideways"):
        parse_config({**to_plain(config), "executor": "sideways"})


@pytest.mark.usefixtures("images")
def test_deep_tells_a_change_that_size_and_time_do_not(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, pixels: Callable[..., np.ndarray]
) -> None:
    """Other bytes with the same time and size are processed again; the same bytes with another time are not."""
    image = tmp_path / "a.bmp"
    (tmp_path / "m.csv").write_text("uri\na.bmp\n")
    Image.fromarray(pixels(seed=1)).save(image)
    moment = image.stat().st_mtime
    run(tiny_config(), observer)
    assert run(tiny_config(deep=True), observer).done == 1
    os.utime(image, (1, 1))
    assert run(tiny_config(deep=True), observer).already_done == 1
    Image.fromarray(pixels(seed=2)).save(image)
    os.utime(image, (moment, moment))
    assert run(tiny_config(deep=True), observer).done == 1
    image.unlink()
    assert run(tiny_config(deep=True), observer).errors == {"missing": 1}
