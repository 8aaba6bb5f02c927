"""A report in a real Chromium: `make test-browser`. Pictures by code, runs by bicubic, and a table of 10,000 records.

AXE names axe-core's file; CHROMIUM the browser, where it is not /usr/bin/chromium.
"""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from pipeline.output import records
from pipeline.output.record import Record
from pipeline.output.run_file import write_run_file
from pipeline.report.making import make_report

from .run_files import run_file

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

EVIL = "<img src=x onerror=alert(1)>.png"

FIRST_VIEW_SECONDS = 2.0


def picture(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8: waves with some grain, so that left and right of a line differ."""
    rows, columns = np.mgrid[:height, :width]
    waves = [np.sin(rows / (5 + seed + band)) + np.cos(columns / (7 + band)) for band in range(3)]
    grain = np.random.default_rng(seed).normal(0, 8, (height, width, 3))
    return (127 + 55 * np.stack(waves, -1) + grain).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over pictures of several kinds, a raster with a place, a scene of several tiles, and files that fail."""
    folder = tmp_path_factory.mktemp("report")
    source = folder / "in"
    source.mkdir()
    for seed in range(8):
        Image.fromarray(picture(60 + 5 * seed, 90, seed)).save(source / f"picture {seed}.png")
    Image.fromarray(picture(50, 70, 9)).save(source / EVIL)
    Image.fromarray(picture(700, 900, 4)).save(source / "scene.png")
    place = rasterio.transform.from_origin(500_000, 5_300_000, 10, 10)
    size = {"count": 3, "height": 60, "width": 80, "dtype": "uint8"}
    with rasterio.open(source / "raster.tif", "w", driver="GTiff", crs="EPSG:32633", transform=place, **size) as file:
        file.write(picture(60, 80, 5).transpose(2, 0, 1))
    (source / "broken.png").write_bytes(b"this is no picture")
    options = ["--executor", "inline", "--scale", "2", "--preset", "fast", "--tile-size", "400", "--report"]
    command = [sys.executable, "-m", "jobs.cli", "run", str(source), "--output", str(folder / "out"), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 3, done.stderr
    return folder / "out"


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output of 10,000 records, of which one in a hundred failed."""
    output = tmp_path_factory.mktemp("many")
    random = np.random.default_rng(0)
    write_run_file(str(output), run_file("r", config_fingerprint="f" * 16, config={"settings": {"scale": 2}}))
    told: dict[str, Any] = {"method_used": "prior", "scale": 2.0, "dtype": "uint8", "bands": 3, "kernel": "bicubic"}
    table = records.to_table(
        Record(
            key=f"scenes/{number:05d}.tif",
            manifest_line=number + 1,
            source_uri=f"/data/scenes/{number:05d}.tif",
            output_uri=f"/data/out/tiles/scenes/{number:05d}.tif",
            status="failed" if number % 100 == 3 else "done",
            error_type="corrupt" if number % 100 == 3 else None,
            error_message=f"the file is cut at byte {number}; replace it" if number % 100 == 3 else None,
            width=500 + number % 7,
            height=500,
            sr_width=1000 + 2 * (number % 7),
            sr_height=1000,
            crs="EPSG:32633",
            transform=(5.0, 0.0, 4e5 + 5000.0 * (number % 100), 0.0, -5.0, 5.3e6 - 5000.0 * (number // 100)),
            prior_reconstruction_psnr=float(30 + random.normal()),
            bicubic_reconstruction_psnr=float(28 + random.normal()),
            consistency_rmse=float(random.lognormal()),
            total_s=float(random.lognormal(1)),
            **told,
        )
        for number in range(10_000)
    )
    records.write_table(str(output / "manifest/part-r-00000.parquet"), table)
    return output


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    program = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def view(browser: Any, output: Path) -> Iterator[Open]:
    """Open the report, or another page; at the end no error was said and nothing was asked of anybody."""
    said: list[str] = []
    opened: list[Any] = []

    def open_page(width: int = 1600, height: int = 900, colours: str = "light", place: Path | None = None) -> Any:
        page = browser.new_page(
            viewport={"width": width, "height": height}, color_scheme=colours, reduced_motion="reduce"
        )
        opened.append(page)
        own = (place or output / "report.html").as_uri()
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(f"error: {error}"))
        page.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: request.url.startswith(("data:", "blob:", own)) or said.append(f"request: {request.url}"),
        )
        page.goto(own)
        page.wait_for_function("document.querySelector('#found')?.textContent")
        return page

    yield open_page
    for page in opened:
        page.wait_for_timeout(100)
        page.close()
    assert said == []


def stage_pixels(page: Any) -> np.ndarray:
    """A row of what is drawn, apart from labels and handle: (width, 3)."""
    page.wait_for_timeout(700)
    picture = np.asarray(Image.open(io.BytesIO(page.locator("#canvas").screenshot())).convert("RGB")).astype(int)
    return picture[len(picture) // 3]


def test_the_slider_moves(view: Open) -> None:
    """By arrow keys and by dragging the line: left of it are the input's pixels, right of it the result's."""
    page = view()
    middle = stage_pixels(page)
    slider = page.locator("#cut")
    slider.focus()
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "70"
    moved = stage_pixels(page)
    width = len(middle)
    between = slice(int(width * 0.51), int(width * 0.69))
    assert (middle[between] != moved[between]).any()
    assert (middle[: int(width * 0.49)] == moved[: int(width * 0.49)]).all()
    assert (middle[int(width * 0.71) :] == moved[int(width * 0.71) :]).all()
    handle, stage = page.locator("#line span").bounding_box(), page.locator("#stage").bounding_box()
    page.mouse.move(handle["x"] + 20, handle["y"] + 20)
    page.mouse.down()
    page.mouse.move(stage["x"] + stage["width"] * 0.25, handle["y"] + 20, steps=5)
    page.mouse.up()
    assert abs(int(slider.input_value()) - 25) <= 1
    line = page.locator("#line").bounding_box()
    assert abs(line["x"] + 1 - stage["x"] - stage["width"] * 0.25) < stage["width"] * 0.02


@pytest.mark.parametrize("card", ["0", "scene.png"])
def test_zoom_reaches_pixels(card: str, view: Open) -> None:
    """At 8 : 1 each pixel of the result is a square of one colour, 8 pixels wide, of the input of 16."""
    page = view()
    chosen = page.locator(f"[data-card='{card}']") if card == "0" else page.locator("[data-card]", has_text=card)
    chosen.click()
    page.wait_for_timeout(500)
    page.get_by_role("button", name="8 : 1").click()
    page.wait_for_timeout(1000)
    assert "8 on the screen" in page.locator("#zoom").inner_text()
    for value, side in (("0", 8), ("100", 16)):
        page.locator("#cut").fill(value)
        row = stage_pixels(page)
        inside = row[len(row) // 4 : len(row) * 3 // 4]
        changes = np.flatnonzero((inside[1:] != inside[:-1]).any(1))
        assert len(changes) > 10
        gaps = np.diff(changes) % side
        assert np.minimum(gaps, side - gaps).max() <= 1, changes  # places are rounded to pixels of the screen


def test_pictures_are_chosen_by_keys(view: Open) -> None:
    """Arrow keys in the strip go to the next picture, whose facts are then beside it."""
    page = view()
    first = page.locator("[data-card='0']")
    assert first.get_attribute("aria-pressed") == "true"
    first.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-card='1']").get_attribute("aria-pressed") == "true"
    assert page.locator("[data-panel='1']").is_visible()
    assert not page.locator("[data-panel='0']").is_visible()
    page.locator("#canvas .openseadragon-canvas").focus()
    before = page.locator("#zoom").inner_text()
    page.keyboard.press("+")
    page.wait_for_timeout(600)
    assert page.locator("#zoom").inner_text() != before


def test_the_wheel_is_the_pages(view: Open) -> None:
    """Over the picture it scrolls the page, until somebody has clicked into the picture."""
    page = view()
    stage = page.locator("#stage").bounding_box()
    page.mouse.move(stage["x"] + 60, stage["y"] + 100)
    page.mouse.wheel(0, 200)
    page.wait_for_timeout(300)
    assert page.evaluate("scrollY") > 100
    page.locator("#stage").scroll_into_view_if_needed()
    stage = page.locator("#stage").bounding_box()
    page.mouse.click(stage["x"] + 60, stage["y"] + 100)
    before, scrolled = page.locator("#zoom").inner_text(), page.evaluate("scrollY")
    page.mouse.wheel(0, -200)
    page.wait_for_timeout(600)
    assert page.locator("#zoom").inner_text() != before
    assert page.evaluate("scrollY") == scrolled


def test_focus_is_seen(view: Open) -> None:
    """Whatever the tab key leads to has a frame."""
    page = view()
    seen = set()
    for _ in range(25):
        page.keyboard.press("Tab")
        name, outline = page.evaluate(
            "[document.activeElement.outerHTML.slice(0, 60), getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline != "none", name
        seen.add(name)
    assert len(seen) > 15


def test_names_with_html_stay_text(view: Open) -> None:
    """In the strip, the table and the record; no dialog opens, no image is asked for."""
    page = view()
    page.locator("#find").fill("onerror")
    assert page.locator("#found").inner_text() == "1 image"
    page.locator("#table tbody button").click()
    record = page.locator("#record")
    assert EVIL in record.inner_text()
    assert record.locator("img").count() == 0
    page.keyboard.press("Escape")
    assert not record.is_visible()


@pytest.mark.parametrize("width", [320, 1600])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_nothing_is_wider_than_the_window(width: int, colours: str, view: Open) -> None:
    """On a phone and on a large screen; colours are those of the system."""
    page = view(width, 700, colours)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, paper.removeprefix("rgb(").rstrip(")").split(","))) > 384) == (colours == "light")


def test_light_and_dark_are_chosen(view: Open) -> None:
    """By the switch, and kept for the next time."""
    page = view()
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.locator("#theme").click()
    dark = page.evaluate(paper)
    assert dark != light
    page.reload()
    assert page.evaluate(paper) == dark


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1600])
def test_axe_finds_nothing_serious(width: int, colours: str, view: Open) -> None:
    """axe-core: no serious and no critical fault, of the page and of a record that is open in it."""
    page = view(width, 900, colours)
    assert "AXE" in os.environ, "AXE must name axe.min.js; make test-browser fetches it"
    page.evaluate(Path(os.environ["AXE"]).read_text())
    for step in ("page", "record"):
        if step == "record":
            page.locator("#table tbody button").first.click()
        found = page.evaluate("axe.run()")
        faults = [
            f"{fault['id']}: {fault['nodes'][0]['html'][:120]}"
            for fault in found["violations"]
            if fault["impact"] in ("serious", "critical")
        ]
        assert faults == []
        assert len(found["passes"]) > 20


def test_ten_thousand_records_by_pages(many: Path, view: Open) -> None:
    """They are seen within two seconds, in a file below 3 MB; keys turn the pages, and what failed is found."""
    made = make_report(str(many), images=0)
    assert made.bytes < 3e6
    page = view(place=many / "report.html")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    drawn = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
    print(f"{made.bytes} bytes; first view after {paint:.0f} ms, loaded after {drawn:.0f} ms")  # noqa: T201
    assert max(paint, drawn) < 1000 * FIRST_VIEW_SECONDS
    assert page.locator("#found").inner_text() == "10,000 images"
    assert page.locator("#table tbody tr").count() == 25
    page.locator("#table").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#page").inner_text() == "Page 2 of 400"
    page.keyboard.press("End")
    assert "scenes/09999.tif" in page.locator("#table tbody").inner_text()
    page.locator("#status").select_option("failed")
    assert page.locator("#found").inner_text() == "100 images"
    page.get_by_role("button", name="Seconds").click()
    page.locator("#status").select_option("done")
    seconds = [float(text) for text in page.locator("#table tbody td:last-child").all_inner_texts()]
    assert seconds == sorted(seconds)


def test_a_page_without_pictures_works(many: Path, view: Open) -> None:
    """Where no pixel can be read, its problems are told in the picture's place."""
    make_report(str(many), str(many / "unread.html"), images=1)
    page = view(place=many / "unread.html")
    assert "cannot be shown" in page.locator("#problem").inner_text()
    page.get_by_role("button", name="8 : 1").click()


def test_what_is_missing_of_a_picture_stands_over_the_rest(output: Path, view: Open, tmp_path: Path) -> None:
    """The input is still shown, and the sentence leaves most of it to be seen."""
    lost = output / "tiles/raster.tif/r0000_c0000.png"
    lost = lost if lost.exists() else lost.with_suffix(".tif")
    kept = lost.rename(tmp_path / lost.name)
    try:
        make_report(str(output), str(tmp_path / "partly.html"), images=12)
    finally:
        kept.rename(lost)
    page = view(place=tmp_path / "partly.html")
    page.locator("[data-card]", has_text="raster.tif").click()
    assert "The result cannot be shown" in page.locator("#problem").inner_text()
    page.set_viewport_size({"width": 380, "height": 500})
    assert page.locator("#problem").bounding_box()["height"] < 0.45 * page.locator("#stage").bounding_box()["height"]
    assert page.locator("[data-right=result]").is_disabled()
    page.locator("[data-card]", has_text="scene.png").click()
    assert page.locator("#problem").is_hidden()
