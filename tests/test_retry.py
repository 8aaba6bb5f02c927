"""Doing again what failed, with the manifest and the settings of the run, which its output holds."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.codec import to_json, to_plain
from pipeline.config import Existing, parse_config
from pipeline.driver.retry import failed_work
from pipeline.driver.run import run
from pipeline.errors import ErrorType, UsageError

from .fixture_types import MakeConfig, MakePng, MakePrior, ReadRecords, Srpipe


@pytest.mark.usefixtures("images")
def test_retry_does_what_failed_and_nothing_else(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    make_png: MakePng,
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
def test_a_retry_is_for_all_that_failed(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_png: MakePng
) -> None:
    """Also beyond the limit of rows that the last run had."""
    (tmp_path / "m.csv").write_text("uri\na.png\nsub/c.png\nd.png\n")
    assert run(tiny_config(), observer).failed == 1
    run(tiny_config(limit=1), observer)
    make_png(tmp_path / "d.png", height=9, width=9)
    config, keys = failed_work(str(tmp_path / "out"), [])
    summary = run(config, observer, keys)
    assert (keys, summary.done, summary.skipped) == ({"d.png"}, 1, 1)


@pytest.mark.usefixtures("images")
def test_images_that_are_back_have_their_records_again(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Their disk was away for one run: what is done needs no work, and retry does not refuse them."""
    (tmp_path / "m.csv").write_text("uri\na.png\nb.png\n")
    run(tiny_config(), observer)
    for name in ("a.png", "b.png"):
        (tmp_path / name).rename(tmp_path / f"away-{name}")
    assert run(tiny_config(), observer).errors == {"missing": 2}
    for name in ("a.png", "b.png"):
        (tmp_path / f"away-{name}").rename(tmp_path / name)
    out = str(tmp_path / "out")
    config, keys = failed_work(out, [ErrorType.MISSING])
    summary = run(config, observer, keys)
    assert (summary.done, summary.already_done, summary.failed) == (0, 2, 0)
    assert {row["status"] for row in read_records(out).values()} == {"done"}


@pytest.mark.usefixtures("images")
def test_retry_from_another_folder(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    make_prior: MakePrior,
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
def test_retry_on_the_command_line(tmp_path: Path, srpipe: Srpipe) -> None:
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
def test_bad_rows_are_left_to_run(tmp_path: Path, srpipe: Srpipe) -> None:
    """A bad row has no place in the output: the run's last line and retry itself say which command does it."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,9\n")
    run_it = ("run", "m.csv", "-o", "out", "-s", "2", "--executor", "inline", "--method", "bicubic")
    code, _, err = srpipe(*run_it)
    assert (code, "give the same srpipe run command again" in err, "srpipe retry" in err) == (3, True, False)
    for words in ((), ("--error-type", "bad_row")):
        code, _, err = srpipe("retry", "out", *words)
        assert (code, "give the same srpipe run command again" in err) == (2, True)
    (tmp_path / "m.csv").write_text("uri,scale\na.png,2\n")
    assert srpipe(*run_it)[0] == 0


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
        ("[]", "is damaged"),
    ):
        (tmp_path / "out/run.json").write_text(damaged)
        with pytest.raises(UsageError, match=sentence):
            failed_work(out, [])


@pytest.mark.usefixtures("images")
def test_retry_leaves_the_pool_of_the_run_behind(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, srpipe: Srpipe
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


@pytest.mark.usefixtures("images")
def test_options_of_a_retry_are_for_that_retry(tiny_config: MakeConfig, tmp_path: Path, srpipe: Srpipe) -> None:
    """What the run was told is what the next retry starts from."""
    (tmp_path / "m.csv").write_text("uri\nlate.png\n")
    asked = tiny_config(max_failure_rate=1.0, max_seconds=100.0)
    run(asked)
    assert srpipe("retry", "out", "--max-seconds-per-image", "5")[0] == 3
    assert parse_config(json.loads((tmp_path / "out/run.json").read_text())["config"]) == asked


@pytest.fixture
def _ran_on_gpus(images: Any, tmp_path: Path, tiny_config: MakeConfig) -> None:
    """A run of which one image failed, as if its workers had shared GPUs."""
    assert images
    (tmp_path / "m.csv").write_text("uri\na.png\nmissing.png\n")
    run(tiny_config())
    place = tmp_path / "out/run.json"
    held = json.loads(place.read_text())
    held["config"] |= {"device": "cuda", "gpus_per_worker": 0.5, "executor": "ray"}
    place.write_text(json.dumps(held))


@pytest.mark.usefixtures("_ran_on_gpus")
def test_a_run_on_gpus_is_repeated_without_one(tmp_path: Path, srpipe: Srpipe) -> None:
    """The device decides no fingerprint; on the CPU shares of a GPU mean nothing."""
    (tmp_path / "a.png").rename(tmp_path / "missing.png")
    code, out, err = srpipe("retry", "out", "--device", "cpu", "--executor", "inline", "--json")
    assert (code, json.loads(out)["done"]) == (0, 1), err


@pytest.mark.usefixtures("_ran_on_gpus")
@pytest.mark.parametrize(("device", "share"), [("cpu", None), ("auto", 0.5)])
def test_another_device_for_once(srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch, device: str, share: Any) -> None:
    """In a pool, too: shares of a GPU go with the GPU."""
    seen = []
    monkeypatch.setattr("jobs.commands.retry.carry_out", lambda config, *_: seen.append(config) or 0)
    assert srpipe("retry", "out", "--device", device)[0] == 0
    assert [(config.device, config.gpus_per_worker) for config in seen] == [(device, share)]


def test_a_config_survives_json(tiny_config: MakeConfig) -> None:
    """What run.json holds gives the same RunConfig again, every kind of value in it."""
    config = tiny_config(gpus_per_worker=0.5, workers=3, limit=2, root="/r", strict=True, max_seconds=1.5, deep=True)
    assert parse_config(json.loads(to_json(config))) == config
    with pytest.raises(ValueError, match="unknown"):
        parse_config({**to_plain(config), "unknown": 1})
    with pytest.raises(ValueError, match="sideways"):
        parse_config({**to_plain(config), "executor": "sideways"})
