"""A run as one page: what it tells, of runs of every kind, and that names of files stay text in it."""

import base64
import gzip
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from pipeline import storage
from pipeline.config import Existing
from pipeline.driver.run import Observer, run
from pipeline.errors import UsageError
from pipeline.output import records
from pipeline.output.layout import moved
from pipeline.output.lock import Lock
from pipeline.report.cards import curve_of, in_script
from pipeline.report.making import make_report

from .fixture_types import MakeConfig, MakePng, Refusal, Srpipe
from .rasters import write_raster

EVIL = "<img src=x onerror=alert(1)>.png"

PLAIN = np.full((1, 12, 12), 90, np.uint8)


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
    minute = r"\d+ \w+ \d{4}, \d\d:\d\d UTC\. This"
    assert re.search(minute, first)
    assert re.sub(minute, "", first) == re.sub(minute, "", again)


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
def test_an_output_that_was_moved_is_read_where_it_is(tmp_path: Path) -> None:
    """No result counts as lost, which would be done anew."""
    (tmp_path / "out").rename(tmp_path / "moved")
    assert make_report(str(tmp_path / "moved")).results_lost == 0
    assert "cannot be shown" not in page_at(tmp_path / "moved/report.html").text


@pytest.mark.parametrize(
    ("key", "told", "found"),
    [
        ("sub/a.png", "/old/tiles/sub/a.png", "s3://new/out/tiles/sub/a.png"),
        ("a", "/old/images/a.tif", "s3://new/out/images/a.tif"),
        ("images/a.png", "/old/images/images/a.png", "s3://new/out/images/images/a.png"),
        ("a.png", "/by/nobody/b.png", "/by/nobody/b.png"),
    ],
)
def test_a_result_is_below_the_output_as_it_is_named_now(key: str, told: str, found: str) -> None:
    """So is its map, if there is one; what lies where no result does is left as it was told."""
    record = {"key": key, "output_uri": told, "disagreement_uri": f"/old/disagreement/{key}"}
    here = moved("s3://new/out", record)
    assert (here["output_uri"], here["disagreement_uri"]) == (found, f"s3://new/out/disagreement/{key}")
    assert moved("s3://new/out", {**record, "disagreement_uri": None})["disagreement_uri"] is None


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("shown", [0, 4])
def test_what_the_page_links_to_is_in_it(
    shown: int, tmp_path: Path, tiny_config: MakeConfig, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of more records than a page holds too, those of images on the map and of images shown can be opened."""
    for west in range(3):
        transform = rasterio.transform.from_origin(west, 50, 0.01, 0.01)
        write_raster(tmp_path / f"{west}.tif", PLAIN, crs="EPSG:4326", transform=transform)
    write_raster(tmp_path / "nowhere.tif", PLAIN)
    (tmp_path / "m.csv").write_text("path\n0.tif\n1.tif\nmissing.tif\n2.tif\nnowhere.tif\n")
    run(tiny_config(), observer)
    monkeypatch.setattr("pipeline.report.rows.HELD", 3)
    make_report(str(tmp_path / "out"), images=shown)
    page = page_at(tmp_path / "out/report.html")
    linked = {int(one["data-record"] or "") for _, one in page.tags if "data-record" in one}
    assert len(linked) == 3 + (shown > 0)
    assert linked <= set(page.records()["rows"])


@pytest.mark.usefixtures("made")
def test_an_input_of_another_size_is_not_shown(tmp_path: Path, make_png: Callable[..., Any]) -> None:
    """It was replaced since: beside the old result it would be compared to what it never was."""
    make_png(tmp_path / "b.png", height=50, width=50)
    make_report(str(tmp_path / "out"))
    assert "it has changed since it was done" in page_at(tmp_path / "out/report.html").text


@pytest.mark.parametrize(("how", "why"), [("nothing", "holds no run"), ("another program's", "is damaged")])
def test_an_output_without_a_run_is_refused(how: str, why: str, tmp_path: Path, refusal: Refusal) -> None:
    """An empty folder and a foreign one: one sentence, exit 2, and nothing is written."""
    (tmp_path / "out").mkdir()
    if how != "nothing":
        (tmp_path / "out/run.json").write_text('{"name": "something else"}')
    assert why in refusal("report", "out")


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


def test_a_collection_that_moved_is_shown_where_it_is(
    tmp_path: Path, make_png: MakePng, tiny_config: MakeConfig
) -> None:
    """Rows with ids are done wherever their files lie: the page has uris, order and columns of the last manifest."""
    for seed, name in enumerate("ab"):
        make_png(tmp_path / f"{name}.png", seed=seed)
    (tmp_path / "m.csv").write_text("uri,id,site\na.png,a,old\nb.png,b,old\n")
    config = tiny_config()
    run(config)
    (tmp_path / "moved").mkdir()
    for name in "ab":
        (tmp_path / f"{name}.png").rename(tmp_path / f"moved/{name}.png")
    (tmp_path / "m.csv").write_text("uri,id,site\nmoved/b.png,b,new\nmoved/a.png,a,new\n")
    assert run(config).already_done == 2
    assert make_report(config.output).inputs_lost == 0
    columns = page_at(tmp_path / "out/report.html").records()["columns"]
    assert columns["source_uri"] == [f"{tmp_path}/moved/b.png", f"{tmp_path}/moved/a.png"]
    assert columns["site"] == {"all": "new"}


def test_a_run_at_work_tells_its_own_uris(tmp_path: Path, make_png: MakePng, tiny_config: MakeConfig) -> None:
    """The merged table is of the run before."""
    make_png(tmp_path / "a.png")
    (tmp_path / "m.csv").write_text("uri,id\na.png,a\n")
    run(tiny_config())
    merged = (tmp_path / "out/manifest.parquet").read_bytes()
    (tmp_path / "a.png").rename(tmp_path / "moved.png")
    (tmp_path / "m.csv").write_text("uri,id\nmoved.png,a\n")
    run(tiny_config(existing=Existing.OVERWRITE))
    (tmp_path / "out/manifest.parquet").write_bytes(merged)
    assert make_report(f"{tmp_path}/out").inputs_lost == 0


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


def test_a_script_is_not_ended_by_a_name() -> None:
    """Data within a script element hold no sign that HTML reads, and are what they were."""
    said = {"</script><script>alert(1)": ["<!--", "&lt;"]}
    text = in_script(said)
    assert not set("<>&") & set(text)
    assert json.loads(text) == said
