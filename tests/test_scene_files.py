"""Scenes of every kind of file, from S3: decoders open a file again when pixels are asked for, and find it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.windows import Window

from pipeline import storage
from pipeline.driver.run import run
from pipeline.imagery import picture
from pipeline.work.units import Division, divide
from sr_ops.settings import Method, Settings

from .fixture_types import MakeConfig, ReadTiles
from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")

HEIGHT, WIDTH = 40, 50

IN_TWO = Division(pixels=1000, group_seconds=0.003)
"""Two of the four tiles in a group."""

PLACE = {"crs": "EPSG:32618", "transform": rasterio.Affine(10, 0, 5e5, 0, -10, 4e6)}


def noise(dtype: str, bands: int) -> np.ndarray:
    """(bands, HEIGHT, WIDTH) of 1 and more."""
    high = 1.0 if dtype == "float32" else np.iinfo(dtype).max
    values = 1 + np.random.default_rng(bands).random((bands, HEIGHT, WIDTH)) * (high - 1)
    return values.astype(dtype)


def _pillow(kind: str, bands: int, mode: str | None = None, **options: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        pixels = noise("uint8", bands).transpose(1, 2, 0).squeeze()
        image = Image.fromarray(pixels, "CMYK" if mode == "CMYK" else None)
        (image if mode is None else image.convert(mode)).save(path, kind, **options)

    return write


def _gdal(driver: str, dtype: str, bands: int, **profile: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        samples = noise(dtype, bands)
        if profile.get("nodata") is not None:
            samples[:, 5:20, 10:30] = profile["nodata"]
        write_raster(path, samples, driver=driver, **profile)
        path.with_name(f"{path.name}.aux.xml").unlink(missing_ok=True)

    return write


def _masked(path: Path) -> None:
    mask = np.arange(WIDTH) > np.arange(HEIGHT)[:, None]
    write_raster(path, noise("uint8", 3), mask, photometric="RGB", **PLACE)


def _sparse(path: Path) -> None:
    """A file with a strip that was never written: Pillow calls it damaged, and GDAL reads 0."""
    shape = {"count": 3, "height": HEIGHT, "width": WIDTH, "dtype": "uint8", "photometric": "RGB"}
    with rasterio.open(path, "w", driver="GTiff", **shape, compress="DEFLATE", blockysize=8, sparse_ok=True) as raster:
        for top in (0, 16, 24, 32):
            raster.write(noise("uint8", 3)[:, top : top + 8], window=Window(0, top, WIDTH, 8))


LOSSLESS = {"QUALITY": 100, "REVERSIBLE": "YES", "YCC": "NO"}

KINDS = {
    "gray.png": _pillow("PNG", 1),
    "colours.png": _pillow("PNG", 3),
    "colours_and_alpha.png": _pillow("PNG", 4),
    "gray_and_alpha.png": _pillow("PNG", 2),
    "palette.png": _pillow("PNG", 3, "P"),
    **{f"deep_{bands}.png": _gdal("PNG", "uint16", bands) for bands in (1, 2, 3, 4)},
    "photograph.jpg": _pillow("JPEG", 3),
    "print.jpg": _pillow("JPEG", 4, "CMYK"),
    "picture.webp": _pillow("WEBP", 3, lossless=True),
    "picture.avif": _pillow("AVIF", 3),
    "picture.bmp": _pillow("BMP", 3),
    "picture.gif": _pillow("GIF", 3, "P"),
    "picture.ppm": _pillow("PPM", 3),
    "scan.tif": _pillow("TIFF", 3, compression="tiff_lzw"),
    "deep.tif": _gdal("GTiff", "uint16", 3, photometric="RGB", compress="DEFLATE"),
    "satellite.tif": _gdal("GTiff", "uint16", 4, nodata=0, **PLACE),
    "heights.tif": _gdal("GTiff", "float32", 1, nodata=-9999, tiled=True, blockxsize=16, blockysize=16, **PLACE),
    "masked.tif": _masked,
    "cog.tif": _gdal("COG", "uint8", 3, compress="LZW", **PLACE),
    "deep.jp2": _gdal("JP2OpenJPEG", "uint16", 3, **LOSSLESS, **PLACE),
    "picture.jp2": _gdal("JP2OpenJPEG", "uint8", 3, **LOSSLESS),
    "other_decoder.tif": _sparse,
}


@pytest.fixture
def kinds(tmp_path: Path) -> Path:
    """A folder with a file of each kind."""
    folder = tmp_path / "kinds"
    folder.mkdir()
    for name, write in KINDS.items():
        write(folder / name)
    return folder


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize(("names", "deep"), [([*KINDS], False), (["deep_3.png", "other_decoder.tif"], True)])
def test_every_kind_as_a_scene_from_s3(
    names: list[str],
    deep: bool,
    kinds: Path,
    scratch: Path,
    s3_bucket: str,
    tmp_path: Path,
    tiny_config: MakeConfig,
    tiny_settings: Settings,
    observer: Any,
    read_tiles: ReadTiles,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Read window by window from S3 and divided, each kind gives the tiles of the local file done at once."""
    (tmp_path / "here.txt").write_text("".join(f"{kinds}/{name}\n" for name in names))
    (tmp_path / "there.txt").write_text("".join(f"{s3_bucket}/{name}\n" for name in names))
    for name in names:
        storage.write(f"{s3_bucket}/{name}", (kinds / name).read_bytes())
    monkeypatch.setattr(picture, "HELD_WHOLE", 500)
    settings = replace(tiny_settings, method=Method.BICUBIC, tile_size=32)
    whole = tiny_config(manifest=f"{tmp_path}/here.txt", root=str(kinds), output=f"{tmp_path}/whole", settings=settings)
    assert run(whole, observer).done == len(names)
    observer.records.clear()
    assert divide(HEIGHT, WIDTH, 3, settings, IN_TWO) == ((0, 2), (2, 4))
    monkeypatch.setattr("pipeline.driver.completing.DIVISION", IN_TWO)
    there = tiny_config(manifest=f"{tmp_path}/there.txt", root=s3_bucket, settings=settings, deep=deep)
    run(there, observer)
    assert {record.key: record.error_message for record in observer.records} == dict.fromkeys(names)
    assert read_tiles(str(tmp_path / "out")) == read_tiles(str(tmp_path / "whole"))
    assert not list(scratch.glob("srpipe-*"))
