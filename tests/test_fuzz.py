"""The fuzz run in small: `make fuzz` does the same with 10,000 files."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import pipeline.driver.run
from benchmarks import fuzz
from benchmarks.fuzz import Fuzzed, keep
from benchmarks.fuzzing.batch import Batch, make_batch
from benchmarks.fuzzing.checking import Workshop
from benchmarks.fuzzing.seeds import Seed, all_seeds
from benchmarks.processes import tree

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.fixture(scope="module")
def seeds() -> list[Seed]:
    return all_seeds()


@pytest.fixture(scope="module")
def tiled(seeds: list[Seed]) -> Batch:
    """Few files that are written in tiles, some of them good."""
    batches = (make_batch(seeds, 1, number, 10) for number in range(100))
    return next(batch for batch in batches if not batch.form.one_file and any(not item.spoilt for item in batch.inputs))


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    with Workshop(tmp_path / "work") as made:
        yield made


def test_whatever_the_files_are(seeds: list[Seed], workshop: Workshop) -> None:
    """150 spoiled files under odd names: what a run promises of every file holds of each."""
    results = [workshop.run(make_batch(seeds, 1, number, 25)) for number in range(6)]
    assert [violation for result in results for violation in result.violations] == []
    statuses = [outcome.status for result in results for outcome in result.outcomes]
    assert len(statuses) == 150
    assert min(map(statuses.count, ("done", "corrupt"))) > 30


def test_repeatable(seeds: list[Seed]) -> None:
    """A batch is decided by its numbers alone; another seed or number is another batch."""
    batch = make_batch(seeds, 5, 3, 10)
    assert make_batch(all_seeds(), 5, 3, 10) == batch
    assert make_batch(seeds, 5, 4, 10).inputs != batch.inputs
    assert make_batch(seeds, 6, 3, 10).inputs != batch.inputs


def _fail(_: Workshop) -> None:
    raise RuntimeError("a bug")


def _forget_a_record(workshop: Workshop) -> None:
    table = workshop.output / "manifest.parquet"
    pq.write_table(pq.read_table(table).slice(1), table)


def _cut_tiles(workshop: Workshop) -> None:
    for tile in workshop.output.glob("tiles/**/r0000_c0000.*"):
        os.truncate(tile, 100)


def _remove_tiles(workshop: Workshop) -> None:
    for tile in workshop.output.glob("tiles/**/r0000_c0000.*"):
        tile.unlink()


def _leave_processes(_: Workshop) -> None:
    for _number in range(3):
        subprocess.Popen(["sleep", "20"])


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (_fail, "the run ended with RuntimeError"),
        (_forget_a_record, "0 records of one file"),
        (_cut_tiles, "cannot be read"),
        (_remove_tiles, "tiles instead of"),
        (lambda _: Path("here").write_text("x"), "changed or left behind"),
        (lambda _: tempfile.mkstemp(), "changed or left behind"),
        (lambda workshop: next(workshop.input.rglob("*.*")).write_bytes(b"x"), "changed or left behind"),
        (lambda workshop: (workshop.output / "tiles/.tmp-1").write_bytes(b"x"), "changed or left behind"),
        (_leave_processes, "processes are left"),
    ],
)
def test_what_is_wrong_is_seen(
    spoil: Callable[[Workshop], None],
    told: str,
    tiled: Batch,
    workshop: Workshop,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run that breaks one of its promises is told of, with the files that it is about."""
    run = pipeline.driver.run.run

    def run_badly(*arguments: object) -> None:
        run(*arguments)  # type: ignore[arg-type]
        spoil(workshop)

    monkeypatch.setattr(pipeline.driver.run, "run", run_badly)
    violations = workshop.run(tiled).violations
    assert any(told in violation.what and violation.paths for violation in violations)
    for started in set(tree(os.getpid())):
        if Path(f"/proc/{started}/comm").read_text() == "sleep\n":
            os.kill(started, signal.SIGKILL)


def test_a_bug_is_seen_and_kept(
    tiled: Batch, workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception in the work on an image is told of, and its file is kept with what was done to it."""

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("pipeline.work.image_work.fit_stages", fail)
    violation = workshop.run(tiled).violations[0]
    assert "error type internal" in violation.what
    keep(tmp_path / "kept", tiled.inputs, [(violation.what, violation.paths)])
    (kept,) = (item for item in tiled.inputs if item.path in violation.paths)
    assert (tmp_path / "kept" / kept.path).read_bytes() == kept.data
    assert kept.seed.name in (tmp_path / "kept/why.txt").read_text()


def test_a_dead_or_hanging_run(seeds: list[Seed], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose process dies or does not end is told of, and there is a new one for the next batch."""
    monkeypatch.chdir(tmp_path)
    with Fuzzed(seeds, 1) as fuzzed:
        os.kill(fuzzed.process.pid or 0, signal.SIGKILL)
        (violation,) = fuzzed.run(0).violations
        assert "exit code -9" in violation.what
        monkeypatch.setattr(fuzz, "BATCH_SECONDS", 0.01)
        (violation,) = fuzzed.run(0).violations
        assert "not done after 0.01 s" in violation.what
