"""The command line as a person meets it: streams, exit codes, sentences."""

import csv
import errno
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.main import get_group

import jobs.progress
from jobs import cli
from jobs.answers import print_result
from jobs.cli import app
from jobs.commands.run import output_for
from jobs.sample_pictures import satellite_view
from pipeline.config import Existing, RunConfig
from pipeline.driver.run import Summary
from pipeline.priors.prior_file import read_prior
from sr_ops.registry import NETWORKS
from sr_ops.settings import ALL_METHODS, ALL_NETWORKS, FitSettings, Loss, Normalisation, Settings

from .fixture_types import Refusal, Srpipe

TINY = (
    *("--scale", "2", "--steps", "2", "--width", "8", "--depth", "3", "--crop", "16", "--executor", "inline"),
    *("--prior", "none", "--method", "zssr"),
)


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


@pytest.mark.parametrize(
    ("manifest", "name"),
    [
        ("scans/m.csv", "m"),
        ("scans/page.TIF", "page"),
        ("scans/2024.05.01", "2024.05.01"),
        ("scans/2024.05.01/", "2024.05.01"),
        ("scans/*.png", "scans"),
        ("scans/a/x?.png", "a"),
        ("*.png", "here"),
        (".", "here"),
        ("scan [1].csv", "scan [1]"),
        ("scan [2].csv", "here"),
        ("s3://bucket/in", "in"),
        ("s3://bucket/in/a*.png", "in"),
        ("s3://bucket", "bucket"),
    ],
)
def test_the_output_is_named_after_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: str, name: str
) -> None:
    """A name that is there is no pattern, and a point in the name of a folder begins no suffix."""
    (tmp_path / "here/scans/2024.05.01").mkdir(parents=True)
    (tmp_path / "here/scan [1].csv").write_text("uri\n")
    monkeypatch.chdir(tmp_path / "here")
    assert output_for(None, manifest, "x4") == str(tmp_path / "here" / f"{name}-x4")


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
    table = srpipe("eval", "out")[1]
    assert "a.png" in table
    assert "\nbicubic: interpolation alone; " in table


REFUSED = {
    "missing manifest": (("run", "nothing.csv"), "nothing.csv"),
    "unknown kind": (("run", "notes.md"), "notes.md"),
    "no uri column": (("run", "columns.csv"), "'uri'"),
    "empty table": (("run", "empty.csv"), "no rows"),
    "unreadable table": (("run", "broken.parquet"), "broken.parquet"),
    "empty folder": (("run", "folder"), "no images"),
    "unknown scheme": (("run", "ftp://host/list.csv"), "ftp"),
    "unknown output scheme": (("run", "good.csv", "-o", "ftp://host/out"), "the scheme 'ftp' is not supported"),
    "unwritable output": (("run", "good.csv", "-o", "good.csv/out"), "--output"),
    "output inside the input": (
        ("run", "pictures", "-o", "pictures/out"),
        "choose another --output, such as {tmp_path}/out\n",
    ),
    **{
        f"scale {scale}": (("run", "good.csv", "-s", scale), f"the scale '{scale}' cannot")
        for scale in ("0", "1", "-2", "2.5e9", "9", "two")
    },
    "negative steps": (("run", "good.csv", "--steps", "-1"), "'-1' cannot be taken; give a whole number from 0"),
    "useless workers": (("run", "good.csv", "--executor", "inline", "--workers", "2"), "--workers"),
    "a rate that is no number": (("run", "good.csv", "--learning-rate", "nan"), "--learning-rate"),
    "a seed beyond 63 bits": (("run", "good.csv", "--seed", str(2**63)), "--seed"),
    "a nodata value that is none": (("run", "good.csv", "--nodata", "x"), "--nodata"),
    "a range that is none": (("run", "good.csv", "--range", "5,1"), "5 is above 1; give the lower number first"),
    "a decimal comma": (("run", "good.csv", "-s", "2,5"), "the scale '2,5' has a decimal comma; write 2.5"),
    "a comma in a length": (("run", "good.csv", "--target-gsd", "0,5"), "has a decimal comma; write 0.5"),
    "a comma in the noise": (("run", "good.csv", "--noise", "1,5"), "the noise '1,5' has a decimal comma; write 1.5"),
    "a comma in nodata": (("run", "good.csv", "--nodata", "-0,5"), "has a decimal comma; write -0.5"),
    "no header": (("run", "headless.csv"), "it has: x.tif; its first line must name the columns: put 'uri' there"),
    "a range of one end": (("run", "good.csv", "--range", "5"), "LOW,HIGH"),
    "odd share of a GPU": (("run", "good.csv", "--gpus-per-worker", "0.3"), "'0.3' is not 1, 1/2 or 1/4"),
    "no such GPU": (("run", "good.csv", "--executor", "inline", "--device", "cuda"), "--device"),
    "no cluster there": (("run", "good.csv", "--address", "127.0.0.1:1"), "127.0.0.1:1"),
    "strict about rows": (("run", "bad_row.csv", "--strict"), "line 3"),
    "no manifest": (("run",), "MANIFEST"),
    "no such command": (("upscale",), "upscale"),
    "no number": (("run", "good.csv", "--steps", "many"), "'many' cannot be taken; give a whole number from 0; see"),
    "no worker": (("run", "good.csv", "--workers", "0"), "'0' cannot be taken; give a whole number from 1; see"),
    "no share": (("run", "good.csv", "--max-failure-rate", "2"), "'2' cannot be taken; give a number from 0 to 1; see"),
    "a word nearly right": (
        ("run", "good.csv", "--preset", "fats"),
        "there is no preset 'fats'; did you mean fast; use one of fast, balanced",
    ),
    "a short word that is another": (
        ("run", "good.csv", "--device", "gpu"),
        "there is no device 'gpu'; use one of auto, cpu, cuda",
    ),
    "one dash": (("run", "good.csv", "-scale", "2"), "-scale is no option; write --scale"),
    "one dash, and =": (("run", "good.csv", "-output=out"), "-output is no option; write --output"),
    "what the shell made of a pattern": (
        ("run", "good.csv", "pictures/a.png", "-s", "2"),
        "one MANIFEST is taken, and 'pictures/a.png' is another; quote a pattern",
    ),
    "two outputs": (("eval", "folder", "pictures"), "one OUT is taken, and 'pictures' is another; leave it out"),
    "a word for the demo": (("demo", "x"), "srpipe demo takes no 'x'"),
    "a demo onto a file": (("demo", "-o", "notes.md"), "notes.md: File exists; choose another with --output"),
    "no such option": (("run", "good.csv", "--turbo"), "--turbo"),
    "eval of nothing": (("eval", "folder"), "holds no run"),
    "missing prior": (("run", "good.csv", "--prior", "nothing"), "--prior: nothing is at"),
    "a folder as prior": (("run", "good.csv", "--prior", "folder"), "it is a folder; name a file in it"),
    "an image as prior": (("run", "good.csv", "--prior", "pictures/a.png"), "is not a complete safetensors file"),
    "a prior of unknown scheme": (("run", "good.csv", "--prior", "ftp://host/p"), "the scheme 'ftp' is not supported"),
    "steps where nothing is fitted": (("run", "good.csv", "--method", "bicubic", "--steps", "9"), "--steps"),
    "a rate where nothing is fitted": (
        ("run", "good.csv", "--method", "bicubic", "--learning-rate", "0.1"),
        "--learning-rate has no effect",
    ),
    "a self-ensemble of no network": (
        ("run", "good.csv", "--method", "bicubic", "--no-self-ensemble"),
        "--no-self-ensemble has no effect with --method bicubic, which fits no network; leave one of them out",
    ),
    "an empty prior": (("run", "good.csv", "--prior", ""), "--prior"),
    "another width than the prior's": (
        ("run", "good.csv", "--width", "8"),
        "--width is for networks that are fitted from scratch; add --network or --prior none, or leave it out",
    ),
    "another network than the prior's": (
        ("run", "good.csv", "--network", "zssr", "--prior", "shipped"),
        "--network zssr is fitted from scratch, and --prior shipped is for direct networks; leave one of them out",
    ),
    "the paper's network from the shipped prior": (
        ("run", "good.csv", "--preset", "paper", "--prior", "shipped"),
        "--preset paper is fitted from scratch",
    ),
    "real images without weights": (
        ("run", "good.csv", "--preset", "real", "--network", "subpixel"),
        "--preset real takes the prior as it is; leave out --prior none and --network, or it",
    ),
    "a direct network without weights": (
        ("run", "good.csv", "--network", "direct", "--prior", "none"),
        "--network direct has no weights with --prior none",
    ),
    "no prior to be taken as it is": (
        ("run", "good.csv", "--method", "prior", "--prior", "none"),
        "--method prior needs a prior",
    ),
    "steps where the prior is taken as it is": (
        ("run", "good.csv", "--method", "prior", "--steps", "3"),
        "--steps has no effect with --method prior, which fits nothing",
    ),
    "unknown preset": (
        ("run", "good.csv", "--preset", "turbo"),
        "use one of fast, balanced, best, paper, classic, real",
    ),
    "an unknown loss": (("run", "good.csv", "--loss", "l3"), "use one of l1, l2, charbonnier"),
    "instance normalisation": (
        ("run", "good.csv", "--network", "superresnet", "--normalisation", "instance"),
        "use one of none, batch, layer",
    ),
    "a loss where nothing is fitted": (
        ("run", "good.csv", "--method", "prior", "--loss", "l2"),
        "--loss has no effect",
    ),
    "an adversary where nothing is fitted": (
        ("run", "good.csv", "--method", "bicubic", "--adversarial", "0.1"),
        "--adversarial has no effect with --method bicubic",
    ),
    "an adversary beside a prior": (
        ("run", "good.csv", "--adversarial", "0.1"),
        "--adversarial is for networks that are fitted from scratch; add --network or --prior none",
    ),
    "dropout beside a prior": (("run", "good.csv", "--dropout", "0.1"), "--dropout is for networks"),
    "dropout where there is none": (
        ("run", "good.csv", "--network", "subpixel", "--dropout", "0.1"),
        "--dropout has no effect with --network subpixel; leave it out, or take one that has it: superresnet",
    ),
    "normalisation where there is none": (
        ("run", "good.csv", "--preset", "paper", "--normalisation", "batch"),
        "--normalisation has no effect with --network zssr",
    ),
    "a depth of what has its own": (
        ("run", "good.csv", "--network", "srcnn", "--depth", "5"),
        "--depth has no effect with --network srcnn",
    ),
    "the classic scheme from a prior": (
        ("run", "good.csv", "--preset", "classic", "--prior", "shipped"),
        "--preset classic is fitted from scratch",
    ),
    "unknown method": (("run", "good.csv", "--method", "magic"), "there is no method 'magic'; use one of auto"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_refused_in_one_sentence(
    refusal: Refusal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    """What cannot be begun: exit 2, one line on stderr that names the thing, nothing on stdout, nothing written."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    (tmp_path / "folder").mkdir()
    (tmp_path / "pictures").mkdir()
    Image.new("L", (20, 20)).save(tmp_path / "pictures" / "a.png")
    (tmp_path / "notes.md").write_text("notes")
    (tmp_path / "columns.csv").write_text("name,size\na,1\n")
    (tmp_path / "empty.csv").write_text("uri\n")
    (tmp_path / "headless.csv").write_text("x.tif\ny.tif\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "good.csv").write_text("uri\npictures/a.png\n")
    (tmp_path / "bad_row.csv").write_text("uri,id\npictures/a.png,a\n,b\n")
    arguments, named = REFUSED[case]
    assert named.replace("{tmp_path}", str(tmp_path)) in refusal(*arguments)


def test_a_result_that_cannot_be_printed_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is not a reader that has gone away, which wants nothing more."""
    for full in (True, False):
        reading, writing = os.pipe()
        os.close(reading)
        with open("/dev/full" if full else writing, "w") as stream:
            monkeypatch.setattr(sys, "stdout", stream)
            stream.write("{}")
            assert cli._is_printed() is not full
        if full:
            os.close(writing)


def test_srpipe_alone_shows_its_help(srpipe: Srpipe) -> None:
    """As it is, not as an error; -h is --help, of every command."""
    code, out, err = srpipe()
    assert (code, out, err.split("\n")[0]) == (2, "", "Usage: srpipe [OPTIONS] COMMAND [ARGS]...")
    assert "--help" not in err.rstrip().splitlines()[-1]
    assert srpipe("-h") == (0, err, "")
    assert srpipe("retry", "-h") == srpipe("retry", "--help")


def test_version(srpipe: Srpipe) -> None:
    """--version names the program and its version."""
    assert srpipe("--version") == (0, "srpipe 0.1.0\n", "")


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[RunConfig]:
    """What each `srpipe run` was going to do, which it does not do."""
    seen: list[RunConfig] = []

    def run(config: RunConfig, *_: object) -> Summary:
        seen.append(config)
        return Summary("id", config.output, 0, 0, 0, 0, 0, 0, 0.0)

    monkeypatch.setattr(jobs.progress, "run_with_progress", run)
    return seen


PRESETS = {
    (): (20, 1e-4, "direct", "shipped"),
    ("--preset", "fast"): (0, 1e-4, "direct", "shipped"),
    ("--preset", "balanced"): (20, 1e-4, "direct", "shipped"),
    ("--preset", "best"): (100, 1e-4, "direct", "shipped"),
    ("--preset", "real"): (0, 1e-4, "direct", "shipped"),
    ("--preset", "real", "--prior", "my/p.safetensors"): (0, 1e-4, "direct", "my/p.safetensors"),
    ("--network", "direct"): (20, 1e-4, "direct", "shipped"),
    ("--preset", "paper"): (1500, 3e-3, "zssr", "none"),
    ("--preset", "classic"): (1500, 3e-3, "superresnet", "none"),
    ("--preset", "classic", "--network", "zssr"): (1500, 3e-3, "zssr", "none"),
    ("--prior", "none"): (500, 3e-3, "subpixel", "none"),
    ("--preset", "fast", "--prior", "none"): (100, 3e-3, "subpixel", "none"),
    ("--preset", "balanced", "--prior", "none"): (500, 3e-3, "subpixel", "none"),
    ("--preset", "best", "--prior", "none"): (1500, 3e-3, "subpixel", "none"),
    ("--preset", "paper", "--prior", "none"): (1500, 3e-3, "zssr", "none"),
    ("--prior", "my/p.safetensors"): (20, 1e-4, "direct", "my/p.safetensors"),
    ("--preset", "best", "--prior", "s3://b/p"): (100, 1e-4, "direct", "s3://b/p"),
    ("--preset", "fast", "--steps", "7"): (7, 1e-4, "direct", "shipped"),
    ("--steps", "0"): (0, 1e-4, "direct", "shipped"),
    ("--steps", "0", "--prior", "none"): (0, 3e-3, "subpixel", "none"),
    ("--learning-rate", "0.5", "--preset", "best"): (100, 0.5, "direct", "shipped"),
    ("--network", "zssr", "--prior", "none"): (500, 3e-3, "zssr", "none"),
    ("--network", "subpixel"): (500, 3e-3, "subpixel", "none"),
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
    fit = FitSettings(steps=settings.fit.steps, crop=64 if prior == "none" else 96, learning_rate=rate)
    plain = Settings()
    if "classic" in options:
        plain = replace(plain, back_projections=3, back_projection_factor=0.5)
        fit = replace(fit, level_odds=0.5, son_noise=5.0)
    assert settings == replace(
        plain,
        network=settings.network,
        fit=fit,
        ensemble="fast" not in options,
        members=12 if "classic" in options else 8 if prior == "none" or "fast" in options or "best" in options else 4,
        kernel="auto",
    )


def long_flag(parameter: Any) -> str:
    """`learning-rate` of --learning-rate, `output` of -o and --output."""
    return max(parameter.opts, key=len).lstrip("-")


ELSEWHERE = {"config", "json", "verbose", "log-format", "report", "preset", "prior", "kernel"}
"""Read before the others; what is printed or made after; such as change several, see PRESETS; test_given_kernels."""

OPTIONS = {
    long_flag(parameter): parameter
    for parameter in get_group(app).commands["run"].params
    if parameter.param_type_name == "option" and long_flag(parameter) not in ELSEWHERE
}

FIELDS = {
    "threads-per-worker": ("threads",),
    "self-ensemble": ("settings.ensemble",),
    "back-projection": ("settings.back_projections",),
    "range": ("settings.value_range",),
    "target-gsd": ("settings.result_size",),
    "target-size": ("settings.result_size",),
    "max-seconds-per-image": ("max_seconds",),
    "s3-endpoint-url": ("storage.input.endpoint_url", "storage.output.endpoint_url"),
    "s3-profile": ("storage.input.profile", "storage.output.profile"),
    "s3-anon": ("storage.input.anon",),
    "s3-requester-pays": ("storage.input.requester_pays",),
    "storage-option": ("storage.input.further.max_concurrency", "storage.output.further.max_concurrency"),
    "output-s3-endpoint-url": ("storage.output.endpoint_url",),
    "output-s3-profile": ("storage.output.profile",),
    "output-storage-option": ("storage.output.further.max_concurrency",),
}
"""Of the options that are not called like the field they set."""

TEXTS: dict[str, dict[str, object]] = {
    "X|XxY": {"3": 3, "8.0": 8, "2x2": 2},
    "METHOD": {name: name for name in ALL_METHODS if name != "model"},
    "NETWORK": {name: name for name in ALL_NETWORKS},
    "METRES": {"2.50": "gsd:2.5"},
    "none|batch|layer": {kind.value: kind for kind in Normalisation},
    "l1|l2|charbonnier": {loss.value: loss for loss in Loss},
    "WxH": {"1024x768": "pixels:1024x768", "640X": "pixels:640x", "x480": "pixels:x480"},
    "1|1/2|1/4": {"1/4": 0.25, "1/2": 0.5, "0.50": 0.5, "1.0": 1.0},
    "URL": {"http://host:1": "http://host:1"},
    "KEY=VALUE": {"max_concurrency=2": 2},
    "auto|none|VALUE": {"-9999": "-9999.0", "none": "none"},
    "SIGMA|auto|0": {"0": "0.0", "2.50": "2.5"},
    "auto|none|LOW,HIGH": {"0,100": "0.0,100.0", "none": "none"},
}
"""What may be given for an option, by what help says of it; and the value that is meant."""


ONLY_WITH = {
    **dict.fromkeys(("--width", "--depth", *(f"--network {name}" for name in NETWORKS)), "paper"),
    **dict.fromkeys(("--network direct", "--method prior"), "fast"),
    "--adversarial": "paper",
    **dict.fromkeys(("--dropout", "--normalisation"), "classic"),
}
"""Options that go with fits from scratch alone, or from a prior alone: with which of the presets below."""


def ways_to_give(flag: str) -> dict[tuple[str, ...], object]:
    """Words of a command line, and the value they mean: all choices, both sides of a switch, one number or text."""
    parameter: Any = OPTIONS[flag]
    kind, texts = parameter.type_descriptor.annotation, TEXTS.get(parameter.metavar or "")
    if kind is bool:
        return {(f"--{flag}",): True} | {(other,): False for other in parameter.secondary_opts}
    if texts is None and issubclass(kind, Enum):
        texts = {choice.value: choice for choice in kind}
    if texts is None and kind is not str:
        number = min(parameter.max, 0.5) if kind is float and parameter.max else kind(parameter.min + 16)
        texts = {str(number): number}
    return {(f"--{flag}", text): value for text, value in (texts or {"s3://b/x": "s3://b/x"}).items()}


def fields_named_like(flag: str, config: RunConfig) -> tuple[str, ...]:
    name = flag.replace("-", "_")
    return tuple(path for path in flat(asdict(config)) if path.rpartition(".")[2] == name)


@pytest.mark.parametrize("flag", [flag for flag in OPTIONS if flag not in ("weights", "model-halo")])  # test_model_runs
def test_every_option_reaches_the_run(srpipe: Srpipe, configs: list[RunConfig], flag: str) -> None:
    """Whatever an option is given, with any preset: the field it is about has the value, and no other has changed."""
    made_a_difference = False
    for words, value in ways_to_give(flag).items():
        only = ONLY_WITH.get(words[0]) or ONLY_WITH.get(" ".join(words))
        for preset in ("fast", "paper") if only is None else (only,):
            configs.clear()
            assert srpipe("run", "m.csv", "-o", "out", "--preset", preset)[0] == 0
            assert srpipe("run", "m.csv", "-o", "out", "--preset", preset, *words)[0] == 0
            plain, changed = (flat(asdict(config)) for config in configs)
            fields = FIELDS.get(flag) or fields_named_like(flag, configs[0])
            assert fields
            assert {path: changed[path] for path in fields} == dict.fromkeys(fields, value)
            differing = {path for path in plain | changed if plain.get(path) != changed.get(path)}
            assert differing <= set(fields)
            made_a_difference |= bool(differing)
    assert made_a_difference


def test_the_manifest_reaches_the_run(srpipe: Srpipe, configs: list[RunConfig]) -> None:
    """It is handed on as it was given, and names the output where none is."""
    srpipe("run", "sub/m.csv", "-s", "3")
    assert (configs[0].manifest, os.path.basename(configs[0].output)) == ("sub/m.csv", "m-x3")


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested fields by their dotted names."""
    named: dict[str, Any] = {}
    for name, value in values.items():
        named |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return named


@pytest.mark.parametrize("options", [(), ("--prior", "none", "--steps", "2")], ids=["default", "from scratch"])
def test_defaults_do_the_whole_thing(srpipe: Srpipe, tmp_path: Path, options: tuple[str, ...]) -> None:
    """Without options a run starts from the shipped prior and gets its record; from scratch it does too."""
    Image.fromarray(satellite_view(32)).save(tmp_path / "t.png")
    code, _, _ = srpipe("run", "t.png", "-s", "2", "-o", "out", "--executor", "inline", "--crop", "16", *options)
    assert code == 0
    (row,) = pq.read_table("out/manifest.parquet").to_pylist()
    shipped = read_prior("shipped")
    assert shipped is not None
    assert (row["status"], row["prior"]) == ("done", "none" if options else shipped.sha256)
    assert row["method_used"] in (("zssr", "bicubic") if options else ("zssr", "prior", "bicubic"))
    assert (row["reconstruction_psnr"] is not None) == bool(options)  # bicubic is nothing that a prior is fitted to
    assert (row["prior_reconstruction_psnr"] is None) == bool(options)
    assert row["bicubic_reconstruction_psnr"] is not None


@pytest.mark.parametrize(("signal_number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_stopped_run_goes_on_where_it_stopped(srpipe: Srpipe, tmp_path: Path, signal_number: int, code: int) -> None:
    """A signal ends the run with its exit code; what was done is recorded, and the same command does the rest."""
    rng = np.random.default_rng(5)
    (tmp_path / "in").mkdir()
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (24, 24), dtype=np.uint8)).save(tmp_path / "in" / f"{number:02d}.png")
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
    assert 2 <= committed < 24
    recorded = sum(len(pq.read_table(part)) for part in tmp_path.glob("out/manifest/*.parquet"))
    assert committed - 1 <= recorded <= committed
    _, out, _ = srpipe(*arguments)
    assert f"{24 - committed} done, {committed} already done" in out
    assert len(pq.read_table(tmp_path / "out" / "manifest.parquet")) == 24


@pytest.mark.parametrize("descriptor", [1, 2])
def test_what_a_closed_stream_could_not_take_does_not_change_the_exit_code(descriptor: int) -> None:
    """Python ends with 120 where it cannot write out what is left in a buffer."""
    program = f"""if True:
        import os, sys
        from jobs.cli import main
        reader, writer = os.pipe()
        os.close(reader)
        os.dup2(writer, {descriptor})
        (None, sys.stdout, sys.stderr)[{descriptor}].write("half a line")
        sys.argv = ["srpipe", "run", "m.csv", "--method", "magic"]
        main()
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent), "PYTHONUNBUFFERED": ""}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, env=environment)
    assert ended.returncode == 2


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
    told, right = ["manifest.csv", "a.png", "ftp://x/a.png", "gone.png"], "a-hr.png"
    with collection.open("w", newline="") as file:
        rows = (["a.png", reference, str(number)] for number, reference in enumerate([*told, right]))
        csv.writer(file).writerows([["uri", "reference", "id"], *rows])
    srpipe("run", str(collection), "-o", "out", *TINY)
    code, out, _ = srpipe("eval", "out", "--json")
    scores = json.loads(out, parse_constant=pytest.fail)["scores"]
    assert code == 3
    *problems, none = [score["problem"] for score in scores]
    assert none == ""
    assert all(reference in problem for reference, problem in zip(told, problems, strict=True))
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


@pytest.mark.parametrize("errno_", [errno.EPIPE, errno.ENOSPC])
def test_a_result_that_nobody_reads_is_no_failure(errno_: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of `srpipe methods | head -1`, whose output is not buffered; a full disk is one."""

    class Gone:
        def write(self, _text: str) -> int:
            raise OSError(errno_, os.strerror(errno_))

        def flush(self) -> None: ...

    monkeypatch.setattr(sys, "stdout", Gone())
    if errno_ == errno.EPIPE:
        print_result("result")
    else:
        with pytest.raises(OSError, match="No space"):
            print_result("result")


@pytest.mark.parametrize("existing", Existing)
def test_what_failed_can_be_done_as_it_is_told(existing: Existing, srpipe: Srpipe) -> None:
    """Another run with --existing error would be refused, and one with overwrite would do everything anew."""
    Path("two.csv").write_text("uri\npictures/a.png\ngone.png\n")
    arguments = ("run", "two.csv", "-o", "told", "--scale", "2", "--method", "bicubic", "--executor", "inline")
    code, _, err = srpipe(*arguments, "--existing", existing)
    assert code == 3
    told = err.splitlines()[-1]
    assert ("with --existing resume" in told) == (existing is not Existing.RESUME)
    assert srpipe(*arguments, "--existing", "resume")[0] == 3
