"""`srpipe compare`: a run of each method, one table, contact sheets, and the same again for nothing."""

import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jobs.comparison import as_text
from pipeline.compare import Comparison
from pipeline.compared_means import Line, means
from pipeline.contact_sheet import Cell, crop_of, enlarged, sheet
from pipeline.imagery.densest import densest
from pipeline.imagery.display import Stretch, open_display
from pipeline.imagery.header import FileLimits
from pipeline.output import records
from pipeline.output.record import Record

from .fixture_types import Refusal, Srpipe
from .rasters import write_raster

INLINE = ("--scale", "2", "--executor", "inline", "-o", "out")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two small pictures, one with its true image, and a row that names none."""
    generator = np.random.default_rng(0)
    for name, side in (("a", 24), ("b", 30)):
        truth = np.kron(generator.integers(0, 255, (side // 6, side // 6, 3)), np.ones((12, 12, 1))).astype(np.uint8)
        Image.fromarray(truth).save(tmp_path / f"{name}-true.png")
        Image.fromarray(truth).resize((side, side), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    table = "uri,id,reference\na.png,a,a-true.png\nb.png,b,\nnone.png,none,\n"
    (tmp_path / "m.csv").write_text(table)
    return tmp_path


def test_methods_side_by_side(pictures: Path, srpipe: Srpipe) -> None:
    """A line a method, all records in one table, a contact sheet for every image that is done."""
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic,prior", *INLINE)
    assert code == 3  # one image is missing
    first, second = out.splitlines()[1:3]
    assert first.split()[:4] == ["bicubic", "2", "0", "1"]
    assert second.split()[:4] == ["prior", "2", "0", "1"]
    assert out.splitlines()[3].startswith("bicubic: interpolation and the data step")
    table = pq.read_table(pictures / "out/compare.parquet").to_pylist()
    assert [(row["compared"], row["key"]) for row in table] == [
        (m, k) for m in ("bicubic", "prior") for k in ["a", "b", "none"]
    ]
    assert {row["method_used"] for row in table if row["key"] == "b"} == {"bicubic", "prior"}
    assert [row["psnr_y"] is not None for row in table] == [True, False, False] * 2
    assert sorted(file.name for file in (pictures / "out/sheets").iterdir()) == ["a.png", "b.png"]


def test_every_key_has_a_sheet_of_its_own(pictures: Path, srpipe: Srpipe) -> None:
    """Also `a` and `a.png`."""
    (pictures / "m.csv").write_text("uri,id\na.png,a\nb.png,a.png\n")
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE, "--json")
    assert code == 0
    assert len(set(json.loads(out)["sheets"])) == len([*(pictures / "out/sheets").iterdir()]) == 2


def test_again_nothing_is_done(pictures: Path, srpipe: Srpipe) -> None:
    """It goes on where it stopped, a method more costs that method alone, and figures are those of before."""
    srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE)
    tile = pictures / "out/bicubic/tiles/b/r0000_c0000.png"
    written = tile.stat().st_mtime_ns
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic,prior", *INLINE, "--json")
    assert (code, tile.stat().st_mtime_ns) == (3, written)
    told = json.loads(out)
    assert [line["name"] for line in told["lines"]] == ["bicubic", "prior"]
    assert all(line["psnr_y"] > 10 for line in told["lines"])


@pytest.mark.parametrize(
    ("reference", "problem"),
    [
        ("b.png", "has 30 x 30 pixels of 3 bands, the result 48 x 48 pixels"),
        ("https://example.org/a.png", "https"),
        ("gone.png", "cannot be read"),
    ],
)
def test_a_reference_that_gives_no_score_is_left_out_of_the_sheet(
    pictures: Path, srpipe: Srpipe, reference: str, problem: str
) -> None:
    """The other cells are drawn, all other images too, and the reason is told."""
    (pictures / "m.csv").write_text(f"uri,id,reference\na.png,bad,{reference}\na.png,good,a-true.png\n")
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE, "--json")
    told = json.loads(out)
    assert code == 0
    assert [problem in sentence for sentence in told["problems"]] == [True]
    without, whole = (math.prod(Image.open(uri).size) for uri in told["sheets"])
    assert without < whole


def test_a_limit_in_the_first_run(pictures: Path, srpipe: Srpipe) -> None:
    """There is nothing to compare yet."""
    options = ("--methods", "bicubic", "--max-hours", "1e-9", *INLINE)
    code, out, err = srpipe("compare", "m.csv", *options)
    assert (code, out.strip()) == (4, "no method is finished yet, so there is no table")
    assert err.splitlines()[-1] == "run the same command to resume"
    assert json.loads(srpipe("compare", "m.csv", *options, "--json")[1])["lines"] == []
    assert not (pictures / "out/compare.parquet").exists()


def test_options_of_the_output_hold_for_each_run(pictures: Path, srpipe: Srpipe) -> None:
    """A degraded result has a count and an exit code, maps are drawn, and every line of a log is an object."""
    (pictures / "m.csv").write_text("uri,id\nb.png,b\n")
    options = ("--max-consistency-error", "0", "--disagreement", "--log-format", "json", "-v")
    code, out, err = srpipe("compare", "m.csv", "--methods", "bicubic,prior", *options, *INLINE, "--json")
    assert code == 3
    assert [(line["done"], line["degraded"], line["failed"]) for line in json.loads(out)["lines"]] == [(0, 1, 0)] * 2
    assert len(list((pictures / "out/prior").rglob("*disagreement*"))) > 0
    lines = [json.loads(line) for line in err.splitlines()]
    assert {"bicubic:", "prior:"} <= {line["message"] for line in lines}
    assert [line["level"] for line in lines if line["event"] == "degraded"] == ["info"] * 2


def test_what_the_manifest_names_no_more_does_not_count(pictures: Path, srpipe: Srpipe) -> None:
    """An image that failed and was taken out fails no later command; a reference taken out leaves no score."""
    assert srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE)[0] == 3
    (pictures / "m.csv").write_text("uri,id\na.png,a\nb.png,b\n")
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE, "--json")
    told = json.loads(out)
    (line,) = told["lines"]
    assert (code, line["done"], line["failed"], line["psnr_y"]) == (0, 2, 0, None)
    assert (len(told["sheets"]), told["problems"]) == (2, [])
    rows = pq.read_table(pictures / "out/compare.parquet").to_pylist()
    assert [(row["key"], row["psnr_y"]) for row in rows] == [("a", None), ("b", None)]


@pytest.mark.parametrize("manifest", ["sheets", "out.csv", "compare.parquet", "*"])
def test_own_files_are_not_replaced(pictures: Path, refusal: Refusal, manifest: str) -> None:
    """An image where a sheet would go, a manifest where the table would, and a pattern that would find the table."""
    (pictures / "sheets").mkdir()
    (pictures / "a.png").rename(pictures / "sheets/a.png")
    (pictures / "out.csv").write_text("uri,id\nsheets/a.png,a\n")
    pq.write_table(pa.table({"uri": ["b.png"]}), pictures / "compare.parquet")
    before = (pictures / "sheets/a.png").read_bytes()
    sentence = refusal("compare", manifest, "--methods", "bicubic", *INLINE[:-1], ".")
    assert re.search(
        r"lies where the run would write its results|would find .*/compare\.parquet, which the run", sentence
    )
    assert (pictures / "sheets/a.png").read_bytes() == before
    assert not (pictures / "bicubic").exists()


def test_means_are_over_the_same_images(pictures: Path, srpipe: Srpipe) -> None:
    """What one method has done before on other images does not count; a user's column keeps its cells."""
    (pictures / "m.csv").write_text("uri,id,reference,compared\na.png,a,a-true.png,p\nb.png,b,b-true.png,q\n")
    srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE)
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic,nearest", "--limit", "1", *INLINE, "--json")
    first, second = json.loads(out)["lines"]
    assert (code, first["done"], second["done"], len(json.loads(out)["sheets"])) == (0, 1, 1, 1)
    rows = pq.read_table(pictures / "out/compare.parquet").to_pylist()
    assert [(row["compared"], row["key"], row["manifest_compared"]) for row in rows] == [
        ("bicubic", "a", "p"),
        ("nearest", "a", "p"),
    ]
    assert first["psnr_y"] == rows[0]["psnr_y"]


def test_means_are_over_images_that_every_method_has() -> None:
    """A method that fails at the hard images does not look better for it; one that has none at all spoils no mean."""

    def table(*psnrs: float | None) -> pa.Table:
        rows = [
            Record(key=f"{n}", manifest_line=n, source_uri="", status="done" if psnr else "failed", psnr_y=psnr)
            for n, psnr in enumerate(psnrs)
        ]
        return records.to_table(rows)

    tables = {"a": table(20.0, 30.0, 40.0), "b": table(21.0, None, 41.0), "c": table(None, None, None)}
    lines, counts = means(tables)
    assert [line.psnr_y for line in lines] == pytest.approx([30.0, 31.0, math.nan], nan_ok=True)
    assert [line.done for line in lines] == [3, 2, 0]
    assert counts["psnr_y"] == 2


def test_a_reference_with_psnr_alone_is_in_the_sheet(pictures: Path, srpipe: Srpipe) -> None:
    """A tiny image has no window of SSIM."""
    Image.open(pictures / "a-true.png").crop((0, 0, 12, 12)).save(pictures / "tiny-true.png")
    Image.open(pictures / "a.png").crop((0, 0, 6, 6)).save(pictures / "tiny.png")
    (pictures / "m.csv").write_text("uri,id,reference\ntiny.png,with,tiny-true.png\ntiny.png,without,\n")
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE, "--json")
    told = json.loads(out)
    assert (code, told["problems"], told["lines"][0]["ssim_y"]) == (0, [], None)
    assert told["lines"][0]["psnr_y"] > 0
    whole, without = (math.prod(Image.open(uri).size) for uri in told["sheets"])
    assert without < whole


def test_an_output_that_was_moved_has_its_sheets(pictures: Path, srpipe: Srpipe) -> None:
    """Files lie where OUT is now."""
    srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE)
    (pictures / "out").rename(pictures / "moved")
    _, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE[:-1], "moved", "--json")
    assert (json.loads(out)["problems"], len(json.loads(out)["sheets"])) == ([], 2)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--prior", "none-here.safetensors"), "prior: "),
        (("--disagreement", "--preset", "fast"), "prior: --disagreement with one member"),
    ],
)
@pytest.mark.usefixtures("pictures")
def test_what_the_last_method_lacks_ends_no_first(
    refusal: Refusal, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    """Nothing is done by bicubic where the prior could not begin."""
    assert sentence in refusal("compare", "m.csv", "--methods", "bicubic,prior", *options, *INLINE)
    assert not (tmp_path / "out").exists()


def test_options_of_fits_are_for_those_that_fit(pictures: Path, srpipe: Srpipe) -> None:
    """--steps says nothing to bicubic and something to a network that is fitted."""
    (pictures / "m.csv").write_text("uri,id\nb.png,b\n")
    options = ("--methods", "bicubic,subpixel", "--steps", "2", "--width", "4", "--depth", "3", "--crop", "16")
    options += ("--no-self-ensemble",)
    assert srpipe("compare", "m.csv", *options, *INLINE)[0] == 0
    rows = {row["compared"]: row for row in pq.read_table(pictures / "out/compare.parquet").to_pylist()}
    assert (rows["bicubic"]["steps"], rows["subpixel"]["steps"]) == (0, 2)
    assert (rows["bicubic"]["network"], rows["subpixel"]["network"]) == (None, "subpixel")


def test_a_network_with_the_name_of_a_method_is_fitted_from_scratch(pictures: Path, srpipe: Srpipe) -> None:
    """`zssr` begins with the prior."""
    (pictures / "m.csv").write_text("uri,id\nb.png,b\n")
    options = ("--methods", "network:zssr", "--steps", "2", "--width", "4", "--depth", "3", "--crop", "16")
    assert srpipe("compare", "m.csv", *options, "--no-self-ensemble", *INLINE)[0] == 0
    (row,) = pq.read_table(pictures / "out/compare.parquet").to_pylist()
    assert (row["compared"], row["network"], row["prior"]) == ("network:zssr", "zssr", "none")
    assert (pictures / "out/network-zssr/run.json").exists()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--methods", "bicubic,proir"), "did you mean prior"),
        (("--methods", "bicubic,bicubic"), "names bicubic twice"),
        (("--methods", "network:subpixel,subpixel"), "names subpixel twice"),
        (("--methods", "network:bicubic"), "network:bicubic"),
        (("--methods", "bicubic,direct"), "direct is the prior's network; name prior (as it is) or zssr"),
        (("--methods", ","), "names none"),
        (("--methods", "all", "--model-halo", "16"), "--weights and --model-halo are for model alone"),
        (("--methods", "bicubic", "--method", "prior"), "--method and --network have no effect here"),
        (
            ("--methods", "bicubic,zssr,subpixel", "--kernel", "gaussian:2"),
            "subpixel: --kernel gaussian:2 cannot be used",
        ),
    ],
)
@pytest.mark.usefixtures("pictures")
def test_what_is_refused(refusal: Refusal, options: tuple[str, ...], sentence: str) -> None:
    """In one sentence, before anything is written."""
    assert sentence in refusal("compare", "m.csv", *options, *INLINE)


RASTERS = {
    "one band of 16 bits": (1, "uint16"),
    "two bands of 16 bits": (2, "uint16"),
    "four bands of 16 bits": (4, "uint16"),
    "seven bands of floats": (7, "float32"),
    "five bands of 8 bits": (5, "uint8"),
}


@pytest.mark.parametrize("kind", RASTERS)
def test_rasters_have_a_sheet(tmp_path: Path, srpipe: Srpipe, kind: str) -> None:
    """Of any bands and type: three of its bands or one, by the 1st and 99th percentile of the input, both alike."""
    bands, dtype = RASTERS[kind]
    side = 24
    samples = np.random.default_rng(0).integers(30, 220, (bands, side, side)).astype(dtype)
    transform = rasterio.transform.from_origin(500_000, 5_300_000, 10, 10)
    profile = {"count": bands, "height": side, "width": side, "dtype": dtype, "crs": "EPSG:32633", "nodata": None}
    with rasterio.open(tmp_path / "lr.tif", "w", driver="GTiff", transform=transform, **profile) as file:
        file.write(samples)
    (tmp_path / "m.csv").write_text("uri,id,reference\nlr.tif,x,\n")
    code, out, _ = srpipe("compare", "m.csv", "--methods", "bicubic", *INLINE, "--json")
    assert (code, json.loads(out)["problems"]) == (0, [])
    page = np.asarray(Image.open(tmp_path / "out/sheets/x.png"))
    seen = slice(0, 3 if bands >= 3 else 1)
    black, white = np.percentile(samples[seen].astype(float), (1, 99), axis=(1, 2), keepdims=True)
    if dtype == "uint8":
        black, white = np.zeros_like(black), np.full_like(white, 255)

    def as_seen(numbers: np.ndarray) -> np.ndarray:
        levels = ((numbers[seen].astype(np.float32) - black) / (white - black) * 255 + 0.5).clip(0, 255)
        return np.broadcast_to(levels, (3, *levels.shape[1:])).transpose(1, 2, 0).astype(np.uint8)

    tiles = [file for file in (tmp_path / "out/bicubic/tiles/x").iterdir() if file.suffix in (".png", ".tif")]
    with rasterio.open(tiles[0]) as file:
        result = as_seen(file.read())
    squares = as_seen(samples).repeat(2, 0).repeat(2, 1)
    for wanted in (squares, result):
        windows = np.lib.stride_tricks.sliding_window_view(page, wanted.shape)[:, :, 0]
        off = np.abs(windows[:, :, ::7, ::7].astype(int) - wanted[::7, ::7].astype(int)).max((-1, -2, -3))
        assert off.min() <= 1
    assert np.ptp(squares) > 150


class Drawn:
    """A picture in memory."""

    def __init__(self, levels: torch.Tensor) -> None:
        self._levels = levels
        self.bands, self.height, self.width = levels.shape

    def window(self, rows: slice, columns: slice) -> tuple[torch.Tensor, torch.Tensor]:
        part = self._levels[:, rows, columns]
        return part, torch.ones(part.shape[1:], dtype=torch.bool)


def test_the_crop_is_where_detail_is() -> None:
    """Of a picture that is gray but for one place, it has that place in it, and no more than 256 pixels a side."""
    levels = torch.full((3, 300, 400), 128, dtype=torch.uint8)
    levels[:, 200:230:2, 310:340:2] = 0
    rows, columns = crop_of(Drawn(levels), 4)
    assert rows.start <= 200 < 230 <= rows.stop
    assert columns.start <= 310 < 340 <= columns.stop
    assert (rows.stop - rows.start, columns.stop - columns.start) == (64, 64)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 5), st.integers(0, 5), st.integers(0, 99))
def test_the_densest_part_is_that_of_all_parts(height: int, width: int, more: int, wider: int, seed: int) -> None:
    """By its sum, beside large weights too."""
    weights = np.random.default_rng(seed).random((height + more, width + wider), np.float32) - 0.3
    weights[0, 0] = 3e5
    sums = np.lib.stride_tricks.sliding_window_view(weights.astype(np.float64), (height, width)).sum((2, 3))
    assert densest(weights, height, width) == np.unravel_index(sums.argmax(), sums.shape)
    weights[0, 0] = -3e5
    top, left = densest(weights, height, width)
    sums = np.lib.stride_tricks.sliding_window_view(weights.astype(np.float64), (height, width)).sum((2, 3))
    assert sums[top, left] == pytest.approx(sums.max(), abs=1e-6)


def test_a_sheet_shows_pixels_as_they_are() -> None:
    """Every cell's pixels stand in the page unchanged; one band is gray."""
    generator = torch.Generator().manual_seed(0)
    colour = torch.randint(0, 256, (3, 40, 160), dtype=torch.uint8, generator=generator)
    gray = torch.randint(0, 256, (1, 40, 160), dtype=torch.uint8, generator=generator)
    page = np.asarray(Image.open(io.BytesIO(sheet("t", [Cell(colour, "c", ""), Cell(gray, "g", "")]))))
    for cell in (colour, gray.expand(3, -1, -1)):
        wanted = cell.permute(1, 2, 0).numpy()
        windows = np.lib.stride_tricks.sliding_window_view(page, wanted.shape)[:, :, 0]
        assert (windows[:, :, 0, 0] == wanted[0, 0]).all(-1).any()
        found = np.argwhere((windows[:, :, 0, 0] == wanted[0, 0]).all(-1))
        assert any((windows[top, left] == wanted).all() for top, left in found)


def test_an_input_is_enlarged_by_squares() -> None:
    """Each pixel becomes one."""
    levels = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    assert enlarged(levels, 4, 6)[0].tolist() == [[1, 1, 1, 2, 2, 2]] * 2 + [[3, 3, 3, 4, 4, 4]] * 2


def test_a_stretch_of_another_type_does_not_count(tmp_path: Path) -> None:
    """A reference of 8 bits beside an image of 16 is no black rectangle: it is shown as it is."""
    levels = np.random.default_rng(0).integers(0, 256, (20, 30), np.uint8)
    Image.fromarray(levels).save(tmp_path / "truth.png")
    of_16_bits = Stretch((0,), (200.0,), (9000.0,), "uint16")
    with open_display(str(tmp_path / "truth.png"), FileLimits(), stretch=of_16_bits) as truth:
        assert np.array_equal(truth.window(slice(0, 20), slice(0, 30))[0][0], levels)


@pytest.mark.parametrize("bits", [8, 16])
def test_black_ink_darkens(tmp_path: Path, bits: int) -> None:
    """Of CMYK a screen shows what each other ink leaves of the light times what black leaves of it; on Earth, too."""
    inks = np.random.default_rng(0).integers(0, 256, (4, 20, 30), np.uint8)
    if bits == 8:
        Image.fromarray(inks.transpose(1, 2, 0), "CMYK").save(tmp_path / "a.tif")
    else:
        place = {"transform": (10, 0, 5e5, 0, -10, 5e6), "crs": "EPSG:32633"}
        write_raster(tmp_path / "a.tif", inks.astype(np.uint16) * 257, photometric="CMYK", **place)
    with open_display(str(tmp_path / "a.tif"), FileLimits()) as picture:
        levels, known = picture.window(slice(0, 20), slice(0, 30))
    left = 1 - inks / 255
    assert (picture.bands, picture.stretch.is_of_inks, bool(known.all())) == (3, True, True)
    np.testing.assert_allclose(levels, left[:3] * left[3] * 255, atol=0.51)


def test_a_fill_of_floating_point_is_shown_without_a_warning() -> None:
    """It is far beyond black and white, and the least that float32 has is such a fill in many rasters."""
    numbers = np.array([[[-3.4e38, 0.0, 0.5e-3, 1e-3, np.nan]]], np.float32)
    with np.errstate(all="raise"):
        levels = Stretch((0,), (0.0,), (1e-3,), "float32").levels(numbers)
    assert levels.tolist() == [[[0, 0, 128, 255, 0]]]


@pytest.mark.parametrize(("title", "name", "figures"), [("w" * 60, "c", ""), ("t", "n" * 60, ""), ("t", "c", "f" * 60)])
def test_no_text_of_a_sheet_is_cut_off(title: str, name: str, figures: str) -> None:
    """As much is drawn around a tiny result as around one with more room than the text needs."""

    def drawn(side: int) -> int:
        blank = torch.full((3, 4, side), 250, dtype=torch.uint8)
        blank[2] = 248
        page = np.asarray(Image.open(io.BytesIO(sheet(title, [Cell(blank, name, figures)] * 2))))
        return int((page != (250, 250, 248)).any(-1).sum())

    assert drawn(4) == drawn(1000)


def test_the_folder_of_sheets_is_told_whatever_the_keys() -> None:
    """Also where images lie in a folder called sheets."""
    line = Line("bicubic", 1, 0, 0, math.nan, math.nan, 0.1, 0.2, 1)
    told = as_text(Comparison("/out/compare.parquet", (line,), ("/out/sheets/sheets/a.png",), ("b\n: bad",), False))
    assert told.endswith("table: /out/compare.parquet; contact sheets: /out/sheets")
    assert "b\\x0a: bad" in told.splitlines()
