"""What `srpipe run` writes to stderr: a bar on a terminal, lines elsewhere, each image with -v; or objects."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

import jobs.progress
import pipeline.driver.completing
from jobs import json_log
from jobs.console import Console
from jobs.encoding import visible
from jobs.run_log import TextLog

from .fixture_types import Srpipe

TINY = ("-s", "2", "--executor", "inline", "--method", "bicubic")

REPOSITORY = Path(__file__).parent.parent


def objects(err: str) -> list[dict[str, Any]]:
    """Every line of stderr, each of which is one."""
    return [json.loads(line) for line in err.splitlines()]


@pytest.fixture
def _broken(tmp_path: Path, images: Any) -> None:  # noqa: ARG001
    (tmp_path / "m.csv").write_text("uri\na.png\ngone.png\nb.png\n../../x\n")


@pytest.mark.usefixtures("_broken")
def test_json_lines(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of stderr is objects with a time, a level and an event; stdout stays as it is; phases come with -v alone."""
    monkeypatch.setattr(jobs.progress, "_LINE_SECONDS", 0.0)
    code, out, err = srpipe("run", "m.csv", "-o", "out", "--log-format", "json", *TINY)
    assert (code, out.startswith("2 done, 2 failed")) == (3, True)
    told = objects(err)
    assert all({"time", "level", "event", "message"} <= set(one) for one in told)
    events = [one["event"] for one in told]
    assert events[:2] == ["failed", "planned"]
    assert events.count("failed") == 2
    assert set(events) == {"failed", "planned", "progress", "finished", "note"}
    assert {(one.get("key"), one["error_type"], one["level"]) for one in told if one["event"] == "failed"} == {
        (None, "bad_row", "error"),
        ("gone.png", "missing", "error"),
    }
    assert [(one["done"], one["errors"]) for one in told if one["event"] == "finished"] == [
        (2, {"bad_row": 1, "missing": 1})
    ]
    last = [one for one in told if one["event"] == "progress"][-1]
    assert (last["done"], last["failed"], last["left"], last["fraction"]) == (2, 2, 0, 1.0)
    _, _, err = srpipe("run", "m.csv", "-o", "out2", "-v", "--log-format", "json", *TINY)
    phases = [one for one in objects(err) if one["event"] == "phase"]
    assert {one["key"] for one in phases} == {"a.png", "b.png"}
    assert {"read", "back_project", "write"} <= {one["phase"] for one in phases}
    assert all(one["seconds"] > 0 and one["level"] == "debug" for one in phases)
    assert [one["method"] for one in objects(err) if one["event"] == "done"] == ["bicubic"] * 2


@pytest.mark.usefixtures("images")
def test_reasons_and_libraries_are_objects_too(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Why a run could not begin, what a library warns of, the traceback of a bug in an image; then it is over."""
    code, _, err = srpipe("run", "none.csv", "--log-format", "json", *TINY)
    (told,) = objects(err)
    assert (code, told["event"], told["level"]) == (2, "ended", "error")
    assert "none.csv" in told["message"]

    def warning(*_: object) -> bytes:
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("of a library", stacklevel=1)
        raise RuntimeError("of a bug")

    with monkeypatch.context() as patched, warnings.catch_warnings():
        patched.setattr(warnings, "showwarning", lambda message, *_: sys.stderr.write(f"warning: {message}\n"))
        patched.setattr("pipeline.output.sinks.encode_png", warning)
        code, _, err = srpipe("run", "m.csv", "-o", "out", "--log-format", "json", *TINY)
    lines = [one["message"] for one in objects(err) if one["event"] == "stderr"]
    assert code == 3
    assert "warning: of a library" in lines
    assert "Traceback (most recent call last):" in lines
    code, _, err = srpipe("run", "none.csv", *TINY)
    assert err.startswith("srpipe: ")


def test_no_secrets(s3_bucket: str, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch, images: Any) -> None:  # noqa: ARG001
    """Neither the log nor progress.json holds the credentials, of a bucket that is there and of one that is not."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAVERYPUBLIC")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "verysecretword")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "verysecrettoken")
    from pipeline import storage

    arguments = ("run", "m.csv", "-o", f"{s3_bucket}/out", "-v", "--log-format", "json", *TINY)
    code, out, err = srpipe(*arguments)
    assert code == 0
    text = out + err + storage.read(f"{s3_bucket}/out/progress.json").decode()
    _, out, err = srpipe("run", "m.csv", "-o", f"{s3_bucket}-none/out", "--log-format", "json", *TINY)
    assert not re.search("AKIAVERYPUBLIC|verysecret|Signature", text + out + err)


def test_a_signed_address_is_told_without_its_signature(tmp_path: Path, srpipe: Srpipe) -> None:
    """It is no address that can be read; the log, the table and progress.json hold the rest of it."""
    address = "https://me:verysecret@b.s3.amazonaws.com/a.tif?X-Amz-Signature=deadbeef"
    lines = (
        "uri,id,kernel,reference",
        f"{address},,,",
        f"b.png,{address},,",
        f"c.png,,{address},",
        f"d.png,,,{address}",
    )
    (tmp_path / "m.csv").write_text("\n".join(lines))
    _, out, err = srpipe("run", "m.csv", "-o", "out", *TINY)
    assert "https://b.s3.amazonaws.com/a.tif: the scheme 'https' is not supported" in err
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert not re.search("verysecret|deadbeef", out + err + written.decode(errors="replace"))


def test_names_do_not_draw_on_the_terminal(tmp_path: Path, srpipe: Srpipe) -> None:
    """Control characters of file names are spelt out, and add no line."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a\033[2J.png", "b\nfailed: c.png"):
        (folder / name).write_bytes(b"")
    (folder / "d\033[2J.txt").write_bytes(b"")
    _, _, err = srpipe("run", "in", "-o", "out", *TINY)
    assert "\033" not in err
    assert sum(line.startswith("failed: ") for line in err.splitlines()) == 2
    assert "d\\x1b[2J.txt" in err
    _, out, _ = srpipe("plan", "in", "-o", "other", "--calibrate", "0", *TINY)
    assert "\033" not in out


def test_names_in_another_encoding_can_be_printed() -> None:
    """Bytes that are not UTF-8 would end the command where the terminal refuses them."""
    assert visible(os.fsdecode(b"Stra\xdfe\n")) == "Stra\\udcdfe\\x0a"


@pytest.mark.parametrize("full", [True, False])
def test_a_reader_that_goes_away_ends_no_run(full: bool) -> None:
    """As of `2>&1 | head`, or a log on a full disk: nothing more is printed, and nothing is raised."""
    reading, writing = os.pipe()
    os.close(reading)
    with open("/dev/full" if full else writing, "w", buffering=1) as stream:
        console = Console(file=stream)
        for _ in range(3):
            TextLog(console, verbose=True).info("note", "so much for that")
        assert console.quiet
        with suppress(OSError):
            stream.close()
    if full:
        os.close(writing)


def test_lines_of_others_are_kept_whole() -> None:
    """Text comes in pieces; a line is one object, an unfinished one is told at the end."""
    kept = sys.stderr
    read, write = os.pipe()
    sys.stderr = os.fdopen(write, "w")
    try:
        json_log.begin()
        sys.stderr.write("one ")
        sys.stderr.write('line\n\nanother "é"\nthe rest')
        assert json_log.write_line("info", "x", "between", empty=None)
        json_log.end()
        assert not json_log.write_line("info", "x", "after")
        sys.stderr.close()
    finally:
        sys.stderr = kept
    with os.fdopen(read) as file:
        told = [(one["event"], one["message"]) for one in objects(file.read())]
    assert told == [("stderr", "one line"), ("stderr", 'another "é"'), ("x", "between"), ("stderr", "the rest")]


@pytest.mark.usefixtures("_broken")
def test_plain_lines(srpipe: Srpipe) -> None:
    """Elsewhere than on a terminal: sentences, and the last says that all is done; with -v each image, too."""
    code, out, err = srpipe("run", "m.csv", "-o", "out", *TINY)
    assert code == 3
    assert out.count("\n") == 1
    ends = r"in \d+ s; results: .*/out/tiles; table: .*/out/manifest.parquet\n"
    assert re.fullmatch(rf"2 done, 2 failed \(.*\) {ends}", out)
    lines = err.splitlines()
    assert lines[0].startswith("failed: line 5: ")
    assert lines[1] == "3 images to do"
    assert lines[2].startswith("failed: gone.png: nothing is at ")
    assert re.match(r"2 of 4 images done, 2 failed \(1 \w+, 1 \w+\), 1 of 1 workers alive, \d+ s: 100 %", lines[3])
    assert "srpipe retry" in lines[4]
    assert len(lines) == 5
    _, _, err = srpipe("run", "m.csv", "-o", "out2", "-v", *TINY)
    assert re.search(r"^a.png: back_project \d\.\d\d s$", err, re.MULTILINE)
    assert re.search(r"^b.png: done in \d+\.\d\d s, 0\.00\d\d? Mpx by bicubic$", err, re.MULTILINE)


@pytest.mark.usefixtures("images")
def test_many_failures_of_a_kind_are_counted(tmp_path: Path, srpipe: Srpipe) -> None:
    """The first ten are told, then that the others are not; -v and JSON tell all, and so does the table."""
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"gone{index}.png\n" for index in range(14)))
    _, out, err = srpipe("run", "m.csv", "-o", "out", *TINY)
    told = [line for line in err.splitlines() if line.startswith("failed: ")]
    assert len([line for line in told if "nothing is at" in line]) == 10
    assert told[10].startswith("failed: more images as missing;")
    assert len(told) == 11
    assert "14 failed (14 missing)" in out
    for options in (("-v",), ("--log-format", "json")):
        _, _, err = srpipe("run", "m.csv", "-o", "out", *options, *TINY)
        assert err.count("nothing is at") == 14


@pytest.mark.usefixtures("images")
def test_a_scene_is_told_by_its_parts(
    tmp_path: Path, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch, make_png: Callable[..., Any]
) -> None:
    """The fit and each group of tiles have lines of their own."""
    from pipeline.work.units import Division

    monkeypatch.setattr(pipeline.driver.completing, "DIVISION", Division(pixels=500, group_seconds=1e-4))
    make_png(tmp_path / "big.png", height=60, width=60)
    (tmp_path / "m.csv").write_text("uri\nbig.png\n")
    _, _, err = srpipe("run", "m.csv", "-o", "out", "-v", "--log-format", "json", "--tile-size", "16", *TINY)
    parts = {one["part"] for one in objects(err) if one["event"] == "phase"}
    assert parts == {"fit", *(f"tiles {tile} to {tile}" for tile in range(16))}


@pytest.mark.usefixtures("_broken")
def test_retry_shows_itself_as_run_does(srpipe: Srpipe) -> None:
    """Its log can be objects, too."""
    srpipe("run", "m.csv", "-o", "out", *TINY)
    code, _, err = srpipe("retry", "out", "--log-format", "json", "-v")
    assert code == 3
    assert [one["key"] for one in objects(err) if one["event"] == "failed" and "key" in one] == ["gone.png"]


@pytest.mark.usefixtures("_broken")
def test_the_bar_on_a_terminal(tmp_path: Path) -> None:
    """In a real terminal of 80 columns: its two lines, at last with all of it, and the failure above them."""
    command = [sys.executable, "-m", "jobs.cli", "run", "m.csv", "-o", "out", *TINY]
    here, there = pty.openpty()
    fcntl.ioctl(there, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    environment |= {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm-256color"}
    process = subprocess.Popen(command, cwd=tmp_path, stderr=there, stdout=subprocess.PIPE, env=environment)
    os.close(there)
    written = b""
    while True:
        try:
            piece = os.read(here, 65536)
        except OSError:  # Linux says so that the other end is closed
            break
        if not piece:
            break
        written += piece
    os.close(here)
    assert process.wait() == 3
    lines = [line for line in re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", written).decode().splitlines() if line.strip()]
    drawn = [line.rpartition("\r")[2] for line in lines]
    assert any("reading the manifest" in line for line in drawn)
    assert any(line.startswith("failed: gone.png: nothing is at") for line in drawn)
    bars = [line for line in drawn if "━" in line]
    assert max(map(len, bars)) <= 80
    assert bars[-1].rstrip().endswith("Mpx/s")
    assert re.search(r"100 %, 0\.00\d+ Mpx", bars[-1])
    assert any(line.startswith("2 of 4 images done, 2 failed (") for line in drawn[-3:])
