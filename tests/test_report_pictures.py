"""The pictures of a report: results and inputs lie on each other, pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from pipeline.imagery.header import Band, Header
from pipeline.imagery.writing.mosaic import Placed, vrt
from pipeline.report.pictures import DETAIL, OVERVIEW, pictures_of

from .rasters import write_raster
from .test_report import pixels_of


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


def test_a_strip_wider_than_a_webp_is_shown(tmp_path: Path) -> None:
    """It has few pixels, but an embedded picture has at most 16,383 a side."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (4, 5000), np.uint8)).save(tmp_path / "lr.png")
    Image.fromarray(np.full((16, 20_000), 90, np.uint8)).save(tmp_path / "sr.png")
    sizes = {"width": 5000, "height": 4, "sr_width": 20_000, "sr_height": 16, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "sr.png"), **sizes})
    assert shown.problems == []
    overview, part = shown.layers["result"]
    assert pixels_of(overview.url).shape[1] <= OVERVIEW
    assert pixels_of(part.url).shape[:2] == (16, DETAIL)


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


def in_tiles(folder: Path, samples: np.ndarray) -> str:
    """Write (H, W) as two tiles beside each other; give their folder."""
    folder.mkdir()
    height, width = samples.shape
    placed = [Placed(f"r0000_c000{n}.tif", 0, n * width // 2, height, width // 2) for n in (0, 1)]
    for tile in placed:
        write_raster(folder / tile.name, samples[None, :, tile.left : tile.left + tile.width])
    header = Header("GTiff", height, width, str(samples.dtype), (Band("gray"),))
    (folder / "mosaic.vrt").write_bytes(vrt(header, placed))
    return str(folder)


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
@pytest.mark.parametrize("side", ["result", "disagreement"])
def test_tiles_are_stretched_alike(side: str, tmp_path: Path) -> None:
    """A ramp has no seam where tiles meet: in a result whose input is gone, and in a map."""
    ramp = np.tile(np.arange(120), (40, 1))
    places_ = {
        "source_uri": str(tmp_path / "gone.tif"),
        "output_uri": in_tiles(tmp_path / "sr", ramp.astype(np.int16)),
        "disagreement_uri": in_tiles(tmp_path / "map", ramp.astype(np.float32)),
    }
    sizes = {"width": 60, "height": 20, "sr_width": 120, "sr_height": 40, "nodata": None}
    (layer,) = pictures_of({**sizes, **places_}).layers[side]
    light = pixels_of(layer.url)[..., :3].sum(-1).mean(0)
    assert light[-1] > 650 > 100 > light[0]
    assert np.diff(light).min() > -30


def test_other_scales_across_than_down_lie_on_each_other(tmp_path: Path) -> None:
    """A viewer stretches both sides alike: what is embedded has the result's shape."""
    Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(tmp_path / "lr.png")
    sizes = {"width": 20, "height": 10, "sr_width": 40, "sr_height": 50, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "no.png"), **sizes})
    levels = pixels_of(shown.layers["input"][0].url)
    assert levels.shape[:2] == (50, 40)
    assert levels[0, ::2, 0].tolist() == list(range(20))
    assert levels[::5, 0, 0].tolist() == list(range(0, 200, 20))


def test_the_part_at_full_resolution_ends_with_the_input(tmp_path: Path) -> None:
    """At a scale that rounds: 305 * (203 / 305) is more than 203."""
    drawn = np.random.default_rng(0).integers(0, 255, (1000, 203), np.uint8)
    Image.fromarray(drawn).save(tmp_path / "lr.png")
    sizes = {"width": 203, "height": 1000, "sr_width": 305, "sr_height": 1502, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "no.png"), **sizes})
    assert [problem.is_of_result for problem in shown.problems] == [True]
    layer = shown.layers["input"][1]
    top, part = round(layer.box[1] / 1.502), pixels_of(layer.url)[..., 0]
    assert np.array_equal(part, drawn[top : top + len(part)])


@pytest.mark.parametrize("scales", [(3.3, 3.3), (2, 5), (5, 2)], ids=str)
def test_an_overview_is_small_at_every_scale(scales: tuple[float, float], tmp_path: Path) -> None:
    """Also where scales differ across and down, by rounding or as asked; it has the result's shape."""
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (401, 602), np.uint8)).save(tmp_path / "lr.png")
    width, height = round(602 * scales[0]), round(401 * scales[1])
    sizes = {"width": 602, "height": 401, "sr_width": width, "sr_height": height, "nodata": None}
    shown = pictures_of({"source_uri": str(tmp_path / "lr.png"), "output_uri": str(tmp_path / "no.png"), **sizes})
    overview = pixels_of(shown.layers["input"][0].url)
    assert max(overview.shape[:2]) <= OVERVIEW
    assert overview.shape[1] / overview.shape[0] == pytest.approx(width / height, abs=2 / min(overview.shape[:2]))
