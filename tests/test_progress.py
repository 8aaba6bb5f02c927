"""How far a run is and how long it will take: by work, from what was measured; and the heartbeat that tells it."""

import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

import pipeline.driver.progress
from pipeline import storage
from pipeline.driver import figures
from pipeline.driver.beating import beating, interval
from pipeline.driver.capacity import Workers
from pipeline.driver.observer import Observer
from pipeline.driver.pace import Pace
from pipeline.driver.plan import Plan
from pipeline.driver.pool import Pool
from pipeline.driver.progress import Progress
from pipeline.driver.run import run
from pipeline.errors import LostLockError, UsageError
from pipeline.output.heartbeat import Heartbeat, State, read_heartbeat, write_heartbeat
from pipeline.output.record import Record
from pipeline.output.status import Status
from pipeline.work.estimates import enlarging_seconds, fitting_seconds
from pipeline.work.ledger import Book
from pipeline.work.units import Division, GroupRecord, Row, Scene
from sr_ops.settings import Method, Settings

from .fixture_types import MakeConfig, MakePng

SETTINGS = Settings(scale=2, method=Method.PRIOR, kernel="bicubic")

STARTED = datetime(2026, 1, 1, tzinfo=UTC)


# ---- pace -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("each", "factor"), [(0.05, 0.3), (0.5, 4.0), (0.0, 1.0), (2.0, 0.1)])
def test_pace_is_learned(each: float, factor: float) -> None:
    """Seconds that are `each` an image and `factor` times the guess are foretold, of images of any size."""
    pace = Pace()
    for guess in (0.01, 0.1, 1.0, 5.0, 20.0, 0.02, 0.3) * 5:
        pace.learn(guess, each + factor * guess)
    for guess, images in ((0.5, 50), (100.0, 1), (50.0, 100), (300.0, 300)):
        assert pace.seconds(guess, images) == pytest.approx(
            images * each + guess * factor, rel=0.15, abs=0.005 * images
        )


def test_pace_of_one_part_is_its_ratio() -> None:
    """What was foretold too short by a factor is too short everywhere, as far as one part can tell."""
    pace = Pace()
    before = pace.seconds(10.0, 5)
    pace.learn(2.0, 3 * pace.seconds(2.0, 1))
    assert pace.seconds(10.0, 5) == pytest.approx(3 * before, rel=0.2)


def test_pace_is_never_negative() -> None:
    """Longer work that took less is no work that takes less than nothing."""
    pace = Pace()
    for guess, taken in ((1.0, 9.0), (2.0, 5.0), (3.0, 1.0)):
        pace.learn(guess, taken)
    assert pace.seconds(100.0, 1) > 0


# ---- how far, how long ----------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Seconds since STARTED, in a list that a test changes; the time of all in progress.py."""
    seconds = [0.0]
    monkeypatch.setattr(pipeline.driver.progress, "now", lambda: STARTED + timedelta(seconds=seconds[0]))
    monkeypatch.setattr(pipeline.driver.progress.time, "monotonic", lambda: 1000.0 + seconds[0])
    yield seconds
    monkeypatch.undo()


def row(index: int, size: int, kind: str = "png") -> Row:
    return Row(index, index + 2, f"{index}.{kind}", f"/in/{index}.{kind}", SETTINGS.scale, size)


def progress_of(rows: list[Row], workers: int = 1, units: int | None = None) -> Progress:
    step = -(-len(rows) // (units or len(rows))) if rows else 1
    parts = tuple(tuple(rows[start : start + step]) for start in range(0, len(rows), step))
    progress = Progress("id", STARTED, Plan(parts, (), (), (), 0), SETTINGS, 3.0, Observer())
    progress.begin(Workers(workers, "--workers"))
    return progress


def done(of: Row, side: int, ended: float, began: float, worker: str = "w") -> Record:
    return Record(
        key=of.key,
        manifest_line=of.line,
        source_uri=of.uri,
        status=Status.DONE,
        width=side,
        height=side,
        sr_width=2 * side,
        sr_height=2 * side,
        worker=worker,
        started_at=STARTED + timedelta(seconds=began),
        finished_at=STARTED + timedelta(seconds=ended),
    )


def test_eta_is_by_work_not_by_files(clock: list[float]) -> None:
    """Few large images, then many thumbnails: after each what is left is foretold, where counting files is far off."""
    large = [1500, 1200, 1000, 1000, 800]
    sides = large + [60] * 300
    rows = [row(index, side * side // 2) for index, side in enumerate(sides)]
    seconds = [0.15 + 3.0 * (fitting_seconds(SETTINGS) + enlarging_seconds(side**2, SETTINGS)) for side in sides]
    progress, moment = progress_of(rows), 0.0
    for index, (of, side, taken) in enumerate(zip(rows, sides, seconds, strict=True)):
        began, moment = moment, moment + taken
        clock[0] = moment
        record = done(of, side, moment, began)
        progress.answered(record)
        progress.finished(record)
        left = sum(seconds[index + 1 :])
        told = progress.now()
        if index in (2, 4, 50, 150, 290):
            closely = index > len(large)  # of thumbnails nothing is known before the first of them
            assert told.eta_seconds == pytest.approx(left, rel=0.1 if closely else 0.5)
            assert told.fraction == pytest.approx(moment / (moment + left), abs=0.02 if closely else 0.1)
            assert told.eta_is_measured
        if index == 4:
            by_files = moment / (index + 1) * (len(rows) - index - 1)
            assert by_files > 10 * left
    assert told.images.left == 0
    assert (told.fraction, told.eta_seconds) == (1.0, 0.0)


def test_eta_counts_down_between_answers_and_admits_to_be_late(clock: list[float]) -> None:
    """With every second one less, and never nothing while something is left: what is late stays so for a while."""
    rows = [row(index, 250_000) for index in range(4)]
    progress = progress_of(rows)
    clock[0] = 10.0
    progress.answered(done(rows[0], 500, 10.0, 0.0))
    progress.finished(done(rows[0], 500, 10.0, 0.0))
    first = progress.now().eta_seconds
    assert first == pytest.approx(30.0, rel=0.1)
    clock[0] = 14.0
    assert progress.now().eta_seconds == pytest.approx(first - 4.0)
    clock[0] = 110.0
    assert progress.now().eta_seconds == pytest.approx(10.0)


def test_a_guess_that_was_overrun_is_none(clock: list[float]) -> None:
    """Before the first image the time is a rule of thumb, and said to be one; when it is over, nothing is known."""
    progress = progress_of([row(0, 1_000_000)])
    told = progress.now()
    assert told.eta_seconds is not None
    assert told.eta_seconds > 0
    assert not told.eta_is_measured
    clock[0] = 2 * told.eta_seconds
    assert progress.now().eta_seconds is None


def test_more_workers_take_less_time(clock: list[float]) -> None:
    """Two workers halve what is left; seconds of both are told apart by their names."""
    rows = [row(index, 250_000) for index in range(40)]
    progress = progress_of(rows, workers=2)
    progress.living_workers(2)
    for index, of in enumerate(rows[:20]):
        clock[0] = 5.0 * (index // 2 + 1)
        record = done(of, 500, clock[0], clock[0] - 5.0, worker=f"w{index % 2}")
        progress.answered(record)
        progress.finished(record)
    assert progress.now().eta_seconds == pytest.approx(50.0, rel=0.1)


def test_pixels_in_a_byte_are_learned(clock: list[float]) -> None:
    """Files of a kind that hold other than the usual number of pixels are foretold right after the first."""
    rows = [row(index, 10_000_000, "jpg") for index in range(10)]
    progress = progress_of(rows)
    assert progress.now().megapixels.total == pytest.approx(4 * 40.0 * 10)
    clock[0] = 1.0
    progress.answered(done(rows[0], 2000, 1.0, 0.0))
    told = progress.now().megapixels
    assert told.done == pytest.approx(16.0)
    assert told.total == pytest.approx(160.0, rel=0.05)
    assert told.per_second == pytest.approx(16.0)


def test_a_scene_counts_as_its_groups_are_done(clock: list[float]) -> None:
    """Its pixels and work group by group; a group that is answered twice counts once, and so does the scene."""
    of = row(0, 1_000_000)
    progress = progress_of([of], workers=4)
    assert progress.now().workers.planned == 1
    clock[0] = 10.0
    fitted = done(of, 4000, 10.0, 0.0)
    progress.answered(Scene(of, replace(fitted, status=Status.FAILED), ((0, 16), (16, 32), (32, 64))))
    told = [progress.now()]
    assert told[0].workers.planned == 4
    for number, (start, stop) in enumerate(((0, 16), (0, 16), (32, 64), (16, 32))):
        clock[0] += 20.0
        group = done(of, 0, clock[0], clock[0] - 20.0, worker=f"w{number}")
        progress.answered(GroupRecord(start, stop, (), group))
        told.append(progress.now())
    assert [beat.megapixels.done for beat in told] == pytest.approx([0.0, 16.0, 16.0, 48.0, 64.0])
    assert {beat.megapixels.total for beat in told} == {64.0}
    assert [beat.images.done for beat in told] == [0] * 5
    fractions = [beat.fraction for beat in told]
    assert fractions == sorted(fractions)
    assert 0.2 < fractions[1] < 0.4
    progress.finished(fitted)
    assert (progress.now().images.done, progress.now().megapixels.done) == (1, pytest.approx(64.0))


def test_work_of_an_earlier_run_teaches_nothing(clock: list[float]) -> None:
    """An image that is answered from its commit took no time now."""
    rows = [row(index, 250_000) for index in range(4)]
    progress = progress_of(rows)
    clock[0] = 1.0
    progress.answered(done(rows[0], 500, -3600.0, -7200.0))
    assert not progress.now().eta_is_measured


def test_failures_are_counted_by_kind(clock: list[float]) -> None:
    """And leave what is left; the latest few are told with their sentences."""
    rows = [row(index, 250_000) for index in range(9)]
    progress = progress_of(rows)
    clock[0] = 1.0
    for index, kind in enumerate(["missing"] * 5 + ["corrupt"] * 3):
        failed = Record(
            key=rows[index].key,
            manifest_line=1,
            source_uri="",
            status=Status.FAILED,
            error_type=kind,
            error_message=f"sentence {index}",
        )
        progress.answered(failed)
        progress.finished(failed)
    told = progress.now()
    assert told.failed_by == {"missing": 5, "corrupt": 3}
    assert (told.images.failed, told.images.left) == (8, 1)
    assert [one.error_message for one in told.last_failures] == [f"sentence {index}" for index in range(3, 8)]


def test_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is silent for too long is not counted, and is again when it shows itself."""
    seconds = [0.0]
    monkeypatch.setattr("pipeline.work.ledger.time.monotonic", lambda: seconds[0])
    signs = Book(set)
    signs.sign("a")
    seconds[0] = 8.0
    signs.sign("b")
    assert signs.alive(12.0) == 2
    seconds[0] = 15.0
    assert signs.alive(12.0) == 1
    signs.sign("a")
    assert signs.alive(12.0) == 2


# ---- the heartbeat --------------------------------------------------------------------------------------------------


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.driver.beating._LOCAL_SECONDS", 0.01)
    monkeypatch.setattr("pipeline.driver.beating._S3_SECONDS", 0.05)


def is_sound(beat: Heartbeat) -> bool:
    counted = beat.images
    parts = (counted.done, counted.already_done, counted.failed, counted.skipped, counted.left)
    return min(parts) >= 0 and sum(parts) == counted.total and sum(beat.failed_by.values()) == counted.failed


class Reader(Observer):
    """Reads what is written as others see it, after each image."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.beats: list[Heartbeat] = []

    def finished(self, _record: Record) -> None:
        last = self.beats[-1].updated if self.beats else None
        for _ in range(3000):
            beat = read_heartbeat(self.output)
            if beat is not None and beat.updated != last and (not self.beats or beat.seconds > self.beats[-1].seconds):
                self.beats.append(beat)
                return
            threading.Event().wait(0.005)
        raise AssertionError("no new heartbeat")


@pytest.mark.parametrize("place", ["local", "s3"])
@pytest.mark.usefixtures("images", "fast")
def test_heartbeat_of_a_run(
    tmp_path: Path, tiny_config: MakeConfig, place: str, request: pytest.FixtureRequest
) -> None:
    """Written while the run goes on, whole at every moment; at the end it says what the summary says."""
    output = str(tmp_path / "out") if place == "local" else f"{request.getfixturevalue('s3_bucket')}/out"
    (tmp_path / "m.csv").write_text("uri\na.png\ngone.png\nb.png\n../../x\nsub/c.png\n")
    reader = Reader(output)
    summary = run(tiny_config(output=output, limit=4), reader)
    assert len(reader.beats) == 3
    assert all(is_sound(beat) for beat in reader.beats)
    assert {beat.state for beat in reader.beats} == {State.RUNNING}
    assert {beat.workers.alive for beat in reader.beats} == {1}
    last = read_heartbeat(output)
    assert last is not None
    assert is_sound(last)
    assert (last.state, last.stopped_by, last.eta_seconds, last.fraction) == (State.FINISHED, None, None, 1.0)
    assert (last.images.done, last.images.failed, last.images.skipped) == (summary.done, summary.failed, 1)
    assert (last.failed_by, last.run_id) == (summary.errors, summary.run_id)
    sides = ((20, 24), (33, 17))
    assert last.megapixels.done == pytest.approx(sum(4 * height * width for height, width in sides) / 1e6)
    again = run(tiny_config(output=output), Observer())
    then = read_heartbeat(output)
    assert then is not None
    assert (then.images.already_done, then.images.done, then.run_id) == (2, 1, again.run_id)


class Stopping(Observer):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def finished(self, _record: Record) -> None:
        raise self.error


@pytest.mark.usefixtures("images", "fast")
@pytest.mark.parametrize("error", [KeyboardInterrupt("SIGINT"), OSError("the disk is gone"), RuntimeError("a bug")])
def test_a_run_that_is_broken_off_has_stopped(tmp_path: Path, tiny_config: MakeConfig, error: BaseException) -> None:
    """By a signal, an error or a bug: the last heartbeat says so, and why."""
    with pytest.raises(type(error)):
        run(tiny_config(), Stopping(error))
    beat = read_heartbeat(str(tmp_path / "out"))
    assert beat is not None
    assert (beat.state, beat.stopped_by, beat.workers.alive) == (State.STOPPED, str(error), 0)
    assert beat.images.done == 1


@pytest.mark.usefixtures("images", "fast")
def test_a_limit_stops(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """The heartbeat names it."""
    summary = run(tiny_config(max_hours=1e-9), Observer())
    beat = read_heartbeat(str(tmp_path / "out"))
    assert beat is not None
    assert (beat.state, beat.stopped_by) == (State.STOPPED, summary.stopped)


@pytest.mark.usefixtures("images", "fast")
def test_a_heartbeat_that_cannot_be_written_stops_nothing(
    tmp_path: Path, tiny_config: MakeConfig, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder lies in its place: the run is done, and it is told once."""
    (tmp_path / "out/progress.json").mkdir(parents=True)
    assert run(tiny_config(), Observer()).done == 3
    assert [record.message for record in caplog.records if "progress" in record.message] == [
        f"cannot write the progress of {tmp_path}/out: {storage.reason(_write_error(tmp_path))}"
    ]


def _write_error(tmp_path: Path) -> OSError:
    with pytest.raises(OSError, match="directory") as failed:
        storage.write(str(tmp_path / "out/progress.json"), b"")
    return failed.value


@pytest.mark.usefixtures("fast")
def test_who_lost_its_output_writes_nothing(tmp_path: Path) -> None:
    """progress.json is the other run's by then, at the end, too."""

    def lost() -> None:
        raise LostLockError

    with beating(str(tmp_path), progress_of([row(0, 1)]), lost) as heart, heart.watching(None):
        threading.Event().wait(0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fast")
def test_nobody_is_asked_for_life_after_the_end(tmp_path: Path) -> None:
    """A question to a pool that is gone would start Ray anew."""
    asked: list[bool] = []
    gone = [False]

    def alive() -> int:
        asked.append(gone[0])
        return 1

    pool = Pool(lambda _: iter(()), Workers(1, ""), alive)
    with beating(str(tmp_path), progress_of([row(0, 1)]), lambda: None) as heart:
        with heart.watching(pool):
            threading.Event().wait(0.1)
        gone[0] = True
        threading.Event().wait(0.1)
    assert asked
    assert not any(asked)


@pytest.mark.usefixtures("images")
def test_a_refused_run_leaves_the_old_heartbeat(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """What could not begin has no progress."""
    run(tiny_config(), Observer())
    before = (tmp_path / "out/progress.json").read_bytes()
    with pytest.raises(UsageError):
        run(tiny_config(limit=1, strict=True, manifest=str(tmp_path / "none.csv")), Observer())
    assert (tmp_path / "out/progress.json").read_bytes() == before


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "was not written by srpipe"),
        ('{"percent": 3}', "was not written by srpipe"),
        ("{", "was not written by srpipe"),
        ('{"version": 99, "new": 1}', "later srpipe"),
    ],
)
def test_progress_of_others_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    """Another program's file of that name, and a later version's."""
    (tmp_path / "progress.json").write_text(text)
    with pytest.raises(UsageError, match=sentence):
        read_heartbeat(str(tmp_path))


def test_a_heartbeat_is_read_as_it_was_written(tmp_path: Path, clock: list[float]) -> None:
    """And fields that a later version adds do no harm."""
    clock[0] = 5.0
    beat = progress_of([row(0, 1)]).now()
    write_heartbeat(str(tmp_path), beat)
    assert read_heartbeat(str(tmp_path)) == beat
    held = json.loads((tmp_path / "progress.json").read_text())
    (tmp_path / "progress.json").write_text(json.dumps(held | {"more": 1}))
    assert read_heartbeat(str(tmp_path)) == beat
    assert read_heartbeat(str(tmp_path / "nowhere")) is None


# ---- what is told of it ---------------------------------------------------------------------------------------------

PAGE = Path(__file__).parent.parent / "docs/progress.md"


def paths(kind: Any, before: str = "") -> Iterator[str]:
    """`images.done` and all others of a dataclass."""
    hints = get_type_hints(kind)
    for one in fields(kind):
        inner = [part for part in (hints[one.name], *get_args(hints[one.name])) if is_dataclass(part)]
        if inner:
            yield from paths(inner[0], f"{before}{one.name}.")
        else:
            yield before + one.name


def first_cells(text: str) -> set[str]:
    """The names in the first column of a table in Markdown."""
    rows = re.findall(r"^\| (`.*?) \|", text, re.MULTILINE)
    return {name for row in rows for name in re.findall(r"`([\w.]+)`", row)}


def test_the_page_tells_every_field_and_metric() -> None:
    """docs/progress.md has all of progress.json and of the figures for Prometheus, and no other."""
    _, _, page = PAGE.read_text().partition("## progress.json")
    table, _, prometheus = page.partition("\n## Prometheus")
    assert first_cells(table) == set(paths(Heartbeat))
    assert first_cells(prometheus) == {f"ray_{name}" for name in (*figures.GAUGES, *figures.COUNTERS)}


def test_every_figure_has_a_value(clock: list[float]) -> None:
    """Gauges and counters are those that are declared, with the heartbeat's numbers."""
    clock[0] = 1.0
    beat = replace(progress_of([row(0, 1)]).now(), failed_by={"missing": 2})
    beat = replace(beat, workers=replace(beat.workers, alive=2))
    assert set(figures.gauges(beat)) == set(figures.GAUGES)
    assert {name for name, _ in figures.counters(beat)} == set(figures.COUNTERS)
    assert figures.counters(beat)[figures.FAILED, "missing"] == 2
    assert figures.gauges(beat)["srpipe_images_left"] == 1


def test_divided_runs_tell_groups(
    tmp_path: Path,
    tiny_config: MakeConfig,
    make_png: MakePng,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A run with a scene: its observer hears of the fit, then of the groups, then of the image."""
    make_png(tmp_path / "big.png", height=60, width=60)
    (tmp_path / "m.csv").write_text("uri\nbig.png\n")
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=500, group_seconds=1e-4))
    assert run(tiny_config(), observer).done == 1
    kinds = [type(answer) for answer in observer.answers]
    assert kinds[0] is Scene
    assert set(kinds[1:]) == {GroupRecord}
    beat = read_heartbeat(str(tmp_path / "out"))
    assert beat is not None
    assert beat.megapixels.done == pytest.approx(120 * 120 / 1e6)
    assert observer.heartbeat().images.done == 1


def test_how_often_a_heartbeat_is_written() -> None:
    """As docs/progress.md says: on S3 every one costs money."""
    assert (interval("/data/out"), interval("s3://bucket/out")) == (3.0, 15.0)


@pytest.mark.usefixtures("fast")
def test_waiting_for_workers_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While none is alive, again and again; not while one lives, and not while nobody knows."""
    monkeypatch.setattr("pipeline.driver.beating._WAIT_SECONDS", 0.05)
    for alive, told in ((1, 0), (None, 0), (0, 2)):
        pool = Pool(lambda _: iter(()), Workers(8, ""), lambda alive=alive: alive)  # type: ignore[misc]
        caplog.clear()
        ends = time.monotonic() + (10 if told else 0.5)
        with beating(str(tmp_path), progress_of([row(0, 1)]), lambda: None) as heart, heart.watching(pool):
            while len(caplog.messages) < max(told, 1) and time.monotonic() < ends:
                time.sleep(0.01)
        assert caplog.messages[:told] == ["0 of 8 workers alive; waiting for the cluster"] * told
        assert bool(caplog.messages) == bool(told)
