"""`srpipe watch`: a run seen from elsewhere, in each of the states in which it can be."""

import io
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import jobs.watching
from jobs.amounts import duration, kinds, pixels
from jobs.bar import drawn
from pipeline import storage
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.output.heartbeat import (
    Failure,
    Heartbeat,
    Images,
    Living,
    Megapixels,
    State,
    read_heartbeat,
    write_heartbeat,
)
from pipeline.output.lock import SCORING, Lock
from pipeline.output.record import Record

from .fixture_types import MakeConfig, Refusal, Srpipe

HEARTBEAT = Heartbeat(
    version=1,
    run_id="r1",
    srpipe_version="0",
    state=State.RUNNING,
    started=datetime(2026, 1, 1, tzinfo=UTC),
    updated=datetime(2026, 1, 1, tzinfo=UTC),
    interval_seconds=3.0,
    seconds=125.0,
    images=Images(16, 9, 2, 1, 1),
    failed_by={"corrupt": 1},
    megapixels=Megapixels(31.8, 37.5, 0.26),
    fraction=0.834,
    eta_seconds=65.0,
    eta_is_measured=True,
    workers=Living(1, 2, "processors for 2"),
    host="there",
    pid=7,
    last_failures=[Failure("x/[1].png", "corrupt", "cut off; replace it")],
)


def beat(age: float = 0.0, **changes: Any) -> Heartbeat:
    return replace(HEARTBEAT, updated=datetime.now(UTC) - timedelta(seconds=age), **changes)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_LOCAL_SECONDS", "_S3_SECONDS", "_LINE_SECONDS"):
        monkeypatch.setattr(jobs.watching, name, 0.05)


@pytest.fixture(params=["local", "s3"])
def out(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / "out") if request.param == "local" else f"{request.getfixturevalue('s3_bucket')}/some/out"


# ---- how it stands --------------------------------------------------------------------------------------------------

ENDED = {
    "all done": ({"state": State.FINISHED, "images": Images(3, 3), "failed_by": {}}, 0, "finished 3 d 0 h ago"),
    "some failed": ({"state": State.FINISHED}, 3, "1 failed (1 corrupt)"),
    "a limit": ({"state": State.STOPPED, "stopped_by": "--max-hours 1 are over"}, 4, "(--max-hours 1 are over)"),
    "Ray's words": ({"state": State.STOPPED, "stopped_by": "\x1b[36mdied\x1b[39m"}, 4, "(\\x1b[36mdied\\x1b[39m)"),
    "a signal": ({"state": State.STOPPED, "stopped_by": "SIGTERM"}, 4, "run the same command to resume"),
}


@pytest.mark.parametrize("case", ENDED)
def test_a_run_that_has_ended(out: str, srpipe: Srpipe, case: str) -> None:
    """However long ago: it says how, when, and has the exit code of that."""
    changes, code, sentence = ENDED[case]
    write_heartbeat(out, beat(age=3 * 86400, **changes))
    for options in ((), ("--once",)):
        found, told, err = srpipe("watch", out, *options)
        assert (found, err) == (code, "")
        assert sentence in told
        assert "3 d 0 h ago" in told


def test_scores_are_no_run(out: str, srpipe: Srpipe) -> None:
    """While `srpipe eval` holds the lock, a run that has ended has ended, and one that died is dead."""
    for state, code, sentence in ((State.FINISHED, 3, "finished"), (State.RUNNING, 1, "the run died")):
        write_heartbeat(out, beat(age=86400, state=state))
        with Lock(out, f"{SCORING}1"):
            found, told, _ = srpipe("watch", out, "--once")
        assert (found, sentence in told) == (code, True)


def test_a_run_that_goes_on(out: str, srpipe: Srpipe) -> None:
    """--once prints how it stands, and is done."""
    with Lock(out, "r1"):
        write_heartbeat(out, beat())
        code, told, err = srpipe("watch", out, "--once")
    assert (code, err) == (0, "")
    assert told.startswith("11 of 16 images done (2 before), 1 failed (1 corrupt), 1 skipped, 1 of 2 workers alive, 2:")
    assert re.search(r"83 %, 31.8 of about 37.5 Mpx, 0.26 Mpx/s, (1:0\d min|5\d s) left$", told)


@pytest.fixture
def going_on(out: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[int, Heartbeat]], None]:
    """Let the run that is watched write these heartbeats, each just before the look of its number, from 1 on."""

    def go_on(beats: dict[int, Heartbeat]) -> None:
        looks = itertools.count(1)

        def look(output: str) -> Heartbeat | None:
            if (number := next(looks)) in beats:
                write_heartbeat(out, beats[number])
            return read_heartbeat(output)

        monkeypatch.setattr(jobs.watching, "read_heartbeat", look)

    return go_on


def test_it_ends_when_the_run_ends(out: str, srpipe: Srpipe, going_on: Any) -> None:
    """It shows what it reads until then: each state once."""

    nearly = beat(images=Images(16, 10, 2, 1, 1), fraction=0.9)
    ended = beat(images=Images(16, 12, 2, 1, 1), fraction=1.0, state=State.FINISHED)
    going_on({2: nearly, 4: ended})
    with Lock(out, "r1"):
        write_heartbeat(out, beat())
        code, told, _ = srpipe("watch", out)
    lines = told.splitlines()
    assert code == 3
    assert lines[0].startswith("11 of 16")
    assert any(line.startswith("12 of 16") for line in lines)
    assert lines[-1].startswith("14 of 16")
    assert lines[-1].endswith("finished just now")


def test_a_run_that_died(out: str, srpipe: Srpipe) -> None:
    """Its last word is old and nobody holds the lock: exit 1, and what to do."""
    write_heartbeat(out, beat(age=400))
    code, told, _ = srpipe("watch", out)
    assert code == 1
    assert re.search(r"died without a word, 6:4\d min ago; run the same command to resume", told)
    assert " left" not in told
    assert "alive" not in told


def test_a_run_that_is_silent(out: str, srpipe: Srpipe) -> None:
    """Its lock is held: it is not given up, and its silence is told."""
    with Lock(out, "r1"):
        write_heartbeat(out, beat(age=45))
        code, told, _ = srpipe("watch", out, "--once")
    assert code == 0
    assert re.search("no sign of life for (4[5-9]|5[0-5]) s", told)


@pytest.mark.parametrize("out", ["local"], indirect=True)
def test_a_silent_run_stays_silent_and_comes_back(out: str, srpipe: Srpipe, going_on: Any) -> None:
    """By our own clock: as long as its file does not change."""
    late = beat(age=30, fraction=0.9)  # by a clock that is late
    going_on({4: late, 8: beat(state=State.FINISHED)})
    with Lock(out, "r1"):
        write_heartbeat(out, beat(age=45))
        _, told, _ = srpipe("watch", out)
    lines = told.splitlines()
    assert "no sign of life" in lines[0]
    assert [line for line in lines if "90 %" in line]
    assert not any("no sign" in line for line in lines if "90 %" in line)


def test_a_run_that_is_planned(out: str, srpipe: Srpipe) -> None:
    """Before its first heartbeat, and where that of an earlier run still lies."""
    with Lock(out, "r2"):
        for _ in range(2):
            code, told, _ = srpipe("watch", out, "--once")
            assert code == 0
            assert told == f"a run is starting ({socket.gethostname()}, process {os.getpid()})\n"
            write_heartbeat(out, beat(age=4000, state=State.FINISHED))


# ---- nothing to watch -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["nothing", "an empty folder", "pictures", "damaged", "another's", "a later's"])
def test_where_no_run_is(tmp_path: Path, refusal: Refusal, found: str) -> None:
    """One sentence and exit 2; nothing is written."""
    out = tmp_path / "out"
    if found != "nothing":
        out.mkdir()
    texts = {
        "pictures": ("a.png", "?"),
        "damaged": ("progress.json", '{"version": 1'),
        "another's": ("progress.json", '{"percent": 40}'),
        "a later's": ("progress.json", '{"version": 2}'),
    }
    if found in texts:
        name, text = texts[found]
        (out / name).write_text(text)
    err = refusal("watch", "out")
    assert "name the output of a run" in err or "use that one" in err


def test_a_bucket_that_is_not_there(srpipe: Srpipe, s3_bucket: str) -> None:
    code, _, err = srpipe("watch", f"{s3_bucket}-none/out")
    assert (code, err.count("\n")) == (2, 1)
    assert "no bucket" in err


def test_a_store_that_fails_for_a_while(tmp_path: Path, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first look it is tried again; the first must succeed."""
    out = str(tmp_path / "out")
    looks: list[int] = []
    read = jobs.watching.read_heartbeat

    def failing(output: str) -> Heartbeat | None:
        looks.append(1)
        if len(looks) == 2:
            raise OSError("throttled")
        if len(looks) == 4:
            write_heartbeat(out, beat(state=State.FINISHED))
        return read(output)

    monkeypatch.setattr(jobs.watching, "read_heartbeat", failing)
    with Lock(out, "r1"):
        write_heartbeat(out, beat())
        code, told, _ = srpipe("watch", out)
    assert code == 3
    assert "cannot read it now (throttled); trying again" in told
    looks[:] = [1]
    code, _, err = srpipe("watch", out)
    assert (code, "throttled" in err) == (2, True)


def test_a_real_run_is_watched(tmp_path: Path, images: Any, tiny_config: MakeConfig) -> None:  # noqa: ARG001
    """By another process: it sees the images of a run one by one, and ends after it with its exit code."""
    config = tiny_config()
    command = [sys.executable, "-c", "import jobs.watching as w, jobs.cli; w._LINE_SECONDS = 0.05; jobs.cli.main()"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    watching: list[subprocess.Popen[str]] = []

    class Waiting(Observer):
        def working(self, _heartbeat: Callable[[], Heartbeat]) -> None:
            while not storage.exists(f"{config.output}/progress.json"):
                threading.Event().wait(0.01)
            arguments = [*command, "watch", config.output]
            watching.append(subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment))
            assert watching[0].stdout is not None
            self.first = watching[0].stdout.readline()

        def finished(self, _record: Record) -> None:
            threading.Event().wait(0.2)

    waiting = Waiting()
    run(config, waiting)
    told, _ = watching[0].communicate(timeout=60)
    assert watching[0].returncode == 0
    assert waiting.first.startswith("0 of 3 images done")
    assert told.splitlines()[-1].startswith("3 of 3 images done")


# ---- what is drawn --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [80, 120, 200])
def test_two_lines_at_any_width(width: int) -> None:
    """Nothing is cut off from 80 columns on, and no line is longer than the terminal."""
    console = Console(width=width, force_terminal=True, file=io.StringIO(), no_color=True)
    console.print(drawn(beat()))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("━")
    assert lines[0].rstrip().endswith("83 %, 31.8 of about 37.5 Mpx, 0.26 Mpx/s, 1:05 min left")
    if width > 80:
        assert "1 of 2 workers alive" in lines[1]


def test_the_view_on_a_terminal(tmp_path: Path, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the latest failures, whose names are no markup; and which run it is, however long the output's path is."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    output = tmp_path / "of-a-long-name" / "and-a-longer-one-for-its-year" / "out"
    write_heartbeat(str(output), beat(state=State.FINISHED))
    code, told, _ = srpipe("watch", str(output))
    assert code == 3
    assert "x/[1].png: cut off; replace it" in told
    assert beat().run_id in told
    assert " failed (1 corrupt), 1 skipped" in told


DURATIONS = {0: "0 s", 59.4: "59 s", 59.6: "1:00 min", 185: "3:05 min", 7800: "2:10 h", 273_600: "3 d 4 h"}


@pytest.mark.parametrize("seconds", DURATIONS)
def test_duration(seconds: float) -> None:
    assert duration(seconds) == DURATIONS[seconds]


def test_amounts() -> None:
    assert [pixels(number) for number in (0, 0.01443, 0.05, 0.512, 3.24, 99.6, 1234.5)] == [
        *("0", "0.0144", "0.05", "0.51", "3.2", "99.6", "1,234")
    ]
    assert kinds({"missing": 1, "corrupt": 3}) == "3 corrupt, 1 missing"


def test_what_is_written_is_json(tmp_path: Path) -> None:
    """As a dashboard reads it: enums as texts, times as ISO 8601."""
    write_heartbeat(str(tmp_path), HEARTBEAT)
    held = json.loads((tmp_path / "progress.json").read_text())
    assert (held["state"], held["started"], held["images"]["done"]) == ("running", "2026-01-01T00:00:00Z", 9)
