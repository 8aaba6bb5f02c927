"""The command line as a person meets it: streams, exit codes, sentences."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jobs.cli import main

TINY = ("--scale", "2", "--steps", "2", "--width", "8", "--depth", "3", "--crop", "16", "--executor", "inline")

Srpipe = Callable[..., tuple[int, str, str]]


@pytest.fixture
def srpipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Srpipe:
    """Run a command line in tmp_path, in this process; exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["srpipe", *arguments])
        handler = signal.getsignal(signal.SIGTERM)
        with pytest.raises(SystemExit) as stopped:
            main()
        signal.signal(signal.SIGTERM, handler)
        output = capsys.readouterr()
        return int(stopped.value.code or 0), output.out, output.err

    return run


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Two small pictures with their truth, one row that points nowhere, and the manifest over them."""
    rng = np.random.default_rng(3)
    for name in ("a", "b"):
        truth = np.kron(rng.integers(0, 256, (12, 14, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        Image.fromarray(truth).save(tmp_path / f"{name}-hr.png")
        Image.fromarray(truth).resize((28, 24), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    manifest = tmp_path / "manifest.csv"
    with manifest.open("w", newline="") as file:
        rows = [["a.png", "a-hr.png", "x"], ["b.png", "b-hr.png", "y"], ["gone.png", "", "z"]]
        csv.writer(file).writerows([["uri", "reference", "site"], *rows])
    return manifest


def test_run_writes_results_and_says_so(srpipe: Srpipe, collection: Path) -> None:
    """A run with one bad row ends with exit 3, a summary on stdout, the reason on stderr, and OUT named after it."""
    code, out, err = srpipe("run", "manifest.csv", *TINY)
    assert code == 3
    assert "2 done, 1 failed (1 missing)" in out
    assert "gone.png" in err
    assert "correct the uri" in err
    assert len(out.splitlines()) == 1
    table = pq.read_table(collection.parent / "manifest-x2" / "manifest.parquet")
    assert dict(zip(table["site"].to_pylist(), table["status"].to_pylist(), strict=True)) == {
        "x": "done",
        "y": "done",
        "z": "failed",
    }


def test_json_summary_is_all_of_stdout(srpipe: Srpipe, collection: Path) -> None:
    """--json prints one object and nothing else."""
    code, out, _ = srpipe("run", str(collection), "-o", "out", "--json", *TINY)
    summary = json.loads(out)
    assert (code, summary["done"], summary["failed"], summary["errors"]) == (3, 2, 1, {"missing": 1})


def test_second_run_finds_its_work_done(srpipe: Srpipe, collection: Path) -> None:
    """Running again does only what failed."""
    srpipe("run", str(collection), "-o", "out", *TINY)
    code, out, _ = srpipe("run", str(collection), "-o", "out", *TINY)
    assert code == 3
    assert "0 done, 2 already done, 1 failed" in out


def test_eval_scores_and_fills_the_table(srpipe: Srpipe, collection: Path) -> None:
    """eval prints a figure for every row with a reference and writes psnr_y into its record, once and for all."""
    srpipe("run", str(collection), "-o", "out", *TINY)
    code, out, _ = srpipe("eval", "out", "--json")
    scores = {score["key"]: score for score in json.loads(out)["scores"]}
    assert code == 0
    assert scores.keys() == {"a.png", "b.png"}
    srpipe("run", str(collection), "-o", "out", *TINY)
    records = {row["key"]: row for row in pq.read_table("out/manifest.parquet").to_pylist()}
    for key, score in scores.items():
        assert records[key]["psnr_y"] == score["psnr_y"] > 5
        assert records[key]["ssim_y"] == score["ssim_y"]
    assert records["gone.png"]["psnr_y"] is None
    assert "a.png" in srpipe("eval", "out")[1]


REFUSED = {
    "missing manifest": (("run", "nothing.csv"), "nothing.csv"),
    "unknown kind": (("run", "notes.md"), "notes.md"),
    "no uri column": (("run", "columns.csv"), "'uri'"),
    "empty table": (("run", "empty.csv"), "no rows"),
    "unreadable table": (("run", "broken.parquet"), "broken.parquet"),
    "empty folder": (("run", "folder"), "no images"),
    "unknown scheme": (("run", "ftp://host/list.csv"), "ftp"),
    "unknown output scheme": (("run", "good.csv", "-o", "ftp://host/out"), "ftp"),
    "unwritable output": (("run", "good.csv", "-o", "good.csv/out"), "--output"),
    "output inside the input": (("run", "pictures", "-o", "pictures/out"), "--output"),
    "user column that is ours": (("run", "clash.csv"), "status"),
    **{f"scale {scale}": (("run", "good.csv", "-s", scale), scale) for scale in ("0", "1", "-2", "2.5e9", "9", "two")},
    "negative steps": (("run", "good.csv", "--steps", "-1"), "--steps"),
    "useless workers": (("run", "good.csv", "--executor", "inline", "--workers", "2"), "--workers"),
    "a rate that is no number": (("run", "good.csv", "--learning-rate", "nan"), "--learning-rate"),
    "a seed beyond 63 bits": (("run", "good.csv", "--seed", str(2**63)), "--seed"),
    "odd share of a GPU": (("run", "good.csv", "--gpus-per-worker", "0.3"), "0.3"),
    "no such GPU": (("run", "good.csv", "--executor", "inline", "--device", "cuda"), "--device"),
    "no cluster there": (("run", "good.csv", "--address", "127.0.0.1:1"), "127.0.0.1:1"),
    "strict about rows": (("run", "bad_row.csv", "--strict"), "line 3"),
    "no manifest": (("run",), "MANIFEST"),
    "no such command": (("upscale",), "upscale"),
    "no such option": (("run", "good.csv", "--turbo"), "--turbo"),
    "eval of nothing": (("eval", "folder"), "folder"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(
    srpipe: Srpipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """What cannot be begun: exit 2, one line on stderr that names the thing, nothing on stdout, nothing written."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "pictures").mkdir()
    Image.new("L", (20, 20)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "notes.md").write_text("notes")
    (tmp_path / "columns.csv").write_text("name,size\na,1\n")
    (tmp_path / "empty.csv").write_text("uri\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "good.csv").write_text("uri\npictures/a.png\n")
    (tmp_path / "clash.csv").write_text("uri,status\npictures/a.png,new\n")
    (tmp_path / "bad_row.csv").write_text("uri,id\npictures/a.png,a\n,b\n")
    before = sorted(tmp_path.rglob("*"))
    arguments, named = REFUSED[case]
    code, out, err = srpipe(*arguments)
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert err.startswith("srpipe: ")
    assert named in err
    assert sorted(tmp_path.rglob("*")) == before


def test_version(srpipe: Srpipe) -> None:
    """--version names the program and its version."""
    assert srpipe("--version") == (0, "srpipe 0.1.0\n", "")


def test_every_option_is_in_the_readme(srpipe: Srpipe) -> None:
    """An option that the README does not tell of is not there for anybody."""
    _, out, _ = srpipe("run", "--help")
    options = {word.rstrip(",") for word in out.split() if word.startswith("--")} - {"--help"}
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    assert options
    assert not {option for option in options if option not in readme}


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_run_goes_on_where_it_stopped(srpipe: Srpipe, tmp_path: Path, signal_number: int, code: int) -> None:
    """A signal ends the run with its exit code; what was done is recorded, and the same command does the rest."""
    rng = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    for number in range(30):
        Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / "in" / f"{number:02d}.png")
    arguments = ["run", "in", "-o", "out", *TINY, "--steps", "60"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    process = subprocess.Popen(
        [sys.executable, "-m", "jobs.cli", *arguments], cwd=tmp_path, env=environment, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("out/_commit/*/*.json"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal_number)
    assert process.wait(60) == code
    committed = len(list(tmp_path.glob("out/_commit/*/*.json")))
    assert 2 <= committed < 30
    recorded = sum(len(pq.read_table(part)) for part in tmp_path.glob("out/manifest/*.parquet"))
    assert committed - 1 <= recorded <= committed
    _, out, _ = srpipe(*arguments)
    assert f"{30 - committed} done, {committed} already done" in out
    assert len(pq.read_table(tmp_path / "out" / "manifest.parquet")) == 30


def test_eval_tells_what_it_cannot_score(srpipe: Srpipe, collection: Path) -> None:
    """A reference that is no image, of another size, or out of reach is that row's problem; the JSON stays JSON."""
    rows = [["a.png", "manifest.csv"], ["a.png", "a.png"], ["a.png", "ftp://x/a.png"], ["a.png", "a-hr.png"]]
    with collection.open("w", newline="") as file:
        csv.writer(file).writerows([["uri", "reference", "id"], *([*row, str(n)] for n, row in enumerate(rows))])
    srpipe("run", str(collection), "-o", "out", *TINY)
    code, out, _ = srpipe("eval", "out", "--json")
    scores = json.loads(out, parse_constant=pytest.fail)["scores"]
    assert code == 3
    assert [bool(score["problem"]) for score in scores] == [True, True, True, False]
    assert scores[0]["psnr_y"] is None


def test_brackets_in_a_key_are_printed(srpipe: Srpipe, collection: Path) -> None:
    """A key is text, not markup."""
    with collection.open("w", newline="") as file:
        csv.writer(file).writerows([["uri", "reference", "id"], ["a.png", "a-hr.png", "[old]/x[/b].png"]])
    srpipe("run", str(collection), "-o", "out", *TINY)
    assert "[old]/x[/b].png" in srpipe("eval", "out")[1]


def test_a_list_made_by_find_works(srpipe: Srpipe, collection: Path) -> None:
    """Names that begin with ./ are plain relative names."""
    (collection.parent / "list.txt").write_text("./a.png\n./b.png\n")
    code, _, _ = srpipe("run", "list.txt", "-o", "out", *TINY)
    assert code == 0
    assert set(pq.read_table("out/manifest.parquet")["key"].to_pylist()) == {"a.png", "b.png"}
