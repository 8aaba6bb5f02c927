"""Kernels and noise through whole runs: tiles, groups, what is not known, alpha, units of noise, rows of their own."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from jobs.sample_pictures import satellite_view
from pipeline.config import Form
from pipeline.driver.run import run
from pipeline.imagery import picture
from pipeline.work.units import Division
from sr_ops.settings import Method, Network, Settings

from .fixture_types import MakeConfig, MakePng, MakePrior, ReadTiles, Srpipe
from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

PLACE = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000)}

HEIGHT, WIDTH = 25, 203
"""Of a strip: longer than a tile and what is read on both sides of it."""

WIDE = "gaussian:2.4"

LEVEL = 1.5 / 255
"""One of 8 bits, of a range that is not all of them."""

Records = dict[Any, dict[str, Any]]


def motion() -> NDArray[np.float64]:
    """A slanted line, as of a camera that moved, with a phase."""
    taps = np.zeros((7, 7))
    for step in np.linspace(-2, 2, 41):
        taps[round(3.6 + 0.5 * step), round(2.8 + step)] += 1
    taps[3, 3] += 12  # or it could hardly be undone
    return taps / taps.sum()


def strip(bands: int = 3) -> NDArray[np.float64]:
    """(bands, HEIGHT, WIDTH) of a landscape, from 0 to 1."""
    view = satellite_view(400)[100 : 100 + HEIGHT, 5 : 5 + WIDTH].transpose(2, 0, 1) / 255
    return view[np.arange(bands) % 3]


def disc() -> NDArray[np.bool_]:
    """Of what is known, where not all is: it crosses tiles."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    outside: NDArray[np.bool_] = (rows - 11) ** 2 + (columns - 70) ** 2 >= 8**2
    return outside


def _colours(path: Path) -> None:
    write_raster(path, np.rint(255 * strip()).astype(np.uint8), driver="PNG")


def _nodata(path: Path) -> None:
    samples = (1 + 60_000 * strip()).astype(np.uint16)
    write_raster(path, np.where(disc(), samples, 0).astype(np.uint16), nodata=0, **PLACE)


def _mask(path: Path) -> None:
    samples = (1 + 60_000 * strip()).astype(np.uint16)
    write_raster(path, samples, disc(), **PLACE)


def _alpha(path: Path) -> None:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    alpha = np.clip(1.5 - np.hypot(rows - 11, columns - 70) / 30, 0, 1)
    write_raster(path, (65535 * np.concatenate([strip(), alpha[None]])).astype(np.uint16), driver="PNG")


def _floats(path: Path) -> None:
    samples = np.where(disc(), 20 * strip(1) - 5, np.nan).astype(np.float32)
    write_raster(path, samples, nodata=np.nan, **PLACE)


KINDS: dict[str, Callable[[Path], None]] = {
    "colours.png": _colours,
    "nodata.tif": _nodata,
    "mask.tif": _mask,
    "alpha.png": _alpha,
    "floats.tif": _floats,
}


@pytest.fixture
def files(tmp_path: Path, make_prior: MakePrior) -> Path:
    """A folder with an image of each kind, a kernel, and a prior far from the base."""
    for name, make in KINDS.items():
        make(tmp_path / name)
    np.save(tmp_path / "motion.npy", motion())
    (tmp_path / "prior").write_bytes(make_prior())
    return tmp_path


@pytest.fixture
def enlarge(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: Callable[[str], Records]
) -> Callable[..., Records]:
    """Run a table with the prior as it is, one file an image; the records. Changes are of the settings or the run."""

    def do(table: str, output: str = "out", run_with: dict[str, Any] | None = None, **changes: Any) -> Records:
        (tmp_path / "m.csv").write_text(table)
        told = {"scale": 2, "network": Network.DIRECT, "method": Method.PRIOR, "ensemble": False, "tile_size": 512}
        settings = Settings(**{**told, **changes})
        by_prior = settings.method is not Method.BICUBIC
        config = tiny_config(
            settings=settings,
            prior_name=str(tmp_path / "prior") if by_prior else "none",
            form=Form(single=True),
            output=str(tmp_path / output),
        )
        run(replace(config, **(run_with or {})), observer)
        return read_records(str(tmp_path / output))

    return do


Enlarge = Callable[..., Records]


def of_all_kinds(kernel: str) -> str:
    """A table with a row for each of KINDS."""
    return "uri,kernel\n" + "".join(f"{name},{kernel}\n" for name in KINDS)


def result(record: dict[str, Any]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(C, H, W), and what of it is known."""
    with rasterio.open(record["output_uri"]) as file:
        return file.read(), file.read_masks() > 0


def difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    """The largest, where both are known, of the range that most samples lie in."""
    low, high = np.nanpercentile(one.astype(float), (0.5, 99.5))
    return float(np.nanmax(np.abs(one.astype(float) - other)) / (high - low))


# ---- tiles, order, workers, groups -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("kernel", [WIDE, "motion.npy"])
@pytest.mark.usefixtures("files", "each_tile_alone")
def test_tiles_are_the_whole(kernel: str, scale: int, enlarge: Enlarge) -> None:
    """Of odd sizes, with masks, fills, alpha and 16 bits: one grey level of 8 bits, half of that of any range.

    A thousandth is what is asked of a prior that learned; the data step has much to mend of what this one adds.
    """
    rows = of_all_kinds(kernel)
    whole = enlarge(rows, "whole", scale=scale)
    tiled = enlarge(rows, "tiled", scale=scale, tile_size=64)
    for name in KINDS:
        assert (whole[name]["method_used"], whole[name]["error_message"]) == ("prior", None)
        (expected, known), (made, also_known) = result(whole[name]), result(tiled[name])
        assert np.array_equal(known, also_known)
        assert difference(expected, made) <= (LEVEL if name == "colours.png" else 2e-3)


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("kernel", [WIDE, "motion.npy"])
def test_order_and_neighbours_do_not_matter(kernel: str, enlarge: Enlarge) -> None:
    """Alone, among others and behind them an image is the same."""
    rows = [f"{name},{kernel}\n" for name in ("colours.png", "nodata.tif", "alpha.png")]
    orders = [rows, rows[::-1], rows[1:2]]
    first, backwards, alone = (
        {key: record["output_sha256"] for key, record in enlarge("uri,kernel\n" + "".join(order), f"o{number}").items()}
        for number, order in enumerate(orders)
    )
    assert first == backwards
    assert len(set(first.values())) == 3
    assert alone == {"nodata.tif": first["nodata.tif"]}


@pytest.mark.usefixtures("files", "each_tile_alone")
@pytest.mark.parametrize("scale", [2, 4])
def test_a_divided_scene_is_the_whole(
    scale: int, enlarge: Enlarge, read_tiles: ReadTiles, tmp_path: Path, monkeypatch: Any
) -> None:
    """In groups of tiles, each from the stored model, with a kernel of its own and noise: the same bytes."""
    rows = f"uri,kernel,noise\nnodata.tif,{WIDE},300\nmask.tif,motion.npy,0\nalpha.png,motion.npy,300\n"
    tiles = {"form": Form()}
    monkeypatch.setattr(picture, "HELD_WHOLE", 500)
    whole = enlarge(rows, "whole", tiles, scale=scale, tile_size=64)
    assert {record["error_message"] for record in whole.values()} == {None}
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", Division(pixels=1000, group_seconds=0.004))
    divided = enlarge(rows, "divided", tiles, scale=scale, tile_size=64)
    assert {record["error_message"] for record in divided.values()} == {None}
    expected = read_tiles(str(tmp_path / "whole"))
    assert len(expected) == 3 * 4
    assert read_tiles(str(tmp_path / "divided")) == expected
    assert [record["noise"] for record in divided.values()] == [record["noise"] for record in whole.values()]


# ---- what is not known, alpha ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("kernel", [WIDE, "gaussian:1.2", "motion.npy"])
@pytest.mark.parametrize("method", [Method.PRIOR, Method.BICUBIC])
def test_means_are_kept_and_what_is_unknown_stays_so(kernel: str, method: Method, enlarge: Enlarge) -> None:
    """To 0.05 % of a band's mean or 0.2 counts; unknown samples are the input's, each as a square.

    By a Gaussian. A camera that looks at some HR pixels more than at others, as one that moved, keeps the mean of what
    it sees.
    """
    records = enlarge(of_all_kinds(kernel), method=method)
    for name, record in records.items():
        with rasterio.open(record["source_uri"]) as file:
            lr, seen = file.read(), file.read_masks() > 0
        sr, known = result(record)
        assert np.array_equal(known, seen.repeat(2, 1).repeat(2, 2)) or name == "alpha.png"
        bands = range(3 if name == "alpha.png" else len(lr))
        if name == "alpha.png":
            known = (sr[-1:] > 0).repeat(4, 0)
            seen = (lr[-1:] > 0).repeat(4, 0)
        for band in bands:
            before, after = (image[band][there[band]].mean(dtype=float) for image, there in ((lr, seen), (sr, known)))
            counts = 0.0 if name == "floats.tif" else 0.2
            if kernel != "motion.npy":
                assert abs(after - before) <= max(5e-4 * abs(before), counts), (name, band)
            elif name != "alpha.png":
                assert abs(record["consistency_bias"]) <= max(5e-4 * abs(before), counts), (name, band)
        hidden = ~seen.repeat(2, 1).repeat(2, 2)
        copies = lr.repeat(2, 1).repeat(2, 2)
        assert np.array_equal(sr[hidden], copies[hidden], equal_nan=True)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("kernel", ["motion.npy", "bicubic"])
@pytest.mark.usefixtures("files")
def test_alpha_is_not_shifted_against_the_colours(kernel: str, scale: int, enlarge: Enlarge, tmp_path: Path) -> None:
    """Where gray and alpha are the same picture they remain so in place, whatever the phase of the kernel."""
    rows, columns = np.mgrid[:40, :44]
    blob = 0.1 + 0.8 * np.exp(-((rows - 19) ** 2 + (columns - 23) ** 2) / 18)
    write_raster(tmp_path / "twin.png", (65535 * np.stack([blob, blob])).astype(np.uint16), driver="PNG")
    (record,) = enlarge(f"uri,kernel\ntwin.png,{kernel}\n", scale=scale, method=Method.BICUBIC).values()
    sr, _ = result(record)
    grid = np.mgrid[: 40 * scale, : 44 * scale] / scale
    light = sr.astype(float) - 6553.5
    gray, alpha = ((band * grid).sum((1, 2)) / band.sum() for band in light)
    assert np.abs(gray - alpha).max() < 0.05


# ---- noise -----------------------------------------------------------------------------------------------------------


def noisy(sigma: float, side: int = 128) -> NDArray[np.float64]:
    """(3, side, side) of a smooth landscape from 0 to 1 with noise."""
    rows, columns = np.mgrid[:side, :side] / side
    smooth = 0.5 + 0.2 * np.sin(4 * rows + 3 * columns) + 0.05 * np.cos(7 * columns)
    noise = np.random.default_rng(0).normal(0, sigma, (3, side, side))
    return smooth[None] * np.array([1.0, 0.9, 0.8])[:, None, None] + noise


@pytest.mark.parametrize("method", [Method.PRIOR, Method.BICUBIC])
@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.usefixtures("files")
def test_noise_is_told_in_the_units_of_the_file(dtype: str, method: Method, enlarge: Enlarge, tmp_path: Path) -> None:
    """A file whose numbers are 200 times those of another has 200 times its noise, and 200 times its result."""
    counts = np.rint(20_000 * noisy(0.03))
    write_raster(tmp_path / "many.tif", (counts if dtype == "uint16" else counts / 7).astype(dtype), **PLACE)
    write_raster(tmp_path / "few.tif", (counts / 1400).astype(np.float32), **PLACE)
    unit = 1.0 if dtype == "uint16" else 1 / 7
    rows = f"uri,id,noise\nmany.tif,many,{600 * unit}\nfew.tif,few,{600 / 1400}\nmany.tif,wrong,{600 / 1400}\n"
    records = enlarge(rows, kernel=WIDE, method=method, value_range="none")
    assert records["many"]["noise"] == pytest.approx([600 * unit] * 3)
    assert records["few"]["noise"] == pytest.approx([600 / 1400] * 3)
    many, few, wrong = (result(records[key])[0].astype(float) for key in ("many", "few", "wrong"))
    scaled = 1400 * unit * few
    assert np.abs(many - scaled).mean() < 0.02 * np.abs(wrong - scaled).mean()


@pytest.mark.parametrize(("dtype", "top"), [("uint8", 255), ("uint16", 20_000), ("float32", 3.0)])
@pytest.mark.usefixtures("files")
def test_auto_records_the_noise_that_it_finds(dtype: str, top: float, enlarge: Enlarge, tmp_path: Path) -> None:
    """What was put in, in the units of the file, to a fifth; none is 0. In a small image it may be texture."""
    sigma = 0.09
    samples = top * noisy(sigma)
    write_raster(
        tmp_path / "noisy.tif", (samples if dtype == "float32" else np.rint(samples).clip(0)).astype(dtype), **PLACE
    )
    write_raster(tmp_path / "clean.tif", (top * noisy(0)).astype(dtype), **PLACE)
    write_raster(tmp_path / "small.tif", (top * noisy(sigma, side=20).clip(0)).astype(dtype), **PLACE)
    records = enlarge("uri,noise\nnoisy.tif,\nclean.tif,auto\nsmall.tif,auto\n", kernel="gaussian:1.4")
    assert records["noisy.tif"]["noise"] == pytest.approx([sigma * top] * 3, rel=0.2)
    assert records["clean.tif"]["noise"] == [0.0] * 3
    assert records["small.tif"]["noise"] is None
    told = enlarge("uri,noise\nnoisy.tif,0\nsmall.tif,0\n", "told", kernel="gaussian:1.4")
    assert [record["noise"] for record in told.values()] == [[0.0] * 3] * 2


# ---- rows of their own -----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("files")
def test_a_row_is_what_a_run_of_its_kernel_makes_of_it(enlarge: Enlarge) -> None:
    """Two rows of one image with two kernels differ; each is as by the command's option."""
    rows = enlarge(f"uri,id,kernel\ncolours.png,a,{WIDE}\ncolours.png,b,motion.npy\n", "both")
    wide = enlarge("uri,id\ncolours.png,a\n", "wide", kernel=WIDE)
    moved = enlarge("uri,id,kernel\ncolours.png,b,motion.npy\n", "moved")
    assert rows["a"]["output_sha256"] == wide["a"]["output_sha256"]
    assert rows["b"]["output_sha256"] == moved["b"]["output_sha256"]
    assert rows["a"]["output_sha256"] != rows["b"]["output_sha256"]


@pytest.mark.usefixtures("files")
def test_the_consistency_is_that_of_the_kernel(enlarge: Enlarge) -> None:
    """What the record measures is the distance of the image to what this camera would see of the result."""
    record = enlarge("uri,kernel\ncolours.png,motion.npy\n")["colours.png"]
    sr, _ = result(record)
    seen = np.pad(sr.astype(float), ((0, 0), (3, 3), (3, 3)), mode="symmetric")
    height, width = sr.shape[1:]
    shifted = (tap * seen[:, r : r + height : 2, c : c + width : 2] for (r, c), tap in np.ndenumerate(motion()))
    residual = sum(shifted, np.zeros((3, HEIGHT, WIDTH))) - np.rint(255 * strip())
    assert record["consistency_mae"] == pytest.approx(np.abs(residual).mean(), rel=1e-3)
    assert record["consistency_max"] == pytest.approx(np.abs(residual).max(), rel=1e-3)
    assert record["consistency_bias"] == pytest.approx(residual.mean(), abs=1e-3)


@pytest.mark.parametrize("stack", ["1", "2"])
def test_what_cannot_be_used_for_an_image_is_its_failure(
    stack: str,
    srpipe: Srpipe,
    make_png: MakePng,
    read_records: Callable[[str], Records],
    tmp_path: Path,
) -> None:
    """A list for another number of bands, a kernel wider than the image: one sentence, and other rows are done."""
    make_png(tmp_path / "rgb.png", height=40, width=40)
    make_png(tmp_path / "gray.png", height=40, width=40, bands=1)
    make_png(tmp_path / "strip.png", height=7, width=90)
    (tmp_path / "m.csv").write_text(
        'uri,id,kernel\nrgb.png,two,"mtf:0.3,0.2"\ngray.png,three,"mtf:0.3,0.2,0.1"\nrgb.png,good,"mtf:0.3,0.2,0.1"\n'
        "strip.png,wide,gaussian:2\nstrip.png,narrow,box\n"
    )
    options = ("-s", "2", "--steps", "0", "--executor", "inline", "--stack", stack)
    code, _, err = srpipe("run", "m.csv", "-o", "out", *options)
    assert code == 3
    assert "Traceback" not in err
    records = read_records("out")
    assert {key: record["status"] for key, record in records.items() if record["status"] != "failed"} == {
        "good": "done",
        "narrow": "done",
    }
    told = {key: (record["error_type"], record["error_message"]) for key, record in records.items()}
    assert told["two"] == (
        "unsupported",
        "mtf:0.3,0.2 is for 2 bands, the image has 3; give one for all, or 3",
    )
    assert "mtf:0.3,0.2,0.1 is for 3 bands, the image has 1" in told["three"][1]
    assert told["wide"][1].startswith("the kernel is 19 HR pixels wide, more than the image, 2 times enlarged, is high")
    assert told["wide"][1].endswith("or wide (14); give a narrower one")
