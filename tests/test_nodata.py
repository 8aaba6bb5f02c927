"""Whole runs over rasters with fills and ends: what comes out, what records say, and what is done anew."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image

from pipeline.driver.run import run
from pipeline.imagery import picture
from pipeline.option_values import parse_nodata, parse_range
from pipeline.work.units import Division
from sr_ops.image.resample import downscale
from sr_ops.settings import Method

from .fixture_types import MakeConfig
from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

LOWEST = float(np.finfo(np.float32).min)
HOLE = np.s_[12:30, 20:41]

_Y, _X = np.mgrid[0:48, 0:64]
TERRAIN = (200 + 50 * np.sin(_X / 5) + 30 * np.cos(_Y / 3)).astype("f4")
ICE = np.where((_X - 30) ** 2 + (_Y - 20) ** 2 < 150, 100, np.where(_X > 50, 55, 0)).astype("f4")

Records = dict[Any, dict[str, Any]]


def write(path: Path, samples: np.ndarray, **profile: Any) -> None:
    place = {"transform": (10, 0, 5e5, 0, -10, 5e6), "crs": "EPSG:32633"}
    write_raster(path, samples if samples.ndim == 3 else samples[None], **place, **profile)


def holed(fill: float, dtype: str = "float32") -> np.ndarray:
    samples = TERRAIN.astype(dtype)
    samples[HOLE] = fill
    return samples


@pytest.fixture
def enlarge(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: Callable[[str], Records]
) -> Callable[..., Records]:
    """Enlarge the rows of a csv, by bicubic, and give their records; options are those of `Settings`."""

    def do(table: str, **changes: Any) -> Records:
        (tmp_path / "m.csv").write_text(table)
        said = {"scale": 2, "method": Method.BICUBIC, "tile_size": 32, **changes}
        run(tiny_config(settings=replace(tiny_config().settings, **said)), observer)
        return read_records(str(tmp_path / "out"))

    return do


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], tuple[np.ndarray, float | None]]:
    """The result of a key as one array, and what its tiles declare."""

    def read(key: str) -> tuple[np.ndarray, float | None]:
        with rasterio.open(tmp_path / "out" / "tiles" / key / "mosaic.vrt") as file:
            return file.read(), file.nodata

    return read


Enlarge = Callable[..., Records]
Made = Callable[[str], tuple[np.ndarray, float | None]]


@pytest.mark.parametrize(("dtype", "fill"), [("float32", LOWEST), ("float32", -9999.0), ("int16", -32768)])
def test_a_fill_is_as_if_it_were_declared(
    tmp_path: Path, enlarge: Enlarge, made: Made, dtype: str, fill: float
) -> None:
    """The same pixels, the same figures, and a note."""
    write(tmp_path / "declared.tif", holed(fill, dtype), nodata=fill)
    write(tmp_path / "silent.tif", holed(fill, dtype))
    records = enlarge("uri\ndeclared.tif\nsilent.tif\n")
    declared, silent = records["declared.tif"], records["silent.tif"]
    assert declared["status"] == silent["status"] == "done"
    assert f"its samples of {'-3.4028235e+38' if fill == LOWEST else int(fill)}, declared nowhere" in silent["notes"]
    assert declared["notes"] is None
    figures = [name for name in declared if name.startswith(("consistency", "nodata", "samples", "tiles"))]
    assert {name: declared[name] for name in figures} == {name: silent[name] for name in figures}
    (pixels, nodata), (others, _) = made("silent.tif"), made("declared.tif")
    np.testing.assert_array_equal(pixels, others)
    assert nodata == silent["nodata"] == fill
    hole = np.zeros(TERRAIN.shape, bool)
    hole[HOLE] = True
    np.testing.assert_array_equal(pixels[0] == fill, hole.repeat(2, 0).repeat(2, 1))
    seen = TERRAIN.astype(dtype)[~hole]
    known = pixels[pixels != fill]
    if dtype == "float32":
        assert (known.min() >= seen.min(), known.max() <= seen.max()) == (True, True)
    assert silent["consistency_max"] < 1


def test_what_is_told_wins(tmp_path: Path, enlarge: Enlarge, made: Made) -> None:
    """Over the file, over what would be recognised, and a row's over the run's; an empty cell is the run's."""
    write(tmp_path / "dem.tif", holed(-9999.0))
    write(tmp_path / "said.tif", holed(-1.0), nodata=-1.0)
    rows = [("dem.tif", text) for text in ("", "none", "-1", "auto")] + [("said.tif", "none"), ("said.tif", "-9999")]
    table = "".join(f"{uri},{number},{text}\n" for number, (uri, text) in enumerate(rows))
    records = enlarge("uri,id,nodata\n" + table, nodata="-9999.0")
    assert [records[str(number)]["nodata"] for number in range(6)] == [-9999, None, -1, -9999, None, -9999]
    assert [records[str(number)]["status"] for number in range(6)] == ["done"] * 6
    assert records["0"]["notes"] is None
    assert "taken for a measurement" in records["4"]["notes"]
    assert made("1")[0].min() == -9999  # measured, and an end of the range


def test_what_is_told_wins_over_a_mask_of_nodata_values(tmp_path: Path, enlarge: Enlarge, made: Made) -> None:
    """That of the tag NODATA_VALUES goes, with a note: pixels are those without the tag. A mask of its own stays."""
    samples = np.stack([TERRAIN / 2] * 3).astype(np.uint8)
    samples[:, *HOLE] = 0
    for name in ("tagged.tif", "plain.tif"):
        write(tmp_path / name, samples, photometric="rgb")
    with rasterio.open(tmp_path / "tagged.tif", "r+") as raster:
        raster.update_tags(NODATA_VALUES="0 0 0")
    write(tmp_path / "masked.tif", samples, mask=samples[0] > 0, photometric="rgb")
    rows = [("tagged.tif", "auto"), ("tagged.tif", "none"), ("tagged.tif", "7"), ("masked.tif", "none")]
    rows += [("plain.tif", "none"), ("plain.tif", "7")]
    table = "".join(f"{name},{number},{text}\n" for number, (name, text) in enumerate(rows))
    records = enlarge("uri,id,nodata\n" + table)
    assert [records[str(number)]["nodata"] for number in range(6)] == [None, None, 7, None, None, 7]
    for tagged, plain in (("1", "4"), ("2", "5")):
        np.testing.assert_array_equal(made(tagged)[0], made(plain)[0])
    for number, (_, told) in enumerate(rows):
        with rasterio.open(tmp_path / "out" / "tiles" / str(number) / "mosaic.vrt") as file:
            masked = bool((file.dataset_mask()[30:50, 50:70] == 0).all())
        assert masked == (number in (0, 3))
        note = f"the mask that its tag NODATA_VALUES makes does not count, as --nodata {told} says"
        assert (note in (records[str(number)]["notes"] or "")) == (number in (1, 2))


@pytest.mark.parametrize("text", ["-3.4028235e+38", "-3.40282347e38", "-3.4028234663852886e+38"])
def test_the_lowest_float_by_any_of_its_names(tmp_path: Path, enlarge: Enlarge, made: Made, text: str) -> None:
    """As srpipe, GDAL and numpy write it, to the digits of float32: the end of the type, and no more than that."""
    write(tmp_path / "a.tif", holed(LOWEST))
    record = enlarge(f"uri,nodata\na.tif,{text}\n")["a.tif"]
    assert (record["status"], record["notes"], record["nodata"]) == ("done", None, LOWEST)
    pixels, declared = made("a.tif")
    assert declared == LOWEST
    assert (pixels == LOWEST).sum() == 4 * (holed(LOWEST) == LOWEST).sum()
    assert "value -3.40283e+38 cannot occur in float32" in enlarge("uri,nodata\na.tif,-3.40283e38\n")["a.tif"]["notes"]


def test_what_is_done_anew(tmp_path: Path, enlarge: Enlarge) -> None:
    """A row whose nodata changes is; one that says the same otherwise is not; a range concerns all."""
    write(tmp_path / "a.tif", holed(-9999.0))
    write(tmp_path / "b.tif", holed(-9999.0))
    first = enlarge("uri,nodata\na.tif,-9999\nb.tif,\n")
    second = enlarge("uri,nodata\na.tif,-9999.0\nb.tif,none\n")
    assert first["a.tif"] == second["a.tif"]
    assert first["b.tif"]["config_fingerprint"] != second["b.tif"]["config_fingerprint"]
    third = enlarge("uri,nodata\na.tif,-9999.0\nb.tif,none\n", value_range="none")
    fingerprints = {record["config_fingerprint"] for table in (first, second, third) for record in table.values()}
    assert len(fingerprints) == 5


def test_none_never_gives_infinities(tmp_path: Path, enlarge: Enlarge, made: Made) -> None:
    """Where the user insists that the lowest float was measured, the image is computed with it, or fails."""
    write(tmp_path / "a.tif", holed(LOWEST))
    for value_range in ("auto", "none"):
        record = enlarge("uri\na.tif\n", nodata="none", value_range=value_range)["a.tif"]
        if record["status"] == "failed":
            assert (record["error_type"], "--nodata" in record["error_message"]) == ("unsupported", True)
        else:
            assert np.isfinite(made("a.tif")[0]).all()


def test_two_fills_fail(tmp_path: Path, enlarge: Enlarge) -> None:
    """What one nodata value cannot say is asked for, of this image alone."""
    two = holed(-9999.0)
    two[:5] = -32768
    write(tmp_path / "two.tif", two)
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.png")
    records = enlarge("uri\ntwo.tif\na.png\n")
    assert records["a.png"]["status"] == "done"
    assert records["two.tif"]["error_type"] == "unsupported"
    assert "-32768 and -9999" in records["two.tif"]["error_message"]
    assert enlarge("uri,nodata\ntwo.tif,-9999\na.png,\n")["two.tif"]["status"] == "done"


@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize("method", [Method.BICUBIC, Method.ZSSR])
def test_groups_of_a_scene_know(
    tmp_path: Path, enlarge: Enlarge, read_tiles: Any, monkeypatch: pytest.MonkeyPatch, method: Method
) -> None:
    """Read by windows, and divided among workers or not, it is the same image with the same fill, ends and counts."""
    write(tmp_path / "a.tif", holed(-9999.0))
    monkeypatch.setattr(picture, "HELD_WHOLE", 100)
    whole = enlarge("uri\na.tif\n", method=method, tile_size=16)["a.tif"]
    tiles = read_tiles(str(tmp_path / "out"))
    (tmp_path / "out").rename(tmp_path / "whole")
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.002))
    divided = enlarge("uri\na.tif\n", method=method, tile_size=16)["a.tif"]
    assert read_tiles(str(tmp_path / "out")) == tiles
    same = [name for name in whole if not name.endswith(("_s", "_at", "_bytes", "worker"))]
    assert {name: divided[name] for name in same} == {name: whole[name] for name in same}


# ---- ranges ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize("scale", [2, 3])
def test_floats_stay_within_their_image(tmp_path: Path, enlarge: Enlarge, made: Made, scale: int) -> None:
    """0 and 100 per cent are the ends; the mean is kept even so; tiles are those of the whole; records count."""
    write(tmp_path / "ice.tif", np.stack([ICE, 5 * ICE - 3]))
    record = enlarge("uri\nice.tif\n", scale=scale, tile_size=16)["ice.tif"]
    pixels, _ = made("ice.tif")
    assert [(band.min(), band.max()) for band in pixels] == [(0, 100), (-3, 497)]
    assert record["samples_outside_range"] == 0
    for band, seen in zip(pixels, (ICE, 5 * ICE - 3), strict=True):
        assert abs(band.mean(dtype="f8") - seen.mean(dtype="f8")) <= 5e-4 * seen.mean(dtype="f8")
    enlarge("uri\nice.tif\n", scale=scale, tile_size=64)
    np.testing.assert_allclose(made("ice.tif")[0], pixels, atol=1e-3)


def test_floats_without_ends(tmp_path: Path, enlarge: Enlarge, made: Made) -> None:
    """Asked for, they may overshoot: the record counts how many do, and they agree with the image to the digit."""
    write(tmp_path / "ice.tif", ICE)
    record = enlarge("uri\nice.tif\n", value_range="none")["ice.tif"]
    pixels, _ = made("ice.tif")
    outside = (pixels < 0) | (pixels > 100)
    assert record["samples_outside_range"] == outside.sum() > 100
    shrunk = downscale(torch.from_numpy(pixels).double(), 2)[0].numpy()
    assert np.abs(shrunk - ICE).max() < 0.05


@pytest.mark.parametrize("scale", ["2", "1.5"])
def test_what_is_unknown_is_not_counted(tmp_path: Path, enlarge: Enlarge, made: Made, scale: str) -> None:
    """What is computed in a hole and overshoots is not written, and is not among the samples outside the range."""
    holed_ice = ICE.copy()
    holed_ice[8:20, 36:50] = np.nan
    write(tmp_path / "ice.tif", holed_ice)
    record = enlarge(f"uri,scale\nice.tif,{scale}\n", value_range="none")["ice.tif"]
    pixels, _ = made("ice.tif")
    assert np.isnan(pixels).any()
    assert record["samples_outside_range"] == ((pixels < 0) | (pixels > 100)).sum() > 100


@pytest.mark.parametrize("dtype", ["float32", "int16", "uint8"])
def test_a_range_that_is_told(tmp_path: Path, enlarge: Enlarge, made: Made, dtype: str) -> None:
    """Nothing lies beyond it, flat parts neither; a note tells when the input did."""
    write(tmp_path / "ice.tif", ICE.astype(dtype))
    record = enlarge("uri\nice.tif\n", value_range="0.0,60.0")["ice.tif"]
    pixels, _ = made("ice.tif")
    assert (pixels.min(), pixels.max()) == (0, 60)
    assert "its values, from 0 to 100, are cut off" in record["notes"]
    record = enlarge("uri\nice.tif\n", value_range="-10.0,110.0")["ice.tif"]
    pixels, _ = made("ice.tif")
    assert record["notes"] is None
    assert record["samples_outside_range"] == ((pixels < 0) | (pixels > 100)).sum() > 0
    assert (pixels.min() >= -10, pixels.max() <= 110) == (True, True)
    failed = enlarge("uri\nice.tif\n", value_range="0.2,0.7")["ice.tif"]
    assert failed["status"] == ("done" if dtype == "float32" else "failed")
    if dtype != "float32":
        assert "give another --range" in failed["error_message"]


@pytest.mark.parametrize("scale", ["2", "1.5"])
@pytest.mark.parametrize(("nodata", "beyond"), [(0, -1), (60, 61)])
def test_a_range_makes_no_nodata(
    tmp_path: Path, enlarge: Enlarge, made: Made, scale: str, nodata: float, beyond: float
) -> None:
    """What is measured and cut off at an end of the range that is nodata is the number beside it."""
    lake = np.full((48, 64), 30, "float32") + TERRAIN / 100
    lake[10:36, 10:40] = beyond
    write(tmp_path / "a.tif", lake, nodata=nodata)
    enlarge(f"uri,scale,nodata\na.tif,{scale},{nodata}\n", value_range="0.0,60.0")
    pixels, declared = made("a.tif")
    assert declared == nodata
    assert (pixels != nodata).all()
    assert (np.abs(pixels - nodata) < 1e-5).any()


def test_a_wide_kernel_sees_no_fill(tmp_path: Path, enlarge: Enlarge) -> None:
    """A hole that its tails look into counts in no figure of what lies around it."""
    deep = np.tile(TERRAIN, (2, 2))[:96, :96]
    deep[30:66, 30:66] = LOWEST
    write(tmp_path / "a.tif", deep, nodata=LOWEST)
    record = enlarge("uri\na.tif\n", kernel="gaussian:6.0", noise="0")["a.tif"]
    assert record["consistency_max"] < 60


@pytest.mark.parametrize("dtype", ["float32", "uint16"])
def test_what_is_cut_off_is_not_shared_out(tmp_path: Path, enlarge: Enlarge, made: Made, dtype: str) -> None:
    """As what the end of the type cuts off an overshoot is: but this the user wants to be gone."""
    spot = np.full((48, 64), 50, dtype)
    spot[20:26, 30:36] = 100
    write(tmp_path / "a.tif", spot)
    enlarge("uri\na.tif\n", value_range="0.0,60.0")
    pixels, _ = made("a.tif")
    around = pixels[0, 40:52, 76:84]  # two to six pixels of the image from the spot
    assert (pixels.max(), np.abs(around.astype(float) - 50).max() < 1.5) == (60, True)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535)], ids=["8 bits", "16 bits"])
def test_pictures_are_counted_too(tmp_path: Path, enlarge: Enlarge, dtype: Any, top: int) -> None:
    """Of 8 and 16 bits no pixel changes by a range of auto or none, and how many go beyond the input's is told."""
    samples = (0.3 * top + 0.4 * top * ICE / 100).astype(dtype)
    Image.fromarray(samples).save(tmp_path / "a.png")
    records = [enlarge("uri\na.png\n", value_range=text)["a.png"] for text in ("auto", "none", f"0.0,{top}.0")]
    assert len({record["output_sha256"] for record in records}) == 1
    with Image.open(tmp_path / "out/tiles/a.png/r0000_c0000.png") as tile:
        part = np.asarray(tile)
    assert records[0]["samples_outside_range"] >= ((part < samples.min()) | (part > samples.max())).sum() > 0


# ---- what is said on the command line --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "meant"),
    [("auto", "auto"), ("None", "none"), ("-9999", "-9999.0"), (" -9999.0 ", "-9999.0"), ("NaN", "nan"), ("-0", "0.0")],
)
def test_nodata_is_parsed(text: str, meant: str) -> None:
    """Numbers that are equal are the same."""
    assert parse_nodata(text) == meant


@pytest.mark.parametrize(
    ("text", "meant"), [("auto", "auto"), ("NONE", "none"), ("0,100", "0.0,100.0"), (" -1e3 , 1 ", "-1000.0,1.0")]
)
def test_a_range_is_parsed(text: str, meant: str) -> None:
    """As nodata is."""
    assert parse_range(text) == meant


@pytest.mark.parametrize("text", ["", "x", "-inf", "0x10"])
def test_no_nodata(text: str) -> None:
    """What is no number is refused with a sentence."""
    with pytest.raises(ValueError, match="is no number; give a number, nan, none or auto"):
        parse_nodata(text)


@pytest.mark.parametrize("text", ["", "x", "1", "1,2,3", "2,1", "1,1", "nan,1", "0,inf", "a,b", "1;2"])
def test_no_range(text: str) -> None:
    """So is what is no range."""
    with pytest.raises(ValueError, match=r"is none[;,]"):
        parse_range(text)


def test_a_bad_cell(tmp_path: Path, enlarge: Enlarge) -> None:
    """It is that row's failure."""
    write(tmp_path / "a.tif", TERRAIN)
    records = enlarge("uri,id,nodata\na.tif,x,-9999\na.tif,y,nothing\n")
    assert records["x"]["status"] == "done"
    assert "the nodata value 'nothing' is no number" in records[3]["error_message"]


def test_what_an_earlier_run_wrote_beside_tiles_goes(tmp_path: Path, enlarge: Enlarge) -> None:
    """A place or a nodata value that the image no longer has would be read for that of the new tile."""
    source, samples = tmp_path / "a.tif", (TERRAIN / 2).astype(np.uint8)

    def files() -> set[str]:
        (record,) = enlarge("path\na.tif\n", tile_size=64).values()
        assert record["status"] == "done"
        return {path.name.removeprefix("r0000_c0000.") for path in (tmp_path / "out/tiles/a.tif").iterdir()}

    write(source, samples)
    assert files() == {"png", "pgw", "png.aux.xml", "mosaic.vrt"}
    write_raster(source, samples[None], nodata=1)
    assert files() == {"png", "png.aux.xml", "mosaic.vrt"}
    write_raster(source, samples[None])
    assert files() == {"png"}
