"""`srpipe plan`: what it tells is what a run then does, and it writes nothing."""

import json
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline import storage
from pipeline.config import Device, Executor, Form, Format, RunConfig
from pipeline.driver.run import run
from pipeline.errors import UsageError
from pipeline.forecast import calibration
from pipeline.forecast.forecast import Forecast, forecast
from pipeline.forecast.measuring_process import spread
from pipeline.forecast.outlook import Asked
from pipeline.forecast.rates import Line, line_through, through_after
from sr_ops.settings import COLLECTION_KERNEL, Method

from .fixture_types import DrawPixels, MakeConfig, MakePng, ReadRecords, ReadTiles, Refusal, Srpipe
from .picture_bytes import png_chunk
from .results import files_below

TINY = (
    *("--scale", "2", "--steps", "2", "--width", "8", "--depth", "3", "--crop", "16", "--executor", "inline"),
    *("--prior", "none", "--method", "zssr", "--tile-size", "16", "--output", "out"),
)


def told(config: RunConfig, **asked: Any) -> Forecast:
    return forecast(config, Asked(**{"calibrate": 0, **asked}), lambda _what, _done, _todo: None)


@pytest.fixture
def mixed(tmp_path: Path, pixels: DrawPixels) -> Path:
    """Seven rows: two JPEGs, a PNG of 16 bits, a broken file, one that is missing, and two that claim one key."""
    Image.fromarray(pixels(30, 40)).save(tmp_path / "a.jpg")
    Image.fromarray(pixels(400, 500)).save(tmp_path / "b.jpg")
    Image.fromarray(pixels(9, 12, 1).astype(np.uint16) * 257).save(tmp_path / "c.png")
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    Image.fromarray(pixels(20, 20, seed=1)).save(tmp_path / "e.png")
    rows = ["a.jpg,", "b.jpg,", "c.png,", "d.png,", "gone.png,", "e.png,same", "a.jpg,same"]
    (tmp_path / "m.csv").write_text("uri,id\n" + "\n".join(rows) + "\n")
    return tmp_path


def test_a_collection_is_counted(mixed: Path, tiny_config: MakeConfig) -> None:
    """By format, size, bands and dtype; what would fail is told with its reason, and rows that claim one key."""
    found = told(tiny_config(manifest=str(mixed / "m.csv")))
    assert (found.counts.rows, found.counts.to_do, found.headers_read, found.sampled) == (7, 5, 5, False)
    assert found.kinds.formats == {"JPEG": 2, "PNG": 1}
    assert found.kinds.dtypes == {"uint8": 2, "uint16": 1}
    assert found.kinds.bands == {"3": 2, "1": 1}
    assert found.kinds.megapixels == {"up to 0.1 Mpixel": 2, "0.1 to 1": 1}
    assert found.refused == {"corrupt": 1, "missing": 1}
    assert (found.counts.bad_rows, found.counts.collisions, found.failing) == (2, 2, 4)
    assert found.megapixels == pytest.approx((30 * 40 + 400 * 500 + 9 * 12) / 1e6)
    assert found.result_megapixels == pytest.approx(4 * found.megapixels)
    reasons = {problem.line: (problem.error_type, problem.message) for problem in found.problems}
    assert set(reasons) == {5, 6, 7, 8}
    assert reasons[5][0] == "corrupt"
    assert "nothing is at" in reasons[6][1]
    assert "different work under the key 'same'" in reasons[7][1]


def test_what_is_refused_is_what_a_run_fails(
    mixed: Path, tiny_config: MakeConfig, observer: Any, read_records: ReadRecords
) -> None:
    """Error type and sentence are those of the run's records; and after the run the rest is done already."""
    config = tiny_config(manifest=str(mixed / "m.csv"), form=Form(Format.PNG))
    Image.fromarray(np.zeros((8, 8), np.float32)).save(mixed / "e.tif")  # no PNG holds it
    (mixed / "m.csv").write_text("uri\na.jpg\nc.png\nd.png\ngone.png\ne.tif\n")
    before = told(config)
    run(config, observer)
    failed = {
        record["manifest_line"]: (record["error_type"], record["error_message"])
        for record in read_records(config.output).values()
        if record["status"] == "failed"
    }
    assert len(failed) == 3
    assert {problem.line: (problem.error_type, problem.message) for problem in before.problems} == failed
    after = told(config)
    assert (before.counts.already_done, after.counts.already_done, after.counts.to_do) == (0, 2, 3)
    assert after.cost.seconds == 0


@pytest.mark.parametrize(("nodata", "suffix"), [("7", "tif"), ("-9999", "png"), ("0.5", "png"), ("none", "png")])
def test_the_kinds_of_files_are_those_of_the_run(
    tmp_path: Path, make_png: MakePng, tiny_config: MakeConfig, observer: Any, nodata: str, suffix: str
) -> None:
    """A PNG cannot say which number is nodata; one that its samples cannot have changes nothing."""
    make_png(tmp_path / "a.png", height=12, width=16)
    (tmp_path / "m.csv").write_text(f"uri,nodata\na.png,{nodata}\n")
    config = tiny_config(form=Form(single=True))
    assert told(config).kinds.results == {suffix: 1}
    run(config, observer)
    assert [path.suffix for path in (tmp_path / "out/images").iterdir()] == [f".{suffix}"]


@pytest.mark.usefixtures("images")
def test_what_a_killed_run_did_not_record_is_done_for_a_plan(tiny_config: MakeConfig, observer: Any) -> None:
    """With a map of the disagreement too: the commits say whether they have one."""
    config = tiny_config(disagreement=True)
    run(config, observer)
    for part in Path(config.output).rglob("*.parquet"):
        part.unlink()
    assert told(config).counts.to_do == 0


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize("calibrate", [0, 2])
def test_a_plan_writes_nothing(
    tmp_path: Path, tiny_config: MakeConfig, calibrate: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the output nor anything beside the input; what is measured leaves nothing in the temporary folder."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    before = files_below(tmp_path)
    found = told(tiny_config(), calibrate=calibrate)
    assert found.cost.measured == calibrate
    assert files_below(tmp_path) == before
    assert not any(temporary.iterdir())
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("images")
def test_bytes_are_those_of_the_run(tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles) -> None:
    """Where every image was measured whole, the plan's bytes are those of the tiles and commits that the run writes."""
    config = tiny_config()
    config = replace(config, settings=replace(config.settings, tile_size=64))
    found = told(config, calibrate=3)
    run(config, observer)
    tiles = sum(map(len, read_tiles(config.output).values()))
    commits = sum(len(storage.read(uri)) for uri in storage.find(f"{config.output}/_commit"))
    assert found.cost.output_bytes == pytest.approx(tiles + commits, rel=0.02)


def test_tiles_stand_for_a_large_image(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_tiles: ReadTiles
) -> None:
    """Of an image of many tiles some are made; bytes and seconds are those of all of it."""
    noise = np.random.default_rng(0).integers(0, 256, (100, 130, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    config = tiny_config(manifest=str(tmp_path / "large.png"))
    found = told(config, calibrate=1)
    run(config, observer)
    tiles = sum(map(len, read_tiles(config.output).values()))
    assert found.cost.measured == 1
    assert found.cost.output_bytes == pytest.approx(tiles, rel=0.1)
    assert found.cost.work_seconds is not None
    assert found.cost.work_seconds > 0


def test_measuring_meets_what_cannot_be_done(tmp_path: Path, tiny_config: MakeConfig, pixels: DrawPixels) -> None:
    """A header may be whole where pixels are not: the image is left out of the measure, and that is said."""
    Image.fromarray(pixels(40, 40)).save(tmp_path / "a.png")
    data = (tmp_path / "a.png").read_bytes()
    (tmp_path / "b.png").write_bytes(data[: len(data) // 2])
    (tmp_path / "m.csv").write_text("uri\na.png\nb.png\n")
    found = told(tiny_config(), calibrate=2)
    assert found.refused == {}
    assert found.cost.measured == 1
    assert any("1 of 2 images that were to be measured failed; b.png: " in note for note in found.cost.notes)


def test_a_sample_stands_for_all(tmp_path: Path, tiny_config: MakeConfig, make_png: MakePng) -> None:
    """With fewer headers than images, totals are drawn up from them, and the plan says so."""
    make_png(tmp_path / "a.png", height=20, width=30)
    (tmp_path / "m.csv").write_text("uri,id\n" + "".join(f"a.png,{number}\n" for number in range(500)))
    whole, part = told(tiny_config()), told(tiny_config(), headers=20)
    assert (part.headers_read, part.sampled, part.counts.to_do) == (20, True, 500)
    assert part.kinds.formats == {"PNG": 20}
    assert part.megapixels == pytest.approx(whole.megapixels)
    assert part.cost.output_bytes == pytest.approx(whole.cost.output_bytes, rel=1e-3)
    assert part.cost.work_seconds == pytest.approx(whole.cost.work_seconds)


def test_problems_are_kept_up_to_a_limit(tmp_path: Path, tiny_config: MakeConfig) -> None:
    """All are counted, a thousand told: memory does not grow with what is wrong."""
    (tmp_path / "m.csv").write_text("uri,id\n" + "".join(f"gone.png,{number}\n" for number in range(1500)))
    found = told(tiny_config())
    assert found.refused == {"missing": 1500}
    assert len(found.problems) == 1000


def test_s3_is_read_at_both_ends(
    s3_bucket: str, tmp_path: Path, tiny_config: MakeConfig, pixels: DrawPixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a large file on S3 the header takes its two ends; where they do not tell it, all of it is fetched."""
    large = pixels(700, 800)
    Image.fromarray(large).save(tmp_path / "front.png", compress_level=0)
    Image.fromarray(large).save(tmp_path / "plain.tif")
    front = (tmp_path / "front.png").read_bytes()
    middle = front[:33] + png_chunk(b"tEXt", b"Comment\0" + b"x" * 400_000) + front[33:]  # before the pixels
    for name, data in (
        ("front.png", front),
        ("middle.png", middle),
        ("plain.tif", (tmp_path / "plain.tif").read_bytes()),
    ):
        storage.write(f"{s3_bucket}/in/{name}", data)
    fetched: list[str] = []
    get_file = storage.access.on_disk
    monkeypatch.setattr("pipeline.storage.outline.on_disk", lambda uri: (fetched.append(uri), get_file(uri))[1])
    found = told(tiny_config(manifest=f"{s3_bucket}/in"))
    assert found.refused == {}
    assert found.kinds.formats == {"PNG": 2, "TIFF": 1}
    assert found.megapixels == pytest.approx(3 * 0.56)
    assert fetched == [f"{s3_bucket}/in/middle.png"]
    fetched.clear()
    storage.write(f"{s3_bucket}/in/front.png", b"\0" * 33 + front[33:])
    assert told(tiny_config(manifest=f"{s3_bucket}/in")).refused == {"corrupt": 1}
    assert sorted(fetched) == [f"{s3_bucket}/in/front.png", f"{s3_bucket}/in/middle.png"]


def test_more_workers_take_less_time(tmp_path: Path, tiny_config: MakeConfig, make_png: MakePng) -> None:
    """By known rates the work is the same, and 40 equal images take four workers a quarter of the time."""
    make_png(tmp_path / "a.png", height=200, width=300)
    (tmp_path / "m.csv").write_text("uri,id\n" + "".join(f"a.png,{number}\n" for number in range(400)))
    seconds = {}
    for workers in (1, 4):
        cost = told(tiny_config(executor=Executor.RAY, workers=workers)).cost
        assert (cost.workers, cost.workers_why, cost.measured) == (workers, "--workers", 0)
        assert cost.seconds is not None
        assert cost.work_seconds is not None
        seconds[workers] = cost.seconds - 5.4
        assert seconds[workers] == pytest.approx(cost.work_seconds / workers, rel=0.3)
    assert seconds[1] > 3 * seconds[4]


def test_a_process_that_measures_is_not_interrupted_as_it_loads(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C reaches it, too; it would print a traceback beside the sentence of the command, which ends it."""
    with calibration._processes(str(tmp_path)) as start:
        process = start()
        for _ in range(20):
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
    assert capfd.readouterr().err == ""
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


@pytest.mark.usefixtures("images")
def test_price_is_hours_times_what_an_hour_costs(tiny_config: MakeConfig) -> None:
    found = told(tiny_config(), price_per_hour=36.0)
    assert found.cost.seconds is not None
    assert found.price == pytest.approx(found.cost.seconds / 100)
    assert told(tiny_config()).price is None


@pytest.mark.usefixtures("images")
def test_gpus_need_one_to_be_measured(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without one here, or unmeasured, hours are not told, and why; everything else is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = tiny_config(executor=Executor.RAY, device=Device.AUTO, gpus_per_worker=0.5)
    found = told(config, gpus=4)
    assert found.cost.workers == 8
    assert found.cost.seconds is None
    assert found.price is None
    assert "no GPU here" in found.cost.notes[0]
    assert found.cost.output_bytes > 0


@pytest.mark.usefixtures("images")
@pytest.mark.skipif(torch.cuda.is_available(), reason="speaks of a machine without a GPU")
def test_a_job_for_gpus_can_be_planned_without_one(tiny_config: MakeConfig) -> None:
    """As with --gpus: bytes are measured here, hours are not told."""
    found = told(tiny_config(executor=Executor.RAY, device=Device.CUDA, workers=8), calibrate=2)
    assert (found.cost.device, found.cost.workers, found.cost.seconds) == ("cuda", 8, None)
    assert found.cost.measured > 0
    assert "no GPU here" in found.cost.notes[0]


@pytest.mark.usefixtures("images")
def test_known_rates_are_those_of_processors(tiny_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a GPU and --calibrate 0 the workers are the GPU's, and hours are not told."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 321)
    for device, on, hours in ((Device.AUTO, "cuda", False), (Device.CPU, "cpu", True)):
        cost = told(tiny_config(executor=Executor.RAY, device=device), calibrate=0).cost
        assert (cost.device, cost.seconds is not None) == (on, hours)
        assert (cost.workers == 321) == (on == "cuda")
        assert any("leave out --calibrate 0" in note for note in cost.notes) == (not hours)


@pytest.mark.usefixtures("images")
@pytest.mark.parametrize(
    ("changes", "asked", "sentence"),
    [
        ({"executor": Executor.RAY, "workers": 2}, {"gpus": 1}, "--gpus with --workers has no effect"),
        ({"executor": Executor.RAY}, {"gpus": 1}, "--gpus with --device cpu has no effect"),
        ({"device": Device.AUTO}, {"gpus": 1}, "--gpus with --executor inline has no effect"),
        ({"executor": Executor.RAY, "address": "ray://x:1"}, {}, "does not ask the cluster at ray://x:1"),
        ({"workers": 2}, {}, "--workers with --executor inline has no effect"),
        ({"manifest": "/nowhere.csv"}, {}, "/nowhere.csv does not exist"),
        pytest.param(
            *({"device": Device.CUDA}, {"calibrate": 1}, "there is no GPU here"),
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="speaks of a machine without a GPU"),
        ),
    ],
)
def test_what_a_plan_refuses(tiny_config: MakeConfig, changes: Any, asked: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        told(tiny_config(**changes), **asked)


def test_the_command_tells_a_table_or_json(srpipe: Srpipe, mixed: Path) -> None:
    """Exit 3 as a run's when some would fail; --json is one object, and --save FILE the same in a file."""
    code, out, _ = srpipe("plan", "m.csv", *TINY, "--calibrate", "0", "--save", "plan.json", "--price-per-hour", "1")
    assert code == 3
    assert "JPEG 2, PNG 1" in out
    assert "would fail: line 6, gone.png: nothing is at" in out
    assert not (mixed / "out").exists()
    saved = json.loads((mixed / "plan.json").read_text())
    code, out, _ = srpipe("plan", "m.csv", *TINY, "--calibrate", "0", "--json", "--price-per-hour", "1")
    assert (code, json.loads(out)) == (3, saved)
    _, out, _ = srpipe("plan", "m.csv", *TINY, "--calibrate", "0", "--json", "--price-per-hour", "inf")
    assert json.loads(out, parse_constant=pytest.fail)["price"] is None
    assert saved["refused"] == {"corrupt": 1, "missing": 1}
    assert saved["cost"]["seconds"] > 0


def test_a_place_where_no_plan_can_be_saved_is_told_first(refusal: Refusal, mixed: Path) -> None:
    """Not after minutes of measuring."""
    (mixed / "results").mkdir()
    sentence = refusal("plan", "m.csv", *TINY, "--save", "results")
    assert sentence.startswith(f"srpipe: --save: {mixed}/results is a folder; name a file in it")


@pytest.mark.usefixtures("images")
def test_the_command_ends_with_the_codes_of_a_run(srpipe: Srpipe) -> None:
    """0 where nothing would fail, 2 where a run would refuse to begin."""
    assert srpipe("plan", "m.csv", *TINY, "--calibrate", "0")[0] == 0
    assert srpipe("plan", "nowhere", *TINY)[0] == 2
    assert srpipe("plan", "m.csv", *TINY, "--kernel", "nonsense")[0] == 2


def test_a_name_that_folds_case_is_found_without_writing(tmp_path: Path) -> None:
    """A folder whose name in the other case is the same folder lies where case folds; here none does."""
    output = str(tmp_path / "Folder" / "out")
    assert not storage.lies_where_case_folds(output)
    (tmp_path / "Folder").mkdir()
    os.symlink(tmp_path / "Folder", tmp_path / "fOLDER")
    assert storage.lies_where_case_folds(output)
    assert not storage.lies_where_case_folds("s3://bucket/out")
    shutil.rmtree(tmp_path / "Folder")


def test_lines() -> None:
    """Points on a line give it; a negative part is left out, and beyond the largest x it goes on in proportion."""
    line = line_through([(1.0, 5.0), (2.0, 7.0), (10.0, 23.0)])
    assert (line.base, line.slope) == (pytest.approx(3), pytest.approx(2))
    assert line.at(20.0) == pytest.approx(46)
    assert line_through([(4.0, 8.0), (4.0, 4.0)]).at(2.0) == pytest.approx(3)
    assert line_through([(1.0, 1.0), (2.0, 4.0)]) == Line(0.0, pytest.approx(5 / 3), 2.0)
    assert line_through([(1.0, 4.0), (2.0, 2.0)]) == Line(3.0, 0.0, 2.0)


def test_when_workers_are_through() -> None:
    """Each unit goes to the worker that is first free: three of 10 s take two workers 20 s."""
    assert through_after([10, 10, 10], 2) == 20
    assert through_after([10, 5, 5], 2) == 10
    assert through_after([], 3) == 0


def test_kernels_of_cameras_are_those_saved(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """What a run with --kernel estimate-collection did is done; before it, nothing is looked for or saved."""
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        Image.fromarray(rng.integers(0, 256, (40, 48, 3), dtype=np.uint8)).save(tmp_path / f"{name}.png")
    (tmp_path / "m.csv").write_text("uri,camera\na.png,x\nb.png,x\nc.png,\n")
    config = tiny_config()
    settings = replace(config.settings, method=Method.BICUBIC, kernel=COLLECTION_KERNEL, tile_size=64)
    config = replace(config, settings=settings)
    before = told(config, calibrate=1)
    assert (before.counts.to_do, before.counts.already_done, before.cost.measured) == (3, 0, 1)
    assert not (tmp_path / "out").exists()
    run(config, observer)
    after = told(config)
    assert (after.counts.to_do, after.counts.already_done) == (0, 3)


def test_images_on_s3_are_measured(s3_bucket: str, tmp_path: Path, tiny_config: MakeConfig, pixels: DrawPixels) -> None:
    """By processes that fetch them themselves; in the bucket of the output nothing lies afterwards."""
    Image.fromarray(pixels(30, 40)).save(tmp_path / "a.png")
    storage.write(f"{s3_bucket}/in/a.png", (tmp_path / "a.png").read_bytes())
    found = told(tiny_config(manifest=f"{s3_bucket}/in", output=f"{s3_bucket}/out"), calibrate=1)
    assert (found.counts.to_do, found.failing, found.cost.measured) == (1, 0, 1)
    assert found.cost.output_bytes > 3 * 60 * 80 / 2  # noise at x2 hardly shrinks
    assert list(storage.find(s3_bucket)) == [f"{s3_bucket}/in/a.png"]


def test_tiles_are_spread() -> None:
    """Whatever number of tiles is made, they lie about evenly over all of a scene, each once."""
    for number in (1, 2, 4, 25, 63, 400):
        order = spread(number)
        assert sorted(order) == list(range(number))
        for first in (2, 5, 12):
            halves = [place < number / 2 for place in order[:first]]
            assert abs(sum(halves) - len(halves) / 2) <= 1
