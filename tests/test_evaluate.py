"""`srpipe eval` against scores written down anew in plain numpy: of every form of a result, and where it is known."""

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from PIL import Image

from jobs.score_table import print_scores
from pipeline import evaluate as evaluating
from pipeline import storage
from pipeline.config import Existing, Form
from pipeline.driver.observer import Observer
from pipeline.driver.run import run
from pipeline.errors import LostLockError, UsageError
from pipeline.evaluate import Score, evaluate
from pipeline.imagery.reading.decoders import OpenImage
from pipeline.imagery.writing.formats import Format
from pipeline.output.lock import Lock
from pipeline.output.record import Record
from pipeline.work.units import Division
from sr_ops.settings import Method, Settings

from .fixture_types import MakeConfig, ReadRecords
from .rasters import write_raster

Array = NDArray[Any]

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PLACE = {"crs": "EPSG:32618", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}

SIDE = 32
"""Of tiles, in pixels of the input."""


def refused(output: str) -> str:
    with pytest.raises(UsageError) as caught:
        evaluate(output)
    return str(caught.value)


def test_what_cannot_be_scored_is_told(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """No finished run, no column, and a column of nothing: what is missing, and what to do."""
    save(tmp_path / "a.png", scene(1, 16, 18))
    out = str(tmp_path / "out")
    for table, said in (
        ("uri\na.png\n", "has no column 'reference'; name the true images in one, and run again"),
        ("uri,reference\na.png,\n", "has a reference; fill the column and run again"),
    ):
        (tmp_path / "m.csv").write_text(table)
        run(tiny_config(settings=Settings(scale=2, method=Method.BICUBIC)), observer)
        assert said in refused(out)
    (tmp_path / "out/manifest.parquet").unlink()
    assert refused(out) == f"{out} holds no finished run; give the --output of one"


def scene(bands: int, height: int, width: int, seed: int = 0) -> Array:
    """(bands, height, width) uint8 of 1 and more: what changes slowly, and noise."""
    rows, columns = np.mgrid[:height, :width]
    slow = np.stack([np.sin(rows / (9 + band)) * np.cos(columns / 11 - band) for band in range(bands)])
    noise = np.random.default_rng(seed).random((bands, height, width)) - 0.5
    return (128 + 90 * slow + 60 * noise).round().astype(np.uint8)


def save(path: Path, samples: Array, mask: Array | None = None, **profile: Any) -> None:
    """A GeoTIFF or, by its name, a picture."""
    bands = len(samples)
    if path.suffix != ".tif":
        Image.fromarray(samples[0] if bands == 1 else samples.transpose(1, 2, 0)).save(path)
        return
    colours = {"photometric": "RGB"} if bands > 2 else {}
    write_raster(path, samples, mask, **colours, **PLACE, **profile)


def samples_of(path: Path) -> Array:
    if path.suffix == ".tif":
        with rasterio.open(path) as raster:
            return np.asarray(raster.read())
    pixels = np.asarray(Image.open(path))
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def put_together(place: Path, scale: int, height: int, width: int) -> Array:
    """The samples of a result, 0 where there is no tile."""
    if place.is_file():
        return samples_of(place)
    whole: Array | None = None
    for path in place.iterdir():
        found = re.fullmatch(r"r(\d+)_c(\d+)\.(png|tif)", path.name)
        if found is not None:
            tile = samples_of(path)
            whole = np.zeros((len(tile), height, width), tile.dtype) if whole is None else whole
            top, left = (int(number) * SIDE * scale for number in found.groups()[:2])
            whole[:, top : top + tile.shape[1], left : left + tile.shape[2]] = tile
    assert whole is not None
    return whole


def luma(levels: Array) -> Array:
    if len(levels) == 1:
        return levels[0].astype(float)
    red, green, blue = levels.astype(float)
    return 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255


def psnr(levels: Array, truth: Array, known: Array, border: int) -> float:
    inside = (slice(border, -border), slice(border, -border))
    error = (luma(levels) - luma(truth))[inside][known[inside]]
    return float(10 * np.log10(255**2 / np.mean(error**2)))


def ssim(levels: Array, truth: Array, known: Array, border: int) -> float:
    """Wang et al. 2004: the mean over all windows of 11 x 11 known pixels."""
    inside = (slice(border, -border), slice(border, -border))
    a, b = (sliding_window_view(luma(image)[inside], (11, 11)) for image in (levels, truth))
    profile = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    weights = np.outer(profile, profile) / profile.sum() ** 2

    def mean(windows: Array) -> Array:
        return np.einsum("hwij,ij->hw", windows, weights)

    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    values = (2 * mean_a * mean_b + c1) * (2 * both + c2) / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return float(values[sliding_window_view(known[inside], (11, 11)).all((-2, -1))].mean())


def filled(lr: Array, known: Array) -> Array:
    """Ring after ring outwards, 16 times, an unknown pixel is the mean of those beside it that have a value."""
    image, there = np.where(known, lr.astype(float), 0), known.copy()
    for _ in range(16):
        around = np.pad(image * there, ((0, 0), (1, 1), (1, 1)))
        counts = sliding_window_view(np.pad(there, 1), (3, 3)).sum((-2, -1))
        sums = sliding_window_view(around, (3, 3), (1, 2)).sum((-2, -1))
        fresh = ~there & (counts > 0)
        image = np.where(fresh, sums / np.maximum(counts, 1), image)
        there = there | fresh
    return image


def along_columns(image: Array, scale: int) -> Array:
    """Keys' cubic (a = -1/2) along the last axis, mirrored at the ends."""
    width = image.shape[-1]
    columns = []
    for column in range(width * scale):
        centre = (column + 0.5) / scale - 0.5
        total = 0
        for tap in range(int(np.floor(centre)) - 1, int(np.floor(centre)) + 3):
            x = abs(centre - tap)
            weight = 1.5 * x**3 - 2.5 * x**2 + 1 if x <= 1 else -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
            mirrored = -1 - tap if tap < 0 else 2 * width - 1 - tap if tap >= width else tap
            total = total + weight * image[..., mirrored]
        columns.append(total)
    return np.stack(columns, -1)


def bicubic(lr: Array, scale: int) -> Array:
    """Of grey levels, rounded."""
    enlarged = along_columns(along_columns(lr, scale).swapaxes(-1, -2), scale).swapaxes(-1, -2)
    return np.clip(np.floor(enlarged + 0.5), 0, 255)


@pytest.fixture
def score(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings, observer: Any
) -> Callable[..., tuple[Score, Path]]:
    """Enlarge tmp_path/NAME and score it against tmp_path/TRUTH; the score, and where the result lies."""

    def make(name: str, truth: str, scale: int = 2, **changes: Any) -> tuple[Score, Path]:
        (tmp_path / "m.csv").write_text(f"uri,reference\n{name},{truth}\n")
        settings = replace(tiny_settings, method=Method.BICUBIC, scale=scale, tile_size=SIDE)
        summary = run(tiny_config(settings=settings, **changes), observer)
        assert (summary.done, summary.failed) == (1, 0)
        (only,) = evaluate(str(tmp_path / "out"))
        return only, Path(observer.records[-1].output_uri)

    return make


def check(found: Score, levels: Array, truth: Array, known: Array, lr: Array, scale: int) -> None:
    """All figures, to what rounding in other sums may do: one grey level in a pixel or two."""
    assert found.problem == ""
    enlarged = bicubic(lr, scale)
    assert found.psnr_y == pytest.approx(psnr(levels, truth, known, scale), abs=1e-9)
    assert found.ssim_y == pytest.approx(ssim(levels, truth, known, scale), abs=1e-9)
    assert found.bicubic_psnr_y == pytest.approx(psnr(enlarged, truth, known, scale), abs=1e-3)
    assert found.bicubic_ssim_y == pytest.approx(ssim(enlarged, truth, known, scale), abs=1e-4)
    assert abs(found.psnr_y - found.bicubic_psnr_y) > 0.05


SCENE = Division(pixels=1000, group_seconds=0.002)

FORMS: dict[str, tuple[Form, bool]] = {
    "tiles": (Form(), False),
    "a scene": (Form(), True),
    "tif": (Form(Format.TIF), False),
    "one png": (Form(Format.PNG, single=True), False),
    "one tif": (Form(Format.TIF, single=True), False),
    "cog": (Form(Format.COG), False),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("scale", "bands"), [(2, 3), (3, 1)])
def test_every_form_of_a_result(
    form: str, scale: int, bands: int, tmp_path: Path, score: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a border of `scale` pixels, against a truth that is larger at the right and below."""
    height, width = 70, 41
    truth = scene(bands, height * scale + 1, width * scale + 2)
    lr = truth[:, scale // 2 : height * scale : scale, scale // 2 : width * scale : scale]
    save(tmp_path / "lr.png", lr)
    save(tmp_path / "hr.png", truth)
    wanted, divided = FORMS[form]
    if divided:
        monkeypatch.setattr("pipeline.driver.completing.DIVISION", SCENE)
    found, place = score("lr.png", "hr.png", scale, form=wanted)
    made = put_together(place, scale, height * scale, width * scale)
    known = np.ones(made.shape[1:], bool)
    check(found, made, truth[:, : height * scale, : width * scale], known, lr, scale)


def test_more_than_is_scored_at_once(tmp_path: Path, score: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figures are those of the whole, and no file is read as a whole."""
    height, width = 150, 140
    truth = scene(3, 2 * height, 2 * width)
    windows: list[tuple[int, int]] = []
    save(tmp_path / "lr.tif", truth[:, ::2, 1::2], tiled=True, blockxsize=64, blockysize=64)
    save(tmp_path / "hr.tif", truth, tiled=True, blockxsize=64, blockysize=64)
    read = OpenImage.window

    def watched(self: OpenImage, rows: slice, columns: slice) -> Any:
        windows.append((rows.stop - rows.start, columns.stop - columns.start))
        return read(self, rows, columns)

    _, place = score("lr.tif", "hr.tif", form=Form(Format.COG))
    monkeypatch.setattr(OpenImage, "window", watched)
    (found,) = evaluate(str(tmp_path / "out"))
    made = put_together(place, 2, 2 * height, 2 * width)
    check(found, made, truth, np.ones(made.shape[1:], bool), truth[:, ::2, 1::2], 2)
    assert all(max(window) <= 266 for window in windows)
    assert len(windows) == 3 * 4


def unknown_parts(height: int, width: int) -> Array:
    """(height, width) bool of an input: known but for its left half, which takes whole tiles, and a spot."""
    known = np.ones((height, width), bool)
    known[:, : width // 2] = False
    known[10:14, -12:-8] = False
    return known


@pytest.mark.parametrize("form", FORMS)
def test_nodata(form: str, tmp_path: Path, score: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Scored where result and truth are known, also when tiles were left out; bicubic is of the filled image.

    In a single PNG nothing but the record says what number is nodata.
    """
    truth = scene(3, 140, 160)
    known = unknown_parts(70, 80)
    lr = np.where(known, truth[:, ::2, 1::2], 0).astype(np.uint8)
    lr[1, 50, 60] = 0  # in one band alone: the pixel is not known
    known[50, 60] = False
    of_truth = truth.copy()
    of_truth[:, 30:50, 90:100] = 0
    save(tmp_path / "lr.tif", lr, nodata=0)
    save(tmp_path / "hr.tif", of_truth, nodata=0)
    wanted, divided = FORMS[form]
    if divided:
        monkeypatch.setattr("pipeline.driver.completing.DIVISION", SCENE)
    found, place = score("lr.tif", "hr.tif", form=wanted)
    if place.is_dir():
        assert not list(place.glob("r0000_c0000.*"))
    made = put_together(place, 2, 140, 160)
    both = known.repeat(2, 0).repeat(2, 1) & (of_truth != 0).all(0)
    assert ((made != 0).all(0) == known.repeat(2, 0).repeat(2, 1)).all()
    check(found, made, of_truth, both, filled(lr, known), 2)


@pytest.mark.parametrize("form", ["tiles", "tif", "cog"])
@pytest.mark.parametrize("of", ["result", "truth"])
def test_masks(form: str, of: str, tmp_path: Path, score: Any) -> None:
    """What a mask hides is not scored, in the result as in the truth."""
    truth = scene(3, 140, 160)
    known = unknown_parts(70, 80)
    large = known.repeat(2, 0).repeat(2, 1)
    save(tmp_path / "lr.tif", truth[:, ::2, 1::2], known if of == "result" else None)
    save(tmp_path / "hr.tif", truth, large if of == "truth" else None)
    found, place = score("lr.tif", "hr.tif", form=FORMS[form][0])
    made = put_together(place, 2, 140, 160)[:3]
    lr = filled(truth[:, ::2, 1::2], known) if of == "result" else truth[:, ::2, 1::2]
    check(found, made, truth, large, lr, 2)


@pytest.mark.parametrize("bands", [1, 3])
def test_alpha(bands: int, tmp_path: Path, score: Any) -> None:
    """Alpha is left out; a pixel that is clear has no colour."""
    truth = scene(bands, 140, 160)
    alpha = np.where(unknown_parts(70, 80), 200, 0).astype(np.uint8)
    lr = np.concatenate([truth[:, ::2, 1::2], alpha[None]])
    Image.fromarray(lr.transpose(1, 2, 0)).save(tmp_path / "lr.png")
    save(tmp_path / "hr.png", truth)
    found, place = score("lr.png", "hr.png")
    made = put_together(place, 2, 140, 160)
    check(found, made[:bands], truth, made[bands] > 0, filled(lr[:bands], alpha > 0), 2)


def test_sixteen_bits(tmp_path: Path, score: Any) -> None:
    """Are brought down to eight, nodata as it was before; the truth may have eight."""
    truth = scene(1, 140, 160)
    known = unknown_parts(70, 80)
    lr = np.where(known, truth[:, ::2, 1::2].astype(np.uint16) * 257 + 100, 3).astype(np.uint16)
    save(tmp_path / "lr.tif", lr, nodata=3)
    save(tmp_path / "hr.tif", truth)
    found, place = score("lr.tif", "hr.tif")
    made = np.round(put_together(place, 2, 140, 160) / 257).astype(np.uint8)
    levels = np.round(lr / 257).astype(np.uint8)
    check(found, made, truth, known.repeat(2, 0).repeat(2, 1), filled(levels, known), 2)


@pytest.mark.parametrize("told", ["8 bits", "16 bits"])
def test_twelve_bits(told: str, tmp_path: Path, score: Any) -> None:
    """White is that of the input, also in a truth of its type that does not say so, not the largest of 16 bits."""
    truth = scene(1, 140, 160)
    numbers = np.round(truth * (4095 / 255)).astype(np.uint16)
    save(tmp_path / "lr.tif", numbers[:, ::2, 1::2], NBITS=12)
    save(tmp_path / "hr.tif", truth if told == "8 bits" else numbers)
    found, place = score("lr.tif", "hr.tif")
    made = np.round(put_together(place, 2, 140, 160) * (255 / 4095)).clip(0, 255).astype(np.uint8)
    check(found, made, truth, np.ones((140, 160), bool), truth[:, ::2, 1::2], 2)


@pytest.mark.parametrize("nodata", ["of the result", "of the truth"])
def test_nothing_is_known(nodata: str, tmp_path: Path, score: Any) -> None:
    """A sentence, not a figure and not a traceback."""
    there, nothing = scene(3, 140, 160), np.zeros((3, 140, 160), np.uint8)
    save(tmp_path / "lr.tif", (nothing if nodata == "of the result" else there)[:, ::2, ::2], nodata=0)
    save(tmp_path / "hr.tif", nothing if nodata == "of the truth" else there, nodata=0)
    found, _ = score("lr.tif", "hr.tif")
    assert "nothing is known" in found.problem


@pytest.mark.parametrize("damage", ["gone", "junk", "other size", "no mosaic", "junk mosaic"])
def test_damaged_results(damage: str, tmp_path: Path, score: Any) -> None:
    """What is no longer as it was written is told, and a tile that is gone is not taken for one left out."""
    truth = scene(3, 140, 160)
    save(tmp_path / "lr.png", truth[:, ::2, ::2])
    save(tmp_path / "hr.png", truth)
    _, place = score("lr.png", "hr.png")
    tile, mosaic = place / "r0001_c0001.png", place / "mosaic.vrt"
    if damage == "gone":
        tile.unlink()
    elif damage == "other size":
        save(tile, truth[:, :30, :30])
    elif damage == "no mosaic":
        mosaic.unlink()
    else:
        (tile if damage == "junk" else mosaic).write_bytes(b"junk")
    (found,) = evaluate(str(tmp_path / "out"))
    assert found.problem
    assert np.isnan(found.psnr_y)


def test_cells_that_came_after_the_pixels_outlive_the_scores(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings
) -> None:
    """References are often given later, and one may be mended after the others were scored."""
    config = tiny_config(settings=replace(tiny_settings, method=Method.BICUBIC, scale=2))
    truth = scene(3, 60, 70)
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", truth[:, ::2, ::2])
    (tmp_path / "m.csv").write_text("uri\na.png\nb.png\n")
    run(config)
    (tmp_path / "m.csv").write_text("uri,reference,site\na.png,a-true.png,x\nb.png,b-true.png,y\n")
    assert run(config).already_done == 2
    for name, problems in (("a", [False, True]), ("b", [False, False])):
        save(tmp_path / f"{name}-true.png", truth)
        assert [bool(each.problem) for each in evaluate(config.output)] == problems
        table = storage.read(f"{config.output}/manifest.parquet")
        held = pq.read_table(pa.BufferReader(table)).to_pylist()
        assert [(row["reference"], row["site"]) for row in held] == [
            (f"{tmp_path}/a-true.png", "x"),
            (f"{tmp_path}/b-true.png", "y"),
        ]


def test_a_collection_that_moved_is_scored_where_it_is(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings
) -> None:
    """Rows with ids are done wherever their files lie; the table has the uris and lines of the manifest as it is."""
    config = tiny_config(settings=replace(tiny_settings, method=Method.BICUBIC, scale=2))
    truth = scene(3, 60, 70)
    save(tmp_path / "a.png", truth[:, ::2, ::2])
    save(tmp_path / "true.png", truth)
    (tmp_path / "m.csv").write_text("uri,id,reference\na.png,a,true.png\n")
    run(config)
    (tmp_path / "moved").mkdir()
    (tmp_path / "a.png").rename(tmp_path / "moved/a.png")
    save(tmp_path / "b.png", truth[:, 1::2, ::2])
    (tmp_path / "m.csv").write_text("uri,id,reference\nb.png,b,true.png\nmoved/a.png,a,true.png\n")
    assert run(config).already_done == 1
    assert [(each.key, each.problem) for each in evaluate(config.output)] == [("b", ""), ("a", "")]


def test_each_image_is_scored_against_the_truth_of_its_own_manifest(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings
) -> None:
    """Manifests of several folders go to one output, and name their truths alike."""
    settings, scores = replace(tiny_settings, method=Method.BICUBIC, scale=2), {}
    for seed, name in enumerate(("monday", "tuesday")):
        (tmp_path / name).mkdir()
        truth = scene(3, 60, 70, seed)
        save(tmp_path / name / "a.png", truth[:, ::2, ::2])
        save(tmp_path / name / "true.png", truth)
        (tmp_path / name / "m.csv").write_text(f"uri,id,reference\na.png,{name},true.png\n")
        config = tiny_config(settings=settings, manifest=f"{tmp_path}/{name}/m.csv")
        run(config)
        found = {score.key: score for score in evaluate(config.output)}
        scores[name] = found[name]
    assert found == scores
    assert scores["monday"].psnr_y != scores["tuesday"].psnr_y


def test_records_of_a_run_that_was_broken_off_outlive_the_scores(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings, read_records: ReadRecords
) -> None:
    """It began to do all again: what it has done is told by its own records, which no merged table has yet."""
    config = tiny_config(settings=replace(tiny_settings, method=Method.BICUBIC, scale=2))
    truth = scene(3, 60, 70)
    save(tmp_path / "true.png", truth)
    for name in ("a", "b"):
        save(tmp_path / f"{name}.png", truth[:, ::2, ::2])
    (tmp_path / "m.csv").write_text("uri,reference\na.png,true.png\nb.png,true.png\n")
    run(config)
    expected = {key: row["finished_at"] for key, row in read_records(config.output).items()}

    class Stopping(Observer):
        def finished(self, record: Record) -> None:
            expected[record.key] = record.finished_at
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(replace(config, existing=Existing.OVERWRITE), Stopping())
    assert [score.problem for score in evaluate(config.output)] == ["", ""]
    held = read_records(config.output)
    assert {key: row["finished_at"] for key, row in held.items()} == expected
    assert all(row["psnr_y"] > 10 for row in held.values())


def test_disputed_records_keep_their_own_cells(
    tmp_path: Path, tiny_config: MakeConfig, tiny_settings: Settings
) -> None:
    """Two rows with the id of one that is done: its result is scored by the reference that was its own, again too."""
    config = tiny_config(settings=replace(tiny_settings, method=Method.BICUBIC, scale=2))
    for seed, name in enumerate("ab"):
        truth = scene(3, 60, 70, seed)
        save(tmp_path / f"{name}.png", truth[:, ::2, ::2])
        save(tmp_path / f"{name}-true.png", truth)
    rows = [f"{name}.png,x,{name}-true.png\n" for name in "ab"]
    (tmp_path / "m.csv").write_text("uri,id,reference\n" + rows[0])
    run(config)
    (tmp_path / "m.csv").write_text("uri,id,reference\n" + "".join(rows))
    run(config)
    first, second = ([score for score in evaluate(config.output) if not score.problem] for _ in range(2))
    assert (first, len(first)) == (second, 1)
    held = pq.read_table(Path(config.output) / "manifest.parquet").to_pylist()
    done, *disputed = sorted(held, key=lambda row: str(row["status"]))
    assert (done["psnr_y"], done["reference"]) == (first[0].psnr_y, f"{tmp_path}/a-true.png")
    assert [(row["reference"], row["psnr_y"]) for row in disputed] == [
        (f"{tmp_path}/{name}-true.png", None) for name in "ab"
    ]


def test_an_output_from_before_a_column_is_scored(done: str) -> None:
    """A later srpipe has columns that the table lacks."""
    (part,) = Path(done, "manifest").glob("*-00000.parquet")
    for place in (Path(done, "manifest.parquet"), part):
        pq.write_table(pq.read_table(place).drop_columns(["noise_offset", "psnr_y"]), place)
    for later in Path(done, "manifest").glob("*-00001.parquet"):
        later.unlink()
    assert [score.problem for score in evaluate(done)] == [""]
    (row,) = pq.read_table(Path(done, "manifest.parquet")).to_pylist()
    assert row["psnr_y"] > 0
    assert row["noise_offset"] is None


@pytest.fixture
def done(tmp_path: Path, score: Any) -> str:
    """The uri of an output with one image, which is scored once."""
    truth = scene(3, 140, 160)
    save(tmp_path / "lr.png", truth[:, ::2, ::2])
    save(tmp_path / "hr.png", truth)
    score("lr.png", "hr.png")
    return str(tmp_path / "out")


def test_not_beside_a_run(done: str) -> None:
    """While a run is at work nothing is scored, and nothing written."""
    before = storage.find(done)
    with Lock(done, "another"), pytest.raises(UsageError, match=r"the run another .* is at work on .*; wait for it"):
        evaluate(done)
    assert storage.find(done) == before


def test_no_run_beside_it(done: str, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that begins while it scores is refused: both would write parts of one name."""
    refused = []
    open_result = evaluating.open_result

    def meanwhile(*arguments: Any) -> Any:
        with pytest.raises(UsageError, match=r"the run eval-.* is at work") as caught:
            run(tiny_config(), observer)
        refused.append(caught.value)
        return open_result(*arguments)

    monkeypatch.setattr(evaluating, "open_result", meanwhile)
    (found,) = evaluate(done)
    assert (found.problem, len(refused)) == ("", 1)
    assert storage.find(f"{done}/_lock") == {}


def test_who_lost_the_lock_writes_nothing(done: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is another run's by then."""

    def lost(_: Lock) -> None:
        raise LostLockError("another run has taken it over")

    before = storage.find(f"{done}/manifest")
    monkeypatch.setattr(Lock, "check", lost)
    with pytest.raises(LostLockError):
        evaluate(done)
    assert storage.find(f"{done}/manifest") == before


def test_tiles_half_overwritten_are_not_scored(
    done: str, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run with other settings that was killed left tiles of both: the table still tells of the first."""

    def killed(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.work.image_work.write_tiles", killed)
    with pytest.raises(KeyboardInterrupt):
        run(tiny_config(), observer)
    (found,) = evaluate(done)
    assert found.problem.endswith("run again, then eval")


def test_from_s3_to_s3(
    tmp_path: Path,
    s3_bucket: str,
    tiny_config: MakeConfig,
    tiny_settings: Settings,
    observer: Any,
    score: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A scene whose image, truth and tiles lie on S3 has the scores of the local one, and no copy stays on the disk."""
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", SCENE)
    truth = scene(3, 140, 160)
    save(tmp_path / "lr.png", truth[:, ::2, ::2])
    save(tmp_path / "hr.png", truth)
    here, _ = score("lr.png", "hr.png")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    for name in ("lr.png", "hr.png", "m.csv"):
        storage.write(f"{s3_bucket}/{name}", (tmp_path / name).read_bytes())
    settings = replace(tiny_settings, method=Method.BICUBIC, tile_size=SIDE)
    there = tiny_config(manifest=f"{s3_bucket}/m.csv", output=f"{s3_bucket}/out", settings=settings)
    assert run(there, observer).done == 1
    (found,) = evaluate(f"{s3_bucket}/out")
    assert replace(found, seconds=0, key="") == replace(here, seconds=0, key="")
    assert not list(scratch.glob("srpipe-*"))


def held_scores(output: str) -> list[tuple[float | None, float | None]]:
    rows = pq.read_table(Path(output, "manifest.parquet")).to_pylist()
    return [(row["psnr_y"], row["ssim_y"]) for row in rows]


def test_a_reference_of_another_scale_is_refused(done: str, tmp_path: Path) -> None:
    """Of its left upper part the scores would be numbers like any; the old ones, of another truth, do not stay."""
    assert held_scores(done) != [(None, None)]
    save(tmp_path / "hr.png", scene(3, 143, 160))
    (score,) = evaluate(done)
    sizes = "160 x 143 pixels of 3 bands, the result 160 x 140 pixels of 3 bands"
    assert score.problem.endswith(f"{sizes}; give the true image at this scale, of at most 2 pixels more")
    assert held_scores(done) == [(None, None)]


@pytest.mark.parametrize("form", ["tiles", "one tif"])
def test_an_output_that_was_moved_is_scored_where_it_is(form: str, tmp_path: Path, score: Any) -> None:
    """Or that another machine has mounted elsewhere."""
    truth = scene(3, 140, 160)
    save(tmp_path / "lr.png", truth[:, ::2, ::2])
    save(tmp_path / "hr.png", truth)
    before, _ = score("lr.png", "hr.png", form=FORMS[form][0])
    (tmp_path / "out").rename(tmp_path / "moved")
    assert evaluate(str(tmp_path / "moved")) == (before,)


def test_the_table_keeps_its_numbers_beside_long_names(capsys: pytest.CaptureFixture[str]) -> None:
    """A name is cut off and cannot draw on the terminal; an exact image makes no mean infinite."""
    names = ("x" * 300, "a\x1b[31mb", "c")
    psnrs = ((31.25, 30.5), (33.25, 30.5), (math.inf, math.inf))
    print_scores(
        [
            Score(name, 2, "done", "", psnr, 0.9, bicubic, 0.8, 1.0, 0.1, 0.2)
            for name, (psnr, bicubic) in zip(names, psnrs, strict=True)
        ]
    )
    figures = ["done", "2", "1.0", "31.25", "30.50", "+0.75", "0.9000", "0.10", "0.20"]
    _, first, second, third, *below = capsys.readouterr().out.splitlines()
    assert first.split("\N{HORIZONTAL ELLIPSIS}")[1].split() == figures
    assert second.split()[0] == "a\\x1b[31mb"
    assert third.split()[4:7] == ["exact", "exact", "-"]
    assert below[0] == "mean of 2: 32.25 dB, bicubic 30.50 dB; not in it: 1 image exact, by the result or by bicubic"
