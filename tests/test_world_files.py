"""World files are not read, and the record says so."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image

from pipeline import storage
from pipeline.driver.run import run
from pipeline.imagery.world_files import names
from sr_ops.settings import Method, Settings

from .fixture_types import MakeConfig
from .rasters import write_raster

NUMBERS = "10\n0\n0\n-10\n500000\n5000000\n"


@pytest.mark.parametrize(
    ("uri", "some"),
    [
        ("/in/a.jpg", {"a.jgw", "a.jpgw", "a.wld"}),
        ("s3://b/a.tif", {"a.tfw", "a.tifw", "a.wld"}),
        ("/in/a.b.png", {"a.b.pgw", "a.b.pngw", "a.b.wld"}),
        ("/in/A.TIFF", {"A.TFW", "A.TIFFw", "A.WLD", "A.tfw", "A.tiffw", "A.wld"}),
        ("/in/a", {"a.wld"}),
    ],
)
def test_names(uri: str, some: set[str]) -> None:
    """By the first and last letter of the suffix, by all of it, or .wld."""
    assert some <= set(names(uri))


@pytest.fixture
def notes(
    tmp_path: Path, tiny_config: MakeConfig, observer: Any, read_records: Callable[[str], dict[Any, Any]]
) -> Callable[[str], dict[str, Any]]:
    """The notes of the images of a folder by key."""

    def enlarge(folder: str) -> dict[str, Any]:
        settings = Settings(scale=2, method=Method.BICUBIC, tile_size=32)
        run(tiny_config(manifest=folder, settings=settings), observer)
        return {key: row["notes"] for key, row in read_records(str(tmp_path / "out")).items()}

    return enlarge


def test_a_world_file_is_told(tmp_path: Path, notes: Callable[[str], dict[str, Any]]) -> None:
    """Beside a picture that has no place of its own, and beside no other."""
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "b.PNG", "c.png", "d.tif", "e.tif"):
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "in" / name)
    place = {"transform": (10, 0, 5e5, 0, -10, 5e6), "crs": "EPSG:32633"}
    with rasterio.open(tmp_path / "in/e.tif", "w", "GTiff", 20, 20, 1, dtype="uint8", **place) as file:
        file.write(np.zeros((1, 20, 20), np.uint8))
    for name in ("a.jgw", "b.PGW", "cc.pgw", "d.tfw", "e.tfw"):
        (tmp_path / "in" / name).write_text(NUMBERS)
    said = notes(str(tmp_path / "in"))
    assert said["a.jpg"] == "the world file a.jgw beside it is not read; gdal_translate puts all into one GeoTIFF"
    assert ("b.PGW" in said["b.PNG"], said["c.png"], "d.tfw" in said["d.tif"]) == (True, None, True)
    assert "world file" not in (said["e.tif"] or "")


def test_sidecars_are_told(tmp_path: Path, notes: Callable[[str], dict[str, Any]]) -> None:
    """Whatever GIS programs would read with a file, whether or not it has a place of its own; and a CRS is no place."""
    (tmp_path / "in").mkdir()
    system = {"crs": "EPSG:32633"}
    place = {**system, "transform": (10, 0, 5e5, 0, -10, 5e6)}
    shared = "IMG_PHR1A_P_001_R1C2.TIF"
    for name, told in (("a.tif", place), ("b.tif", place), ("c.tif", system), ("d.tif", place), (shared, place)):
        write_raster(tmp_path / "in" / name, np.zeros((1, 20, 20), np.uint8), **told)
    of_others = "d.tif.ovr", "dd.RPB", "RPC_PHR1A_P_001.XML"
    for name in ("a.tif.msk", "a.tif.aux.xml", "b_RPC.TXT", "c.tfw", "c.RPB", *of_others):
        (tmp_path / "in" / name).write_text(NUMBERS)
    said = notes(str(tmp_path / "in"))
    remedy = "not read; gdal_translate puts all into one GeoTIFF"
    assert said["a.tif"] == f"the files a.tif.aux.xml, a.tif.msk beside it are {remedy}"
    assert said["b.tif"] == f"the file b_RPC.TXT beside it is {remedy}"
    assert f"the file c.RPB beside it is {remedy}" in said["c.tif"]
    assert "the world file c.tfw beside it is not read" in said["c.tif"]
    assert said["d.tif"] is None
    assert said[shared] == f"the file RPC_PHR1A_P_001.XML beside it is {remedy}"


def test_a_world_file_on_s3_is_told(s3_bucket: str, notes: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    """There, too."""
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    beside = {"a.jgw": b"1", "a.jpg.aux.xml": b"1", "bb.jgw": b"1", "b.jgw/x": b"1", "b_RPC.TXT": b"1"}
    for name, content in {"a.jpg": data, "b.jpg": data, **beside}.items():
        storage.write(f"{s3_bucket}/in/{name}", content)
    said = notes(f"{s3_bucket}/in")
    assert ("a.jgw" in said["a.jpg"], "a.jpg.aux.xml" in said["a.jpg"], said["b.jpg"]) == (True, True, None)
