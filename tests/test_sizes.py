"""Runs to sizes that are no whole multiples: what lies where, tiles, records, and what cannot be made."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import Affine
from torch import Tensor

from pipeline.config import Form, Format, RunConfig
from pipeline.driver.executor import executor
from pipeline.driver.run import run
from pipeline.errors import ImageError
from pipeline.imagery.header import Band, Georef, GroundPoint, Header, Transform
from pipeline.imagery.sizes import pixel_length, sized
from pipeline.imagery.writing.georef import enlarged
from pipeline.work import enlarging
from pipeline.work.units import Division
from sr_ops.enlarging.enlarge import enlarge_and_compare
from sr_ops.image.domain import nearest
from sr_ops.image.grid import Axis, grid_of, parse_gsd, parse_scale, parse_size
from sr_ops.settings import Method, Network, Settings

from .fixture_types import MakeConfig, ReadTiles, Srpipe
from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

HEIGHT, WIDTH = 37, 53

UTM = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500_000, 0, -10, 5_000_000)}

POINTS = tuple((row, column) for row in (9.3, 18.6, 27.9) for column in (10.2, 21.55, 32.9, 43.4))
"""Where dots lie, in LR pixels from the picture's corner: between the pixels of all grids."""


def middles() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Row and column of the middles of the image's pixels."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return rows, columns


def ramp(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return 5000 + 400 * columns + 300 * rows


def dots(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return 8000 + sum(
        30000 * np.exp(-0.5 * ((rows - row) ** 2 + (columns - column) ** 2) / 1.1**2) for row, column in POINTS
    )


SIZES = {
    "fractional": (("--scale", "2.5"), (93, 133)),
    "hardly larger": (("--scale", "1.1"), (41, 58)),
    "of a second stage": (("--scale", "5.3"), (196, 281)),
    "other across than down": (("--scale", "3.4x1.6"), (59, 180)),
    "one axis alone": (("--scale", "1x2"), (74, 53)),
    "metres": (("--target-gsd", "6.1"), (61, 87)),
    "pixels": (("--target-size", "100x90"), (90, 100)),
    "pixels across": (("--target-size", "150x"), (105, 150)),
}


@pytest.mark.parametrize("method", ["bicubic", "prior"])
@pytest.mark.parametrize("size", SIZES)
def test_everything_stays_where_it_was(size: str, method: str, srpipe: Srpipe, tmp_path: Path) -> None:
    """Bounds to 1e-6 of a pixel, a ramp and the middles of dots to 0.02 pixels of the image.

    A network is off a ramp by more here and there, at whole scales too; not on the whole.
    """
    for name, drawn in (("ramp", ramp), ("dots", dots)):
        write_raster(tmp_path / f"{name}.tif", np.rint(drawn(*middles()))[None].astype(np.uint16), **UTM)
    options, (height, width) = SIZES[size]
    taken = ("--method", method, "--kernel", "bicubic", "--noise", "0", "--tile-size", "32")
    taken += ("--no-self-ensemble",) if method == "prior" else ()
    assert srpipe("run", "*.tif", "-o", "out", "--executor", "inline", *options, *taken)[0] == 0
    found = {}
    for name in ("ramp", "dots"):
        with rasterio.open(tmp_path / f"{name}.tif") as lr, rasterio.open(f"out/tiles/{name}.tif/mosaic.vrt") as sr:
            found[name] = sr.read(1).astype(float)
            assert found[name].shape == (height, width)
            assert sr.bounds == pytest.approx(lr.bounds, rel=0, abs=1e-6 * min(sr.res))
    rows, columns = np.mgrid[:height, :width] + 0.5
    rows, columns = rows * HEIGHT / height, columns * WIDTH / width
    inner = (np.minimum(rows, HEIGHT - rows) > 5) & (np.minimum(columns, WIDTH - columns) > 5)
    off = (found["ramp"] - ramp(rows, columns))[inner] / math.hypot(400, 300)
    assert abs(off.mean() if method == "prior" else np.abs(off).max()) < 0.02
    for row, column in POINTS:
        near = np.hypot(rows - row, columns - column) < 4.5
        light = (found["dots"] - 8000)[near]
        middle = (light * rows[near]).sum() / light.sum(), (light * columns[near]).sum() / light.sum()
        assert middle == pytest.approx((row, column), abs=0.02)


def pictures(folder: Path, height: int = 40, width: int = 45) -> tuple[str, ...]:
    """One of each kind of what a part of an image may be: unknown, masked, transparent, flat; files and their names."""
    rng = np.random.default_rng(2)
    noise = rng.integers(0, 256, (4, height, width), dtype=np.uint8)
    noise[3, 10:30, 5:20] = 0
    Image.fromarray(np.moveaxis(noise, 0, -1)).save(folder / "alpha.png")
    deep = rng.integers(1, 60000, (2, height, width), dtype=np.uint16)
    deep[0, :20, :25] = 0
    write_raster(folder / "nodata.tif", deep, nodata=0, **UTM)
    flat = np.full((1, height, width), 0.1, np.float32)
    busy = flat[0, :, 30:] if width > 30 else flat[0, 30:]
    busy[:] = rng.normal(size=busy.shape)
    flat[0, min(35, height - 1), min(40, width - 1)] = np.nan
    write_raster(folder / "float.tif", flat)
    return ("alpha.png", "nodata.tif", "float.tif")


def read(place: Path) -> NDArray[Any]:
    mosaic = place / "mosaic.vrt"
    with rasterio.open(mosaic if mosaic.exists() else next(place.glob("r0000_c0000.*"))) as file:
        return np.concatenate([file.read(), file.dataset_mask()[None]])


@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize(
    ("scale", "height", "width"),
    [("2.5", 13, 180), ("1.3x3.2", 13, 180), ("1.3x3.2", 180, 13), ("1.07", 180, 13), ("6.5", 13, 180)],
)
def test_tiles_are_the_whole(
    scale: str,
    height: int,
    width: int,
    tmp_path: Path,
    tiny_config: MakeConfig,
    make_prior: Any,
    observer: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of whatever size they are, with networks, unknown parts and alpha: of strips too long for the halo of a tile."""
    names = pictures(tmp_path, height, width)
    windows: list[int] = []

    def note(window: Tensor, *rest: Any) -> tuple[Tensor, Tensor | None]:
        windows.append(max(window.shape))
        return enlarge_and_compare(window, *rest)

    monkeypatch.setattr(enlarging, "enlarge_and_compare", note)
    (tmp_path / "m.csv").write_text("uri\n" + "\n".join(names))
    (tmp_path / "prior").write_bytes(make_prior())
    whole, result_size = parse_scale(scale)
    told = {"scale": whole, "result_size": result_size, "method": Method.PRIOR, "network": Network.DIRECT}
    for side in (16, 512):
        settings = replace(tiny_config().settings, tile_size=side, noise="0.0", **told)
        config = tiny_config(settings=settings, prior_name=str(tmp_path / "prior"), output=str(tmp_path / f"{side}"))
        assert run(config, observer).done == 3
    assert min(windows) < 100
    across, down = (float(number) for number in (scale.split("x") * 2)[:2])
    for name in names:
        small, large = (read(tmp_path / side / "tiles" / name) for side in ("16", "512"))
        assert small.shape[1:] == (math.floor(down * height + 0.5), math.floor(across * width + 0.5))
        step = 1e-5 if small.dtype == np.float32 else 1
        np.testing.assert_allclose(small.astype(float), large.astype(float), rtol=0, atol=step)


@pytest.mark.usefixtures("each_tile_alone")
@pytest.mark.parametrize("scale", ["2.5", "1.3x3.2", "1.07"])
def test_a_tile_reads_what_its_reduction_reads(
    scale: str, tmp_path: Path, tiny_config: MakeConfig, observer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tiles of an enlargement that looks at nothing around a pixel are the whole: the reach of the grid is enough."""
    names = pictures(tmp_path, 13, 180)[1:]
    (tmp_path / "m.csv").write_text("uri\n" + "\n".join(names))
    whole, result_size = parse_scale(scale)
    monkeypatch.setattr(enlarging, "halo", lambda *_: 0)
    monkeypatch.setattr(
        enlarging, "enlarge_and_compare", lambda window, *_: (nearest(window.nan_to_num(), whole), None)
    )
    told = {"scale": whole, "result_size": result_size, "method": Method.BICUBIC}
    for side in (16, 512):
        settings = replace(tiny_config().settings, tile_size=side, **told)
        assert run(tiny_config(settings=settings, output=str(tmp_path / f"{side}")), observer).done == 2
    for name in names:
        np.testing.assert_array_equal(*(read(tmp_path / side / "tiles" / name) for side in ("16", "512")))


def test_unknown_parts_keep_their_place_and_their_number(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any
) -> None:
    """A pixel of the result is as known as the pixel of the image in which its middle lies; what is flat stays so."""
    names = pictures(tmp_path)
    (tmp_path / "m.csv").write_text("uri\n" + "\n".join(names))
    told = {"scale": 3, "result_size": "times:2.2x2.7", "method": Method.BICUBIC}
    assert run(tiny_config(settings=replace(tiny_config().settings, **told)), observer).done == 3
    alpha, nodata, flat = (read(tmp_path / "out/tiles" / name) for name in names)
    rows, columns = (Axis(40, 108).sources(slice(0, 108)), Axis(45, 99).sources(slice(0, 99)))
    unknown = np.zeros((40, 45), bool)
    unknown[:20, :25] = True
    assert np.array_equal(nodata[0] == 0, unknown[rows][:, columns])
    assert (nodata[1] > 0).all()
    clear = np.zeros((40, 45), bool)
    clear[10:30, 5:20] = True
    assert (alpha[3][clear[rows][:, columns]] == 0).all()
    assert (alpha[3][~clear[rows][:, columns]] > 0).mean() > 0.98
    assert (flat[0][:, :40] == np.float32(0.1)).all()
    assert np.isnan(flat[0]).sum() == sum(row == 35 for row in rows) * sum(column == 40 for column in columns)


def test_a_scene_is_as_if_undivided(
    tmp_path: Path,
    tiny_config: MakeConfig,
    observer: Any,
    read_tiles: ReadTiles,
    read_records: Callable[[str], dict[Any, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its tiles and mosaic, their records, and what a group needs to know of the size."""
    (name, *_) = pictures(tmp_path)[1:]
    (tmp_path / "m.csv").write_text(f"uri\n{name}")
    settings = replace(tiny_config().settings, result_size="gsd:6.1")
    outputs = [str(tmp_path / side) for side in ("divided", "undivided")]
    for output, pixels in zip(outputs, (100, 10**6), strict=True):
        monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels, 1e-9))
        assert run(tiny_config(settings=settings, output=output), observer).done == 1
    divided, undivided = map(read_tiles, outputs)
    assert divided == undivided
    assert np.array_equal(*(read(Path(output) / "tiles" / name) for output in outputs))
    one, other = (read_records(output)[name] for output in outputs)
    for column in ("scale", "scale_x", "scale_y", "whole_scale", "sr_width", "transform", "consistency_mae", "tiles"):
        assert one[column] == other[column]
    assert (one["sr_height"], one["sr_width"], one["whole_scale"]) == (66, 74, 2)


@pytest.mark.parametrize("form", [Form(Format.COG), Form(Format.TIF, single=True)], ids=["cog", "single"])
def test_one_file_holds_what_tiles_do(form: Form, tmp_path: Path, tiny_config: MakeConfig, observer: Any) -> None:
    """Each pixel where the mosaic has it, on the same ground."""
    name = pictures(tmp_path)[1]
    (tmp_path / "m.csv").write_text(f"uri\n{name}")
    settings = replace(tiny_config().settings, method=Method.BICUBIC, result_size="pixels:101x77")
    for output, made in (("file", form), ("tiles", Form(Format.TIF))):
        assert run(tiny_config(settings=settings, form=made, output=str(tmp_path / output)), observer).done == 1
    with rasterio.open(tmp_path / "file/images" / name) as one, rasterio.open(tmp_path / name) as image:
        assert np.array_equal(one.read(), read(tmp_path / "tiles/tiles" / name)[:2])
        assert one.bounds == pytest.approx(image.bounds, rel=0, abs=1e-6 * min(one.res))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Rows that ask for sizes of their own."""
    rng = np.random.default_rng(5)
    write_raster(tmp_path / "a.tif", rng.integers(0, 256, (1, 20, 24), dtype=np.uint8), **UTM)
    path = tmp_path / "m.csv"
    path.write_text(
        "uri,id,scale\na.tif,plain,\na.tif,half,2.5\na.tif,whole,3.0\na.tif,both,1.5x2\na.tif,none,1.0001\n"
    )
    return path


BICUBIC = ("--executor", "inline", "--method", "bicubic", "--kernel", "bicubic")


@pytest.mark.usefixtures("manifest")
def test_the_column_scale(srpipe: Srpipe) -> None:
    """Rows say their own, as --scale does; the record tells what was asked for, and what came of it."""
    code, _, err = srpipe("run", "m.csv", "-o", "out", "--target-size", "31x", *BICUBIC)
    assert code == 3
    assert "the scale '1.0001' cannot be made; give a number from 1.01 to 8" in err
    rows = {row["key"]: row for row in pq.read_table("out/manifest.parquet").to_pylist() if row["key"]}
    names = ("scale", "scale_x", "scale_y", "whole_scale", "sr_width", "sr_height")
    assert {key: tuple(row[name] for name in names) for key, row in rows.items()} == {
        "plain": (1.3, 31 / 24, 1.3, 2, 31, 26),
        "half": (2.5, 2.5, 2.5, 3, 60, 50),
        "whole": (3.0, 3.0, 3.0, 3, 72, 60),
        "both": (2.0, 1.5, 2.0, 2, 36, 40),
    }


@pytest.mark.usefixtures("manifest")
@pytest.mark.parametrize(("told", "largest"), [("--target-size=31x", 8), ("--target-gsd=4", 8), ("--scale=2", 3)])
def test_workers_have_room_for_any_image_of_a_told_size(
    told: str, largest: int, srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its scale is not known before it is opened; a scale that is told, here in a row's cell, is."""
    seen = []

    def watched(assignment: Any, scale: int, *rest: Any) -> Any:
        seen.append(scale)
        return executor(assignment, scale, *rest)

    monkeypatch.setattr("pipeline.driver.run.executor", watched)
    srpipe("run", "m.csv", "-o", "out", told, *BICUBIC)
    assert seen == [largest]


@pytest.mark.usefixtures("manifest")
def test_runs_go_on(srpipe: Srpipe) -> None:
    """The same size is the same work however it is written, and another is other work."""
    for told, done in {"--scale=1.50": 1, "--scale=1.5x1.5": 0, "--scale=1.6": 1, "--target-gsd=4": 1}.items():
        _, out, _ = srpipe("run", "a.tif", "-o", "out", told, "--json", *BICUBIC)
        summary = json.loads(out)
        assert (summary["done"], summary["already_done"]) == (done, 1 - done)
    assert json.loads(srpipe("run", "a.tif", "-o", "out", "--target-gsd", "4.0", "--json", *BICUBIC)[1])["done"] == 0


def test_whole_scales_have_the_fingerprint_they_had() -> None:
    """It leaves out what only other sizes set (test_plan.py has all such fields): outputs of before stay."""
    config, other = RunConfig("m.csv", "out"), replace(Settings(), result_size="pixels:5x5")
    assert config.fingerprint(replace(other, result_size="")) == config.fingerprint() != config.fingerprint(other)
    assert parse_scale("4") == parse_scale("4.0") == parse_scale("4x4") == (4, "")


NAMES = {
    ("-s", "2.0"): "m-x2",
    ("-s", "2.50"): "m-x2.5",
    ("-s", "2.5x3"): "m-x2.5x3",
    ("--target-gsd", "2"): "m-2m",
    ("--target-size", "90x"): "m-90x",
}


@pytest.mark.parametrize("options", NAMES, ids=" ".join)
def test_the_output_is_named_after_the_size(
    options: tuple[str, ...], srpipe: Srpipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody names it."""
    outputs = []
    monkeypatch.setattr("jobs.commands.run.carry_out", lambda config, *_: outputs.append(config.output) or 0)
    assert srpipe("run", "m.csv", *options)[0] == 0
    assert [Path(output).name for output in outputs] == [NAMES[options]]


REFUSED = {
    "1": (("--scale", "1"), "the scale '1' cannot be made; give a number from 1.01 to 8"),
    "hardly above": (("--scale", "1.0001"), "the scale '1.0001' cannot be made"),
    "smaller down": (("--scale", "2x0.9"), "the scale '2x0.9' cannot be made"),
    "two at once": (
        ("--scale", "2", "--target-gsd", "5"),
        "--scale and --target-gsd say each how large results are; leave out all but one",
    ),
    "two others": (("--target-size", "9x9", "--target-gsd", "5"), "--target-gsd and --target-size say each"),
    "no length": (("--target-gsd", "0"), "'0' is not a length of a pixel; give metres on the ground"),
    "no size": (("--target-size", "90"), "'90' is not a size in pixels; give WxH"),
    "a kernel of all": (
        ("--target-gsd", "5", "--kernel", "estimate-collection"),
        "the kernel estimate-collection is estimated before the scale of any image is known",
    ),
    "a kernel too wide": (("--scale", "2.5", "--kernel", "gaussian:9"), "HR pixels at x3; the range is"),
}


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.usefixtures("manifest")
def test_refused(case: str, srpipe: Srpipe, tmp_path: Path) -> None:
    """Exit code 2, a sentence that says what to do, and nothing is written."""
    options, sentence = REFUSED[case]
    code, _, err = srpipe("run", "a.tif", "-o", "out", *options)
    assert (code, (tmp_path / "out").exists()) == (2, False)
    assert sentence in err


FAILED = {
    "coarser": (("--target-gsd", "12"), "its pixels are 10 m wide and 10 m high, and those of the result, of 12 m, "),
    "the same": (("--target-gsd", "10"), "would be no shorter; give a --target-gsd below 10"),
    "hardly finer": (("--target-gsd", "9.99"), "its result would be 24 x 20, no more; give a smaller --target-gsd"),
    "far finer": (("--target-gsd", "1"), "more than 8 times the 1 m asked for; give a --target-gsd from 1.25"),
    "fewer pixels": (
        ("--target-size", "48x19"),
        "its result would be 48 x 19, fewer on a side; give a larger --target",
    ),
    "as many": (("--target-size", "24x"), "its result would be 24 x 20, no more; give a larger --target-size"),
    "far more": (("--target-size", "193x100"), "more than 8 times as many on a side; give a smaller --target-size"),
    "no more": (("--scale", "1.02"), "its result would be 24 x 20, no more; give a larger scale"),
    "a kernel": (("--target-size", "30x", "--kernel", "gaussian:9"), "HR pixels at x2; the range is"),
    "no place": (("--target-gsd", "5"), "it does not say how long its pixels are on the ground"),
}


@pytest.mark.parametrize("case", FAILED)
@pytest.mark.usefixtures("manifest")
def test_one_image_fails(case: str, srpipe: Srpipe, tmp_path: Path) -> None:
    """Its record says why and what to do; nothing is written of it."""
    options, sentence = FAILED[case]
    image = "a.tif"
    if case == "no place":
        image = "b.png"
        Image.new("L", (24, 20)).save(tmp_path / image)
    kernel = () if "--kernel" in options else ("--kernel", "bicubic")
    told = ("--executor", "inline", "--method", "bicubic", *kernel)
    assert srpipe("run", image, "-o", "out", *options, *told)[0] == 3
    (row,) = pq.read_table("out/manifest.parquet").to_pylist()
    assert (row["status"], row["error_type"]) == ("failed", "unsupported")
    assert sentence in row["error_message"]
    assert not (tmp_path / "out/tiles").exists()


def located(crs: str, transform: Transform, height: int = 100, width: int = 200) -> Header:
    wkt = rasterio.crs.CRS.from_user_input(crs).to_wkt()
    return Header("GTiff", height, width, "uint8", (Band("gray"),), georef=Georef(crs=wkt, transform=transform))


OBLONG = {
    "metres": ("EPSG:32633", Transform(10, 0, 0, 0, -15, 0)),
    "degrees at 60 N, 5.580 m by 11.141 m": ("EPSG:4326", Transform(1e-4, 0, 10, 0, -1e-4, 60.001)),
}


@pytest.mark.parametrize(
    ("place", "gsd", "size"),
    [("metres", "5", (60, 48)), ("metres", "10", (30, 24)), ("degrees at 60 N, 5.580 m by 11.141 m", "2.79", (80, 48))],
)
def test_pixels_of_a_result_are_square_on_the_ground(place: str, gsd: str, size: tuple[int, int]) -> None:
    """Of an image whose pixels are not, each axis has its own ratio, and one of them may be 1."""
    image = located(*OBLONG[place], 20, 24)
    told = sized(replace(Settings(), result_size=parse_gsd(gsd)), image)
    assert grid_of(told, 20, 24).size == size


@pytest.mark.parametrize(
    ("gsd", "sentence"),
    [
        ("12", "10 m wide and 15 m high, and those of the result, of 12 m, would be no shorter.* below 10$"),
        ("1.5", "its pixels are 15 m long, more than 8 times the 1.5 m asked for; give a --target-gsd from 1.875"),
    ],
)
def test_a_length_that_oblong_pixels_cannot_have(gsd: str, sentence: str) -> None:
    """No side of a pixel may grow, nor shrink to less than an eighth."""
    with pytest.raises(ImageError, match=sentence):
        sized(replace(Settings(), result_size=parse_gsd(gsd)), located(*OBLONG["metres"], 20, 24))


def test_lengths_of_pixels() -> None:
    """In metres, turned or not; of degrees by the tables of the ellipsoid; none where the unit is not known."""
    assert pixel_length(located("EPSG:32633", Transform(3, 4, 0, 4, -3, 0))) == pytest.approx((5, 5))
    foot = 1200 / 3937
    assert pixel_length(located("EPSG:2229", Transform(2, 0, 0, 0, -3, 0))) == pytest.approx((2 * foot, 3 * foot))
    for latitude, across, down in (
        (0, 111_319.49, 110_574.28),
        (45, 78_846.81, 111_131.78),
        (-60, 55_800.0, 111_412.24),
    ):
        step = 1e-4
        header = located("EPSG:4326", Transform(step, 0, 7, 0, -step, latitude + 50 * step))
        assert pixel_length(header) == pytest.approx((across * step, down * step), rel=1e-6)
    assert pixel_length(replace(HEADER, georef=Georef(transform=Transform(1, 0, 0, 0, -1, 0)))) is None
    assert pixel_length(HEADER) is None
    assert pixel_length(located("EPSG:4326", Transform(1, 0, 0, 0, -1, math.inf))) is None


@pytest.mark.parametrize(
    ("body", "across", "down"), [("+R=1737400", 30_323.35, 30_323.35), ("+a=3396190 +b=3376200", 59_274.70, 58_578.97)]
)
def test_lengths_of_pixels_on_other_planets(body: str, across: float, down: float) -> None:
    """A degree of the Moon, or of Mars at its equator, is that of its own ellipsoid."""
    header = located(f"+proj=longlat {body} +no_defs", Transform(1e-4, 0, 7, 0, -1e-4, 50e-4))
    assert pixel_length(header) == pytest.approx((across * 1e-4, down * 1e-4), rel=1e-5)


HEADER = Header("GTiff", 70, 90, "uint8", (Band("gray"),))


def test_all_that_counts_pixels_follows_each_axis() -> None:
    """Transform, ground control points, rational polynomials and DPI; a printed picture keeps its paper."""
    rpcs = {"LINE_OFF": "34.5", "SAMP_OFF": "44.5", "LINE_SCALE": "35", "SAMP_SCALE": "45"}
    gcps = (GroundPoint(70, 90, 1, 2, 3, "a", ""),)
    georef = Georef(transform=Transform(2, 0.5, 100, 0.25, -3, 200), gcps=gcps, rpcs=rpcs)
    made = enlarged(replace(HEADER, georef=georef, dpi=(100, 200)), (98, 225), keep_dpi=False)
    assert (made.height, made.width) == (98, 225)
    assert made.dpi == pytest.approx((250, 280))
    assert made.georef is not None
    assert made.georef.transform is not None
    first, last = Affine(*georef.transform or ()), Affine(*made.georef.transform)
    assert last @ (225, 98) == pytest.approx(first @ (90, 70), abs=1e-9)
    assert (made.georef.gcps[0].row, made.georef.gcps[0].column) == pytest.approx((98, 225))
    assert made.georef.rpcs is not None
    numbers = {name: float(text) for name, text in made.georef.rpcs.items()}
    assert numbers == pytest.approx({"LINE_OFF": 48.5, "SAMP_OFF": 112.0, "LINE_SCALE": 49, "SAMP_SCALE": 112.5})


def _stretched(lines: np.ndarray, length: int) -> np.ndarray:
    """(n, m) to (length, m), as MATLAB enlarges: Keys' cubic with a = -0.5, mirrored at the ends."""
    n = len(lines)
    place = (np.arange(length)[:, None] + 0.5) * n / length - 0.5
    taps = np.floor(place) + np.arange(-1, 3)
    away = np.abs(place - taps)
    weights = np.where(away <= 1, 1.5 * away**3 - 2.5 * away**2 + 1, -0.5 * away**3 + 2.5 * away**2 - 4 * away + 2)
    mirrored = np.concatenate([np.arange(n), np.arange(n)[::-1]])[taps.astype(int) % (2 * n)]
    return np.einsum("lt,ltm->lm", weights, lines[mirrored])


def test_scores_of_any_size(srpipe: Srpipe, tmp_path: Path) -> None:
    """Against a truth of the result's size; bicubic is MATLAB's to that size, and the border the scale, rounded up."""
    rng = np.random.default_rng(1)
    truth = np.kron(rng.integers(0, 256, (10, 12)), np.ones((5, 5))).astype(np.uint8)
    Image.fromarray(truth).save(tmp_path / "hr.png")
    Image.fromarray(truth).resize((24, 20), Image.Resampling.BICUBIC).save(tmp_path / "lr.png")
    (tmp_path / "m.csv").write_text("uri,reference\nlr.png,hr.png\n")
    options = ("--method", "bicubic", "--back-projection", "0", "--kernel", "bicubic", "--tile-size", "16")
    assert srpipe("run", "m.csv", "-o", "out", "--executor", "inline", "--scale", "2.5", *options)[0] == 0
    code, out, _ = srpipe("eval", "out", "--json")
    (score,) = json.loads(out)["scores"]
    assert (code, score["scale"], score["problem"]) == (0, 2.5, "")
    with Image.open(tmp_path / "lr.png") as image:
        bicubic = _stretched(_stretched(np.asarray(image, float), 50).T, 60).T.clip(0, 255).round()
    inner = (slice(3, -3), slice(3, -3))
    psnr = 10 * np.log10(255**2 / ((bicubic - truth)[inner] ** 2).mean())
    assert score["bicubic_psnr_y"] == pytest.approx(psnr, abs=0.01)
    assert score["psnr_y"] == pytest.approx(psnr, abs=1.5)
    assert " 2.5 " in srpipe("eval", "out")[1]


def test_texts_are_canonical() -> None:
    """So that the fingerprint goes by what is meant."""
    assert parse_gsd("2.50") == parse_gsd("2.5") == "gsd:2.5"
    assert parse_size("90X") == parse_size("90x") == "pixels:90x"
    assert Settings().result_size == ""
