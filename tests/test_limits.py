"""When a run stops before its work is done: too many failures, or too much time."""

import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from pipeline.driver.limits import ENOUGH, LimitReachedError, RunLimits
from pipeline.driver.run import run
from pipeline.output.record import Record
from pipeline.work.image_work import ImageWork
from pipeline.work.units import Row

from .fixture_types import MakeConfig, MakePng, ReadRecords, Srpipe


def record(status: str) -> Record:
    return Record(key="k", manifest_line=1, source_uri="u", status=status)


def test_the_failure_rate_counts_from_twenty_images_on() -> None:
    """Over the rate, not at it; what came before there were enough counts too, and what is degraded has not failed."""
    limits = RunLimits(0.5, None)
    for _ in range(ENOUGH - 1):
        limits.count(record("failed"))
    fine = RunLimits(0.0, None)
    for status in ["done", "degraded"] * 2 * ENOUGH:
        fine.count(record(status))
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


def test_what_failed_before_does_not_count_again() -> None:
    """The same bad files would end every night's run before it came to new ones; but one that is mended counts."""
    limits = RunLimits(0.5, None, failed_before={"k"})
    for _ in range(3 * ENOUGH):
        limits.count(record("failed"))
    for _ in range(ENOUGH):
        limits.count(record("done"))
        limits.count(replace(record("failed"), key="new"))
    with pytest.raises(LimitReachedError, match="21 of 41 images failed"):
        limits.count(replace(record("failed"), key="new"))


def slow(items: int) -> Iterator[int]:
    """The last of them is never ready."""
    yield from range(items)
    threading.Event().wait(60)


def end_soon(limits: RunLimits) -> None:
    """Let the time of a run be up a moment from now, however long the machine took so far."""
    limits._ends_at = time.monotonic() + 0.1
    if threading.current_thread() is threading.main_thread():
        signal.setitimer(signal.ITIMER_REAL, 0.1)


@pytest.mark.parametrize("hours", [1e9, float("inf")])
def test_more_hours_than_a_timer_takes(hours: float) -> None:
    """They are no limit, and no error."""
    assert list(RunLimits(None, hours).watch(iter(range(3)))) == [0, 1, 2]


def test_the_time_ends_the_waiting_for_an_image() -> None:
    """Also while nothing comes; the alarm of the process is put back as it was."""
    before = signal.getsignal(signal.SIGALRM)
    limits = RunLimits(None, 1)
    watched = limits.watch(slow(3))
    assert list(islice(watched, 3)) == [0, 1, 2]
    assert 3590 < signal.getitimer(signal.ITIMER_REAL)[0] <= 3600
    end_soon(limits)
    started = time.monotonic()
    with pytest.raises(LimitReachedError, match="--max-hours 1"):
        next(watched)
    assert time.monotonic() - started < 20
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)
    assert list(RunLimits(None, 1).watch(iter([1, 2]))) == [1, 2]


def test_the_time_ends_the_waiting_whatever_others_make_of_it() -> None:
    """A library in which the alarm rings may turn what it raises into an exception of its own; others stay."""

    def turning() -> Iterator[int]:
        try:
            threading.Event().wait(60)
        except BaseException as error:
            raise RuntimeError("something happened") from error
        yield 1

    def failing() -> Iterator[int]:
        raise RuntimeError("a bug")
        yield 1

    with pytest.raises(LimitReachedError, match="--max-hours 0"):
        next(RunLimits(None, 0.0001).watch(turning()))
    with pytest.raises(RuntimeError, match="a bug"):
        next(RunLimits(None, 1).watch(failing()))


def test_a_record_is_kept_whole_before_the_time_ends_the_run() -> None:
    """The alarm waits while a record is kept, and the next is not waited for."""
    limits = RunLimits(None, 1)
    watched = limits.watch(slow(3))
    assert next(watched) == 0
    end_soon(limits)
    time.sleep(0.3)
    with pytest.raises(LimitReachedError):
        next(watched)


def test_without_signals_the_time_is_looked_at_between_images() -> None:
    """A thread that is not the main one has no alarm, and stops after the image it waited for."""
    result: list[object] = []

    def watch() -> None:
        limits = RunLimits(None, 1)
        items = iter([1, 2, 3])
        try:
            for item in limits.watch(items):
                result.append(item)
                end_soon(limits)
                time.sleep(0.3)
        except LimitReachedError:
            result.append("stopped")

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert result == [1, "stopped"]


@pytest.fixture
def many(tmp_path: Path, make_png: MakePng) -> None:
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
    again = run(tiny_config(max_failure_rate=0.3), observer)
    assert (again.stopped, again.already_done, again.failed) == (None, 5, 25)


@pytest.mark.usefixtures("images")
def test_a_run_out_of_time_stops(tmp_path: Path, srpipe: Srpipe) -> None:
    """Exit code 4, the sentence says why, and the same command without the limit ends with 0."""
    options = ("run", "m.csv", "-o", "out", "-s", "2", "--executor", "inline", "--prior", "none", "--steps", "1")
    code, _, err = srpipe(*options, "--max-hours", "0", "--existing", "overwrite")
    assert (code, "with --existing resume to go on; an image that this run" in err.splitlines()[-1]) == (4, True)
    code, out, _ = srpipe(*options, "--max-hours", "0")
    assert (code, "stopped (--max-hours 0 are over)" in out, "3 skipped" in out) == (4, True, True)
    assert srpipe(*options)[0] == 0
    assert (tmp_path / "out/_SUCCESS").exists()


@pytest.mark.usefixtures("images")
def test_a_result_that_was_begun_anew_is_no_longer_told_as_done(
    tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit stopped it between its old tiles and its new ones; images not reached are done as they were."""
    config = tiny_config()
    run(config, observer)
    ended: list[str] = []

    withdraw = ImageWork._withdraw

    def stopped(work: ImageWork, row: Row) -> None:
        withdraw(work, row)
        ended.append(row.key)
        raise LimitReachedError("--max-hours 1 are over")

    monkeypatch.setattr(ImageWork, "_withdraw", stopped)
    other = replace(config, settings=replace(config.settings, seed=1))
    assert run(other, observer).stopped
    rows = read_records(config.output)
    (key,) = ended
    told = rows.pop(key)
    assert (told["status"], told["error_message"]) == ("skipped", "begun anew and not ended; run again")
    assert {row["status"] for row in rows.values()} == {"done"}


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
