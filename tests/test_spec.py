"""Options from a job file and from SRPIPE_ variables: who wins, and what is refused."""

import json
import os
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from PIL import Image
from typer.exceptions import TyperException
from typer.main import get_group

from jobs import spec
from jobs.cli import app
from pipeline import storage
from pipeline.errors import UsageError

from .fixture_types import Srpipe

RUN: Any = get_group(app).commands["run"]

KEYS = {max(parameter.opts, key=len).strip("-"): parameter for parameter in RUN.params if parameter.name != "_job_file"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("SRPIPE_"):
            monkeypatch.delenv(name)


def parse(*arguments: str) -> tuple[dict[str, Any], Callable[[str], str]]:
    """The values that `srpipe run` would get, and whence each came."""
    context = RUN.make_context("run", list(arguments))
    return context.params, lambda name: context.get_parameter_source(name).name


TEXTS = {
    "X|XxY": "2.5",
    "METRES": "2.5",
    "WxH": "640x480",
    "1|1/2|1/4": "0.25",
    "auto|none|VALUE": "7.0",
    "auto|none|LOW,HIGH": "0.0,7.0",
    "auto|SPEC|FILE": "gaussian:0.7",
    "SIGMA|auto|0": "7.0",
    "METHOD": "ibp",
    "NETWORK": "srcnn",
}
"""Values of the options that read text of their own, by what help says of them."""


def sample(parameter: Any) -> Any:
    """A value of the parameter's type, as TOML has it."""
    annotation = parameter.type_descriptor.annotation
    if parameter.metavar in TEXTS:
        return TEXTS[parameter.metavar]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return list(annotation)[-1].value
    values: dict[Any, Any] = {bool: True, int: 77, float: 0.5, str: "7"}
    values[list[str]] = ["max_concurrency=2", "use_ssl=true"]
    return values[annotation]


def test_the_options_are_seen() -> None:
    """The tests below look at all the options there are."""
    assert {"manifest", "output", "scale", "threads-per-worker", "strict", "json", "learning-rate"} <= set(KEYS)


@pytest.mark.parametrize("key", KEYS)
def test_every_option_can_be_given_in_three_ways(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Job file, environment over it, command line over both: the same value by each, for every option there is."""
    parameter, value = KEYS[key], sample(KEYS[key])
    job_file = tmp_path / "job.toml"
    others = "" if key == "manifest" else 'manifest = "m.csv"\n'
    job_file.write_text(f"{others}{key} = {json.dumps(value)}\n")
    given = ["--config", str(job_file)]

    from_file, source = parse(*given)
    assert source(parameter.name) == "DEFAULT_MAP"
    texts = value if isinstance(value, list) else [str(value)]
    monkeypatch.setenv(f"SRPIPE_{key.upper().replace('-', '_')}", " ".join(texts))
    from_environment, source = parse(*given)
    assert source(parameter.name) == "ENVIRONMENT"
    flag = [] if key == "manifest" else [f"--{key}"]
    flags = flag if value is True else [word for text in texts for word in (*flag, text)]
    from_flag, source = parse(*given, *flags)
    assert source(parameter.name) == "COMMANDLINE"
    assert from_file[parameter.name] == from_environment[parameter.name] == from_flag[parameter.name]
    assert str(from_file[parameter.name]) == str(value)


@pytest.mark.parametrize("value", ['"a=1"', "[1]", '["a=1", 2]', "true"])
def test_a_list_is_a_list_of_strings(value: str, tmp_path: Path) -> None:
    """Anything else is refused with the key and what is expected."""
    job_file = tmp_path / "job.toml"
    job_file.write_text(f'manifest = "m.csv"\nstorage-option = {value}\n')
    with pytest.raises(UsageError, match=r"storage-option is not a list of strings$"):  # what it is may be a secret
        parse("--config", str(job_file))


def test_the_nearer_one_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Flag before environment before file before default, and MANIFEST may be in the file."""
    job_file = tmp_path / "job.toml"
    job_file.write_text('manifest = "m.csv"\nscale = 3\nsteps = 7\nself-ensemble = false\npreset = "fast"\n')
    monkeypatch.setenv("SRPIPE_SCALE", "5")
    monkeypatch.setenv("SRPIPE_SEED", "9")
    values, _ = parse("--config", str(job_file), "--seed", "1")
    assert (values["manifest"], values["scale"], values["steps"], values["seed"]) == ("m.csv", "5", 7, 1)
    assert (values["ensemble"], values["preset"], values["batch"]) == (False, "fast", None)
    monkeypatch.setenv("SRPIPE_CONFIG", str(job_file))
    assert parse("other.csv")[0]["manifest"] == "other.csv"
    assert parse()[0]["steps"] == 7


def test_a_run_by_its_job_file_alone(srpipe: Srpipe, tmp_path: Path) -> None:
    """`srpipe run --config job.toml` does what the file says."""
    Image.new("L", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "job.toml").write_text(
        'manifest = "a.png"\noutput = "out"\nscale = 2\nmethod = "bicubic"\nexecutor = "inline"\njson = true\n'
    )
    code, out, _ = srpipe("run", "--config", "job.toml")
    assert (code, json.loads(out)["done"]) == (0, 1)
    assert pq.read_table("out/manifest.parquet")["scale"].to_pylist() == [2]


def test_a_job_file_on_s3(s3_bucket: str) -> None:
    """A job file may be where all machines see it."""
    storage.write(f"{s3_bucket}/job.toml", b'manifest = "m.csv"\nsteps = 3\n')
    assert parse("--config", f"{s3_bucket}/job.toml")[0]["steps"] == 3


REFUSED = {
    "unknown key": ("scael = 3", ("job.toml", "'scael'", "did you mean scale?")),
    "underscores": ("threads_per_worker = 2", ("did you mean threads-per-worker",)),
    "nothing near": ("colour = 2", ("'colour'; keys are the options of srpipe run",)),
    "a section": ("[run]\nscale = 3", ("unknown key 'run'",)),
    "a file in the file": ('config = "x"', ("unknown key 'config'",)),
    "text for a number": ('steps = "many"', ("job.toml", 'steps = "many" is not a whole number')),
    "a date for a number": ("seed = 2026-11-20", ("seed =", "is not a whole number")),
    "a fraction": ("workers = 0.5", ("workers = 0.5 is not a whole number",)),
    "text for a rate": ('learning-rate = "1e-3"', ('learning-rate = "1e-3" is not a number',)),
    "a number for a switch": ("strict = 1", ("strict = 1 is not true or false",)),
    "a switch for text": ("output = true", ("output = true is not a string",)),
    "out of range": ("steps = -4", ("job.toml: ", "'--steps'", "-4 cannot be taken; give a whole number from 0")),
    "no such choice": ('preset = "turbo"', ("job.toml: ", "'--preset'", "use one of fast, balanced")),
    "no such scale": ("scale = 9", ("job.toml: ", "'--scale'", "'9' cannot be made")),
    "no such share": ('gpus-per-worker = "1/3"', ("job.toml: ", "'--gpus-per-worker'", "'1/3' is not 1, 1/2 or 1/4")),
    "not TOML": ("scale =", ("job.toml is not TOML",)),
    "too deep": ("a = " + "[" * 5000, ("job.toml is not TOML",)),
    "no text at all": ("\udcff", ("job.toml is not TOML",)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_job_file_is_refused(srpipe: Srpipe, tmp_path: Path, case: str) -> None:
    """One sentence that names the file, the key and what was expected; exit 2; nothing done."""
    text, named = REFUSED[case]
    (tmp_path / "job.toml").write_text(text, errors="surrogateescape")
    code, out, err = srpipe("run", "m.csv", "--config", "job.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    for words in named:
        assert words in err


def test_a_missing_job_file_is_refused(srpipe: Srpipe, tmp_path: Path) -> None:
    """What cannot be read is named, and what could be given instead."""
    assert "job file gone.toml does not exist" in srpipe("run", "--config", "gone.toml")[2]
    assert "cannot read the job file" in srpipe("run", "--config", str(tmp_path))[2]


def test_a_misspelt_variable_is_refused(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """SRPIPE_SCAEL must not be a run at the default scale."""
    monkeypatch.setenv("SRPIPE_SCAEL", "2")
    code, _, err = srpipe("run", "m.csv")
    assert code == 2
    assert "SRPIPE_SCAEL" in err
    assert "did you mean SRPIPE_SCALE" in err


def test_pairs_of_a_variable_may_hold_blanks(monkeypatch: pytest.MonkeyPatch) -> None:
    """In JSON; the flag and the job file take the same text."""
    text = 'client_kwargs={"region_name": "eu-west-1"}'
    monkeypatch.setenv("SRPIPE_STORAGE_OPTION", f" max_concurrency=4  {text} use_ssl=true")
    monkeypatch.setenv("SRPIPE_OUTPUT_STORAGE_OPTION", text)
    values, _ = parse("m.csv")
    assert values["storage_option"] == ["max_concurrency=4", text, "use_ssl=true"]
    assert values["output_storage_option"] == [text]


def test_a_wrong_variable_is_named(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that cannot be is shown with the variable it came from."""
    monkeypatch.setenv("SRPIPE_STEPS", "many")
    code, _, err = srpipe("run", "m.csv")
    assert code == 2
    assert "SRPIPE_STEPS: Invalid value for '--steps'" in err


@pytest.mark.parametrize("name", ["SRPIPE_SERVICE_HOST", "SRPIPE_HEAD_SVC_PORT_8265_TCP_ADDR", "SRPIPE_PORT"])
def test_variables_of_kubernetes_are_none_of_ours(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A service called srpipe-... puts such variables into every pod beside it."""
    monkeypatch.setenv(name, "tcp://10.0.0.1:8265")
    assert parse("m.csv")[0]["manifest"] == "m.csv"


WHOLE = 'manifest = "s3://b/m.csv"\noutput = "/shared/out"\n'

UNFIT = {
    "no manifest": ('output = "/shared/out"', "manifest is missing"),
    "no output": ('manifest = "/shared/m.csv"', "output is missing"),
    "a path on this machine": ('manifest = "m.csv"\noutput = "/shared/out"', 'manifest = "m.csv" is relative'),
    "a kernel's file on this machine": (WHOLE + 'kernel = "k.NPY"', 'kernel = "k.NPY" is relative'),
    "a prior on this machine": (WHOLE + 'prior = "p"', 'prior = "p" is relative'),
    "a root on this machine": (WHOLE + 'root = "scans"', 'root = "scans" is relative'),
    "a secret for the store": (
        WHOLE + 'storage-option = [\'client_kwargs={"aws_secret_access_key": "hush"}\']',
        "secrets",
    ),
    "a secret for the output": (WHOLE + 'output-storage-option = ["secret=hush"]', "secret"),
    "a kernel that is none": (WHOLE + 'kernel = "foo"', "'foo' is not a kernel"),
    "a password": (WHOLE + 'prior = "s3://me:hush@host/p"', "prior holds a password"),
    "unknown key": (WHOLE + "scael = 3", "did you mean scale"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_meant_for_a_cluster(tmp_path: Path, case: str) -> None:
    """Paths of this machine and passwords are refused before anything is sent."""
    text, named = UNFIT[case]
    job_file = tmp_path / "job.toml"
    job_file.write_text(text)
    with pytest.raises((UsageError, TyperException), match=named) as refused:
        spec.check_for_cluster(str(job_file), RUN)
    assert "hush" not in str(refused.value)


def test_variables_do_not_travel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An SRPIPE_ variable here would be lost on the cluster, so it is refused; without one the file is fit."""
    job_file = tmp_path / "job.toml"
    job_file.write_text(f'{WHOLE}prior = "none"\nkernel = "bicubic"\n')
    spec.check_for_cluster(str(job_file), RUN)
    job_file.write_text(f'{WHOLE}prior = "shipped"\nkernel = "s3://b/k.npy"\nnoise = 3\n')
    spec.check_for_cluster(str(job_file), RUN)
    monkeypatch.setenv("SRPIPE_SCALE", "2")
    with pytest.raises(UsageError, match="SRPIPE_SCALE is set, but does not travel"):
        spec.check_for_cluster(str(job_file), RUN)


@pytest.mark.parametrize("line", ["tile-size = 3", "scale = 9", 'gpus-per-worker = "1/3"'])
def test_values_are_checked_before_they_are_sent(srpipe: Srpipe, tmp_path: Path, line: str) -> None:
    """`srpipe submit` refuses a value out of range as `srpipe run` does, without any cluster."""
    (tmp_path / "job.toml").write_text(f"{WHOLE}{line}\n")
    code, _, err = srpipe("submit", "job.toml", "--address", "http://127.0.0.1:1")
    assert code == 2
    assert f"job.toml: Invalid value for '--{line.partition(' ')[0]}'" in err
