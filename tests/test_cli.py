"""The command line as a person meets it: streams, exit codes, sentences."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import jobs.cli
from jobs.scenes import satellite_scene
from pipeline.config import RunConfig
from pipeline.driver.run import Summary
from pipeline.priors.prior_file import read_prior
from sr_ops.settings import FitSettings, Settings

TINY = (
    *("--scale", "2", "--steps", "2", "--width", "8", "--depth", "3", "--crop", "16", "--executor", "inline"),
    *("--prior", "none", "--method", "zssr"),
)

Srpipe = Callable[..., tuple[int, str, str]]


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
    **{f"scale {scale}": (("run", "good.csv", "-s", scale), scale) for scale in ("0", "1", "-2", "2.5e9", "9", "two")},
    "negative steps": (("run", "good.csv", "--steps", "-1"), "--steps"),
    "useless workers": (("run", "good.csv", "--executor", "inline", "--workers", "2"), "--workers"),
    "a rate that is no number": (("run", "good.csv", "--learning-rate", "nan"), "--learning-rate"),
    "a seed beyond 63 bits": (("run", "good.csv", "--seed", str(2**63)), "--seed"),
    "a nodata value that is none": (("run", "good.csv", "--nodata", "x"), "--nodata"),
    "a range that is none": (("run", "good.csv", "--range", "5,1"), "--range"),
    "a range of one end": (("run", "good.csv", "--range", "5"), "LOW,HIGH"),
    "odd share of a GPU": (("run", "good.csv", "--gpus-per-worker", "0.3"), "0.3"),
    "no such GPU": (("run", "good.csv", "--executor", "inline", "--device", "cuda"), "--device"),
    "no cluster there": (("run", "good.csv", "--address", "127.0.0.1:1"), "127.0.0.1:1"),
    "strict about rows": (("run", "bad_row.csv", "--strict"), "line 3"),
    "no manifest": (("run",), "MANIFEST"),
    "no such command": (("upscale",), "upscale"),
    "no such option": (("run", "good.csv", "--turbo"), "--turbo"),
    "eval of nothing": (("eval", "folder"), "folder"),
    "missing prior": (("run", "good.csv", "--prior", "nothing"), "--prior: nothing is at"),
    "a folder as prior": (("run", "good.csv", "--prior", "folder"), "check access"),
    "an image as prior": (("run", "good.csv", "--prior", "pictures/a.png"), "is no whole safetensors file"),
    "a prior of unknown scheme": (("run", "good.csv", "--prior", "ftp://host/p"), "ftp"),
    "steps where nothing is fitted": (("run", "good.csv", "--method", "bicubic", "--steps", "9"), "--steps"),
    "a rate where nothing is fitted": (
        ("run", "good.csv", "--method", "bicubic", "--learning-rate", "0.1"),
        "--learning-rate has no effect",
    ),
    "an empty prior": (("run", "good.csv", "--prior", ""), "--prior"),
    "another width than the shipped prior's": (("run", "good.csv", "--width", "8"), "use --prior none"),
    "another network than the shipped prior's": (("run", "good.csv", "--network", "zssr"), "use --prior none"),
    "the paper's network from the shipped prior": (
        ("run", "good.csv", "--preset", "paper", "--prior", "shipped"),
        "use --prior none",
    ),
    "unknown preset": (("run", "good.csv", "--preset", "turbo"), "'fast', 'balanced', 'best', 'paper'"),
    "unknown method": (("run", "good.csv", "--method", "magic"), "'auto', 'zssr', 'bicubic'"),
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


@pytest.mark.parametrize("command", ["run", "retry", "submit", "prior", "eval"])
def test_every_option_is_in_the_readme(srpipe: Srpipe, command: str) -> None:
    """An option or command that the README does not tell of is not there for anybody."""
    _, out, _ = srpipe(command, "--help")
    options = set(re.findall(r"--[a-z][a-z0-9-]*", out)) - {"--help"}
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    told = set(re.findall(r"--[a-z][a-z0-9-]*", readme))
    assert options
    assert f"srpipe {command}" in readme
    assert not options - told


def test_help_tells_the_choices(srpipe: Srpipe) -> None:
    """`srpipe run --help` names every preset and method, and what a prior may be."""
    _, out, _ = srpipe("run", "--help")
    words = set(re.findall(r"\w+", out))
    assert {"fast", "balanced", "best", "paper", "auto", "zssr", "bicubic", "shipped", "none", "FILE"} <= words


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What each `srpipe run` was going to do, which it does not do."""
    seen: list[RunConfig] = []

    def execute(config: RunConfig) -> Summary:
        seen.append(config)
        return Summary("id", config.output, 0, 0, 0, 0, 0, 0, 0.0)

    monkeypatch.setattr(jobs.cli, "execute", execute)
    return seen


PRESETS = {
    (): (50, 1e-3, "subpixel", "shipped"),
    ("--preset", "fast"): (10, 1e-3, "subpixel", "shipped"),
    ("--preset", "balanced"): (50, 1e-3, "subpixel", "shipped"),
    ("--preset", "best"): (200, 1e-3, "subpixel", "shipped"),
    ("--preset", "paper"): (1500, 3e-3, "zssr", "none"),
    ("--prior", "none"): (500, 3e-3, "subpixel", "none"),
    ("--preset", "fast", "--prior", "none"): (100, 3e-3, "subpixel", "none"),
    ("--preset", "balanced", "--prior", "none"): (500, 3e-3, "subpixel", "none"),
    ("--preset", "best", "--prior", "none"): (1500, 3e-3, "subpixel", "none"),
    ("--preset", "paper", "--prior", "none"): (1500, 3e-3, "zssr", "none"),
    ("--prior", "my/p.safetensors"): (50, 1e-3, "subpixel", "my/p.safetensors"),
    ("--preset", "best", "--prior", "s3://b/p"): (200, 1e-3, "subpixel", "s3://b/p"),
    ("--preset", "paper", "--prior", "shipped"): (1500, 1e-3, "zssr", "shipped"),
    ("--preset", "fast", "--steps", "7"): (7, 1e-3, "subpixel", "shipped"),
    ("--steps", "0"): (0, 1e-3, "subpixel", "shipped"),
    ("--steps", "0", "--prior", "none"): (0, 3e-3, "subpixel", "none"),
    ("--learning-rate", "0.5", "--preset", "best"): (200, 0.5, "subpixel", "shipped"),
    ("--network", "zssr", "--prior", "none"): (500, 3e-3, "zssr", "none"),
    ("--preset", "paper", "--network", "subpixel"): (1500, 3e-3, "subpixel", "none"),
}


@pytest.mark.parametrize("options", PRESETS, ids=" ".join)
def test_presets(srpipe: Srpipe, configs: list[RunConfig], options: tuple[str, ...]) -> None:
    """A preset sets steps, rate and network, by whether fits start from a prior; an explicit option overrides it."""
    assert srpipe("run", "m.csv", *options)[0] == 0
    settings = configs[0].settings
    steps, rate, network, prior = PRESETS[options]
    assert (settings.fit.steps, settings.fit.learning_rate, settings.network, configs[0].prior_name) == (
        *(steps, rate, network, prior),
    )
    assert settings == replace(
        Settings(),
        network=settings.network,
        fit=FitSettings(steps=settings.fit.steps, learning_rate=rate),
        ensemble="fast" not in options,
    )


OPTIONS: dict[tuple[str, ...], tuple[str, object]] = {
    ("--scale", "3"): ("settings.scale", 3),
    ("--method", "zssr"): ("settings.method", "zssr"),
    ("--method", "bicubic"): ("settings.method", "bicubic"),
    ("--width", "9"): ("settings.width", 9),
    ("--depth", "2"): ("settings.depth", 2),
    ("--crop", "24"): ("settings.fit.crop", 24),
    ("--batch", "3"): ("settings.fit.batch", 3),
    ("--seed", "5"): ("settings.seed", 5),
    ("--no-self-ensemble",): ("settings.ensemble", False),
    ("--self-ensemble",): ("settings.ensemble", True),
    ("--back-projection", "0"): ("settings.back_projections", 0),
    ("--back-projection", "3"): ("settings.back_projections", 3),
    ("--tile-size", "16"): ("settings.tile_size", 16),
    ("--stack", "3"): ("settings.stack", 3),
    ("--nodata", "-9999"): ("settings.nodata", "-9999.0"),
    ("--range", "0,100"): ("settings.value_range", "0.0,100.0"),
    ("--threads-per-worker", "2"): ("threads", 2),
    ("--limit", "4"): ("limit", 4),
    ("--workers", "4"): ("workers", 4),
    ("--gpus-per-worker", "1/4"): ("gpus_per_worker", 0.25),
    ("--existing", "overwrite"): ("existing", "overwrite"),
    ("--device", "cpu"): ("device", "cpu"),
    ("--executor", "inline"): ("executor", "inline"),
    ("--address", "host:1"): ("address", "host:1"),
    ("--root", "x"): ("root", "x"),
    ("--strict",): ("strict", True),
}


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options_reach_the_run(srpipe: Srpipe, configs: list[RunConfig], options: tuple[str, ...]) -> None:
    """An option arrives where it belongs and changes nothing else, with any preset."""
    for preset in ("fast", "paper"):
        srpipe("run", "m.csv", "-o", "out", "--preset", preset)
        srpipe("run", "m.csv", "-o", "out", "--preset", preset, *options)
    path, value = OPTIONS[options]
    for plain, changed in (configs[:2], configs[2:]):
        assert attrgetter(path)(changed) == value
        before, after = ({**flat(asdict(config))} for config in (plain, changed))
        assert {name for name in before if before[name] != after[name]} <= {path}


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    named: dict[str, Any] = {}
    for name, value in values.items():
        named |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return named


@pytest.mark.parametrize("options", [(), ("--prior", "none", "--steps", "2")], ids=["default", "from scratch"])
def test_defaults_do_the_whole_thing(srpipe: Srpipe, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Without options a run starts from the shipped prior and gets its record; from scratch it does too."""
    Image.fromarray(satellite_scene(32)).save(tmp_path / "t.png")
    code, _, _ = srpipe("run", "t.png", "-s", "2", "-o", "out", "--executor", "inline", "--crop", "16", *options)
    assert code == 0
    (row,) = pq.read_table("out/manifest.parquet").to_pylist()
    shipped = read_prior("shipped")
    assert shipped is not None
    assert (row["status"], row["prior"]) == ("done", "none" if options else shipped.sha256)
    assert row["method_used"] in ("zssr", "bicubic")
    assert row["reconstruction_psnr"] is not None


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
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


def test_a_run_whose_terminal_is_closed_is_stopped_by_its_signal(tmp_path: Path) -> None:
    """The hang-up comes, and the terminal that was written to is no more: exit 129, not that of a failed print."""
    for name in "abcd":
        Image.fromarray(np.random.default_rng(5).integers(0, 256, (40, 40), dtype=np.uint8)).save(
            tmp_path / name, "PNG"
        )
    (tmp_path / "m.txt").write_text("a\nb\nc\nd\n")
    ours, theirs = os.openpty()
    take_terminal = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); from jobs.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", take_terminal, "run", "m.txt", "-o", "out", *TINY, "--steps", "10000"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    deadline = time.monotonic() + 60
    while not (tmp_path / "out/run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    os.close(ours)
    assert process.wait(60) == 129
    assert not list(tmp_path.glob("out/_lock/*"))


def test_a_run_without_standard_streams_is_a_run(tmp_path: Path, srpipe: Srpipe) -> None:
    """As a daemon may be started; its files get no number that a child takes for its input or its output."""
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    command = [sys.executable, "-m", "jobs.cli", "run", "a.png", "-o", "out", *TINY]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    closed = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command]
    assert subprocess.run(closed, cwd=tmp_path, env=environment, check=False).returncode == 0
    assert pq.read_table(tmp_path / "out/manifest.parquet")["status"].to_pylist() == ["done"]
    _, out, _ = srpipe(*command[3:])
    assert "already done" in out


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
