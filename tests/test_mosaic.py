"""A mosaic: GDAL reads the tiles as the one picture that they are of."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile

from pipeline.config import Format
from pipeline.imagery.header import DTYPES, RGB, Band, Georef, GroundPoint, Header, Transform
from pipeline.imagery.writing.formats import held
from pipeline.imagery.writing.georef import part
from pipeline.imagery.writing.geotiff import encode_tif
from pipeline.imagery.writing.mosaic import Placed, vrt
from pipeline.imagery.writing.png import aux_xml, encode_png

_RNG = np.random.default_rng(0)

UTM = CRS.from_epsg(32618).to_wkt()
DEGREES = CRS.from_epsg(4326).to_wkt()

ROTATED = Transform(1 / 3, 0.02, 411234.1, 0.03, -0.3, 5123456.1)

BANDS = (
    Band("red", "rot ü", 0.1, -3.25, "W/m²", {"wavelength": "650 <nm> & more"}),
    Band("green"),
    Band("blue", scale=1 / 3),
)

HEADER = Header(
    "GTiff", 50, 70, "uint16", BANDS, georef=Georef(UTM, ROTATED, True), tags={"SENSOR": "Überflug <1> & 2"}
)

SIDE = 32


def _places(header: Header) -> list[Placed]:
    return [
        Placed(f"größe & <{top}>_{left}", top, left, min(SIDE, header.height - top), min(SIDE, header.width - left))
        for top in range(0, header.height, SIDE)
        for left in range(0, header.width, SIDE)
    ]


def _samples(header: Header) -> NDArray[np.generic]:
    return _RNG.integers(10, 120, (len(header.bands), header.height, header.width)).astype(header.dtype)


def _mosaic(
    folder: Path,
    header: Header,
    samples: NDArray[np.generic],
    chosen: Format,
    mask: NDArray[np.bool_] | None = None,
    present: Callable[[Placed], bool] = lambda _: True,
) -> rasterio.DatasetReader:
    header, tiles = held(header, chosen), []
    for place in _places(header):
        tile = replace(place, name=f"{place.name}.{chosen}")
        if not present(tile):
            continue
        tiles.append(tile)
        window = (slice(tile.top, tile.top + tile.height), slice(tile.left, tile.left + tile.width))
        small = part(header, tile.top, tile.left, tile.height, tile.width)
        if chosen is Format.PNG:
            data = encode_png(samples[:, *window], small)
            (folder / f"{tile.name}.aux.xml").write_bytes(aux_xml(small))
        else:
            data = encode_tif(samples[:, *window], None if mask is None else mask[window], small)
        (folder / tile.name).write_bytes(data)
    (folder / "mosaic.vrt").write_bytes(vrt(header, tiles))
    return rasterio.open(folder / "mosaic.vrt")


@pytest.mark.parametrize("chosen", [Format.PNG, Format.TIF])
def test_the_mosaic_is_the_whole_picture(tmp_path: Path, chosen: Format) -> None:
    """Pixels and every fact read through the mosaic are those of the whole, whatever the tiles' format."""
    header = replace(HEADER, nodata=7.0)
    samples = _samples(header)
    with _mosaic(tmp_path, header, samples, chosen) as dataset:
        assert np.array_equal(dataset.read(), samples)
        assert dataset.crs == CRS.from_epsg(32618)
        assert dataset.transform[:6] == ROTATED
        assert dataset.nodata == 7
        assert dataset.tags() == {"SENSOR": "Überflug <1> & 2", "AREA_OR_POINT": "Point"}
        assert dataset.descriptions == ("rot ü", None, None)
        assert (dataset.scales, dataset.offsets) == ((0.1, 1.0, 1 / 3), (-3.25, 0.0, 0.0))
        assert [unit or None for unit in dataset.units] == ["W/m²", None, None]
        assert [dataset.tags(index) for index in (1, 2, 3)] == [BANDS[0].tags, {}, {}]
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


@pytest.mark.parametrize("chosen", [Format.PNG, Format.TIF])
def test_each_tile_lies_where_the_mosaic_puts_it(tmp_path: Path, chosen: Format) -> None:
    """A tile opened alone covers the same ground, to 1e-6 of a pixel, as its window of the mosaic."""
    with _mosaic(tmp_path, HEADER, _samples(HEADER), chosen) as dataset:
        for place in _places(HEADER):
            with rasterio.open(tmp_path / f"{place.name}.{chosen}") as tile:
                for column, row in ((0, 0), (place.width, place.height)):
                    here, there = (
                        tile.transform @ (column, row),
                        dataset.transform @ (place.left + column, place.top + row),
                    )
                    assert here == pytest.approx(there, rel=0, abs=1e-6 / 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_is_kept(tmp_path: Path, dtype: str) -> None:
    """The mosaic has the dtype of its tiles, and not a number changes."""
    header = replace(HEADER, dtype=dtype, bands=(Band("gray"), Band("undefined"), Band("alpha")))
    samples = _samples(header)
    with _mosaic(tmp_path, header, samples, Format.TIF) as dataset:
        assert set(dataset.dtypes) == {dtype}
        assert np.array_equal(dataset.read(), samples)
        assert dataset.colorinterp == (ColorInterp.gray, ColorInterp.undefined, ColorInterp.alpha)


@pytest.mark.parametrize(("dtype", "nodata"), [("uint16", 7.0), ("int16", -32768.0), ("float32", float("nan"))])
def test_where_there_is_no_tile_there_is_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    """Tiles that are left out read as nodata."""
    header = replace(HEADER, dtype=dtype, nodata=nodata)
    samples = _samples(header)
    expected = samples.copy()
    expected[:, :SIDE, :SIDE] = nodata
    with _mosaic(tmp_path, header, samples, Format.TIF, present=lambda tile: tile.top + tile.left > 0) as dataset:
        assert np.array_equal(dataset.read(), expected, equal_nan=dtype == "float32")
        assert not dataset.dataset_mask()[:SIDE, :SIDE].any()


def test_masks_of_tiles_are_the_mask_of_the_mosaic(tmp_path: Path) -> None:
    """What a tile's mask hides, and what no tile shows, is masked, and all else is not."""
    header = replace(HEADER, mask=True)
    mask = _RNG.random((header.height, header.width)) < 0.5
    present = np.ones_like(mask)
    present[:SIDE, :SIDE] = False
    samples = _samples(header)
    with _mosaic(tmp_path, header, samples, Format.TIF, mask, lambda tile: tile.top + tile.left > 0) as dataset:
        assert np.array_equal(dataset.dataset_mask() == 255, mask & present)
        assert np.array_equal(dataset.read(), samples * present)


def test_points_and_polynomials_are_in_the_mosaic() -> None:
    """Ground control points and rational polynomials are those of the whole picture."""
    places = ((0.0, 0.0), (0.5, 69.25), (50.0, 1.0), (50.0, 70.0))
    gcps = tuple(
        GroundPoint(row, column, 10 + column / 7, 50 - row / 3, row, str(number), "")
        for number, (row, column) in enumerate(places, 1)
    )
    rpcs = {"LINE_OFF": "24.499999999999996", "LINE_NUM_COEFF": " ".join(["0.1"] * 20)}
    header = replace(HEADER, georef=Georef(gcps=gcps, gcps_crs=DEGREES, rpcs=rpcs))
    with MemoryFile(vrt(header, []), ext=".vrt") as file, file.open() as dataset:
        points, crs = dataset.gcps
        assert crs == CRS.from_epsg(4326)
        got = [GroundPoint(point.row, point.col, point.x, point.y, point.z, point.id, point.info) for point in points]
        assert tuple(got) == gcps
        assert dataset.tags(ns="RPC") == rpcs


def test_a_mosaic_is_found_wherever_it_is_moved(tmp_path: Path) -> None:
    """The mosaic names its tiles by their place beside it."""
    (tmp_path / "before").mkdir()
    samples = _samples(HEADER)
    _mosaic(tmp_path / "before", HEADER, samples, Format.PNG).close()
    (tmp_path / "before").rename(tmp_path / "after")
    with rasterio.open(tmp_path / "after" / "mosaic.vrt") as dataset:
        assert np.array_equal(dataset.read(), samples)


def test_a_mask_of_a_picture_in_png_is_its_alpha(tmp_path: Path) -> None:
    """Of PNG tiles the mosaic has the mask as a band of alpha."""
    header = replace(HEADER, mask=True)
    samples = _samples(held(header, Format.PNG))
    with _mosaic(tmp_path, header, samples, Format.PNG) as dataset:
        assert np.array_equal(dataset.read(), samples)
        assert dataset.colorinterp == (*(ColorInterp[colour] for colour in RGB), ColorInterp.alpha)


_ANY = st.text(st.characters())  # lone surrogates too


@given(_ANY, _ANY)
def test_any_character_leaves_the_mosaic_readable(text: str, other: str) -> None:
    """Whatever stands in tags, descriptions and units, the mosaic is well-formed XML that GDAL finds the place in."""
    band = Band("gray", description=text, unit=other, tags={f"k{text}": other})
    header = replace(HEADER, bands=(band,), tags={f"k{other}": text})
    data = vrt(header, [])
    ElementTree.fromstring(data)
    with MemoryFile(data, ext=".vrt") as file, file.open() as dataset:
        assert dataset.transform[:6] == ROTATED
        assert (dataset.height, dataset.width) == (50, 70)


def test_the_colour_of_every_band(tmp_path: Path) -> None:
    """GDAL reads back each colour that it has a name for."""
    header = Header("GTiff", 1, 1, "uint8", tuple(Band(colour.name.lower()) for colour in ColorInterp))
    (path := tmp_path / "a.vrt").write_bytes(vrt(header, []))
    with rasterio.open(path) as dataset:
        assert dataset.colorinterp == tuple(ColorInterp)
