"""A run as one page: what it tells, of runs of every kind, and that names of files stay text in it."""

import base64
import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import rasterio
from PIL import Image

from pipeline import storage
from pipeline.driver.run import Observer, run
from pipeline.errors import UsageError
from pipeline.output import records
from pipeline.output.lock import Lock
from pipeline.output.record import Record
from pipeline.report import histograms, places
from pipeline.report.cards import curve_of, in_script
from pipeline.report.causes import causes
from pipeline.report.choice import choose
from pipeline.report.course import Course
from pipeline.report.histograms import TIMES
from pipeline.report.making import make_report
from pipeline.report.measures import GAIN, of_done
from pipeline.report.page import _figures, scale_words
from pipeline.report.pictures import DETAIL, OVERVIEW, pictures_of
from pipeline.report.rows import held_rows, pack
from pipeline.report.told import State

from .fixture_types import MakeConfig, Refusal, Srpipe
from .rasters import write_raster

EVIL = "<img src=x onerror=alert(1)>.png"


class Page(HTMLParser):
    """The tags and the visible text of a page, and its data."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self._inside = ""
        self.data: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        known = dict(attrs)
        self._inside = (known.get("id") or known.get("data-picture") or tag) if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.data[self._inside] = data
        else:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def records(self) -> dict[str, Any]:
        held: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(self.data["records"])))
        return held

    def picture(self, number: int) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.data[str(number)])
        return shown


def pixels_of(url: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.partition("base64,")[2]))))


def page_at(place: Path) -> Page:
    return Page(place.read_text())


@pytest.fixture
def made(tmp_path: Path, images: dict[str, np.ndarray], tiny_config: MakeConfig, observer: Observer) -> Page:
    """Of the three images of `images`, one broken file, one that is missing, and one whose name is HTML."""
    assert len(images) == 3
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / EVIL).write_bytes((tmp_path / "a.png").read_bytes())
    manifest = tmp_path / "m.csv"
    manifest.write_text(manifest.read_text() + f'broken.png\n"{EVIL}"\nnowhere.png\n')
    run(tiny_config(), observer)
    make_report(str(tmp_path / "out"))
    return page_at(tmp_path / "out" / "report.html")


def test_everything_is_told(made: Page, tmp_path: Path) -> None:
    """Images, failures with their sentences, settings, versions and the fingerprint stand in the page."""
    held = json.loads((tmp_path / "out/run.json").read_text())
    for words in ("a.png", "sub/c.png", "nowhere.png", held["config_fingerprint"], held["versions"]["torch"]):
        assert words in made.text
    table = records.read_table(str(tmp_path / "out/manifest.parquet"))
    for message in filter(None, table["error_message"].to_pylist()):
        assert " ".join(message.split()) in made.text
    assert made.records()["count"] == len(table) == 6


def test_names_stay_text(made: Page, tmp_path: Path) -> None:
    """A name that is HTML makes no element, and no element of the page has a handler; of a manifest neither."""
    run_json = tmp_path / "out/run.json"
    run_json.write_text(json.dumps(json.loads(run_json.read_text()) | {"manifest": "<b onclick=alert(1)>"}))
    make_report(str(tmp_path / "out"))
    made = page_at(tmp_path / "out/report.html")
    assert "<b onclick=alert(1)>" in made.text
    assert not [attributes for _, attributes in made.tags if any(name.startswith("on") for name in attributes)]
    assert not [one for tag, one in made.tags if tag == "img" and not str(one["src"]).startswith("data:")]
    uris = made.records()["columns"]["source_uri"]
    assert any(uri.endswith(EVIL) for uri in uris)


def test_nothing_is_loaded(made: Page) -> None:
    """No element names another file, and the policy lets none be loaded and no other script run."""
    for tag, attributes in made.tags:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    (policy,) = (one["content"] for tag, one in made.tags if tag == "meta" and "http-equiv" in one)
    assert "default-src 'none'" in str(policy)
    assert "unsafe-inline" not in str(policy).partition("script-src")[2].partition(";")[0]


def test_pixels_are_those_of_the_files(made: Page, tmp_path: Path) -> None:
    """Small images are embedded whole and without loss: input and result, as their files have them."""
    table = records.read_table(str(tmp_path / "out/manifest.parquet"))
    by_key = {record["key"]: record for record in table.to_pylist()}
    seen = 0
    for number in range(4):
        shown = made.picture(number)
        key = shown["words"].removeprefix("Input and result of ").partition(", ")[0]
        record = by_key[key]
        (layer,) = shown["layers"]["input"]
        drawn = np.asarray(Image.open(record["source_uri"]).convert("RGB"))
        assert np.array_equal(pixels_of(layer["url"]), drawn)
        (layer,) = shown["layers"]["result"]
        result = pixels_of(layer["url"])
        assert result.shape == (record["sr_height"], record["sr_width"], 3)
        tile = np.asarray(Image.open(f"{record['output_uri']}/r0000_c0000.png").convert("RGB"))
        assert np.array_equal(result[: len(tile), : tile.shape[1]], tile)
        seen += 1
    assert seen == 4


@pytest.mark.usefixtures("made")
def test_the_same_output_gives_the_same_page(tmp_path: Path) -> None:
    """But for the minute at which it was made."""
    first = (tmp_path / "out/report.html").read_text()
    make_report(str(tmp_path / "out"), str(tmp_path / "again.html"))
    again = (tmp_path / "again.html").read_text()
    assert re.sub(r"\d\d:\d\d UTC\. This", "", first) == re.sub(r"\d\d:\d\d UTC\. This", "", again)


@pytest.mark.usefixtures("made")
def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """Without an input the result is shown, without a tile the input; the page is made all the same."""
    (tmp_path / "b.png").unlink()
    (tmp_path / "out/tiles/a.png/r0000_c0000.png").unlink()
    make_report(str(tmp_path / "out"))
    page = page_at(tmp_path / "out/report.html")
    shown = {page.picture(number)["words"].split(",")[0].split()[-1]: page.picture(number) for number in range(4)}
    assert set(shown["b.png"]["layers"]) == {"result"}
    assert set(shown["a.png"]["layers"]) == {"input", "bicubic"}
    assert page.text.count("cannot be shown") == 2


@pytest.mark.usefixtures("made")
def test_an_input_of_another_size_is_not_shown(tmp_path: Path, make_png: Callable[..., Any]) -> None:
    """It was replaced since: beside the old result it would be compared to what it never was."""
    make_png(tmp_path / "b.png", height=50, width=50)
    make_report(str(tmp_path / "out"))
    assert "it has changed since it was done" in page_at(tmp_path / "out/report.html").text


@pytest.mark.parametrize("how", ["nothing", "another program's"])
def test_an_output_without_a_run_is_refused(how: str, tmp_path: Path, refusal: Refusal) -> None:
    """An empty folder and a foreign one: one sentence, exit 2, and nothing is written."""
    (tmp_path / "out").mkdir()
    if how != "nothing":
        (tmp_path / "out/run.json").write_text('{"name": "something else"}')
    assert "out" in refusal("report", "out")


@pytest.mark.usefixtures("made")
def test_a_later_layout_is_refused(tmp_path: Path) -> None:
    """One that this version would misread."""
    uri = tmp_path / "out/run.json"
    uri.write_text(json.dumps(json.loads(uri.read_text()) | {"layout": 99}))
    with pytest.raises(UsageError, match="version 99"):
        make_report(str(tmp_path / "out"))


@pytest.mark.usefixtures("made")
def test_a_run_at_work_is_told_so(tmp_path: Path) -> None:
    """By what its parts have, without the merged table, and without taking its lock."""
    output = str(tmp_path / "out")
    (tmp_path / "out/manifest.parquet").unlink()
    with Lock(output, json.loads((tmp_path / "out/run.json").read_text())["run_id"]) as lock:
        make_report(output)
        lock.check()
    page = page_at(tmp_path / "out/report.html")
    assert "The run is at work" in page.text
    assert page.records()["count"] == 6
    make_report(output)
    assert "The run is at work" not in page_at(tmp_path / "out/report.html").text


@pytest.mark.usefixtures("made")
def test_a_run_without_a_record_is_a_page(tmp_path: Path) -> None:
    """It was killed before any image was done."""
    (tmp_path / "out/manifest.parquet").unlink()
    for part in (tmp_path / "out/manifest").iterdir():
        part.unlink()
    make_report(str(tmp_path / "out"))
    page = page_at(tmp_path / "out/report.html")
    assert "No image has a result yet" in page.text
    assert "ended before any image had a result" in page.text


@pytest.mark.usefixtures("made")
def test_where_the_parts_are_gone_the_table_tells(tmp_path: Path) -> None:
    """As in an output of which only the table was copied."""
    for part in (tmp_path / "out/manifest").iterdir():
        part.unlink()
    make_report(str(tmp_path / "out"))
    assert page_at(tmp_path / "out/report.html").records()["count"] == 6


@pytest.mark.usefixtures("images")
def test_run_makes_it_at_the_end(tmp_path: Path, srpipe: Srpipe) -> None:
    """`--report`, also where images failed; stdout is still the run's alone."""
    (tmp_path / "b.png").write_bytes(b"broken")
    options = ("--executor", "inline", "--scale", "2", "--method", "bicubic", "--report", "--json")
    code, out, err = srpipe("run", "m.csv", "--output", "out", *options)
    assert code == 3
    assert json.loads(out)["failed"] == 1
    assert f"report: {tmp_path}/out/report.html" in err
    assert "b.png" in page_at(tmp_path / "out/report.html").text


@pytest.mark.usefixtures("images")
def test_the_command_says_what_it_made(tmp_path: Path, srpipe: Srpipe) -> None:
    """In a sentence, or as JSON; into a place of its own, and with as many images as asked for."""
    srpipe("run", "m.csv", "-o", "out", "--executor", "inline", "--scale", "2", "--method", "bicubic")
    code, out, _ = srpipe("report", "out", "--output", "elsewhere.html", "--images", "0", "--json")
    told = json.loads(out)
    assert (code, told["place"], told["records"], told["pictures"]) == (0, f"{tmp_path}/elsewhere.html", 3, 0)
    assert told["bytes"] == (tmp_path / "elsewhere.html").stat().st_size
    assert not (tmp_path / "out/report.html").exists()
    _, out, _ = srpipe("report", "out")
    assert out.startswith(f"report: {tmp_path}/out/report.html (3 images, 3 to look at")


def test_a_store_is_told_that_it_is_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a browser would download it from S3, not show it."""
    asked: dict[str, object] = {}

    def answer(_loop: object, _call: object, uri: str, *_: object, **options: object) -> None:
        asked[uri] = options.get("ContentType")

    monkeypatch.setattr("pipeline.storage.s3.sync", answer)
    storage.write("s3://bucket/report.html", b"", "text/html")
    storage.write("s3://bucket/tile.png", b"")
    assert asked == {"s3://bucket/report.html": "text/html", "s3://bucket/tile.png": None}


def a_record(key: str = "a", **changes: Any) -> Record:
    plain = Record(key=key, manifest_line=1, source_uri=key, status="done", method_used="prior", scale=2.0)
    return replace(plain, **changes)


def a_table(*many: Record) -> pa.Table:
    return records.to_table(many)


def test_gain_is_of_what_enlarged_the_image() -> None:
    """The fit where it was kept, the prior where that was, nothing where bicubic was; only of what is done."""
    scores = {"reconstruction_psnr": 33.0, "prior_reconstruction_psnr": 32.0, "bicubic_reconstruction_psnr": 30.0}
    table = a_table(
        a_record(**scores, method_used="zssr"),
        a_record(**scores, method_used="prior"),
        a_record(**scores, method_used="bicubic"),
        a_record(**scores | {"reconstruction_psnr": None}),
        a_record(**scores | {"bicubic_reconstruction_psnr": None}),
        a_record(**scores, status="failed"),
    )
    assert of_done(GAIN, table).tolist() == pytest.approx([3, 2, 0, 2, np.nan, np.nan], nan_ok=True)


def with_gain(key: str, gain: float, **changes: Any) -> Record:
    return a_record(key, prior_reconstruction_psnr=30 + gain, bicubic_reconstruction_psnr=30.0, **changes)


def test_the_best_and_the_worst_are_chosen() -> None:
    """By gain, none twice, failures not at all; the same ones always, but other random ones for another seed."""
    gains = np.random.default_rng(0).permutation(40)
    table = a_table(*(with_gain(str(gain), float(gain)) for gain in gains), a_record("failed", status="failed"))
    keys = np.array(table["key"].to_pylist())
    choice = choose(table, 3, seed=0)
    titled = {group.title: keys[list(group.rows)].tolist() for group in choice.groups}
    assert titled["Best"] == ["39", "38", "37"]
    assert titled["Worst"] == ["0", "1", "2"]
    assert len(set(choice.rows)) == 9
    assert choose(table, 3, seed=0) == choice != choose(table, 3, seed=1)


@pytest.mark.parametrize("many", range(8))
def test_of_few_images_each_is_shown_once(many: int) -> None:
    """However few there are."""
    choice = choose(a_table(*(with_gain(str(gain), float(gain)) for gain in range(many))), 4, seed=0)
    assert sorted(choice.rows) == list(range(many))


def test_without_gains_consistency_ranks() -> None:
    """The least error is the best."""
    table = a_table(*(a_record(str(index), consistency_rmse=float(index + 1)) for index in range(9)))
    choice = choose(table, 2, seed=0)
    assert choice.measure is not None
    assert choice.measure.name == "consistency"
    assert choice.groups[0].rows == (0, 1)


def test_scenes_are_shown() -> None:
    """Images of many tiles, the largest first."""
    table = a_table(*(with_gain(str(n), float(n), tiles=1 + n, width=n, height=1) for n in range(20)))
    titled = {group.title: group.rows for group in choose(table, 2, seed=0).groups}
    assert titled["Largest"] == (17, 16)  # 19 and 18 are the best


def test_failures_are_one_cause_where_the_remedy_is_one() -> None:
    """By kind and by how their sentences end, the most frequent first, with at most so many of them."""
    failed = [
        a_record(str(n), status="failed", error_type="corrupt", error_message=f"the file is cut at {n}; replace it")
        for n in range(20)
    ]
    other = a_record("x", status="failed", error_type="corrupt", error_message="no picture; give a picture")
    first, second = causes(a_table(other, *failed, a_record("fine")))
    assert (first.count, first.remedy, first.error_type) == (20, "Replace it.", "corrupt")
    assert first.examples[0] == ("0", "the file is cut at 0; replace it")
    assert len(first.examples) < 20
    assert (second.count, second.remedy) == (1, "Give a picture.")


def test_bars_hold_every_image() -> None:
    """Each image is in a bar; the median is between the least and the largest, on both kinds of axes."""
    seconds = np.random.default_rng(0).lognormal(0, 2, 500)
    table = a_table(*(with_gain(str(n), float(n % 7), total_s=float(s)) for n, s in enumerate(seconds)))
    for drawn in histograms.histograms(table):
        assert sum(int(re.search(r": (\d+) image", bar.label)[1]) for bar in drawn.bars) == 500  # type: ignore[index]
        assert all(-0.01 <= bar.left <= histograms.WIDTH for bar in drawn.bars)
        assert 2 <= len(drawn.ticks) <= 14
        assert drawn.highest == max(int(re.search(r": (\d+) image", bar.label)[1]) for bar in drawn.bars)  # type: ignore[index]
        assert 0 < drawn.median_at < histograms.WIDTH


@pytest.mark.parametrize("by_factors", [False, True])
def test_a_median_is_one_number(by_factors: bool) -> None:
    """The line stands where its label says, between the middle two of an even number, on both kinds of axes."""
    table = a_table(*(with_gain(str(n), value, total_s=value) for n, value in enumerate([1.0, 2.0, 10.0, 64.0])))
    drawn = next(one for one in histograms.histograms(table) if one.measure.by_factors == by_factors)
    places = {float(label): place for place, label in drawn.ticks}
    (low, at_low), (high, at_high) = sorted(places.items())[0], sorted(places.items())[-1]
    scale = np.log if by_factors else np.asarray
    share = (drawn.median_at - at_low) / (at_high - at_low)
    assert drawn.median == "6"
    assert share == pytest.approx((scale(6.0) - scale(low)) / (scale(high) - scale(low)), abs=0.01)
    course = Course(State.DONE, {"done": 4}, 4, "")
    (large,) = [figure for figure in _figures(table, course) if figure.name == "Gain, median"]
    assert large.value == "+6.00"


@pytest.mark.parametrize("values", [[2.94, 5.84, 7.68], [6.0, 6.5], [5.0], [3000.0, 3100.0]])
def test_an_axis_has_two_numbers_at_least(values: list[float]) -> None:
    """One number alone says nothing of what lies between; neighbours on a logarithmic axis have round ones, too."""
    (drawn,) = histograms.histograms(a_table(*(a_record(str(n), total_s=value) for n, value in enumerate(values))))
    assert 2 <= len(drawn.ticks) <= 14
    assert len({label for _, label in drawn.ticks}) == len(drawn.ticks)
    assert all(0 <= place <= histograms.WIDTH for place, _ in drawn.ticks)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("times:2.2x2.2", f"{TIMES}2.2"),
        ("times:2.5x3.0", f"{TIMES}2.5 across, {TIMES}3 down"),
        ("gsd:5.0", "pixels of 5 m"),
    ],
)
def test_a_scale_is_told_in_words(told: str, words: str) -> None:
    """Ratios that are no whole numbers, and lengths on the ground, as people write them."""
    assert scale_words({"scale": 3, "result_size": told}) == words
    assert scale_words({"scale": 3, "result_size": ""}) == f"{TIMES}3"


@pytest.mark.parametrize("values", [[0.0], [0.0, 0.0], [5.0], [1e-9, 1e9], [3.0, float("inf")]])
def test_bars_of_few_and_odd_values(values: list[float]) -> None:
    """A single one, zeros on a logarithmic axis, eighteen decades; what is not finite is left out."""
    table = a_table(*(a_record(str(n), consistency_rmse=value) for n, value in enumerate(values)))
    (drawn,) = histograms.histograms(table)
    assert drawn.count == sum(np.isfinite(values))
    assert drawn.bars


def placed(key: str, west: float, north: float, size: float = 1.0, crs: str = "EPSG:4326") -> Record:
    transform = (size / 10, 0.0, west, 0.0, -size / 10, north)
    return a_record(key, crs=crs, transform=transform, sr_width=10, sr_height=10)


def test_footprints_lie_where_the_images_do() -> None:
    """Their degrees, read back from the map; a raster in metres lies where rasterio's own bounds have it."""
    metres = a_record(
        "utm", crs="EPSG:32633", transform=(10.0, 0.0, 500_000.0, 0.0, -10.0, 5_300_000.0), sr_width=100, sr_height=100
    )
    map_ = places.map_of(a_table(placed("a", 10, 50), metres, a_record("nowhere")))
    assert map_ is not None
    assert map_.placed == 2
    middles = {
        print_.key: ((print_.x - map_.origin[0]) / map_.scale[0], (map_.origin[1] - print_.y) / map_.scale[1])
        for print_ in map_.footprints
    }
    assert middles["a"] == pytest.approx((10.5, 49.5), abs=0.02)
    west, south, east, north = rasterio.warp.transform_bounds("EPSG:32633", "EPSG:4326", 5e5, 5_299_000, 501_000, 5.3e6)
    assert middles["utm"] == pytest.approx(((west + east) / 2, (south + north) / 2), abs=0.02)


def test_lines_of_degrees_are_round_and_few() -> None:
    """From a city to the whole Earth."""
    for size in (0.001, 0.1, 3.0, 40.0, 170.0):
        map_ = places.map_of(a_table(placed("a", -size / 2, size / 2, size)))
        assert map_ is not None
        assert 2 <= len(map_.meridians) <= 20
        assert 2 <= len(map_.parallels) <= 10
        names = {label: place for place, label in map_.meridians}
        assert names["0°"] == pytest.approx(map_.origin[0], abs=0.1)


@pytest.mark.parametrize("crs", ["EPSG:1", 'LOCAL_CS["a plan",UNIT["metre",1]]', "EPSG:32633"])
def test_what_has_no_place_on_earth_is_left_out(crs: str) -> None:
    """A CRS that is none, one that is not of the Earth, and coordinates beyond it; others of that CRS are drawn."""
    lost = placed("lost", 1e9, 1e9, crs=crs)
    assert places.map_of(a_table(lost)) is None
    map_ = places.map_of(a_table(lost, placed("a", 5e5, 5e6, crs="EPSG:32633")))
    assert map_ is not None
    assert [print_.key for print_ in map_.footprints] == ["a"]


def test_across_the_date_line_in_one_piece() -> None:
    """Not as a band around the Earth."""
    map_ = places.map_of(a_table(placed("a", 819_900, 1_000_000, 20_000, crs="EPSG:32660")))
    assert map_ is not None
    (print_,) = map_.footprints
    assert (print_.x - map_.origin[0]) / map_.scale[0] == pytest.approx(180, abs=0.2)


def test_of_a_million_records_failures_stay() -> None:
    """A page holds so many records; those of images that failed first, the others from start to end."""
    status = ["failed" if n % 1000 == 7 else "done" for n in range(60_000)]
    rows = held_rows(pa.table({"status": status}))
    assert len(rows) == 20_000
    assert {n for n in range(60_000) if n % 1000 == 7} <= set(rows)
    assert rows[0] < 10
    assert rows[-1] > 59_990


def test_packed_records_are_the_records() -> None:
    """Numbers to six digits, whole ones whole, nothing for NaN, and user columns too."""
    table = a_table(a_record("a", total_s=1.23456789, width=7, noise=(1.0, 2.0)), a_record("b", total_s=float("nan")))
    table = table.append_column("mine", pa.array([{"x": 1}, None])).append_column("id", pa.array([2**60, 1]))
    held = json.loads(gzip.decompress(base64.b64decode(pack(table, [0, 1]))))
    columns = held["columns"]
    assert columns["total_s"] == [1.23457, None]
    assert columns["width"] == [7, None]
    assert columns["noise"] == [[1.0, 2.0], None]
    assert columns["status"] == {"all": "done"}
    assert columns["mine"] == ['{"x": 1}', None]
    assert columns["id"] == [str(2**60), 1]
    assert "final_loss" not in columns


def a_raster(path: Path, shape: tuple[int, int, int], **profile: Any) -> np.ndarray:
    samples = np.random.default_rng(0).integers(200, 900, shape).astype(np.uint16)
    transform = rasterio.transform.from_origin(500_000, 5_300_000, 10, 10)
    write_raster(path, samples, crs="EPSG:32633", transform=transform, **profile)
    return samples


def test_large_results_are_shrunk_with_a_part_whole(tmp_path: Path) -> None:
    """The overview is small; the part at full resolution is that of the file, where the picture has most texture."""
    drawn = np.full((900, 1200), 90, np.uint8)
    drawn[300:520, 700:960] = np.random.default_rng(0).integers(0, 255, (220, 260))
    result = np.kron(drawn, np.ones((2, 2), np.uint8))
    for name, levels in (("lr.png", drawn), ("sr.png", result)):
        Image.fromarray(levels).save(tmp_path / name)
    sizes = {"width": 1200, "height": 900, "sr_width": 2400, "sr_height": 1800, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "sr.png"), **sizes})
    assert shown.problems == []
    assert shown.detail is not None
    left, top, width, height = map(int, shown.detail)
    assert (width, height) == (DETAIL, DETAIL)
    assert 1350 < left + width / 2 < 1970
    assert 560 < top + height / 2 < 1080
    overview, part = shown.layers["result"]
    assert max(pixels_of(overview.url).shape[:2]) <= OVERVIEW
    assert np.array_equal(pixels_of(part.url)[..., 0], result[top : top + height, left : left + width])
    (_, part) = shown.layers["input"]
    x, y = (round(number / 2) for number in part.box[:2])
    taken = pixels_of(part.url)[..., 0]
    assert np.array_equal(taken, drawn[y : y + taken.shape[0], x : x + taken.shape[1]])


def test_rasters_are_stretched_alike(tmp_path: Path) -> None:
    """Sixteen bits of a satellite are seen from black to white, and the result by the same line as its input."""
    samples = a_raster(tmp_path / "lr.tif", (4, 40, 50))
    twice = samples.repeat(2, 1).repeat(2, 2)
    with rasterio.open(tmp_path / "lr.tif") as file:
        profile = file.profile | {"height": 80, "width": 100}
    with rasterio.open(tmp_path / "sr.tif", "w", **profile) as file:
        file.write(np.minimum(twice, 500))
    sizes = {"width": 50, "height": 40, "sr_width": 100, "sr_height": 80, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.tif"), "output_uri": str(tmp_path / "sr.tif"), **sizes})
    (lr,), (sr,) = shown.layers["input"], shown.layers["result"]
    seen = pixels_of(lr.url)
    assert seen.min() == 0
    assert seen.max() == 255
    unchanged = samples[:3].max(0) <= 500
    assert np.array_equal(pixels_of(sr.url)[::2, ::2][unchanged], seen[unchanged])


def test_unknown_pixels_are_seen_through(tmp_path: Path) -> None:
    """Nodata is no black."""
    samples = a_raster(tmp_path / "lr.tif", (1, 40, 50), nodata=0)
    with rasterio.open(tmp_path / "lr.tif", "r+") as file:
        samples[0, :10] = 0
        file.write(samples)
    sizes = {"width": 50, "height": 40, "sr_width": 100, "sr_height": 80, "nodata": 0.0}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.tif"), "output_uri": str(tmp_path / "no.tif"), **sizes})
    alpha = pixels_of(shown.layers["input"][0].url)[..., 3]
    assert not alpha[:10].any()
    assert alpha[10:].all()


def test_a_map_of_the_disagreement_is_a_layer(tmp_path: Path) -> None:
    """Where the record names one: dark where the members agree, light where they do not."""
    Image.fromarray(np.full((20, 30), 90, np.uint8)).save(tmp_path / "lr.png")
    Image.fromarray(np.full((40, 60), 90, np.uint8)).save(tmp_path / "sr.png")
    spread = np.zeros((40, 60), np.uint8)
    spread[10:20, 15:40] = 30
    (tmp_path / "map").mkdir()
    Image.fromarray(spread).save(tmp_path / "map/r0000_c0000.png")
    sizes = {"width": 30, "height": 20, "sr_width": 60, "sr_height": 40, "nodata": None}
    places_ = {"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "sr.png")}
    assert "disagreement" not in pictures_of({**sizes, **places_, "disagreement_uri": None}).layers
    shown = pictures_of({**sizes, **places_, "disagreement_uri": str(tmp_path / "map")})
    assert shown.problems == []
    (layer,) = shown.layers["disagreement"]
    light = pixels_of(layer.url).astype(int).sum(-1)
    assert light[spread > 0].min() > 500 > 100 > light[spread == 0].mean()


def test_the_curve_of_a_fit_falls_from_left_to_right() -> None:
    """On a logarithmic axis; a loss of one step, or of none, is no curve."""
    curve = curve_of([1.0, 0.1, 0.01])
    assert curve is not None
    points = [tuple(map(float, point.split(","))) for point in curve.points.split()]
    assert [x for x, _ in points] == [0, 80, 160]
    assert points[1][1] - points[0][1] == pytest.approx(points[2][1] - points[1][1])
    assert points[0][1] < points[2][1]  # down is larger
    assert (curve.first, curve.last) == ("1", "0.01")
    assert curve_of(None) is curve_of([1.0]) is curve_of([0.0, float("nan")]) is None


def test_other_scales_across_than_down_lie_on_each_other(tmp_path: Path) -> None:
    """A viewer stretches both sides alike: what is embedded has the result's shape."""
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(tmp_path / "lr.png")
    sizes = {"width": 20, "height": 10, "sr_width": 40, "sr_height": 50, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "no.png"), **sizes})
    levels = pixels_of(shown.layers["input"][0].url)
    assert levels.shape[:2] == (50, 40)
    assert levels[0, ::2, 0].tolist() == list(range(20))
    assert levels[::5, 0, 0].tolist() == list(range(0, 200, 20))


def test_a_script_is_not_ended_by_a_name() -> None:
    """Data within a script element hold no sign that HTML reads, and are what they were."""
    said = {"</script><script>alert(1)": ["<!--", "&lt;"]}
    text = in_script(said)
    assert not set("<>&") & set(text)
    assert json.loads(text) == said
