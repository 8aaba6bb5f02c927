"""Whole runs over imagery of every kind: what rasterio and Pillow read of the results against what went in."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from PIL import Image
from rasterio.enums import ColorInterp
from rio_cogeo.cogeo import cog_validate

from pipeline.config import Dpi, Form, Format
from pipeline.driver.run import Summary, run
from pipeline.imagery import picture, survey
from pipeline.imagery.header import FileLimits
from pipeline.imagery.reading.decoders import OpenImage, open_image
from pipeline.output import target
from pipeline.output.record import Record
from pipeline.work.units import Division
from sr_ops.image import sheet
from sr_ops.image.domain import shows_nothing
from sr_ops.image.resample import downscale
from sr_ops.settings import AUTO, Method, Settings

from .fixture_types import MakeConfig
from .picture_bytes import tiff
from .raster_files import plain_tags
from .rasters import write_raster
from .test_forecast import told

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PLACE = rasterio.Affine(300.1, 0.3, 101985.0, 0.2, -299.9, 2826915.0)
"""Slightly rotated."""


def waves(dtype: str, *shape: int, seed: int = 0) -> np.ndarray:
    """(C, H, W) like imagery: smooth, with some noise, over most of the range of `dtype`, or 0.001 to 0.4 as float."""
    bands, height, width = shape
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([np.sin(rows / (5 + band)) * np.cos(columns / 7 - band) for band in range(bands)])
    values = 0.5 + 0.4 * smooth + 0.08 * (np.random.default_rng(seed).random(shape) - 0.5)
    if dtype == "float32":
        return (0.001 + 0.4 * values).astype(dtype)
    info = np.iinfo(dtype)
    return (info.min + values * (int(info.max) - int(info.min))).round().astype(dtype)


def write_located(path: Path, samples: np.ndarray, mask: np.ndarray | None = None, **profile: Any) -> None:
    write_raster(path, samples, mask, **{"crs": "EPSG:32618", "transform": PLACE, **profile})


@pytest.fixture
def work(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> Callable[..., tuple[Record, Summary]]:
    """Run over one file; its record."""

    def do(name: str, **changes: Any) -> tuple[Record, Summary]:
        (tmp_path / "m.csv").write_text(f"uri\n{name}\n")
        summary = run(tiny_config(**changes), observer)
        return observer.records[-1], summary

    return do


def mosaic(tmp_path: Path, key: str) -> Path:
    return tmp_path / "out/tiles" / key / "mosaic.vrt"


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_radiometry_and_place(dtype: str, scale: int, tmp_path: Path, tiny_settings: Settings, work: Any) -> None:
    """The mosaic has the input's type, CRS, bounds and mean, and shrunk again it is the input as the record says.

    Floats are free to overshoot here: between the ends of their image peaks are as flat as white is in 8 bits.
    """
    lr = waves(dtype, 3, 33, 40)
    write_located(tmp_path / "a.tif", lr)
    record, _ = work("a.tif", settings=replace(tiny_settings, scale=scale, value_range="none"))
    assert record.status == "done"
    with rasterio.open(mosaic(tmp_path, "a.tif")) as result:
        sr = result.read()
        assert result.crs.to_epsg() == 32618
        corners = [(0, 0), (40, 0), (0, 33), (40, 33)]
        places = [result.transform @ (scale * column, scale * row) for column, row in corners]
        np.testing.assert_allclose(places, [PLACE @ corner for corner in corners], rtol=0, atol=3e-4)
    assert sr.dtype == dtype
    residual = downscale(torch.from_numpy(sr.astype(np.float64)), scale).numpy() - lr
    step = 1.0 if dtype != "float32" else 1e-6
    assert np.abs(residual).max() < 1.5 * step + (dtype == "uint8")
    assert record.consistency_max == pytest.approx(np.abs(residual).max(), rel=1e-3, abs=1e-3 * step)
    shift = np.abs(sr.mean((1, 2), dtype=np.float64) - lr.mean((1, 2), dtype=np.float64))
    assert (shift < np.maximum(0.2 * step, 0.0005 * np.abs(lr.mean((1, 2))))).all()
    assert (record.dtype, record.bands, record.crs) == (dtype, 3, "EPSG:32618")
    assert record.transform == pytest.approx(tuple(PLACE @ PLACE.scale(1 / scale))[:6])


def test_png_tiles_lie_where_they_should(tmp_path: Path, work: Any) -> None:
    """Each tile by itself, with what lies beside it, has the place of its pixels in the whole."""
    write_located(tmp_path / "a.tif", waves("uint16", 1, 33, 40), nodata=0)
    work("a.tif")
    paths = sorted((tmp_path / "out/tiles/a.tif").glob("*.png"))
    assert len(paths) == 9
    for path in paths:
        row, column = int(path.name[1:5]), int(path.name[7:11])
        with rasterio.open(path) as tile:
            assert (tile.crs.to_epsg(), tile.nodata, tile.dtypes) == (32618, 0, ("uint16",))
            assert tile.transform.almost_equals(
                PLACE @ rasterio.Affine.scale(0.5) @ rasterio.Affine.translation(32 * column, 32 * row), 1e-9
            )


NODATA = {
    "uint16 0": ("uint16", 0.0),
    "uint8 255": ("uint8", 255.0),
    "int16 -9999": ("int16", -9999.0),
    "float32 -3.4e38": ("float32", float(np.float32(-3.4e38))),
    "float32 NaN": ("float32", float("nan")),
}


@pytest.mark.parametrize("case", NODATA)
def test_nodata_stays_where_it_is(case: str, tmp_path: Path, work: Any) -> None:
    """Nodata is the nearest neighbour's, sample by sample; no valid one lands on it or is drawn towards it."""
    dtype, nodata = NODATA[case]
    lr = waves(dtype, 2, 40, 40)
    if nodata == nodata:
        lr[lr == nodata] -= 1
    if nodata == 0:
        lr = 1 + lr // 1100  # so dark that rounding would reach it
    lr[:, :, :13] = nodata
    lr[0, 20:22, 20:23] = nodata
    write_located(tmp_path / "a.tif", lr, nodata=nodata)
    record, _ = work("a.tif")
    with rasterio.open(mosaic(tmp_path, "a.tif")) as result:
        sr, valid = result.read(), result.read_masks() > 0
        assert result.nodata == nodata or nodata != nodata
    with rasterio.open(tmp_path / "a.tif") as source:
        expected = source.read_masks() > 0
    np.testing.assert_array_equal(valid, expected.repeat(2, 1).repeat(2, 2))
    low, high = lr[expected].min(), lr[expected].max()
    reach = 0.3 * (float(high) - float(low))
    assert sr[valid].min() >= float(low) - reach
    assert sr[valid].max() <= float(high) + reach
    shift = abs(float(sr[valid].mean(dtype=np.float64)) - float(lr[expected].mean(dtype=np.float64)))
    assert shift < max(1e-4 * (float(high) - float(low)), 0.1 * (dtype != "float32"))
    assert record.consistency_max is not None
    assert record.consistency_max < max(0.01 * (float(high) - float(low)), 2.1 * (dtype != "float32"))


def test_a_mask_becomes_the_mask(tmp_path: Path, work: Any) -> None:
    """A mask beside the bands is enlarged by nearest: as alpha in PNG, as a mask in GeoTIFF and COG."""
    mask = np.ones((40, 40), bool)
    mask[:, 25:] = False
    lr = waves("uint8", 3, 40, 40)
    write_located(tmp_path / "a.tif", lr, mask, photometric="RGB")
    expected = mask.repeat(2, 0).repeat(2, 1)
    shown = []
    for form, name, bands in (
        (Form(), "tiles/a.tif/mosaic.vrt", 4),
        (Form(single=True), "images/a.tif", 3),  # a PNG alone could not say where it lies
        (Form(Format.PNG, single=True), "images/a.tif.png", 4),
        (Form(Format.TIF), "tiles/a.tif/mosaic.vrt", 3),
        (Form(Format.TIF, single=True), "images/a.tif", 3),
        (Form(Format.COG), "images/a.tif", 3),
    ):
        record, _ = work("a.tif", form=form)
        assert record.status == "done", record.error_message
        with rasterio.open(tmp_path / "out" / name) as result:
            np.testing.assert_array_equal(result.dataset_mask() > 0, expected)
            shown.append(result.read([1, 2, 3])[:, expected])
            assert result.count == bands
    for other in shown[1:]:
        np.testing.assert_array_equal(other, shown[0])


def test_georeferenced_alpha_is_a_mask(tmp_path: Path, work: Any) -> None:
    """Where it is 0 nothing is known; it comes out by nearest."""
    lr = np.concatenate([waves("uint8", 3, 40, 40), np.full((1, 40, 40), 255, np.uint8)])
    lr[:, :, 30:] = 0
    write_located(tmp_path / "a.tif", lr, photometric="RGB", alpha="YES")
    work("a.tif")
    with rasterio.open(mosaic(tmp_path, "a.tif")) as result:
        sr = result.read()
    np.testing.assert_array_equal(sr[3], lr[3].repeat(2, 0).repeat(2, 1))
    assert sr[:3, :, 52:60].min() > 10  # no dark rim


@pytest.mark.parametrize("alpha", ["YES", "PREMULTIPLIED"])
@pytest.mark.parametrize("opaque", [1.0, 255.0])
def test_alpha_of_floats_is_a_mask(tmp_path: Path, work: Any, alpha: str, opaque: float) -> None:
    """Also where no place is told, since no float is the opaque one; the colours are known where it is not 0."""
    lr = np.concatenate([waves("float32", 3, 40, 40), np.full((1, 40, 40), opaque, np.float32)])
    lr[3, :, 30:] = 0
    write_raster(tmp_path / "a.tif", lr, photometric="RGB", alpha=alpha)
    assert work("a.tif")[0].status == "done"
    with rasterio.open(mosaic(tmp_path, "a.tif")) as result:
        sr = result.read()
    np.testing.assert_array_equal(sr[3], lr[3].repeat(2, 0).repeat(2, 1))
    assert np.isfinite(sr).all()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_near_infrared_that_is_called_alpha(tmp_path: Path, work: Any, dtype: str) -> None:
    """A mask that is hardly anywhere 0 or opaque is told of; a plain one, and the opacity of a picture, are not."""
    full = 1 if dtype == "float32" else np.iinfo(dtype).max
    rgb = waves(dtype, 3, 40, 40)
    mask = np.full((1, 40, 40), full, dtype)
    mask[:, :, 30:] = 0
    infrared = (waves("uint8", 1, 40, 40).clip(5, 250) / 255 * full).astype(dtype)
    nowhere = {"crs": None, "transform": None}
    for name, alpha, place in (("mask.tif", mask, {}), ("nir.tif", infrared, {}), ("b.tif", infrared, nowhere)):
        write_located(tmp_path / name, np.concatenate([rgb, alpha]), photometric="RGB", alpha="YES", **place)
    notes = {name: work(name)[0].notes for name in ("mask.tif", "nir.tif", "b.tif")}
    assert "gdal_edit.py -colorinterp_N undefined" in notes["nir.tif"]
    told = ["nir.tif", "b.tif"] if dtype == "float32" else ["nir.tif"]  # of floats it is a mask anywhere
    assert [name for name, note in notes.items() if "infrared" in (note or "")] == told


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_range_that_the_result_may_leave(tmp_path: Path, work: Any, tiny_settings: Settings, dtype: str) -> None:
    """Tags of valid values stay, and the notes name the option that keeps integers within them, unless it is given."""
    write_located(tmp_path / "a.tif", waves(dtype, 1, 20, 20))
    said = {"VALID_RANGE": "-30000,30000", "ndvi#valid_min": "-30000"}
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.update_tags(1, **said)
    notes = [work("a.tif", settings=replace(tiny_settings, value_range=ends))[0].notes for ends in (AUTO, "-3e4,3e4")]
    told = "the result may leave the range that its tags VALID_RANGE, ndvi#valid_min tell; give it as --range LOW,HIGH"
    assert notes == [None if dtype == "float32" else told, None]
    with rasterio.open(mosaic(tmp_path, "a.tif").with_name("r0000_c0000.tif")) as result:
        assert result.tags(1) == said


@pytest.mark.parametrize("tile_size", [16, 512])
def test_alpha_over_a_fill_is_that_of_any_tiles(
    tmp_path: Path, work: Any, tiny_settings: Settings, tile_size: int
) -> None:
    """A soft shadow over black that counts as nodata is enlarged like any alpha, in tiles of nothing else, too."""
    rgba = np.full((64, 64, 4), 255, np.uint8)
    rgba[:, 16:, :3] = 0
    rgba[:, 16:, 3] = np.linspace(255, 20, 48).astype(np.uint8)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    settings = replace(tiny_settings, method=Method.BICUBIC, tile_size=tile_size, nodata="0")
    work("a.png", form=Form(single=True), settings=settings)
    with rasterio.open(tmp_path / "out/images/a.png.tif") as result:
        alpha = result.read(4).astype(int)
    steps = -np.diff(alpha[:, 34:-2], axis=1)
    assert (steps.min() >= 1, steps.max() <= 4) == (True, True)  # nearest neighbours would stand still, and jump


def test_alpha_of_a_picture(tmp_path: Path, work: Any) -> None:
    """What is opaque stays so, what is transparent too, and no colour from behind shines through at the rim."""
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[..., :3] = (0, 255, 0)  # hidden under alpha 0
    rgba[:, :20] = (200, 30, 30, 255)
    Image.fromarray(rgba).save(tmp_path / "a.png")
    record, _ = work("a.png", form=Form(single=True))
    with Image.open(tmp_path / "out/images/a.png") as image:
        assert image.mode == "RGBA"
        sr = np.asarray(image).astype(int)
    assert (sr[:, :22] == (200, 30, 30, 255)).all()
    assert (sr[:, 58:, 3] == 0).all()
    seen = sr[..., 3] > 20
    assert np.abs(sr[seen][:, :3] - (200, 30, 30)).max() < 20
    assert record.bands == 4


def test_what_is_clear_stays_clear_whatever_lies_beside_it(tmp_path: Path, work: Any) -> None:
    """Dots and rims of many opacities lack something after their enlargement; none of it goes where nothing is seen."""
    rng = np.random.default_rng(0)
    alpha = rng.choice([0, 0, 40, 130, 255], (40, 40)).astype(np.uint8)
    rgba = np.dstack([rng.integers(0, 256, (40, 40, 3), np.uint8), alpha])
    Image.fromarray(rgba).save(tmp_path / "a.png")
    work("a.png", form=Form(single=True))
    with Image.open(tmp_path / "out/images/a.png") as image:
        sr = np.asarray(image)[..., 3].astype(int)
    clear = (alpha == 0).repeat(2, 0).repeat(2, 1)
    assert (sr[clear] == 0).all()
    assert (sr[~clear] > 0).any()
    assert abs(sr.mean() - alpha.mean()) < 0.02 * alpha.mean()  # it goes where something is seen


@pytest.mark.parametrize("scale", ["2", "2.5"])
def test_a_veil_is_nowhere_denser_than_it_was(tmp_path: Path, work: Any, tiny_settings: Settings, scale: str) -> None:
    """A shape of one opacity keeps it to its rim, at whole scales and others."""
    rgba = np.full((40, 40, 4), 200, np.uint8)
    rgba[..., 3] = 0
    rgba[8:30, 11:27, 3] = 128
    Image.fromarray(rgba).save(tmp_path / "a.png")
    size = {"scale": 2} if scale == "2" else {"scale": 3, "result_size": "times:2.5x2.5"}
    settings = replace(tiny_settings, method=Method.BICUBIC, **size)
    work("a.png", form=Form(single=True), settings=settings)
    with Image.open(tmp_path / "out/images/a.png") as image:
        alpha = np.asarray(image)[..., 3].astype(int)
    assert alpha.max() == 128
    assert abs(alpha.mean() - rgba[..., 3].mean()) < 0.02 * rgba[..., 3].mean()


def test_sixteen_bits_stay_sixteen(tmp_path: Path, work: Any) -> None:
    """A 16-bit RGBA picture comes out as one, opaque, and agrees with the input to a few of 65,535 levels."""
    lr = np.concatenate([waves("uint16", 3, 30, 30), np.full((1, 30, 30), 65535, np.uint16)])
    write_located(tmp_path / "a.png", lr, driver="PNG", crs=None, transform=None)
    record, _ = work("a.png", form=Form(single=True))
    with rasterio.open(tmp_path / "out/images/a.png") as result:
        sr = result.read()
    assert (sr.dtype, sr.shape) == ("uint16", (4, 60, 60))
    assert (sr[3] == 65535).all()
    residual = downscale(torch.from_numpy(sr[:3].astype(np.float64)), 2).numpy() - lr[:3]
    assert np.abs(residual).max() < 3
    assert record.consistency_max is not None
    assert record.consistency_max < 3


def made(tmp_path: Path, kind: str) -> str:
    """A file of a kind whose tiles could differ from the whole; its name."""
    lr = waves("uint16", 4, 44, 90)
    name = f"{kind}.tif"
    if kind == "nodata":
        lr[:3, 10:40, :50] = 0
        write_located(tmp_path / name, lr[:3], nodata=0)
    elif kind == "NaN":
        floats = waves("float32", 2, 44, 90)
        floats[0, 20:40, 20:25] = np.nan
        write_located(tmp_path / name, floats)
    elif kind == "masked":
        write_located(tmp_path / name, waves("uint8", 3, 44, 90), waves("uint8", 1, 44, 90, seed=3)[0] > 60)
    elif kind == "alpha":
        name = "alpha.png"
        write_located(tmp_path / name, lr, driver="PNG", crs=None, transform=None)
    else:
        write_located(tmp_path / name, lr)
    return name


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.01))


@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize("kind", ["deep", "nodata", "NaN", "masked", "alpha"])
def test_tiled_equals_untiled(
    kind: str, tmp_path: Path, tiny_settings: Settings, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same samples in one tile, in many, and in many done in groups, for every kind of image."""
    name, ensemble = made(tmp_path, kind), kind == "masked"  # all turns of the self-ensemble for one of them
    results = []
    for number, (side, pixels) in enumerate([(128, 10**9), (16, 10**9), (16, 1000)]):
        monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels, group_seconds=0.01))
        settings = replace(tiny_settings, scale=4, tile_size=side, ensemble=ensemble)
        record, summary = work(name, settings=settings, output=str(tmp_path / f"out{number}"))
        assert summary.done == 1
        with rasterio.open(whole(tmp_path / f"out{number}/tiles/{name}")) as result:
            results.append((result.read(), result.dataset_mask()))
        assert (record.consistency_mae or 0) > 0
    whole_samples, whole_mask = results[0]
    step = {"NaN": 2e-6, "alpha": 10}.get(kind, 1)  # of a colour of which little is seen, rounding moves more
    for samples, mask in results[1:]:
        np.testing.assert_array_equal(mask > 0, whole_mask > 0)
        np.testing.assert_array_equal(np.isnan(samples), np.isnan(whole_samples))
        difference = np.abs(np.nan_to_num(samples).astype(float) - np.nan_to_num(whole_samples).astype(float))
        assert difference.max() <= step
    np.testing.assert_array_equal(results[1][0], results[2][0])


def whole(folder: Path) -> Path:
    """The mosaic of a folder of tiles, or its only tile."""
    return folder / "mosaic.vrt" if (folder / "mosaic.vrt").exists() else folder / "r0000_c0000.png"


@pytest.fixture
def sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images above 2,500 pixels are large: read window by window, fitted to a sheet of windows of 16 x 16."""
    monkeypatch.setattr(picture, "HELD_WHOLE", 2500)
    monkeypatch.setattr(sheet, "FITTED_WHOLE", 2500)
    monkeypatch.setattr(sheet, "_SIDE", 16)


@pytest.mark.usefixtures("sheets")
@pytest.mark.parametrize("corner", [(0, 0), (64, 64), (144, 160)])
def test_what_a_large_image_shows_is_on_its_sheet(tmp_path: Path, corner: tuple[int, int]) -> None:
    """However small it is beside paper or a black collar, and also at the ends of the image."""
    levels = np.full((157, 175), 255, np.uint8)
    top, left = corner
    levels[top : top + 8, left : left + 8] = np.arange(64).reshape(8, 8)
    Image.fromarray(levels).save(tmp_path / "a.png")
    with closing(picture.Picture(open_image(str(tmp_path / "a.png"), FileLimits()))) as opened:
        lr, domain = opened.to_fit(torch.device("cpu"))
    assert domain.known is not None
    assert not shows_nothing(lr, domain.known_pixels)


@pytest.mark.usefixtures("sheets")
def test_a_large_image_is_never_read_as_a_whole(tmp_path: Path, work: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """No window larger than a tile with its halo is asked for, and the result has the input's mean and place."""
    lr = waves("uint16", 3, 136, 140)
    lr[:, :80, :] = 0
    write_located(tmp_path / "a.tif", lr, nodata=0, tiled=True, blockxsize=16, blockysize=16)
    asked = []
    window = OpenImage.window

    def watch(opened: Any, rows: slice, columns: slice) -> Any:
        asked.append((rows.stop - rows.start) * (columns.stop - columns.start))
        return window(opened, rows, columns)

    monkeypatch.setattr(OpenImage, "window", watch)
    monkeypatch.setattr(survey, "_WINDOW", 64)
    monkeypatch.setattr(survey, "_SAMPLES", 1)
    record, _ = work("a.tif")
    assert record.status == "done", record.error_message
    assert max(asked) <= (16 + 2 * (2 * 3 + 16 + 8)) ** 2
    assert record.tiles_empty == 5 * 9
    with rasterio.open(mosaic(tmp_path, "a.tif")) as result:
        sr, valid = result.read(), result.read_masks() > 0
    np.testing.assert_array_equal(valid, (lr != 0).repeat(2, 1).repeat(2, 2))
    for band in range(3):
        assert sr[band][valid[band]].mean() == pytest.approx(lr[band][lr[band] != 0].mean(), rel=5e-4)


@pytest.mark.usefixtures("sheets")
def test_nothing_but_nodata(tmp_path: Path, work: Any) -> None:
    """An image, small or large, in which nothing is known is done: no tile, and a mosaic that says so."""
    for side in (30, 90):
        write_located(tmp_path / "a.tif", np.zeros((1, side, side), np.uint16), nodata=0)
        record, summary = work("a.tif", output=str(tmp_path / f"out/{side}"))
        assert (summary.done, record.tiles, record.tiles_empty) == (1, 0, (-(-side // 16)) ** 2)
        assert record.consistency_mae is None
        with rasterio.open(tmp_path / f"out/{side}/tiles/a.tif/mosaic.vrt") as result:
            assert not result.dataset_mask().any()
            assert result.shape == (2 * side, 2 * side)


@pytest.mark.parametrize(("bands", "left_out"), [(4, 6), (5, 0)])
def test_clear_tiles(bands: int, left_out: int, tmp_path: Path, work: Any) -> None:
    """They are left out where GDAL looks at the alpha; beside more bands than RGB it does not, and would see zeros."""
    lr = waves("uint8", bands, 40, 60)
    lr[-1] = 255
    lr[-1, :, :32] = 0
    write_located(tmp_path / "a.tif", lr, photometric="RGB", alpha="YES" if bands == 4 else "NO")
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        colours = ("red", "green", "blue", "undefined")[: bands - 1]
        raster.colorinterp = [ColorInterp[colour] for colour in (*colours, "alpha")]
    record, _ = work("a.tif")
    assert (record.status, record.tiles_empty) == ("done", left_out)


def test_a_mask_beside_nodata(tmp_path: Path, work: Any) -> None:
    """Both are there in the result, where of nodata and an alpha GDAL would see nodata alone."""
    lr, mask = waves("uint8", 3, 40, 50), np.ones((40, 50), bool)
    lr[:, 30:34, 10:20], mask[:10] = 0, False
    write_located(tmp_path / "a.tif", lr, mask, nodata=0)
    work("a.tif")
    with rasterio.open(mosaic(tmp_path, "a.tif")) as result, rasterio.open(tmp_path / "a.tif") as source:
        known = source.read_masks(1).repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(result.read_masks(1) > 0, known > 0)
        samples = result.read()
    assert (samples[:, 60:68, 20:40] == 0).all()


@pytest.mark.parametrize("form", [Form(), Form(Format.COG)])
def test_nothing_but_nan_for_a_while(form: Form, tmp_path: Path, work: Any) -> None:
    """Whole tiles of NaN in floats that have no nodata value come out as NaN, not as zeros that were measured."""
    lr = waves("float32", 2, 40, 60)
    lr[:, :, 10:45] = np.nan
    write_located(tmp_path / "a.tif", lr)
    work("a.tif", form=form)
    with rasterio.open(tmp_path / "out/images/a.tif" if form.one_file else mosaic(tmp_path, "a.tif")) as result:
        np.testing.assert_array_equal(np.isnan(result.read()), np.isnan(lr).repeat(2, 1).repeat(2, 2))


def test_a_clear_picture(tmp_path: Path, work: Any) -> None:
    """A picture of which nothing is seen is a picture all the same; so is one that is all masked."""
    Image.new("RGBA", (5, 4), (1, 2, 3, 0)).save(tmp_path / "a.png")
    record, _ = work("a.png")
    with Image.open(tmp_path / "out/tiles/a.png/r0000_c0000.png") as image:
        assert (image.size, image.mode, image.getextrema()[3]) == ((10, 8), "RGBA", (0, 0))
    assert (record.tiles, record.tiles_empty) == (1, 0)
    write_located(tmp_path / "b.tif", waves("uint8", 3, 5, 4), np.zeros((5, 4), bool), crs=None, transform=None)
    work("b.tif")
    with rasterio.open(mosaic(tmp_path, "b.tif")) as result:
        assert (result.shape, result.dataset_mask().any()) == ((10, 8), False)


def test_a_cog(tmp_path: Path, work: Any) -> None:
    """`--format cog` gives one valid COG with the input's place, nodata and names."""
    lr = waves("int16", 5, 70, 60)
    lr[:, :20] = -999
    write_located(tmp_path / "deep/a.tif" if (tmp_path / "deep").mkdir() is None else tmp_path, lr, nodata=-999)
    with rasterio.open(tmp_path / "deep/a.tif", "r+") as raster:
        raster.descriptions = ("blue", "green", "red", "nir", "swir")
        raster.scales, raster.offsets = (0.0001,) * 5, (-0.1,) * 5
    record, _ = work("deep/a.tif", form=Form(Format.COG))
    path = tmp_path / "out/images/deep/a.tif"
    assert record.output_uri == str(path)
    valid, errors, _ = cog_validate(path, quiet=True)
    assert (valid, errors) == (True, [])
    with rasterio.open(path) as result:
        assert (result.nodata, result.dtypes, result.scales[0], result.offsets[0]) == (
            -999,
            ("int16",) * 5,
            0.0001,
            -0.1,
        )
        stored = result.tags(ns="IMAGE_STRUCTURE")
        assert (stored["COMPRESSION"], stored["PREDICTOR"]) == ("DEFLATE", "2")
        assert result.descriptions == ("blue", "green", "red", "nir", "swir")
        assert result.bounds == pytest.approx(rasterio.open(tmp_path / "deep/a.tif").bounds)
        np.testing.assert_array_equal(result.read_masks() > 0, (lr != -999).repeat(2, 1).repeat(2, 2))
    assert not (tmp_path / "out/tiles").exists()


def test_a_png_that_cannot_hold_it_is_refused(tmp_path: Path, work: Any) -> None:
    """float32 as PNG is a failed record with the remedy; nothing is cut to 8 bits."""
    write_located(tmp_path / "a.tif", waves("float32", 1, 30, 30))
    record, _ = work("a.tif", form=Form(Format.PNG))
    assert (record.status, record.error_type) == ("failed", "unsupported")
    assert "float32; use --format tif or auto" in (record.error_message or "")


def test_one_file_under_its_own_name(tmp_path: Path, work: Any) -> None:
    """`--single` keeps name and folders, orientation is applied once, and DPI, ICC, EXIF and XMP come along."""
    (tmp_path / "älbum").mkdir()
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a barn"
    picture = Image.fromarray(waves("uint8", 3, 30, 40).transpose(1, 2, 0))
    picture.save(tmp_path / "älbum/a.jpg", quality=95, exif=exif, dpi=(300, 300), icc_profile=b"icc" * 50, xmp=b"<x/>")
    for dpi, expected in ((Dpi.SCALE, 600), (Dpi.KEEP, 300)):
        record, _ = work("älbum/a.jpg", form=Form(single=True, dpi=dpi))
        with Image.open(tmp_path / "out/images/älbum/a.jpg.png") as image:
            assert (image.size, image.mode) == ((60, 80), "RGB")
            assert image.info["dpi"] == pytest.approx((expected, expected), abs=0.1)
            assert image.info["icc_profile"] == b"icc" * 50
            assert image.getexif().get(0x0112, 1) == 1
            assert image.getexif()[0x010E] == "a barn"
            assert "xmp" in image.info or "XML:com.adobe.xmp" in image.info
        assert (record.width, record.height) == (30, 40)


def test_one_file_says_all(tmp_path: Path, work: Any) -> None:
    """`--single` gives a GeoTIFF where a PNG by itself would lose place or nodata; a PNG that is asked for says so."""
    write_located(tmp_path / "a.tif", waves("uint8", 3, 30, 30), nodata=0)
    record, _ = work("a.tif", form=Form(single=True))
    with rasterio.open(tmp_path / "out/images/a.tif") as result:
        assert (result.crs.to_epsg(), result.nodata, result.shape) == (32618, 0, (60, 60))
    assert record.notes is None
    record, _ = work("a.tif", form=Form(Format.PNG, single=True))
    assert record.notes == "where it lies, its nodata value and tags: not in a single PNG"


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_tags_of_a_scan_need_no_geotiff(dtype: str, tmp_path: Path, work: Any) -> None:
    """`--single` gives a PNG where its EXIF says what the tags of a TIFF say, of any depth; then nothing is lost."""
    tags = {**plain_tags(9, 8, 8 * np.dtype(dtype).itemsize), 271: (2, b"maker\0"), 305: (2, b"me\0")}
    (tmp_path / "a.tif").write_bytes(tiff(tags, waves(dtype, 1, 8, 9).tobytes()))
    record, _ = work("a.tif", form=Form(single=True))
    with Image.open(tmp_path / "out/images/a.tif.png") as image:
        assert (image.getexif()[271], image.getexif()[305]) == ("maker", "me")
    assert record.notes is None


@pytest.mark.parametrize("form", [Form(Format.TIF, single=True), Form(Format.COG)])
def test_who_made_a_picture_stands_in_its_geotiff(form: Form, tmp_path: Path, work: Any) -> None:
    """Its author and its rights, which EXIF tells, have tags of their own; notes name the rest."""
    exif = Image.Exif()
    exif[0x013B], exif[0x8298], exif[0x010F] = "me", "nobody else", "maker"
    Image.fromarray(waves("uint8", 3, 30, 40).transpose(1, 2, 0)).save(tmp_path / "a.jpg", exif=exif)
    record, _ = work("a.jpg", form=form)
    with rasterio.open(record.output_uri) as result:
        assert (result.tags()["TIFFTAG_ARTIST"], result.tags()["TIFFTAG_COPYRIGHT"]) == ("me", "nobody else")
    assert record.notes == "EXIF: not in a GeoTIFF"


def test_inks_keep_who_made_them(tmp_path: Path, work: Any) -> None:
    """CMYK goes into a GeoTIFF whatever is asked for, with the author and the rights."""
    exif = Image.Exif()
    exif[0x013B], exif[0x8298] = "me", "nobody else"
    inks = Image.fromarray(waves("uint8", 4, 8, 9).transpose(1, 2, 0), "CMYK")
    inks.save(tmp_path / "a.jpg", exif=exif, quality=100)
    record, _ = work("a.jpg", form=Form(single=True))
    with Image.open(record.output_uri) as image:
        assert (image.mode, image.tag_v2[315], image.tag_v2[33432]) == ("CMYK", "me", "nobody else")
    assert record.notes is None


def test_a_result_too_large_for_one_file_is_refused_by_its_header(
    tmp_path: Path, tiny_config: MakeConfig, work: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before it is fitted, and `srpipe plan` says it in the same words; tiles and a COG have no such limit."""
    monkeypatch.setattr(target, "_LARGEST_AT_ONCE", 60 * 80 * 3 - 1)
    write_located(tmp_path / "a.png", waves("uint8", 3, 30, 40), driver="PNG", crs=None, transform=None)
    record, _ = work("a.png", form=Form(single=True))
    assert (record.status, record.error_type) == ("failed", "too_large")
    (problem,) = told(tiny_config(output=str(tmp_path / "new"), form=Form(single=True))).problems
    assert problem.message == record.error_message
    for form in (Form(), Form(Format.COG)):
        assert work("a.png", form=form)[0].status == "done"


def test_tags_come_along(tmp_path: Path, work: Any) -> None:
    """What a raster that lies nowhere says of its bands and itself stands beside its only PNG."""
    write_located(tmp_path / "a.tif", waves("uint16", 1, 8, 9), crs=None, transform=None)
    with rasterio.open(tmp_path / "a.tif", "r+") as raster:
        raster.update_tags(SENSOR="MSI")
        raster.set_band_description(1, "red")
    work("a.tif")
    with rasterio.open(tmp_path / "out/tiles/a.tif/r0000_c0000.png") as result:
        assert (result.tags()["SENSOR"], result.descriptions) == ("MSI", ("red",))


def test_another_form_takes_the_place_of_the_first(tmp_path: Path, work: Any) -> None:
    """Tiles, then one file, then a COG: each run leaves nothing of what the one before made of the image."""
    write_located(tmp_path / "a.png", waves("uint8", 1, 30, 30), driver="PNG", crs=None, transform=None)

    def files() -> Iterator[str]:
        for folder in ("tiles", "images"):
            yield from (path.name for path in sorted((tmp_path / "out" / folder).rglob("*")) if path.is_file())

    tiles = ["mosaic.vrt", *(f"r000{row}_c000{column}.png" for row in (0, 1) for column in (0, 1))]
    for form, expected in [
        (Form(), tiles),
        (Form(single=True), ["a.png"]),
        (Form(Format.COG), ["a.png.tif"]),
        (Form(), tiles),
    ]:
        work("a.png", form=form)
        assert list(files()) == expected


SUFFIXES = (".tif", ".png", ".vrt")


@pytest.mark.parametrize("form", [Form(), Form(Format.TIF), Form(single=True), Form(Format.COG)])
def test_what_a_gis_left_beside_a_result_goes_with_it(tmp_path: Path, work: Any, form: Form) -> None:
    """Statistics, overviews and masks are of the file that is replaced; what has another name stays."""
    write_located(tmp_path / "a.tif", waves("uint8", 1, 20, 20))
    work("a.tif", form=form)
    made = [path for path in (tmp_path / "out").glob("*s/**/*") if path.is_file() and path.suffix in SUFFIXES]
    assert made
    for path in made:
        for ending in (".aux.xml", ".ovr", ".msk"):
            Path(f"{path}{ending}").write_text("x")
        Path(f"{path}.txt").write_text("mine")
    write_located(tmp_path / "a.tif", waves("uint8", 1, 22, 22))
    work("a.tif", form=form)
    for path in made:
        assert [Path(f"{path}{ending}").exists() for ending in (".ovr", ".msk", ".txt")] == [False, False, True]
        aux = Path(f"{path}.aux.xml")
        assert not aux.exists() or aux.read_text() != "x"


def test_files_that_would_be_one_are_refused(tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """With one file an image, a and a.png would meet, and b.png would be a file and a folder: each is told so."""
    for name in ("a", "a.png", "c.png"):
        Image.fromarray(waves("uint8", 1, 20, 20)[0]).save(tmp_path / name, "PNG")
    rows = "a,\na.png,\nc.png,b.png\nc.png,b.png/x\nc.png,free\n"
    (tmp_path / "m.csv").write_text(f"uri,id\n{rows}")
    summary = run(tiny_config(form=Form(single=True)), observer)
    assert (summary.done, summary.errors) == (1, {"bad_row": 4})
    assert run(tiny_config(output=str(tmp_path / "other")), observer).done == 5


def test_bicubic_and_zssr_alike(tmp_path: Path, tiny_settings: Settings, work: Any) -> None:
    """Flat, saturated and dark parts of a deep image come out as they are, whatever the method."""
    lr = waves("uint16", 1, 60, 60)
    lr[0, :25, :25], lr[0, 35:, 35:] = 65535, 0
    write_located(tmp_path / "a.tif", lr)
    for method in (Method.ZSSR, Method.BICUBIC):
        work("a.tif", settings=replace(tiny_settings, method=method))
        with rasterio.open(mosaic(tmp_path, "a.tif")) as result:
            sr = result.read(1)
        assert (sr[: 2 * 16, : 2 * 16] == 65535).all()
        assert (sr[2 * 44 :, 2 * 44 :] == 0).all()
