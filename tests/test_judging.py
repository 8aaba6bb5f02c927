"""Results that are written, but over a limit: how they are told, resumed, tried again and counted."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from PIL import Image

from pipeline import storage
from pipeline.driver.retry import failed_work
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.output import layout, records
from pipeline.output.judging import judged, judged_anew
from pipeline.output.record import Record
from pipeline.output.status import Status
from sr_ops.settings import Method, Settings

Make = Callable[..., Any]


def record(*rmse_bands: float, status: Status = Status.DONE, key: str = "a") -> Record:
    return Record(key=key, manifest_line=1, source_uri=key, status=status, consistency_rmse_bands=rmse_bands)


@pytest.mark.parametrize(
    ("rmse_bands", "limit", "status"),
    [
        ((0.2, 0.5, 0.1), None, Status.DONE),
        ((0.2, 0.5, 0.1), 0.5, Status.DONE),
        ((0.2, 0.5, 0.1), 0.49, Status.DEGRADED),
        ((0.0,), 0.0, Status.DONE),
        ((1e-9,), 0.0, Status.DEGRADED),
        ((), 0.1, Status.DONE),
    ],
)
def test_the_worst_band_decides(rmse_bands: tuple[float, ...], limit: float | None, status: Status) -> None:
    """It may be as large as the limit; the sentence names band, value, limit and remedy."""
    found = judged(record(*rmse_bands), limit)
    assert found.status == status
    if status == Status.DEGRADED:
        number = rmse_bands.index(max(rmse_bands)) + 1
        for part in (f"band {number} ", f"{max(rmse_bands):.4g}", f"--max-consistency-error {limit:g}", "--kernel"):
            assert part in str(found.error_message)
    else:
        assert found.error_message is None


def test_failures_are_not_judged() -> None:
    failed = replace(record(9.0, status=Status.FAILED), error_message="its own")
    assert judged(failed, 1.0) == failed


def test_only_other_verdicts_are_told_anew() -> None:
    """Of a table by another limit: what stays as it is needs no new record."""
    held = [judged(record(rmse, key=str(rmse)), 2.0) for rmse in (1.0, 3.0, 5.0)]
    table = records.to_table([*held, record(9.0, status=Status.FAILED, key="f")])
    assert list(judged_anew(table, 2.0)) == []
    assert [(one.key, one.status) for one in judged_anew(table, None)] == [("3.0", "done"), ("5.0", "done")]
    told = {one.key: one.status for one in judged_anew(table, 4.0)}
    assert told == {"3.0": "done", "5.0": "degraded"}  # the latter with another sentence
    assert list(judged_anew(records.to_table([]), 1.0)) == []


@pytest.fixture
def rough(images: Any, tiny_config: Make, tiny_settings: Settings) -> Make:
    """A run whose results are not back-projected: each is far from its input."""
    assert images
    settings = replace(tiny_settings, method=Method.BICUBIC, back_projections=0)
    return lambda most, **changes: tiny_config(settings=settings, max_consistency_error=most, **changes)


def statuses(output: str) -> dict[str, str]:
    return {row["key"]: row["status"] for row in records.read_table(layout.table(output)).to_pylist()}


def test_a_limit_decides_no_pixel(tmp_path: Path, rough: Make, observer: Any, read_tiles: Make) -> None:
    """Another limit judges what is committed anew, both ways, without any work; _SUCCESS is there if all are done."""
    output, success = str(tmp_path / "out"), tmp_path / "out/_SUCCESS"
    first = run(rough(1.0), observer)
    assert (first.done, first.degraded, first.failed, first.already_done) == (0, 3, 0, 0)
    assert not success.exists()
    assert set(statuses(output).values()) == {"degraded"}
    tiles, worked = read_tiles(output), len(observer.records)
    assert [one.status for one in observer.records] == ["degraded"] * 3
    for limit, degraded in ((1.0, 3), (1e6, 0), (None, 0), (1.0, 3), (1e6, 0)):
        again = run(rough(limit), observer)
        assert (again.done, again.degraded, again.already_done) == (0, degraded, 3 - degraded)
        assert list(statuses(output).values()).count("degraded") == degraded
        assert success.exists() is (degraded == 0)
    assert len(observer.records) == worked
    assert read_tiles(output) == tiles


def test_some_are_over(tmp_path: Path, rough: Make, observer: Any) -> None:
    """A limit between them; rows beyond --limit are no part of it."""
    run(rough(None), observer)
    errors = sorted(max(one.consistency_rmse_bands) for one in observer.records)
    middle = (errors[0] + errors[1]) / 2
    summary = run(rough(middle), observer)
    assert (summary.degraded, summary.already_done, summary.rows) == (2, 1, 3)
    less = run(rough(middle, limit=1), observer)
    assert less.degraded + less.already_done == 1
    assert less.skipped == 2
    assert list(statuses(str(tmp_path / "out")).values()).count("degraded") == 2


def test_a_record_that_a_killed_run_never_wrote(tmp_path: Path, rough: Make, observer: Any) -> None:
    """Its commit knows of no limit; it is judged as the others."""
    output = str(tmp_path / "out")
    run(rough(1.0), observer)
    for uri in storage.find(layout.parts_folder(output)):
        storage.remove(uri)
    assert run(rough(1.0), observer).degraded == 3
    assert set(statuses(output).values()) == {"degraded"}


def test_nothing_to_try_again(tmp_path: Path, rough: Make, observer: Any) -> None:
    """`srpipe retry` leaves degraded results: they would come out the same, and it says what helps."""
    run(rough(1.0), observer)
    with pytest.raises(UsageError, match=r"degraded.*--max-consistency-error"):
        failed_work(str(tmp_path / "out"), [])
    (tmp_path / "m.csv").write_text((tmp_path / "m.csv").read_text() + "missing.png\n")
    run(rough(1.0), observer)
    config, keys = failed_work(str(tmp_path / "out"), [])
    assert keys == {"missing.png"}
    assert config.max_consistency_error == 1.0


@pytest.mark.usefixtures("images")
def test_on_the_command_line(srpipe: Make) -> None:
    """Exit code 3, in the sentence and in the JSON; what is degraded is scored as what is done."""
    options = ("--executor", "inline", "--method", "bicubic", "--back-projection", "0", "-s", "2")
    code, out, err = srpipe("run", "m.csv", "-o", "out", *options, "--max-consistency-error", "1")
    assert (code, "3 degraded" in out, err.count("degraded: ")) == (3, True, 3)
    code, out, _ = srpipe("run", "m.csv", "-o", "out", *options, "--max-consistency-error", "1", "--json")
    assert srpipe("watch", "out")[0] == 3
    assert (code, json.loads(out)["degraded"], json.loads(out)["done"]) == (3, 3, 0)
    with Image.open("a.png") as image:
        image.resize((2 * image.width, 2 * image.height), Image.Resampling.NEAREST).save("a-true.png")
    Path("m.csv").write_text("uri,reference\na.png,a-true.png\n")
    assert srpipe("run", "m.csv", "-o", "out", *options, "--max-consistency-error", "1")[0] == 3
    (score,) = json.loads(srpipe("eval", "out", "--json")[1])["scores"]
    assert (score["status"], score["problem"], score["psnr_y"] > 5) == ("degraded", "", True)
    assert srpipe("report", "out")[0] == 0
    assert "--max-consistency-error 1" in Path("out/report.html").read_text()
    assert srpipe("run", "m.csv", "-o", "out", *options)[0] == 0
    code, _, err = srpipe("run", "m.csv", "-o", "out", *options, "--max-consistency-error", "-1")
    assert (code, "--max-consistency-error" in err) == (2, True)


def test_records_of_an_older_version_have_no_map(tmp_path: Path) -> None:
    """A table without the new columns has nothing that lacks one."""
    old = records.to_table([record(0.1)]).drop_columns(["disagreement_p50", "disagreement_uri"])
    records.write_table(str(tmp_path / "manifest/part-20250101-a-00000.parquet"), old)
    table = records.latest(str(tmp_path), "20260101-a")
    assert isinstance(table, pa.Table)
    assert len(records.recorded_with_map(table)) == 1
