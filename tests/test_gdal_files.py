"""Rasters: numbers to the last bit, window by window, and all that files say of where they lie and what they mean."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.rpc import RPC
from rasterio.transform import from_gcps, from_origin

from pipeline.config import Format
from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import Band, FileLimits, Georef, Transform
from pipeline.imagery.reading import routing
from pipeline.imagery.reading.routing import open_file
from pipeline.imagery.writing.formats import held
from pipeline.imagery.writing.geotiff import encode_tif

from .picture_bytes import tiff
from .raster_files import (
    PLACE,
    RNG,
    UTM,
    edited,
    error_of,
    plain_tags,
    random_values,
    read_raster,
    write_values,
)
from .test_georef import RPCS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def _on_earth(path: str) -> Georef:
    georef = read_raster(path)[0].georef
    assert georef is not None
    return georef


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
def test_numbers(tmp_path: Path, dtype: str, bands: int) -> None:
    """Every type that float32 holds comes to the last bit, in any number of bands, whole and by windows."""
    values = random_values(dtype, bands, 50, 70)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"}
    path = write_values(tmp_path / "a.tif", values, crs=UTM, transform=PLACE, **layout)
    header, pixels = read_raster(path)
    np.testing.assert_array_equal(pixels.samples, values)
    assert (header.format, header.height, header.width, header.dtype) == ("GTiff", 50, 70, dtype)
    np.testing.assert_array_equal(read_raster(path, slice(11, 43), slice(3, 69))[1].samples, values[:, 11:43, 3:69])


def test_signed_bytes_that_lie_nowhere(tmp_path: Path) -> None:
    """Signed 8 bits are signed also where nothing else tells a raster from a photograph."""
    values = random_values("int8", 1, 8, 8)
    np.testing.assert_array_equal(read_raster(write_values(tmp_path / "a.tif", values))[1].samples, values)


@pytest.mark.parametrize(
    "dtype", ["int32", "uint32", "int64", "uint64", "float64", "complex64", "complex128", "complex_int16"]
)
def test_numbers_beyond_float32(tmp_path: Path, dtype: str) -> None:
    """Types that float32 does not hold are refused by name, with a remedy."""
    path = str(tmp_path / "a.tif")
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype=dtype):
        pass
    error = error_of(path)
    assert error.error_type is ErrorType.UNSUPPORTED
    assert dtype in str(error)
    assert "convert it to" in str(error)


@pytest.mark.parametrize(
    "place",
    [PLACE, from_origin(0, 0, 0.25, -0.5), rasterio.Affine(2, 0.5, 1e6, -0.25, -3, 5e6)],
    ids=["north-up", "south-up", "rotated"],
)
def test_place(tmp_path: Path, place: rasterio.Affine) -> None:
    """System and transform come as they were written, also upside down and rotated."""
    georef = _on_earth(write_values(tmp_path / "a.tif", random_values("uint8", 1, 4, 4), crs=UTM, transform=place))
    assert georef.transform == Transform(*place[:6])
    assert rasterio.CRS.from_wkt(georef.crs) == rasterio.CRS.from_string(UTM)
    assert (georef.point, georef.gcps, georef.rpcs) == (False, (), None)


def test_no_place(tmp_path: Path) -> None:
    """A raster that lies nowhere has no georeference."""
    assert read_raster(write_values(tmp_path / "a.tif", random_values("uint16", 1, 4, 4)))[0].georef is None


def test_coordinates_of_pixel_centres(tmp_path: Path) -> None:
    """In a PixelIsPoint file the tie point is a centre; the transform is of corners all the same."""
    doubles = {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0])}
    for raster_type, corner in ((1, (1000.0, 2000.0)), (2, (995.0, 2010.0))):
        keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, raster_type, 3072, 0, 1, 32618]
        tags: dict[int, Any] = {**plain_tags(4, 4, 16), **doubles, 34735: (3, keys)}
        path = tmp_path / "a.tif"
        path.write_bytes(tiff(tags, bytes(32)))
        georef = _on_earth(str(path))
        assert georef.point == (raster_type == 2)
        assert georef.transform == Transform(10.0, 0.0, corner[0], 0.0, -20.0, corner[1])


def test_ground_control_points(tmp_path: Path) -> None:
    """Points of the picture and of the ground come with their system; there is no transform then."""
    points = [GroundControlPoint(r, c, 500.0 + c, 900.0 - r, 7.0, id=f"p{r}{c}") for r in (0, 3) for c in (0.5, 4)]
    path = write_values(tmp_path / "a.tif", random_values("uint8", 1, 4, 4))
    georef = _on_earth(edited(path, lambda raster: setattr(raster, "gcps", (points, rasterio.CRS.from_epsg(32618)))))
    assert [(p.row, p.column, p.x, p.y, p.z) for p in georef.gcps] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
    assert georef.transform is None
    assert georef.crs is None
    assert rasterio.CRS.from_wkt(georef.gcps_crs) == rasterio.CRS.from_epsg(32618)
    back = from_gcps([GroundControlPoint(p.row, p.column, p.x, p.y) for p in georef.gcps])
    assert back.almost_equals(rasterio.Affine(1, 0, 500, 0, -1, 900))


def test_rational_polynomials(tmp_path: Path) -> None:
    """RPCs come under GDAL's names with all their numbers."""
    rpc = RPC(10, 2, 30, 1, [0.5] * 20, [0.25] * 20, 100, 50, 20, 3, [0.125] * 20, [1.5] * 20, 200, 100, 1, 1)
    path = edited(
        write_values(tmp_path / "a.tif", random_values("uint8", 1, 4, 4)), lambda raster: setattr(raster, "rpcs", rpc)
    )
    rpcs = _on_earth(path).rpcs
    assert rpcs is not None
    assert (float(rpcs["HEIGHT_OFF"]), float(rpcs["LINE_SCALE"])) == (rpc.height_off, rpc.line_scale)
    assert [float(number) for number in rpcs["LINE_NUM_COEFF"].split()] == rpc.line_num_coeff


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("uint8", 0), ("uint8", 255), ("int16", -9999), ("float32", -9999.5), ("float32", math.nan), ("float32", -3.4e38)],
)
def test_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    """The value that means nothing comes as pixels of the band's type have it, and no mask is made of it."""
    values = random_values(dtype, 3, 4, 4)
    values[:, 1, 1] = nodata
    header, pixels = read_raster(write_values(tmp_path / "a.tif", values, nodata=nodata, crs=UTM, transform=PLACE))
    assert header.nodata is not None
    np.testing.assert_array_equal(pixels.samples[:, 1, 1], np.full(3, header.nodata, dtype))
    assert not header.mask
    assert header.notes == ()


@pytest.mark.parametrize(("bits", "text"), [(8, b"-10000\0"), (8, b"nan\0"), (8, b"0.5\0"), (16, b"70000\0")])
def test_nodata_that_cannot_occur(tmp_path: Path, bits: int, text: bytes) -> None:
    """A nodata value that no pixel can have is none, and the notes say so."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff({**plain_tags(4, 4, bits), 42113: (2, text)}, bytes(2 * bits)))
    header, _ = read_raster(str(path))
    assert header.nodata is None
    assert [str(bits) in note and "cannot occur" in note for note in header.notes] == [True]


@pytest.mark.parametrize(("name", "notes"), [("a bärn", 0), ("a b\udce4rn", 1)], ids=["UTF-8", "Latin-1"])
def test_the_name_of_a_document(tmp_path: Path, name: str, notes: int) -> None:
    """It is carried among the tags if it is in UTF-8, and else it is told."""
    path, data = tmp_path / "a.tif", name.encode(errors="surrogateescape") + b"\0"
    path.write_bytes(tiff({**plain_tags(4, 4, 16), 269: (2, data)}, bytes(32)))
    header, _ = read_raster(str(path))
    assert header.tags == (None if notes else {"TIFFTAG_DOCUMENTNAME": name})
    assert header.notes == ("its TIFF tags DocumentName are not carried over",) * notes


def test_internal_mask(tmp_path: Path) -> None:
    """A mask inside the file comes with the pixels; nodata, alpha and overviews are no masks and no pages."""
    values, shown = random_values("uint8", 3, 64, 64), RNG.integers(0, 2, (64, 64)).astype(bool)
    path = write_values(tmp_path / "a.tif", values, crs=UTM, transform=PLACE, photometric="rgb")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(shown)
        dataset.build_overviews([2, 4])
    assert not Path(f"{path}.msk").exists()
    header, pixels = read_raster(path, slice(5, 40), slice(7, 64))
    assert (header.mask, header.mask_of_nodata) == (True, False)
    assert header.notes == ()
    np.testing.assert_array_equal(pixels.mask, shown[5:40, 7:64])
    np.testing.assert_array_equal(pixels.samples, values[:, 5:40, 7:64])


def test_alpha_is_last(tmp_path: Path) -> None:
    """Alpha is a band, not a mask, and comes last wherever it stands in the file."""
    values = random_values("uint16", 4, 5, 6)
    path = write_values(tmp_path / "a.tif", values, crs=UTM, transform=PLACE, photometric="rgb", alpha="yes")
    header, pixels = read_raster(path)
    assert (header.colours, header.mask, header.notes) == (("red", "green", "blue", "alpha"), False, ())
    np.testing.assert_array_equal(pixels.samples, values)
    colours = [ColorInterp.gray, ColorInterp.alpha, ColorInterp.undefined]
    path = write_values(tmp_path / "b.tif", values[:3], crs=UTM, transform=PLACE)
    header, pixels = read_raster(edited(path, lambda raster: setattr(raster, "colorinterp", colours)))
    assert header.colours == ("gray", "undefined", "alpha")
    np.testing.assert_array_equal(pixels.samples, values[[0, 2, 1]])
    assert ["number 2" in note for note in header.notes] == [True]


def test_premultiplied_alpha_is_divided_out(tmp_path: Path) -> None:
    """16-bit colours that were multiplied by alpha come as they were before; where alpha is 0 they are 0."""
    alpha = np.array([65535, 32768, 1, 0], np.uint16)
    plain = np.array([[60000, 50000, 65535, 0], [1, 40000, 65535, 0], [0, 3, 65535, 0]], np.uint16)
    stored = np.round(plain.astype(float) * alpha / 65535).astype(np.uint16)
    data = np.stack([*stored, alpha], -1).astype("<u2").tobytes()
    tags = {**plain_tags(4, 1, 16, bands=4), 338: (3, 1)}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, data))
    header, pixels = read_raster(str(path))
    assert header.has_alpha
    assert np.abs(pixels.samples[:3, 0].astype(int) - plain).max() <= 1
    np.testing.assert_array_equal(pixels.samples[3, 0], alpha)


@pytest.mark.parametrize("bits", [8, 16])
def test_alpha_of_gray_whose_0_is_white(tmp_path: Path, bits: int) -> None:
    """The gray comes as it looks, divided by alpha first if it was multiplied by it; alpha stays as it is."""
    white = 2**bits - 1
    tags = plain_tags(3, 1, bits, bands=2, photometric=0)
    path = tmp_path / "a.tif"
    for meaning, stored, gray in ((2, 60, white - 60), (1, 60, white - 150)):
        data = np.array([[stored, white * 2 // 5], [7, white], [0, 0]], f"<u{bits // 8}").tobytes()
        path.write_bytes(tiff({**tags, 338: (3, meaning)}, data))
        header, pixels = read_raster(str(path))
        assert header.colours == ("gray", "alpha")
        assert pixels.samples.tolist() == [[[gray, white - 7, white]], [[white * 2 // 5, white, 0]]]


def test_what_bands_mean(tmp_path: Path) -> None:
    """Names, scales, offsets, units and tags come; statistics, which hold of these pixels only, do not."""

    def describe(raster: Any) -> None:
        raster.descriptions = ("near infrared", None)
        raster.scales, raster.offsets, raster.units = (0.0001, 2.0), (-0.1, 0.0), ("W/m2", None)
        raster.update_tags(ACQUIRED="2020-01-06")
        raster.update_tags(1, WAVELENGTH="842", STATISTICS_MEAN="7")

    path = write_values(tmp_path / "a.tif", random_values("uint16", 2, 4, 4), crs=UTM, transform=PLACE)
    header, _ = read_raster(edited(path, describe))
    first, second = header.bands
    assert (first.description, first.scale, first.offset, first.unit) == ("near infrared", 0.0001, -0.1, "W/m2")
    assert (second.description, second.scale, second.offset) == (None, 2.0, 0.0)
    assert (first.tags, second.tags) == ({"WAVELENGTH": "842"}, None)
    assert header.tags == {"ACQUIRED": "2020-01-06"}


_PLACED: dict[int, Any] = {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0])}


def test_texts_in_latin_1_cost_no_place(tmp_path: Path) -> None:
    """Names and units of bands that are not in UTF-8 are left out, and the notes name them; all else comes."""
    items = """<Item name="DESCRIPTION" sample="0" role="description">Gr\xfcn</Item>
    <Item sample="0" name="UNITTYPE" role="unittype">\xb5m</Item>
    <Item name="SCALE" sample="0" role="scale">0.5</Item>
    <Item name="Author">M\xfcller</Item> <Item name="SENSOR">x</Item>"""
    metadata = f"<GDALMetadata>{items}</GDALMetadata>\0".encode("latin-1")
    tags = {**plain_tags(4, 4, 8), **_PLACED, 42112: (2, metadata), 42113: (2, b"7\0")}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, bytes(range(16))))
    header, _ = read_raster(str(path))
    assert header.georef == Georef(transform=Transform(10.0, 0.0, 1000.0, 0.0, -20.0, 2000.0))
    assert (header.nodata, header.tags, header.bands) == (7, {"SENSOR": "x"}, (Band("gray", scale=0.5),))
    lost = "its GDAL metadata Author, DESCRIPTION, UNITTYPE, not all of it in UTF-8, is not carried over"
    assert header.notes == (lost,)


def test_a_coordinate_system_in_latin_1(tmp_path: Path) -> None:
    """If only its name tells what it is, a raster that would lose its place is refused, and the remedy is told."""
    keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 1026, 34737, 6, 0]
    tags = {**plain_tags(4, 4, 8), **_PLACED, 34735: (3, keys), 34737: (2, "über a|\0".encode("latin-1"))}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, bytes(16)))
    error = error_of(str(path))
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "-a_srs" in str(error)


def test_a_raster_is_never_read_as_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where GDAL cannot open it, Pillow, which knows neither its place nor what its numbers mean, is not asked."""
    values = random_values("uint8", 1, 16, 16)
    placed = write_values(tmp_path / "placed.tif", values, crs=UTM, transform=PLACE)
    measured = write_values(tmp_path / "measured.tif", values, nodata=7)
    masked = write_values(tmp_path / "masked.tif", values)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as dataset:
        dataset.write_mask(values[0] > 7)
    plain = write_values(tmp_path / "plain.tif", values)

    def refuse(*_: Any, **__: Any) -> None:
        raise rasterio.errors.RasterioIOError("cannot be read")

    monkeypatch.setattr(rasterio, "open", refuse)
    for path in (placed, measured, masked):
        error = error_of(path)
        assert error.error_type is ErrorType.CORRUPT
        assert "cannot be read" in str(error)
    np.testing.assert_array_equal(read_raster(plain)[1].samples, values)


def test_a_palette_that_pillow_would_misread(tmp_path: Path) -> None:
    """One of which parts are not in the file is refused; the mask of one is not read, and the notes say so."""
    path = tmp_path / "sparse.tif"
    shape = {"height": 64, "width": 16, "count": 1, "dtype": "uint8", "photometric": "palette", "blockysize": 16}
    with rasterio.open(path, "w", driver="GTiff", **shape, sparse_ok=True) as raster:
        raster.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
        raster.write(np.ones((1, 16, 16), np.uint8), window=((16, 32), (0, 16)))
    error = error_of(str(path))
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "convert it to RGB" in str(error)
    values = random_values("uint8", 1, 4, 4) % 2
    masked = write_values(tmp_path / "masked.tif", values, photometric="palette")
    edited(masked, lambda raster: raster.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)}))
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(masked, "r+") as dataset:
        dataset.write_mask(values[0] > 0)
    assert read_raster(masked)[0].notes == ("its mask, beside the palette, is not carried over",)


@pytest.mark.parametrize(("bands", "photometric"), [(1, "MINISBLACK"), (2, "MINISBLACK"), (3, "RGB"), (4, "RGB")])
def test_large_pictures_are_read_by_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bands: int, photometric: str
) -> None:
    """With alpha or without; Pillow would have to decode them whole."""
    alpha = {"alpha": "YES"} if bands in (2, 4) else {}
    values = random_values("uint8", bands, 24, 32)
    path = write_values(tmp_path / "a.tif", values, photometric=photometric, **alpha)
    formats = []
    for large in (10**9, 10):
        monkeypatch.setattr(routing, "_LARGE", large)
        header, pixels = read_raster(path)
        formats.append(header.format)
        np.testing.assert_array_equal(pixels.samples, values)
    assert formats == ["TIFF", "GTiff"]


def test_ends_of_other_pixels_are_not_carried(tmp_path: Path) -> None:
    """Least and largest sample of the input, which a result may go beyond; the notes say so."""
    path = write_values(tmp_path / "a.tif", random_values("uint16", 1, 4, 4), crs=UTM, transform=PLACE)
    edited(path, lambda raster: raster.update_tags(TIFFTAG_MINSAMPLEVALUE="3", TIFFTAG_MAXSAMPLEVALUE="9"))
    header, _ = read_raster(path)
    assert [name for name in header.tags or {} if "SAMPLEVALUE" in name] == []
    assert header.notes == ("its TIFF tags MinSampleValue, MaxSampleValue are not carried over",)


def test_further_metadata_is_told(tmp_path: Path) -> None:
    """Metadata of domains that are not carried is named in the notes."""
    path = write_values(tmp_path / "a.tif", random_values("uint16", 1, 4, 4), crs=UTM, transform=PLACE)
    header, _ = read_raster(edited(path, lambda raster: raster.update_tags(ns="SENSOR", a="b")))
    assert header.notes == ("its metadata of the domains SENSOR is not carried over",)
    header, _ = read_raster(edited(path, lambda raster: raster.update_tags(1, ns="IMAGERY", a="b")))
    assert header.notes == ("its metadata of the domains IMAGERY, SENSOR is not carried over",)


def test_tags_that_are_not_carried_are_told(tmp_path: Path) -> None:
    """Tags of TIFF that GDAL makes nothing of are named, and so is the epoch of coordinates."""
    keys = [1, 1, 1, 2, 1024, 0, 1, 2, 5120, 34736, 1, 0]
    place = {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0]), 34735: (3, keys)}
    tags = {
        **plain_tags(7, 5, 16),
        **place,
        34736: (12, [2021.5]),
        285: (2, b"page\0"),
        305: (2, b"me\0"),
        65001: (3, 1),
    }
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, random_values("uint16", 1, 5, 7).tobytes()))
    header, _ = read_raster(str(path))
    assert header.notes == (
        "the epoch of its coordinates is not carried over",
        "its TIFF tags PageName, 65001 are not carried over",
    )
    assert header.tags is not None
    assert header.tags["TIFFTAG_SOFTWARE"] == "me"


def test_classes_are_not_enlarged(tmp_path: Path) -> None:
    """A palette on Earth is a map of classes and refused; one that lies nowhere is a picture."""
    path = write_values(tmp_path / "a.tif", random_values("uint8", 1, 4, 4) % 4, crs=UTM, transform=PLACE)
    colours = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 255, 0, 255), 3: (0, 0, 255, 255)}
    error = error_of(edited(path, lambda raster: raster.write_colormap(1, colours)))
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "nearest-neighbour" in str(error)
    assert "-expand rgb" in str(error)
    values = random_values("uint8", 1, 4, 4) % 4
    path = write_values(tmp_path / "b.tif", values, photometric="palette")
    header, pixels = read_raster(edited(path, lambda raster: raster.write_colormap(1, colours)))
    assert (header.colours, header.notes) == (("red", "green", "blue"), ())
    np.testing.assert_array_equal(pixels.samples[0], (values[0] == 1) * np.uint8(255))


def test_what_gdal_says_beside_a_palette_is_told(tmp_path: Path) -> None:
    """Names, units and tags of a picture that Pillow reads."""
    path = write_values(tmp_path / "a.tif", random_values("uint8", 1, 4, 4) % 2, photometric="palette")
    edited(path, lambda raster: raster.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)}))
    edited(path, lambda raster: raster.set_band_description(1, "wet"))
    assert read_raster(path)[0].notes == ("its GDAL metadata, beside the palette, is not carried over",)


def test_nothing_beside_the_file_counts(tmp_path: Path) -> None:
    """World files, masks and metadata that lie beside a file are not looked at: a picture is one file."""
    values = random_values("uint16", 1, 8, 8)
    path = write_values(tmp_path / "a.tif", values)
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n1000\n2000\n")
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:32618</SRS></PAMDataset>")
    write_values(tmp_path / "a.tif.msk", np.zeros((1, 8, 8), np.uint8))
    header, _ = read_raster(path)
    assert header.georef is None
    assert not header.mask


def test_only_the_window_is_read(tmp_path: Path) -> None:
    """Damage in one tile spoils the windows that touch it, and no others: no more is read than that."""
    values = random_values("uint16", 1, 64, 64)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "crs": UTM}
    path = Path(write_values(tmp_path / "a.tif", values, transform=PLACE, **layout))
    whole = path.read_bytes()
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_3_3", "TIFF", bidx=1))
    path.write_bytes(whole[:offset] + b"\xff" * 100 + whole[offset + 100 :])
    image = open_file(str(path), FileLimits())
    np.testing.assert_array_equal(image.window(slice(0, 48), slice(0, 64)).samples, values[:, :48])
    with pytest.raises(ImageError) as caught:
        image.window(slice(40, 64), slice(40, 64))
    assert caught.value.error_type is ErrorType.CORRUPT


@pytest.mark.parametrize("part", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("compress", ["none", "deflate", "lzw", "zstd", "jpeg"])
def test_truncated(tmp_path: Path, compress: str, dtype: str, part: float) -> None:
    """A raster of which the end is missing is corrupt, not half black."""
    if compress == "jpeg" and dtype != "uint8":
        return
    values = random_values(dtype, 3, 40, 40)
    place = {"crs": UTM, "transform": PLACE, "COPY_SRC_OVERVIEWS": "NO"}
    path = Path(write_values(tmp_path / "a.tif", values, compress=compress, interleave="pixel", **place))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    error = error_of(str(path))
    assert error.error_type is ErrorType.CORRUPT
    assert str(error).endswith("replace it")


def test_limits(tmp_path: Path) -> None:
    """Pixels, bands, and blocks that are too large to decode at once are refused by the header, with numbers."""
    path = write_values(
        tmp_path / "a.tif", random_values("uint16", 3, 16, 32), interleave="pixel", compress="deflate", blockysize=16
    )
    assert open_file(path, FileLimits(pixels=512, bands=3, bytes_at_once=3 * 512 * 2)).header.width == 32
    for limits, words in (
        (FileLimits(pixels=511), "--max-pixels"),
        (FileLimits(bands=2), "3 bands, more than 2"),
        (FileLimits(bytes_at_once=3 * 512 * 2 - 1), "3072 bytes"),
    ):
        error = error_of(path, limits)
        assert error.error_type is ErrorType.TOO_LARGE
        assert words in str(error)


def test_huge_and_sparse(tmp_path: Path) -> None:
    """A raster far larger than memory is opened and read by windows."""
    path = str(tmp_path / "a.tif")
    sizes = {"width": 60_000, "height": 60_000, "count": 3, "dtype": "uint16", "tiled": True, "SPARSE_OK": True}
    with rasterio.open(path, "w", driver="GTiff", crs=UTM, transform=PLACE, BIGTIFF="YES", **sizes) as dataset:
        dataset.write(np.full((3, 256, 256), 7, np.uint16), window=((59_648, 59_904), (0, 256)))
    image = open_file(path, FileLimits(pixels=60_000**2))
    assert image.window(slice(59_648, 59_658), slice(0, 10)).samples.min() == 7
    assert image.window(slice(0, 10), slice(0, 10)).samples.max() == 0


@pytest.mark.parametrize("compress", [None, "DEFLATE"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("tiled", [False, True])
def test_a_part_that_is_not_in_the_file_is_black(tmp_path: Path, compress: str | None, count: int, tiled: bool) -> None:
    """A plain TIFF of 8 bits, too, which Pillow would read from the beginning of the file instead."""
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16} if tiled else {"blockysize": 16}
    path = tmp_path / "sparse.tif"
    colour = "RGB" if count == 3 else "minisblack"
    shape = {"height": 64, "width": 48, "count": count, "dtype": "uint8", "photometric": colour}
    written = np.random.default_rng(0).integers(1, 256, (count, 16, 48), dtype=np.uint8)
    with rasterio.open(path, "w", driver="GTiff", **shape, **layout, compress=compress, sparse_ok=True) as raster:
        raster.write(written, window=((16, 32), (0, 48)))
    expected = np.zeros((count, 64, 48), np.uint8)
    expected[:, 16:32] = written
    image = open_file(str(path), FileLimits())
    np.testing.assert_array_equal(image.window(slice(0, 64), slice(0, 48)).samples, expected)


def _gdal_items(path: Path, *items: str) -> str:
    """A raster on Earth whose GDAL metadata is these items of XML."""
    metadata = f"<GDALMetadata>{''.join(items)}</GDALMetadata>\0".encode()
    path.write_bytes(tiff({**plain_tags(4, 4, 8), **_PLACED, 42112: (2, metadata)}, bytes(range(16))))
    return str(path)


def test_a_coordinate_system_without_a_transform(tmp_path: Path) -> None:
    """A raster placed by RPCs beside a CRS gets no transform made up: GDAL would believe it instead of the RPCs."""
    rpc = RPC(10, 2, 30, 1, [0.5] * 20, [0.25] * 20, 100, 50, 20, 3, [0.125] * 20, [1.5] * 20, 200, 100, 1, 1)
    path = write_values(tmp_path / "a.tif", random_values("uint8", 1, 4, 4), crs=UTM)
    georef = _on_earth(edited(path, lambda raster: setattr(raster, "rpcs", rpc)))
    assert (georef.transform, georef.crs is None, georef.rpcs is None) == (None, False, False)


def test_nodata_values_of_bands_are_a_mask(tmp_path: Path) -> None:
    """GDAL reports the tag NODATA_VALUES as a mask, which is carried in its place; a result could not hold both."""
    values = np.ones((3, 4, 4), np.uint8)
    values[:, 1, 1] = 0
    path = write_values(tmp_path / "a.tif", values, crs=UTM, transform=PLACE, photometric="rgb")
    header, pixels = read_raster(edited(path, lambda raster: raster.update_tags(NODATA_VALUES="0 0 0")))
    assert (header.mask, header.mask_of_nodata, header.tags) == (True, True, None)
    np.testing.assert_array_equal(pixels.mask, values[0] == 1)
    (tmp_path / "b.tif").write_bytes(encode_tif(pixels.samples, pixels.mask, held(header, Format.TIF)))
    np.testing.assert_array_equal(read_raster(str(tmp_path / "b.tif"))[1].mask, pixels.mask)


@pytest.mark.parametrize(
    "items",
    [{"LINE_OFF": "7"}, {**RPCS, "LINE_SCALE": "abc"}, {**RPCS, "LINE_NUM_COEFF": "1 2"}, {"ns": "x"}],
    ids=["incomplete", "no number", "too few", "foreign"],
)
def test_rational_polynomials_that_are_none(tmp_path: Path, items: dict[str, str]) -> None:
    """They are left out, and the notes say so."""
    domain = (f'<Item name="{name}" domain="RPC">{text}</Item>' for name, text in items.items())
    header, _ = read_raster(_gdal_items(tmp_path / "a.tif", *domain))
    assert header.georef is not None
    assert header.georef.rpcs is None
    assert header.notes == ("its RPCs, which are incomplete or no numbers, are not carried over",)


def test_what_is_foreign_among_rational_polynomials(tmp_path: Path) -> None:
    """Names that are not GDAL's are left out alone."""
    domain = (f'<Item name="{name}" domain="RPC">{text}</Item>' for name, text in {**RPCS, "ns": "x"}.items())
    header, _ = read_raster(_gdal_items(tmp_path / "a.tif", *domain))
    assert header.georef is not None
    assert header.georef.rpcs is not None
    assert header.georef.rpcs.keys() == RPCS.keys()
    assert header.notes == ("its RPC items ns are not carried over",)


@pytest.mark.parametrize("names", [("actual_range", "band#actual_range"), ("ACTUAL_RANGE", "NC_GLOBAL#actual_range")])
def test_the_range_of_other_pixels_is_not_carried(tmp_path: Path, names: tuple[str, str]) -> None:
    """It is a statistic of the input's samples, under whatever name NetCDF gave it."""
    path = write_values(tmp_path / "a.tif", random_values("int16", 1, 4, 4), crs=UTM, transform=PLACE)

    def describe(raster: Any) -> None:
        raster.update_tags(**dict.fromkeys(names, "0, 7"), a="b")
        raster.update_tags(1, **dict.fromkeys(names, "0, 7"), a="b")

    header, _ = read_raster(edited(path, describe))
    assert (header.tags, header.bands[0].tags, header.notes) == ({"a": "b"}, {"a": "b"}, ())


def test_classes_without_a_palette_are_not_enlarged(tmp_path: Path) -> None:
    """A raster that calls itself thematic holds classes as one with a palette does."""
    path = write_values(tmp_path / "a.tif", random_values("uint8", 2, 4, 4), crs=UTM, transform=PLACE)
    assert read_raster(edited(path, lambda raster: raster.update_tags(1, LAYER_TYPE="athematic")))
    error = error_of(edited(path, lambda raster: raster.update_tags(2, LAYER_TYPE="thematic")))
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "holds classes" in str(error)
    assert "nearest-neighbour" in str(error)
