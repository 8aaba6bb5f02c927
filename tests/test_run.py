"""The whole run in this process: what lands, what is skipped, and what a bad or an odd row does to it."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import pipeline.driver.plan
import pipeline.driver.run
from pipeline.driver.capacity import Workers
from pipeline.driver.pool import Pool
from pipeline.driver.run import run
from pipeline.errors import ErrorType, UsageError
from pipeline.output.record import Record
from pipeline.storage import stat
from pipeline.work.units import Row
from sr_ops.image.resample import downscale

from .fixture_types import MakeConfig, MakePng, ReadRecords, ReadTiles
from .results import files_below, numbers, pasted

pytestmark = pytest.mark.usefixtures("images", "one_part_a_run")


def test_mixture(
    tmp_path: Path,
    out: Path,
    images: dict[str, np.ndarray],
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    read_records: ReadRecords,
) -> None:
    """Good images are done, each bad one fails alone, and the output holds what README promises and nothing else."""
    (tmp_path / "broken.png").write_bytes(b"?")
    table = [
        ("note", "uri"),
        *(("good", name) for name in images),
        ("cut", "broken.png"),
        ("gone", "none.png"),
        ("odd", ""),
    ]
    (tmp_path / "m.csv").write_text("".join(f"{note},{uri}\n" for note, uri in table))
    summary = run(tiny_config(), observer)

    assert numbers(summary) == (6, 3, 0, 3, 0)
    assert summary.errors == {"corrupt": 1, "missing": 1, "bad_row": 1}
    assert (summary.output, summary.duplicates) == (str(out), 0)
    assert len(observer.plans) == 1
    assert sorted(record.key for record in observer.records) == sorted([*images, "broken.png", "none.png"])

    settings = tiny_config().fingerprint()
    commits = [f"_commit/{settings}/{name}.{stat(str(tmp_path / name)).fingerprint}.json" for name in images]
    others = [f"manifest/part-{summary.run_id}-00000.parquet", "manifest.parquet", "progress.json", "run.json"]
    tiles = [f"tiles/{name}" for name in read_tiles(str(out))]
    mosaics = [f"tiles/{name}/mosaic.vrt" for name in ("a.png", "b.png")]
    assert sorted(files_below(out)) == sorted([*commits, *others, *tiles, *mosaics])

    rows = read_records(str(out))
    assert {key: row["note"] for key, row in rows.items()} == {
        **dict.fromkeys(images, "good"),
        "broken.png": "cut",
        "none.png": "gone",
        7: "odd",
    }
    assert {row["status"] for key, row in rows.items() if key in images} == {"done"}
    assert rows["broken.png"]["error_type"] == "corrupt"
    assert rows["none.png"]["error_type"] == "missing"
    assert (rows[7]["error_type"], rows[7]["manifest_line"]) == ("bad_row", 7)
    assert "line 7: the uri is empty" in rows[7]["error_message"]
    assert all(row["srpipe_version"] and row["finished_at"] for row in rows.values())

    for name, lr in images.items():
        sr = pasted(read_tiles(str(out)), name)
        assert sr.shape == (lr.shape[0] * 2, lr.shape[1] * 2, *lr.shape[2:])
        reduced = downscale(torch.from_numpy(np.atleast_3d(sr)).permute(2, 0, 1).double(), 2).permute(1, 2, 0).numpy()
        assert rows[name]["consistency_mae"] == pytest.approx(np.abs(reduced - np.atleast_3d(lr)).mean(), abs=1e-3)


def test_run_json(out: Path, tiny_config: MakeConfig, observer: Any, tmp_path: Path) -> None:
    """run.json explains the run: what was asked, of which manifest, with which versions."""
    summary = run(tiny_config(), observer)
    held = json.loads((out / "run.json").read_bytes())
    assert (held["run_id"], held["manifest"], held["root"]) == (summary.run_id, str(tmp_path / "m.csv"), "")
    assert held["config_fingerprint"] == tiny_config().fingerprint()
    assert held["config"]["settings"]["fit"]["steps"] == 2
    assert held["versions"]["torch"] == torch.__version__
    assert held["workers"] == {"count": 1, "why": "--executor inline"}
    assert (out / "_SUCCESS").read_bytes() == b""


def test_limit(out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords) -> None:
    """Rows beyond the limit have a record that says so, which the real one replaces later."""
    run(tiny_config(limit=1), observer)
    assert {key: row["status"] for key, row in read_records(str(out)).items()} == {
        "a.png": "done",
        "b.png": "skipped",
        "sub/c.png": "skipped",
    }
    run(tiny_config(), observer)
    assert {row["status"] for row in read_records(str(out)).values()} == {"done"}


def test_identical_rows_are_one(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A row said twice is done once, and a run that did it is a success."""
    (tmp_path / "m.csv").write_text("uri\na.png\na.png\n")
    summary = run(tiny_config(), observer)
    assert numbers(summary) == (1, 1, 0, 0, 0)
    assert summary.duplicates == 1
    assert (tmp_path / "out/_SUCCESS").exists()


def test_same_image_same_tiles(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, images: dict[str, np.ndarray]
) -> None:
    """Whatever stands before and after it in whichever manifest, an image has the same tiles."""
    run(tiny_config(), observer)
    expected = read_tiles(str(tmp_path / "out"))
    (tmp_path / "broken.png").write_bytes(b"?")
    (tmp_path / "m.txt").write_text("\n".join(["sub/c.png", "broken.png", "b.png", "a.png"]))
    (tmp_path / "one.jsonl").write_text('{"path": "b.png"}\n')
    run(tiny_config(manifest=str(tmp_path / "m.txt"), output=f"{tmp_path}/other"), observer)
    assert read_tiles(f"{tmp_path}/other") == expected
    run(tiny_config(manifest=str(tmp_path / "one.jsonl"), output=f"{tmp_path}/one"), observer)
    assert read_tiles(f"{tmp_path}/one") == {name: data for name, data in expected.items() if name.startswith("b.png/")}
    run(tiny_config(manifest=str(tmp_path / "sub"), output=f"{tmp_path}/folder"), observer)
    (name,) = read_tiles(f"{tmp_path}/folder")
    assert name == "c.png/r0000_c0000.png"
    assert read_tiles(f"{tmp_path}/folder")[name] == expected[f"sub/{name}"]
    assert set(images) == {name.rpartition("/")[0] for name in expected}


def test_scale_of_a_row(tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords) -> None:
    """A row may name its own scale; changing it does that row again, alone."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,3\nb.png,\n")
    run(tiny_config(), observer)
    sizes = {key: (row["scale"], row["sr_width"]) for key, row in read_records(str(tmp_path / "out")).items()}
    assert sizes == {"a.png": (3, 72), "b.png": (2, 34)}
    (tmp_path / "m.csv").write_text("uri,scale\na.png,2\nb.png,\n")
    assert numbers(run(tiny_config(), observer)) == (2, 1, 1, 0, 0)


def test_bug_inside(
    out: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_records: ReadRecords,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A bug is a failed record and a traceback, not the end of the run; once mended, the same command goes on."""
    with monkeypatch.context() as patched:
        patched.setattr("pipeline.output.sinks.encode_png", lambda *_: 1 / 0)
        summary = run(tiny_config(), observer)
    assert numbers(summary) == (3, 0, 0, 3, 0)
    assert summary.errors == {"internal": 3}
    assert capsys.readouterr().err.count("ZeroDivisionError: division by zero") == 3
    assert {row["error_type"] for row in read_records(str(out)).values()} == {"internal"}
    assert numbers(run(tiny_config(), observer)) == (3, 3, 0, 0, 0)


def test_silent_worker(
    out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows without an answer are asked for three times, then told as lost; an answer given twice counts once."""
    asked: list[list[str]] = []

    @contextmanager
    def forgetful(*_: object) -> Iterator[Pool]:
        def execute(units: Sequence[tuple[Row, ...]]) -> Iterator[Record]:
            asked.extend([row.key for row in unit] for unit in units)
            for row in (row for unit in units for row in unit if row.key != "a.png"):
                yield from [Record(key=row.key, manifest_line=row.line, source_uri=row.uri, status="done")] * 2

        yield Pool(execute, Workers(1, ""))

    monkeypatch.setattr(pipeline.driver.run, "executor", forgetful)
    summary = run(tiny_config(), observer)
    assert numbers(summary) == (3, 2, 0, 1, 0)
    assert summary.errors == {"lost": 1}
    assert [sorted(keys) for keys in asked] == [["a.png", "b.png", "sub/c.png"], ["a.png"], ["a.png"]]
    assert "run again" in read_records(str(out))["a.png"]["error_message"]


@pytest.mark.parametrize("column", ["status", "key", "total_s", "width"])
def test_user_column_that_clashes(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, column: str
) -> None:
    """A user's column named like one of the record is carried under a prefix, into parts and table."""
    (tmp_path / "m.csv").write_text(f"uri,{column}\na.png,x\n")
    run(tiny_config(), observer)
    record = read_records(str(out))["a.png"]
    assert (record["status"], record[f"manifest_{column}"]) == ("done", "x")
    (part,) = (out / "manifest").iterdir()
    assert pq.read_table(part)[f"manifest_{column}"].to_pylist() == ["x"]


@pytest.mark.parametrize(
    "cells",
    [
        r'"uri": "x\u0000.png"',
        r'"uri": "x\u0000.png", "id": "x"',
        r'"uri": "x\ud800.png"',
        r'"uri": "b.png", "id": "x\ud800"',
        r'"uri": "x\ud800.png", "id": "x"',
    ],
)
def test_name_that_no_file_can_have(tmp_path: Path, tiny_config: MakeConfig, observer: Any, cells: str) -> None:
    """A uri or id with NUL or half a character in it fails alone."""
    (tmp_path / "m.jsonl").write_text(f'{{{cells}}}\n{{"uri": "a.png"}}\n')
    summary = run(tiny_config(manifest=str(tmp_path / "m.jsonl")), observer)
    assert numbers(summary) == (2, 1, 0, 1, 0)


def test_output_that_is_no_text(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """A folder with a name from the days of Latin-1 is refused at once: no record can say where results lie."""
    output = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(UsageError, match=r"caf\\udce9 has bytes .* choose another --output"):
        run(tiny_config(output=output))
    assert not os.path.exists(output)


def test_file_name_that_is_no_text(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A name from the days of Latin-1 costs at most that one image, and the rest of the folder is done."""
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/sub/caf\xe9.png")
    summary = run(tiny_config(manifest=str(tmp_path / "sub")), observer)
    assert summary.rows == 2
    assert {record.key for record in observer.records if record.status == "done"} >= {"c.png"}


def test_error_types_are_told_as_text(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """The summary can be printed as JSON."""
    (tmp_path / "m.csv").write_text("uri\nnone.png\n")
    errors = run(tiny_config(), observer).errors
    assert json.loads(json.dumps(errors)) == {ErrorType.MISSING.value: 1}


def test_user_columns_follow_the_manifest(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """A column that is added or mended later reaches the table, without any image being done again."""
    (tmp_path / "m.csv").write_text("uri,site\na.png,nroth\nb.png,south\n")
    run(tiny_config(), observer)
    (tmp_path / "m.csv").write_text("uri,site,year\na.png,north,1851\n")
    assert numbers(run(tiny_config(), observer)) == (1, 0, 1, 0, 0)
    table = read_records(str(out))
    assert (table["a.png"]["site"], table["a.png"]["year"]) == ("north", "1851")
    assert (table["b.png"]["site"], table["b.png"]["year"]) == ("south", None)


def test_relative_uris_of_another_folder(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """The same relative uri in another folder's manifest is another image: it may not take the first one's place."""
    run(tiny_config(), observer)
    other = tmp_path / "other"
    other.mkdir()
    for name in ("a.png", "m.csv"):
        (other / name).write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(UsageError, match="relative to"):
        run(tiny_config(manifest=str(other / "m.csv")), observer)
    (other / "m.csv").write_text(f"uri\n{other / 'a.png'}\n")
    assert run(tiny_config(manifest=str(other / "m.csv")), observer).done == 1


def test_key_in_the_place_of_a_tile(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """A key that would be the path of another key's tile is a bad row, whatever the order; the other is done."""
    (tmp_path / "m.csv").write_text("uri,id\nb.png,x/r0000_c0000.png\na.png,x\n")
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.errors) == (1, {"bad_row": 1})
    assert read_records(str(out))["x"]["status"] == "done"


@pytest.mark.parametrize("pattern", ["in", "in/**/*.png", "in/*/*/*/*.png"])
def test_results_never_become_input(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_png: MakePng, pattern: str
) -> None:
    """An output below the input is refused when the next run would find its tiles, whatever the root of the keys."""
    (tmp_path / "in/x/y/z").mkdir(parents=True)
    make_png(tmp_path / "in/x/y/z/a.png")
    for root in (None, str(tmp_path)):
        with pytest.raises(UsageError, match="lies inside"):
            run(tiny_config(manifest=str(tmp_path / pattern), output=str(tmp_path / "in/out"), root=root), observer)


@pytest.mark.parametrize("manifest", ["in", "in/*.png", "in/a.png"])
def test_an_output_above_its_input(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_png: MakePng, manifest: str
) -> None:
    """As with `-o .`: what is written lies beside the images, and the next run does not find it."""
    (tmp_path / "in").mkdir()
    make_png(tmp_path / "in/a.png")
    config = tiny_config(manifest=str(tmp_path / manifest), output=str(tmp_path))
    assert run(config, observer).done == run(config, observer).already_done == 1


@pytest.mark.parametrize("linked", ["input", "output"])
def test_links_hide_no_results(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_png: MakePng, linked: str
) -> None:
    """Neither where the input is named by a link and the output is not, nor where a link in the input leads to it."""
    (tmp_path / "in").mkdir()
    make_png(tmp_path / "in/a.png")
    if linked == "input":
        (tmp_path / "link").symlink_to(tmp_path / "in")
        config = tiny_config(manifest=str(tmp_path / "link"), output=str(tmp_path / "in/out"))
    else:
        config = tiny_config(manifest=str(tmp_path / "in"), output=str(tmp_path / "out"))
        run(config, observer)
        (tmp_path / "in/link").symlink_to(tmp_path / "out")
    with pytest.raises(UsageError, match="lies inside"):
        run(config, observer)


def test_pattern_that_finds_no_tile(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A pattern too shallow to reach a tile may have its output beside the images."""
    config = tiny_config(manifest=str(tmp_path / "*.png"), output=str(tmp_path / "out"))
    assert run(config, observer).done == run(config, observer).already_done == 2


def test_relative_uris_are_remembered(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A run of absolute uris in between does not make the output forget which folder relative keys stand for."""
    run(tiny_config(), observer)
    (tmp_path / "absolute.csv").write_text(f"uri\n{tmp_path / 'a.png'}\n")
    run(tiny_config(manifest=str(tmp_path / "absolute.csv")), observer)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/m.csv").write_text("uri\na.png\n")
    with pytest.raises(UsageError, match="relative to"):
        run(tiny_config(manifest=str(tmp_path / "other/m.csv")), observer)


@pytest.mark.usefixtures("images")
def test_an_output_that_ignores_case_keeps_images_apart(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_records: ReadRecords,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two that would be written into one folder are failed rows, and nothing of them is there; the others are done."""
    monkeypatch.setattr("pipeline.driver.run.storage.folds_case", lambda _folder: True)
    (tmp_path / "m.csv").write_text("uri,id\na.png,A.png\nb.png,a.png\nsub/c.png,\n")
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.errors) == (1, {"bad_row": 2})
    told = read_records(str(tmp_path / "out"))["A.png"]
    assert (told["status"], "ignores case" in told["error_message"]) == ("failed", True)
    assert os.listdir(tmp_path / "out/tiles") == ["sub"]
