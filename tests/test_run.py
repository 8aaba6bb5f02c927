"""The whole run in this process: what lands, what is skipped, and what a stop, a change or a bad row does to it."""

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import pipeline.driver.plan
import pipeline.driver.run
from pipeline.config import Executor, Existing, RunConfig
from pipeline.driver.capacity import Workers
from pipeline.driver.observer import Observer
from pipeline.driver.pool import Pool
from pipeline.driver.run import Summary, run
from pipeline.errors import ErrorType, UsageError
from pipeline.output.layout import list_commits
from pipeline.output.record import Record
from pipeline.priors.prior_file import read_prior
from pipeline.storage import stat
from pipeline.work.units import Row
from sr_ops.resample import downscale
from sr_ops.settings import FitSettings, Method, Network, Settings

MakeConfig = Callable[..., RunConfig]
MakePrior = Callable[..., bytes]
ReadTiles = Callable[[str], dict[str, bytes]]
ReadRecords = Callable[[str], dict[Any, dict[str, Any]]]

pytestmark = pytest.mark.usefixtures("images")


def _numbers(summary: Summary) -> tuple[int, int, int, int, int]:
    assert summary.done + summary.already_done + summary.failed + summary.skipped == summary.rows
    return summary.rows, summary.done, summary.already_done, summary.failed, summary.skipped


def _snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Time of change and content of every file."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def _one_part_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine, the records of these small runs are one part."""
    monkeypatch.setattr("pipeline.output.records._FLUSH_SECONDS", 3600.0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


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

    assert _numbers(summary) == (6, 3, 0, 3, 0)
    assert summary.errors == {"corrupt": 1, "missing": 1, "bad_row": 1}
    assert (summary.output, summary.duplicates) == (str(out), 0)
    assert len(observer.plans) == 1
    assert sorted(record.key for record in observer.records) == sorted([*images, "broken.png", "none.png"])

    settings = tiny_config().fingerprint()
    commits = [f"_commit/{settings}/{name}.{stat(str(tmp_path / name)).fingerprint}.json" for name in images]
    others = [f"manifest/part-{summary.run_id}-00000.parquet", "manifest.parquet", "progress.json", "run.json"]
    tiles = [f"tiles/{name}" for name in read_tiles(str(out))]
    mosaics = [f"tiles/{name}/mosaic.vrt" for name in ("a.png", "b.png")]
    assert sorted(_snapshot(out)) == sorted([*commits, *others, *tiles, *mosaics])

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
        pieces = {
            tile.rpartition("/")[2]: data for tile, data in read_tiles(str(out)).items() if tile.startswith(f"{name}/")
        }
        grid = _grid(pieces)
        sr = np.concatenate([np.concatenate(row, 1) for row in grid], 0)
        assert sr.shape == (lr.shape[0] * 2, lr.shape[1] * 2, *lr.shape[2:])
        reduced = downscale(torch.from_numpy(np.atleast_3d(sr)).permute(2, 0, 1).double(), 2).permute(1, 2, 0).numpy()
        assert rows[name]["consistency_mae"] == pytest.approx(np.abs(reduced - np.atleast_3d(lr)).mean(), abs=1e-3)


def _grid(tiles: dict[str, bytes]) -> list[list[np.ndarray]]:
    """Decoded tiles as rows of columns, after their names r0000_c0000.png."""
    rows = sorted({name.split("_")[0] for name in tiles})
    return [
        [np.asarray(Image.open(io.BytesIO(tiles[name]))) for name in sorted(tiles) if name.startswith(row)]
        for row in rows
    ]


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


def test_second_run_does_nothing(
    out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done is skipped without loading an image; tiles, commits and parts stay as they are."""
    run(tiny_config(), observer)
    before, rows = _snapshot(out), read_records(str(out))
    monkeypatch.setattr(pipeline.driver.run, "executor", None)
    summary = run(tiny_config(), observer)
    assert _numbers(summary) == (3, 0, 3, 0, 0)
    after = _snapshot(out)
    assert set(after) == set(before)
    assert {name for name in after if after[name] != before[name]} <= {
        *("run.json", "progress.json", "manifest.parquet", "_SUCCESS"),
    }
    assert read_records(str(out)) == rows
    assert observer.plans[1].units == ()


def test_other_settings_and_back(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, read_records: ReadRecords
) -> None:
    """Other settings do all again and withdraw the old commits; the first settings then give the first pixels."""
    config = tiny_config()
    changed = replace(config, settings=replace(config.settings, seed=1))
    run(config, observer)
    first = read_tiles(str(out))
    for next_config in (changed, config):
        assert _numbers(run(next_config, observer)) == (3, 3, 0, 0, 0)
        settings = next_config.fingerprint()
        assert {commit.settings for commits in list_commits(str(out)).values() for commit in commits} == {settings}
        assert {row["config_fingerprint"] for row in read_records(str(out)).values()} == {settings}
        assert (read_tiles(str(out)) == first) == (next_config is config)
        assert (out / "_SUCCESS").exists()


def test_changed_source(
    tmp_path: Path,
    out: Path,
    make_png: Callable[..., np.ndarray],
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
) -> None:
    """An image that was replaced is done again, alone."""
    run(tiny_config(), observer)
    before = read_tiles(str(out))
    make_png(tmp_path / "a.png", seed=99)
    assert _numbers(run(tiny_config(), observer)) == (3, 1, 2, 0, 0)
    after = read_tiles(str(out))
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.startswith("a.png/")
    }
    assert [len(commits) for commits in list_commits(str(out)).values()] == [1, 1, 1]


def test_larger_tiles_leave_no_small_ones(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles
) -> None:
    """Tiles of an earlier cut are gone; the picture is the same however it is cut."""
    config = tiny_config()
    run(config, observer)
    small = {tile.rpartition("/")[2]: data for tile, data in read_tiles(str(out)).items() if tile.startswith("a.png/")}
    run(replace(config, settings=replace(config.settings, tile_size=64)), observer)
    large = read_tiles(str(out))
    assert sorted(large) == [f"{name}/r0000_c0000.png" for name in ("a.png", "b.png", "sub/c.png")]
    whole = np.asarray(Image.open(io.BytesIO(large["a.png/r0000_c0000.png"]))).astype(int)
    joined = np.concatenate([np.concatenate(row, 1) for row in _grid(small)], 0)
    assert np.abs(whole - joined).max() <= 1


def test_overwrite_does_everything_again(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles
) -> None:
    """--existing overwrite trusts nothing that is there and comes to the same pixels."""
    run(tiny_config(), observer)
    tiles = read_tiles(str(out))
    (out / "tiles/a.png/r0000_c0000.png").write_bytes(b"spoilt")
    assert _numbers(run(tiny_config(existing=Existing.OVERWRITE), observer)) == (3, 3, 0, 0, 0)
    assert read_tiles(str(out)) == tiles


class _Stop(Observer):
    """An observer that interrupts after so many images, as Ctrl-C does."""

    def __init__(self, after: int) -> None:
        self.left = after

    def planned(self, *_: object) -> None: ...

    def finished(self, _record: Record) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt


@pytest.mark.parametrize("lost_part", [False, True], ids=["interrupted", "killed before the part was written"])
def test_stopped_run_goes_on(
    out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, read_records: ReadRecords, lost_part: bool
) -> None:
    """A stopped run keeps what it knew and claims no success; the same command does the rest and misses no record."""
    run(tiny_config(output=f"{out}-whole"), observer)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), _Stop(after=2))
    parts = list((out / "manifest").iterdir())
    assert len(parts) == 1
    assert not (out / "_SUCCESS").exists()
    assert len(list_commits(str(out))) == 2
    if lost_part:
        parts[0].unlink()
    observer.records.clear()
    assert _numbers(run(tiny_config(), observer)) == (3, 1, 2, 0, 0)
    assert len(observer.records) == 1
    assert (out / "_SUCCESS").exists()
    assert read_tiles(str(out)) == read_tiles(f"{out}-whole")
    rows, expected = read_records(str(out)), read_records(f"{out}-whole")
    assert {key: (row["status"], row["output_sha256"]) for key, row in rows.items()} == {
        key: (row["status"], row["output_sha256"]) for key, row in expected.items()
    }


def test_success_is_only_for_all_rows(tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """_SUCCESS appears when every row is done, not under a limit, not with a failure, and goes when a row comes in."""
    assert _numbers(run(tiny_config(limit=2), observer)) == (3, 2, 0, 0, 1)
    assert not (out / "_SUCCESS").exists()
    assert _numbers(run(tiny_config(limit=3), observer)) == (3, 1, 2, 0, 0)
    assert (out / "_SUCCESS").exists()
    with (tmp_path / "m.csv").open("a") as file:
        file.write("none.png\n")
    assert _numbers(run(tiny_config(), observer)) == (4, 0, 3, 1, 0)
    assert not (out / "_SUCCESS").exists()


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
    assert _numbers(summary) == (1, 1, 0, 0, 0)
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
    assert _numbers(run(tiny_config(), observer)) == (2, 1, 1, 0, 0)


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
    assert _numbers(summary) == (3, 0, 0, 3, 0)
    assert summary.errors == {"internal": 3}
    assert capsys.readouterr().err.count("ZeroDivisionError: division by zero") == 3
    assert {row["error_type"] for row in read_records(str(out)).values()} == {"internal"}
    assert _numbers(run(tiny_config(), observer)) == (3, 3, 0, 0, 0)


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
    assert _numbers(summary) == (3, 2, 0, 1, 0)
    assert summary.errors == {"lost": 1}
    assert [sorted(keys) for keys in asked] == [["a.png", "b.png", "sub/c.png"], ["a.png"], ["a.png"]]
    assert "run again" in read_records(str(out))["a.png"]["error_message"]


# ---- what fits start from -------------------------------------------------------------------------------------------


def test_prior_is_recorded(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, make_prior: MakePrior
) -> None:
    """Every record names the prior by its sha256 and which of its networks was used; run.json also says which file."""
    (tmp_path / "p").write_bytes(make_prior())
    sha256 = hashlib.sha256(make_prior()).hexdigest()
    assert _numbers(run(tiny_config(prior_name=str(tmp_path / "p")), observer)) == (3, 3, 0, 0, 0)
    rows = read_records(str(out))
    assert {key: (row["prior"], row["prior_bands"]) for key, row in rows.items()} == {
        "a.png": (sha256, 3),
        "b.png": (sha256, 1),
        "sub/c.png": (sha256, 3),
    }
    held = json.loads((out / "run.json").read_bytes())
    assert (held["config"]["prior_name"], held["config"]["settings"]["prior"]) == (str(tmp_path / "p"), sha256)
    settings = replace(tiny_config(prior_name="p").settings, prior=sha256)
    wanted = tiny_config(settings=settings).fingerprint()
    assert held["config_fingerprint"] == wanted == rows["a.png"]["config_fingerprint"]


def test_prior_of_one_band(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords, make_prior: MakePrior
) -> None:
    """A prior without a network for colour serves colour band by band, and the record says so."""
    (tmp_path / "p").write_bytes(make_prior(bands=(1,)))
    assert _numbers(run(tiny_config(prior_name=str(tmp_path / "p")), observer)) == (3, 3, 0, 0, 0)
    rows = read_records(str(out))
    assert {(row["status"], row["prior_bands"], row["method_used"]) for row in rows.values()} == {("done", 1, "zssr")}
    assert {row["bands"] for row in rows.values()} == {1, 3}


def test_another_prior_is_other_work(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, make_prior: MakePrior
) -> None:
    """Other weights, or none, do all again with other pixels; the first file, wherever it is put, gives the first's."""
    for name, seed in {"p": 0, "q": 1, "elsewhere/copy of p": 0}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(make_prior(seed=seed))
    pixels = {}
    for prior in ("p", "q", "none"):
        choice = prior if prior == "none" else str(tmp_path / prior)
        assert _numbers(run(tiny_config(prior_name=choice), observer)) == (3, 3, 0, 0, 0)
        assert [len(commits) for commits in list_commits(str(out)).values()] == [1, 1, 1]
        pixels[prior] = read_tiles(str(out))
    for one, other in (("p", "q"), ("q", "none"), ("p", "none")):
        changed = {name for name in pixels[one] if pixels[one][name] != pixels[other][name]}
        assert {name.rpartition("/")[0] for name in changed} == {"a.png", "b.png", "sub/c.png"}
    assert _numbers(run(tiny_config(prior_name=str(tmp_path / "p")), observer)) == (3, 3, 0, 0, 0)
    assert read_tiles(str(out)) == pixels["p"]
    os.rename(tmp_path / "p", tmp_path / "p.old")
    assert _numbers(run(tiny_config(prior_name=str(tmp_path / "elsewhere/copy of p")), observer)) == (3, 0, 3, 0, 0)


def test_shipped_prior_is_not_none(tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles, out: Path) -> None:
    """The prior that comes with srpipe is used when it is named, and changes the pixels."""
    settings = Settings(scale=2, method=Method.ZSSR, fit=FitSettings(steps=0), ensemble=False)
    direct = replace(settings, network=Network.DIRECT)
    run(tiny_config(settings=direct, prior_name="shipped", limit=1), observer)
    first = read_tiles(str(out))
    assert _numbers(run(tiny_config(settings=settings, prior_name="none", limit=1), observer)) == (3, 1, 0, 0, 2)
    assert read_tiles(str(out)) != first
    shipped = read_prior("shipped")
    assert shipped is not None
    assert [record.prior for record in observer.records] == [shipped.sha256, "none"]


def test_planning_with_a_prior_loads_no_torch(tmp_path: Path) -> None:
    """A run with the default settings and prior reads and checks the prior, and loads torch only for work."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,9\n")
    program = """if True:
        import sys
        from pipeline.config import RunConfig
        from pipeline.driver.observer import Observer
        from pipeline.driver.run import run
        from sr_ops.settings import Preset, preset

        class Nobody(Observer):
            pass

        settings = preset(Preset.BALANCED, from_prior=True)
        config = RunConfig(manifest="m.csv", output=sys.argv[1], settings=settings, prior_name="shipped")
        assert run(config, Nobody()).failed == 1
        print({"ray", "torch"} & set(sys.modules), "safetensors" in sys.modules)
    """
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    command = [sys.executable, "-c", program, str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path, env=environment)
    assert (ended.stdout, ended.stderr) == (b"set() True\n", b"")


def test_unusable_prior(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_prior: MakePrior, tiny_settings: Settings
) -> None:
    """A prior that is missing or broken, or a network that starts from none, refuses the run and leaves nothing."""
    (tmp_path / "p").write_bytes(make_prior())
    (tmp_path / "broken").write_bytes(make_prior()[:-5])
    for name, sentence in {
        "gone": "--prior: nothing is at .*gone; ",
        "broken": "--prior: .*broken is not a complete safetensors file",
    }.items():
        _refused(tiny_config(prior_name=str(tmp_path / name)), observer, sentence, tmp_path)
        assert not observer.plans
    sentence = "--prior: it holds direct networks of width 8 and depth 3; subpixel is fitted from scratch only; use"
    _refused(tiny_config(settings=tiny_settings, prior_name=str(tmp_path / "p")), observer, sentence, tmp_path)


def test_the_size_of_networks_is_the_priors(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, make_prior: MakePrior
) -> None:
    """Whatever settings say: so it stands in run.json, and fingerprints go by it."""
    (tmp_path / "p").write_bytes(make_prior(width=6, depth=4))
    config = tiny_config(prior_name=str(tmp_path / "p"), limit=1)
    assert _numbers(run(config, observer)) == (3, 1, 0, 0, 2)
    held = json.loads((out / "run.json").read_bytes())["config"]["settings"]
    assert (held["width"], held["depth"]) == (6, 4)


def test_auto_is_bicubic_for_a_flat_image(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Under auto each record says which method its image got; a flat one is done, and is a success."""
    Image.new("L", (40, 40), 77).save(tmp_path / "flat.png")
    (tmp_path / "m.csv").write_text("uri\nflat.png\nsub/c.png\n")
    settings = replace(tiny_config().settings, method=Method.AUTO)
    assert _numbers(run(tiny_config(settings=settings), observer)) == (2, 2, 0, 0, 0)
    assert {(row["status"], row["method_used"], row["steps_used"]) for row in read_records(str(out)).values()} == {
        ("done", "bicubic", 0)
    }
    assert (out / "_SUCCESS").exists()
    settings = replace(settings, method=Method.ZSSR)
    assert _numbers(run(tiny_config(settings=settings), observer)) == (2, 2, 0, 0, 0)
    assert {row["method_used"] for row in read_records(str(out)).values()} == {"zssr"}


# ---- refused before anything is begun -------------------------------------------------------------------------------


def _refused(config: RunConfig, observer: Any, sentence: str, tmp_path: Path) -> None:
    before = _snapshot(tmp_path)
    with pytest.raises(UsageError, match=sentence):
        run(config, observer)
    assert _snapshot(tmp_path) == before
    assert not observer.records


def test_strict(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """With --strict one bad row refuses the run, and nothing is written."""
    (tmp_path / "m.csv").write_text("uri,scale\na.png,\nb.png,9\n")
    _refused(tiny_config(strict=True), observer, r"line 3 of .*the scale '9' cannot be made", tmp_path)


def test_other_root(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """An output keeps the root its keys were made with: another one is refused, for it would do all again beside it."""
    config = tiny_config(manifest=str(tmp_path / "sub"))
    run(config, observer)
    assert len(observer.records) == 1
    observer.records.clear()
    _refused(
        tiny_config(), observer, "made with keys relative to .*choose another --output or the old --root", tmp_path
    )
    observer.records.clear()
    assert _numbers(run(tiny_config(root=str(tmp_path / "sub")), observer)) == (3, 0, 1, 2, 0)


def test_existing_error(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """--existing error refuses an output that holds a run, but not a new one."""
    run(tiny_config(existing=Existing.ERROR), observer)
    observer.records.clear()
    _refused(tiny_config(existing=Existing.ERROR), observer, "already holds a run; choose another --output", tmp_path)


@pytest.mark.usefixtures("images")
def test_an_output_of_another_layout_is_left_alone(out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A later version's output is refused with the remedy; one from before layouts were numbered is gone on with."""
    run(tiny_config(), observer)
    held = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps({**held, "layout": 2}))
    with pytest.raises(
        UsageError, match="laid out as version 2, this srpipe knows version 1; use the srpipe that made"
    ):
        run(tiny_config(existing=Existing.OVERWRITE), observer)
    del held["layout"]
    (out / "run.json").write_text(json.dumps(held))
    assert run(tiny_config(), observer).already_done == 3


def test_damaged_run_json(tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A run.json that cannot be understood is refused with the remedy, not passed over."""
    out.mkdir()
    (out / "run.json").write_bytes(b"{")
    _refused(tiny_config(), observer, r"run\.json .*choose another --output", tmp_path)


def test_impossible_output(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """An output below a file is refused."""
    _refused(tiny_config(output=str(tmp_path / "a.png/out")), observer, r"a\.png/out.*choose another", tmp_path)


def test_full_disk(tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that takes no file is refused before any work, though it can be listed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    _refused(
        tiny_config(), observer, "cannot write to the output .*: No space left on device; choose another", tmp_path
    )
    assert not observer.plans


@pytest.mark.parametrize("manifest", ["", "**/*.png"])
def test_output_inside_the_input(tmp_path: Path, tiny_config: MakeConfig, observer: Any, manifest: str) -> None:
    """Results that the next run would take for images are refused."""
    _refused(tiny_config(manifest=str(tmp_path / manifest)), observer, "lies inside the input", tmp_path)


@pytest.mark.parametrize("option", [{"workers": 2}, {"address": "auto"}, {"gpus_per_worker": 1.0}])
def test_option_without_effect(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, option: dict[str, object]
) -> None:
    """An option that would change nothing is refused, never ignored."""
    _refused(tiny_config(executor=Executor.INLINE, **option), observer, "has no effect", tmp_path)


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


# ---- what comes back, goes away or is odd ---------------------------------------------------------------------------


def test_source_that_comes_back(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """An image that was away for one run is done without work when it is back, and the table says done again."""
    run(tiny_config(), observer)
    os.rename(tmp_path / "a.png", tmp_path / "away")
    assert _numbers(run(tiny_config(), observer)) == (3, 0, 2, 1, 0)
    assert read_records(str(out))["a.png"]["error_type"] == "missing"
    os.rename(tmp_path / "away", tmp_path / "a.png")
    assert _numbers(run(tiny_config(), observer)) == (3, 0, 3, 0, 0)
    assert (out / "_SUCCESS").exists()
    assert read_records(str(out))["a.png"]["status"] == "done"


def test_mended_row(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Once the bad line is out of the manifest it is out of the table, even when there is nothing else to do."""
    (tmp_path / "m.csv").write_text("uri\na.png\n..\n")
    assert _numbers(run(tiny_config(), observer)) == (2, 1, 0, 1, 0)
    (tmp_path / "m.csv").write_text("uri\na.png\n")
    assert _numbers(run(tiny_config(), observer)) == (1, 0, 1, 0, 0)
    assert list(read_records(str(out))) == ["a.png"]


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
    assert _numbers(summary) == (2, 1, 0, 1, 0)


def test_file_name_that_is_no_text(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A name from the days of Latin-1 costs at most that one image, and the rest of the folder is done."""
    os.rename(tmp_path / "a.png", os.fsencode(tmp_path) + b"/sub/caf\xe9.png")
    summary = run(tiny_config(manifest=str(tmp_path / "sub")), observer)
    assert summary.rows == 2
    assert {record.key for record in observer.records if record.status == "done"} >= {"c.png"}


def test_linked_images_are_skipped_when_done(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """A folder of many symbolic links resumes like one of files."""
    (tmp_path / "links").mkdir()
    for number in range(16):
        os.symlink(tmp_path / "sub/c.png", tmp_path / f"links/{number}.png")
    (tmp_path / "m.csv").write_text("uri\n" + "".join(f"links/{number}.png\n" for number in range(16)))
    assert _numbers(run(tiny_config(), observer)) == (16, 16, 0, 0, 0)
    assert _numbers(run(tiny_config(), observer)) == (16, 0, 16, 0, 0)


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
    assert _numbers(run(tiny_config(), observer)) == (1, 0, 1, 0, 0)
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


def test_work_that_cannot_be_listed_is_not_done_twice(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the driver cannot tell the version of a file, the worker can, and finds the commit."""
    run(tiny_config(), observer)
    before = _snapshot(tmp_path / "out" / "tiles")
    monkeypatch.setattr(pipeline.driver.plan.storage, "stat_all", lambda _: {})
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.failed) == (summary.rows, 0)
    assert _snapshot(tmp_path / "out" / "tiles") == before


def test_key_in_the_place_of_a_tile(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """A key that would be the path of another key's tile is a bad row, whatever the order; the other is done."""
    (tmp_path / "m.csv").write_text("uri,id\nb.png,x/r0000_c0000.png\na.png,x\n")
    summary = run(tiny_config(), observer)
    assert (summary.done, summary.errors) == (1, {"bad_row": 1})
    assert read_records(str(out))["x"]["status"] == "done"


def test_limit_keeps_what_was_known(
    tmp_path: Path, out: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """A row beyond the limit that failed before is still known to have failed."""
    (tmp_path / "m.csv").write_text("uri\na.png\ngone.png\nb.png\n")
    run(tiny_config(limit=2), observer)
    assert _numbers(run(tiny_config(limit=1), observer)) == (3, 0, 1, 0, 2)
    assert {key: row["status"] for key, row in read_records(str(out)).items()} == {
        "a.png": "done",
        "gone.png": "failed",
        "b.png": "skipped",
    }


@pytest.mark.parametrize("pattern", ["in", "in/**/*.png", "in/*/*/*/*.png"])
def test_results_never_become_input(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, make_png: Callable[..., np.ndarray], pattern: str
) -> None:
    """An output below the input is refused when the next run would find its tiles, whatever the root of the keys."""
    (tmp_path / "in/x/y/z").mkdir(parents=True)
    make_png(tmp_path / "in/x/y/z/a.png")
    for root in (None, str(tmp_path)):
        with pytest.raises(UsageError, match="lies inside"):
            run(tiny_config(manifest=str(tmp_path / pattern), output=str(tmp_path / "in/out"), root=root), observer)


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
    tiny_config: Callable[..., RunConfig],
    observer: Any,
    read_records: Callable[[str], dict[Any, dict[str, Any]]],
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
