"""Rasters: numbers to the last bit, window by window, and all that files say of where they lie and what they mean."""

import math
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from PIL import Image
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning
from rasterio.rpc import RPC
from rasterio.transform import from_gcps, from_origin

from pipeline.codec import from_json, to_json
from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import FileLimits, Georef, Header, Pixels, Transform
from pipeline.imagery.reading import jp2_boxes
from pipeline.imagery.reading.decoders import open_image
from pipeline.imagery.reading.pillow_files import PillowFile
from pipeline.imagery.reading.routing import open_file

from .picture_bytes import tiff
from .test_pillow_files import TURNS

_RNG = np.random.default_rng(0)
_UTM, _PLACE = "EPSG:32618", from_origin(101985.0, 2826915.0, 300.0, 300.0)

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def _values(dtype: str, *shape: int) -> np.ndarray:
    if dtype == "float32":
        return (_RNG.standard_normal(shape) * 1e4).astype(np.float32)
    limits = np.iinfo(dtype)
    return _RNG.integers(limits.min, limits.max, shape, dtype, endpoint=True)


def _write(path: Path, values: np.ndarray, driver: str = "GTiff", **profile: Any) -> str:
    count, height, width = values.shape
    sizes = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver=driver, **{**sizes, **profile}) as dataset:
            dataset.write(values)
    return str(path)


def _edit(path: str, change: Callable[[Any], object]) -> str:
    with rasterio.open(path, "r+") as dataset:
        change(dataset)
    return path


def _read(path: str, rows: slice | None = None, columns: slice | None = None) -> tuple[Header, Pixels]:
    image = open_file(path, FileLimits())
    header = image.header
    pixels = image.window(rows or slice(0, header.height), columns or slice(0, header.width))
    image.close()
    assert from_json(Header, to_json(header)).bands == header.bands
    assert str(pixels.samples.dtype) == header.dtype
    assert (pixels.mask is not None) == header.mask
    return header, pixels


def _error(path: str, limits: FileLimits | None = None) -> ImageError:
    def read() -> None:
        image = open_file(path, limits or FileLimits())
        image.window(slice(0, image.header.height), slice(0, image.header.width))

    with pytest.raises(ImageError) as caught:
        read()
    return caught.value


def _on_earth(path: str) -> Georef:
    georef = _read(path)[0].georef
    assert georef is not None
    return georef


@pytest.mark.parametrize("bands", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
def test_numbers(tmp_path: Path, dtype: str, bands: int) -> None:
    """Every type that float32 holds comes to the last bit, in any number of bands, whole and by windows."""
    values = _values(dtype, bands, 50, 70)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 32, "compress": "deflate"}
    path = _write(tmp_path / "a.tif", values, crs=_UTM, transform=_PLACE, **layout)
    header, pixels = _read(path)
    np.testing.assert_array_equal(pixels.samples, values)
    assert (header.format, header.height, header.width, header.dtype) == ("GTiff", 50, 70, dtype)
    np.testing.assert_array_equal(_read(path, slice(11, 43), slice(3, 69))[1].samples, values[:, 11:43, 3:69])


def test_signed_bytes_that_lie_nowhere(tmp_path: Path) -> None:
    """Signed 8 bits are signed also where nothing else tells a raster from a photograph."""
    values = _values("int8", 1, 8, 8)
    np.testing.assert_array_equal(_read(_write(tmp_path / "a.tif", values))[1].samples, values)


@pytest.mark.parametrize(
    "dtype", ["int32", "uint32", "int64", "uint64", "float64", "complex64", "complex128", "complex_int16"]
)
def test_numbers_beyond_float32(tmp_path: Path, dtype: str) -> None:
    """Types that float32 does not hold are refused by name, with a remedy."""
    path = str(tmp_path / "a.tif")
    with rasterio.open(path, "w", driver="GTiff", width=4, height=4, count=1, dtype=dtype):
        pass
    error = _error(path)
    assert error.error_type is ErrorType.UNSUPPORTED
    assert dtype in str(error)
    assert "convert it to" in str(error)


@pytest.mark.parametrize(
    "place",
    [_PLACE, from_origin(0, 0, 0.25, -0.5), rasterio.Affine(2, 0.5, 1e6, -0.25, -3, 5e6)],
    ids=["north-up", "south-up", "rotated"],
)
def test_place(tmp_path: Path, place: rasterio.Affine) -> None:
    """System and transform come as they were written, also upside down and rotated."""
    georef = _on_earth(_write(tmp_path / "a.tif", _values("uint8", 1, 4, 4), crs=_UTM, transform=place))
    assert georef.transform == Transform(*place[:6])
    assert rasterio.CRS.from_wkt(georef.crs) == rasterio.CRS.from_string(_UTM)
    assert (georef.point, georef.gcps, georef.rpcs) == (False, (), None)


def test_no_place(tmp_path: Path) -> None:
    """A raster that lies nowhere has no georeference."""
    assert _read(_write(tmp_path / "a.tif", _values("uint16", 1, 4, 4)))[0].georef is None


def test_coordinates_of_pixel_centres(tmp_path: Path) -> None:
    """In a PixelIsPoint file the tie point is a centre; the transform is of corners all the same."""
    doubles = {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0])}
    for raster_type, corner in ((1, (1000.0, 2000.0)), (2, (995.0, 2010.0))):
        keys = [1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, raster_type, 3072, 0, 1, 32618]
        tags: dict[int, Any] = {**_plain(4, 4, 16), **doubles, 34735: (3, keys)}
        path = tmp_path / "a.tif"
        path.write_bytes(tiff(tags, bytes(32)))
        georef = _on_earth(str(path))
        assert georef.point == (raster_type == 2)
        assert georef.transform == Transform(10.0, 0.0, corner[0], 0.0, -20.0, corner[1])


def test_ground_control_points(tmp_path: Path) -> None:
    """Points of the picture and of the ground come with their system; there is no transform then."""
    points = [GroundControlPoint(r, c, 500.0 + c, 900.0 - r, 7.0, id=f"p{r}{c}") for r in (0, 3) for c in (0.5, 4)]
    path = _write(tmp_path / "a.tif", _values("uint8", 1, 4, 4))
    georef = _on_earth(_edit(path, lambda raster: setattr(raster, "gcps", (points, rasterio.CRS.from_epsg(32618)))))
    assert [(p.row, p.column, p.x, p.y, p.z) for p in georef.gcps] == [(p.row, p.col, p.x, p.y, p.z) for p in points]
    assert georef.transform is None
    assert georef.crs is None
    assert rasterio.CRS.from_wkt(georef.gcps_crs) == rasterio.CRS.from_epsg(32618)
    back = from_gcps([GroundControlPoint(p.row, p.column, p.x, p.y) for p in georef.gcps])
    assert back.almost_equals(rasterio.Affine(1, 0, 500, 0, -1, 900))


def test_rational_polynomials(tmp_path: Path) -> None:
    """RPCs come under GDAL's names with all their numbers."""
    rpc = RPC(10, 2, 30, 1, [0.5] * 20, [0.25] * 20, 100, 50, 20, 3, [0.125] * 20, [1.5] * 20, 200, 100, 1, 1)
    path = _edit(_write(tmp_path / "a.tif", _values("uint8", 1, 4, 4)), lambda raster: setattr(raster, "rpcs", rpc))
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
    values = _values(dtype, 3, 4, 4)
    values[:, 1, 1] = nodata
    header, pixels = _read(_write(tmp_path / "a.tif", values, nodata=nodata, crs=_UTM, transform=_PLACE))
    assert header.nodata is not None
    np.testing.assert_array_equal(pixels.samples[:, 1, 1], np.full(3, header.nodata, dtype))
    assert not header.mask
    assert header.notes == ()


@pytest.mark.parametrize(("bits", "text"), [(8, b"-10000\0"), (8, b"nan\0"), (8, b"0.5\0"), (16, b"70000\0")])
def test_nodata_that_cannot_occur(tmp_path: Path, bits: int, text: bytes) -> None:
    """A nodata value that no pixel can have is none, and the notes say so."""
    path = tmp_path / "a.tif"
    path.write_bytes(tiff({**_plain(4, 4, bits), 42113: (2, text)}, bytes(2 * bits)))
    header, _ = _read(str(path))
    assert header.nodata is None
    assert [str(bits) in note and "cannot occur" in note for note in header.notes] == [True]


def test_internal_mask(tmp_path: Path) -> None:
    """A mask inside the file comes with the pixels; nodata, alpha and overviews are no masks and no pages."""
    values, shown = _values("uint8", 3, 64, 64), _RNG.integers(0, 2, (64, 64)).astype(bool)
    path = _write(tmp_path / "a.tif", values, crs=_UTM, transform=_PLACE, photometric="rgb")
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(shown)
        dataset.build_overviews([2, 4])
    assert not Path(f"{path}.msk").exists()
    header, pixels = _read(path, slice(5, 40), slice(7, 64))
    assert header.mask
    assert header.notes == ()
    np.testing.assert_array_equal(pixels.mask, shown[5:40, 7:64])
    np.testing.assert_array_equal(pixels.samples, values[:, 5:40, 7:64])


def test_alpha_is_last(tmp_path: Path) -> None:
    """Alpha is a band, not a mask, and comes last wherever it stands in the file."""
    values = _values("uint16", 4, 5, 6)
    path = _write(tmp_path / "a.tif", values, crs=_UTM, transform=_PLACE, photometric="rgb", alpha="yes")
    header, pixels = _read(path)
    assert (header.colours, header.mask, header.notes) == (("red", "green", "blue", "alpha"), False, ())
    np.testing.assert_array_equal(pixels.samples, values)
    colours = [ColorInterp.gray, ColorInterp.alpha, ColorInterp.undefined]
    path = _write(tmp_path / "b.tif", values[:3], crs=_UTM, transform=_PLACE)
    header, pixels = _read(_edit(path, lambda raster: setattr(raster, "colorinterp", colours)))
    assert header.colours == ("gray", "undefined", "alpha")
    np.testing.assert_array_equal(pixels.samples, values[[0, 2, 1]])
    assert ["number 2" in note for note in header.notes] == [True]


def test_premultiplied_alpha_is_divided_out(tmp_path: Path) -> None:
    """16-bit colours that were multiplied by alpha come as they were before; where alpha is 0 they are 0."""
    alpha = np.array([65535, 32768, 1, 0], np.uint16)
    plain = np.array([[60000, 50000, 65535, 0], [1, 40000, 65535, 0], [0, 3, 65535, 0]], np.uint16)
    stored = np.round(plain.astype(float) * alpha / 65535).astype(np.uint16)
    data = np.stack([*stored, alpha], -1).astype("<u2").tobytes()
    tags = {**_plain(4, 1, 16, bands=4), 338: (3, 1)}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, data))
    header, pixels = _read(str(path))
    assert header.has_alpha
    assert np.abs(pixels.samples[:3, 0].astype(int) - plain).max() <= 1
    np.testing.assert_array_equal(pixels.samples[3, 0], alpha)


def test_what_bands_mean(tmp_path: Path) -> None:
    """Names, scales, offsets, units and tags come; statistics, which hold of these pixels only, do not."""

    def describe(raster: Any) -> None:
        raster.descriptions = ("near infrared", None)
        raster.scales, raster.offsets, raster.units = (0.0001, 2.0), (-0.1, 0.0), ("W/m2", None)
        raster.update_tags(ACQUIRED="2020-01-06")
        raster.update_tags(1, WAVELENGTH="842", STATISTICS_MEAN="7")

    path = _write(tmp_path / "a.tif", _values("uint16", 2, 4, 4), crs=_UTM, transform=_PLACE)
    header, _ = _read(_edit(path, describe))
    first, second = header.bands
    assert (first.description, first.scale, first.offset, first.unit) == ("near infrared", 0.0001, -0.1, "W/m2")
    assert (second.description, second.scale, second.offset) == (None, 2.0, 0.0)
    assert (first.tags, second.tags) == ({"WAVELENGTH": "842"}, None)
    assert header.tags == {"ACQUIRED": "2020-01-06"}


def test_further_metadata_is_told(tmp_path: Path) -> None:
    """Metadata of domains that are not carried is named in the notes."""
    path = _write(tmp_path / "a.tif", _values("uint16", 1, 4, 4), crs=_UTM, transform=_PLACE)
    header, _ = _read(_edit(path, lambda raster: raster.update_tags(ns="SENSOR", a="b")))
    assert header.notes == ("its metadata of the domains SENSOR is not carried over",)
    header, _ = _read(_edit(path, lambda raster: raster.update_tags(1, ns="IMAGERY", a="b")))
    assert header.notes == ("its metadata of the domains IMAGERY, SENSOR is not carried over",)


def test_tags_that_are_not_carried_are_told(tmp_path: Path) -> None:
    """Tags of TIFF that GDAL makes nothing of are named, and so is the epoch of coordinates."""
    keys = [1, 1, 1, 2, 1024, 0, 1, 2, 5120, 34736, 1, 0]
    place = {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0]), 34735: (3, keys)}
    tags = {**_plain(7, 5, 16), **place, 34736: (12, [2021.5]), 285: (2, b"page\0"), 305: (2, b"me\0"), 65001: (3, 1)}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, _values("uint16", 1, 5, 7).tobytes()))
    header, _ = _read(str(path))
    assert header.notes == (
        "the epoch of its coordinates is not carried over",
        "its TIFF tags PageName, 65001 are not carried over",
    )
    assert header.tags is not None
    assert header.tags["TIFFTAG_SOFTWARE"] == "me"


def test_exif_of_jpeg_2000_is_told(tmp_path: Path) -> None:
    """In the box that programs use for it."""
    path = Path(_write(tmp_path / "a.jp2", _values("uint8", 3, 16, 16), "JP2OpenJPEG"))
    assert _read(str(path))[0].notes == ()
    content = b"uuidJpgTiffExif->JP2" + b"II*\0"
    with path.open("ab") as file:
        file.write((4 + len(content)).to_bytes(4, "big") + content)
    assert _read(str(path))[0].notes == ("its EXIF data, in a box of JPEG 2000, is not carried over",)


def test_classes_are_not_enlarged(tmp_path: Path) -> None:
    """A palette on Earth is a map of classes and refused; one that lies nowhere is a picture."""
    path = _write(tmp_path / "a.tif", _values("uint8", 1, 4, 4) % 4, crs=_UTM, transform=_PLACE)
    colours = {0: (0, 0, 0, 255), 1: (255, 0, 0, 255), 2: (0, 255, 0, 255), 3: (0, 0, 255, 255)}
    error = _error(_edit(path, lambda raster: raster.write_colormap(1, colours)))
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "nearest-neighbour" in str(error)
    values = _values("uint8", 1, 4, 4) % 4
    path = _write(tmp_path / "b.tif", values, photometric="palette")
    header, pixels = _read(_edit(path, lambda raster: raster.write_colormap(1, colours)))
    assert header.colours == ("red", "green", "blue")
    np.testing.assert_array_equal(pixels.samples[0], (values[0] == 1) * np.uint8(255))


def test_inks(tmp_path: Path) -> None:
    """Inks stay inks; where GDAL would turn them to RGB on its own, they are refused."""
    place = {"crs": _UTM, "transform": _PLACE, "photometric": "CMYK"}
    values = _values("uint16", 4, 4, 4)
    header, pixels = _read(_write(tmp_path / "a.tif", values, **place))
    assert header.colours == ("cyan", "magenta", "yellow", "black")
    np.testing.assert_array_equal(pixels.samples, values)
    error = _error(_write(tmp_path / "b.tif", _values("uint8", 4, 4, 4), **place))
    assert (error.error_type, "CMYK" in str(error)) == (ErrorType.UNSUPPORTED, True)


def _plain(width: int, height: int, bits: int, bands: int = 1, photometric: int | None = None) -> dict[int, Any]:
    """Tags of an uncompressed TIFF."""
    photometric = (2 if bands >= 3 else 1) if photometric is None else photometric
    tags: dict[int, Any] = {256: (4, width), 257: (4, height), 258: (3, [bits] * bands), 259: (3, 1)}
    return {**tags, 262: (3, photometric), 277: (3, bands), 278: (4, height)}


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation(tmp_path: Path, orientation: int) -> None:
    """A deep picture that lies nowhere is turned as its tag says, in windows, too; a raster on Earth never is."""
    values = _values("uint16", 1, 5, 7)
    tags = {**_plain(7, 5, 16), 274: (3, orientation)}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, values.astype("<u2").tobytes()))
    upright = TURNS[orientation](values[0][..., None])[..., 0]
    header, pixels = _read(str(path))
    assert (header.height, header.width) == upright.shape
    np.testing.assert_array_equal(pixels.samples[0], upright)
    np.testing.assert_array_equal(_read(str(path), slice(1, 4), slice(2, 5))[1].samples[0], upright[1:4, 2:5])
    tags |= {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0])}
    path.write_bytes(tiff(tags, values.astype("<u2").tobytes()))
    header, pixels = _read(str(path))
    np.testing.assert_array_equal(pixels.samples, values)
    assert len(header.notes) == (orientation != 1)


@pytest.mark.parametrize("white", [0, 1])
def test_one_bit(tmp_path: Path, white: int) -> None:
    """One bit becomes 0 and 255 as it looks, on Earth too."""
    photometric = "MINISBLACK" if white else "MINISWHITE"
    values = _values("uint8", 1, 4, 9) % 2
    path = _write(tmp_path / "a.tif", values, nbits=1, crs=_UTM, transform=_PLACE, photometric=photometric)
    header, pixels = _read(path)
    assert (header.colours, header.notes) == (("gray",), ())
    np.testing.assert_array_equal(pixels.samples, 255 * (values == white))


def _packed(values: np.ndarray, bits: int) -> bytes:
    """(h, w) of so many bits each, rows of whole bytes."""
    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return b"".join(np.packbits(row).tobytes() for row in planes.reshape(len(values), -1))


@pytest.mark.parametrize("bits", [2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("white_is_0", [True, False])
def test_gray_as_it_looks(tmp_path: Path, bits: int, white_is_0: bool) -> None:
    """A picture that lies nowhere comes as it looks, whichever end is white; 2 and 4 bits become 8."""
    dtype = "uint8" if bits <= 8 else "uint16"
    values = _values(dtype, 4, 9) & (2**bits - 1)
    values[0, 0] = 1
    tags = {**_plain(9, 4, bits, photometric=int(not white_is_0)), 42113: (2, b"1\0")}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, _packed(values, bits) if bits < 16 else values.tobytes()))
    header, pixels = _read(str(path))
    stretch = {2: 85, 4: 17}.get(bits, 1)
    looks = stretch * (2**bits - 1 - values if white_is_0 else values)
    np.testing.assert_array_equal(pixels.samples[0], looks)
    assert header.nodata == looks[0, 0]
    assert header.bits == (bits if bits in (6, 10, 12, 14) else None)


@pytest.mark.parametrize(("bits", "stretch"), [(1, 255), (2, 85), (4, 17)])
def test_colours_of_few_bits(tmp_path: Path, bits: int, stretch: int) -> None:
    """They become 8 bits as gray does."""
    values = _values("uint8", 3, 4, 8) & (2**bits - 1)
    header, pixels = _read(_write(tmp_path / "a.tif", values, nbits=bits, photometric="RGB", compress="deflate"))
    np.testing.assert_array_equal(pixels.samples, stretch * values)
    assert (header.bits, header.notes) == (None, ())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_measurements_are_not_turned_over(tmp_path: Path, dtype: str) -> None:
    """Of a raster on Earth the numbers count, as GDAL gives them; that their least one is white is noted."""
    values = _values(dtype, 1, 4, 9)
    path = _write(tmp_path / "a.tif", values, crs=_UTM, transform=_PLACE, photometric="MINISWHITE", nodata=7)
    header, pixels = _read(path)
    np.testing.assert_array_equal(pixels.samples, values)
    assert (header.nodata, header.colours) == (7, ("gray",))
    assert header.notes == ("that its least value is white is not carried over; its numbers are",)


def test_paper_is_turned_with_the_picture(tmp_path: Path) -> None:
    """Of a picture that lay on its side the resolutions across and down change places."""
    values = _values("uint16", 1, 5, 7)
    tags = {**_plain(7, 5, 16), 282: (5, [204, 1]), 283: (5, [98, 1]), 296: (3, 2)}
    for orientation, dpi in ((1, (204, 98)), (3, (204, 98)), (6, (98, 204))):
        path = tmp_path / "a.tif"
        path.write_bytes(tiff({**tags, 274: (3, orientation)}, values.astype("<u2").tobytes()))
        assert _read(str(path))[0].dpi == dpi


@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 4), ("uint16", 12)])
def test_odd_depths(tmp_path: Path, dtype: str, bits: int) -> None:
    """Numbers of fewer bits than their type are kept as they are, and the notes say how many bits."""
    values = _values(dtype, 1, 4, 8) % 2**bits
    header, pixels = _read(_write(tmp_path / "a.tif", values, nbits=bits, crs=_UTM, transform=_PLACE))
    np.testing.assert_array_equal(pixels.samples, values)
    assert header.notes == (f"its {bits}-bit values are kept as they are in {dtype}",)


def test_jpeg_in_tiff_is_rgb(tmp_path: Path) -> None:
    """What is stored as luma and chroma comes as red, green and blue."""
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    values = np.stack([ramp, 255 - ramp, ramp // 2])
    jpeg = {"compress": "jpeg", "photometric": "ycbcr", "JPEG_QUALITY": 95}
    header, pixels = _read(_write(tmp_path / "a.tif", values, crs=_UTM, transform=_PLACE, **jpeg))
    assert header.colours == ("red", "green", "blue")
    assert np.abs(pixels.samples.astype(int) - values).mean() < 4


def test_tags_of_tiff(tmp_path: Path) -> None:
    """Profile, XMP, resolution and EXIF come from a raster's tags."""
    xmp = b'<a tiff:Orientation="3"/>'
    tags = {**_plain(2, 2, 16), 34675: (7, b"profile"), 700: (1, xmp), 271: (2, b"maker\0")}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, bytes(8)))
    header, _ = _read(str(path))
    assert (header.icc_profile, header.xmp) == (b"profile", xmp)
    assert header.exif is not None
    assert b"maker" in header.exif
    path = Path(_write(tmp_path / "b.tif", _values("uint16", 1, 4, 4)))
    resolution = {"TIFFTAG_XRESOLUTION": 100, "TIFFTAG_YRESOLUTION": 50, "TIFFTAG_RESOLUTIONUNIT": 3}
    header, _ = _read(_edit(str(path), lambda raster: raster.update_tags(**resolution)))
    assert header.dpi == pytest.approx((254, 127))
    assert header.tags is None


def test_further_pages_are_told(tmp_path: Path) -> None:
    """Of several rasters in one file the first is done, and the notes tell how many there are."""
    path = _write(tmp_path / "a.tif", _values("uint16", 1, 4, 4))
    _write(Path(path), _values("uint16", 1, 4, 4), append_subdataset="YES")
    assert _read(path)[0].notes == ("the file holds 2 pictures; only the first is done",)


def test_nothing_beside_the_file_counts(tmp_path: Path) -> None:
    """World files, masks and metadata that lie beside a file are not looked at: a picture is one file."""
    values = _values("uint16", 1, 8, 8)
    path = _write(tmp_path / "a.tif", values)
    (tmp_path / "a.tfw").write_text("10\n0\n0\n-10\n1000\n2000\n")
    (tmp_path / "a.tif.aux.xml").write_text("<PAMDataset><SRS>EPSG:32618</SRS></PAMDataset>")
    _write(tmp_path / "a.tif.msk", np.zeros((1, 8, 8), np.uint8))
    header, _ = _read(path)
    assert header.georef is None
    assert not header.mask


def test_only_the_window_is_read(tmp_path: Path) -> None:
    """Damage in one tile spoils the windows that touch it, and no others: no more is read than that."""
    values = _values("uint16", 1, 64, 64)
    layout = {"tiled": True, "blockxsize": 16, "blockysize": 16, "compress": "deflate", "crs": _UTM}
    path = Path(_write(tmp_path / "a.tif", values, transform=_PLACE, **layout))
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
    values = _values(dtype, 3, 40, 40)
    place = {"crs": _UTM, "transform": _PLACE, "COPY_SRC_OVERVIEWS": "NO"}
    path = Path(_write(tmp_path / "a.tif", values, compress=compress, interleave="pixel", **place))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    error = _error(str(path))
    assert error.error_type is ErrorType.CORRUPT
    assert str(error).endswith("replace it")


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_jpeg_2000(tmp_path: Path, dtype: str) -> None:
    """A lossless JPEG 2000 comes to the last bit with its place, and its end must be there."""
    values = _values(dtype, 3, 40, 50)
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES", "YCC": "NO"}
    path = _write(tmp_path / "a.jp2", values, "JP2OpenJPEG", crs=_UTM, transform=_PLACE, **lossless)
    for sidecar in tmp_path.glob("*.xml"):
        sidecar.unlink()
    header, pixels = _read(path, slice(3, 30), slice(1, 44))
    np.testing.assert_array_equal(pixels.samples, values[:, 3:30, 1:44])
    assert header.dtype == dtype
    assert header.georef is not None
    assert header.georef.transform == Transform(*_PLACE[:6])
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    assert _error(path).error_type is ErrorType.CORRUPT


def test_profile_of_jpeg_2000(tmp_path: Path) -> None:
    """A colour profile in the header of a JPEG 2000 comes as it is there."""
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES"}
    path = Path(_write(tmp_path / "a.jp2", _values("uint8", 3, 16, 16), "JP2OpenJPEG", **lossless))
    assert _read(str(path))[0].icc_profile is None
    data, profile = path.read_bytes(), b"not really a profile"
    colour, header = data.index(b"colr") - 4, data.index(b"jp2h") - 4
    size, whole = (int.from_bytes(data[start : start + 4], "big") for start in (colour, header))
    box = (11 + len(profile)).to_bytes(4, "big") + b"colr\2\0\0" + profile
    grown = (whole + len(box) - size).to_bytes(4, "big")
    path.write_bytes(data[:header] + grown + data[header + 4 : colour] + box + data[colour + size :])
    assert _read(str(path))[0].icc_profile == profile


@pytest.mark.parametrize("around", [b"jp2h", b"asoc"])
def test_box_without_a_length(tmp_path: Path, around: bytes) -> None:
    """A box of JPEG 2000 in another that says no length, with which GDAL would never end, is damage."""
    path = Path(_write(tmp_path / "a.jp2", _values("uint16", 3, 16, 16), "JP2OpenJPEG", crs=_UTM, transform=_PLACE))
    data = path.read_bytes()
    inside = data.index(around) + len(around)
    path.write_bytes(data[:inside] + bytes(4) + data[inside + 4 :])
    with pytest.raises(ValueError, match="has no length"):
        jp2_boxes.check_lengths(str(path))
    with pytest.raises(ImageError) as caught:
        open_image(str(path), FileLimits(seconds=20))
    assert caught.value.error_type is not ErrorType.DEADLINE


def test_limits(tmp_path: Path) -> None:
    """Pixels, bands, and blocks that are too large to decode at once are refused by the header, with numbers."""
    path = _write(
        tmp_path / "a.tif", _values("uint16", 3, 16, 32), interleave="pixel", compress="deflate", blockysize=16
    )
    assert open_file(path, FileLimits(pixels=512, bands=3, bytes_at_once=3 * 512 * 2)).header.width == 32
    for limits, words in (
        (FileLimits(pixels=511), "--max-pixels"),
        (FileLimits(bands=2), "3 bands, more than 2"),
        (FileLimits(bytes_at_once=3 * 512 * 2 - 1), "3072 bytes"),
    ):
        error = _error(path, limits)
        assert error.error_type is ErrorType.TOO_LARGE
        assert words in str(error)


def test_huge_and_sparse(tmp_path: Path) -> None:
    """A raster far larger than memory is opened and read by windows."""
    path = str(tmp_path / "a.tif")
    sizes = {"width": 60_000, "height": 60_000, "count": 3, "dtype": "uint16", "tiled": True, "SPARSE_OK": True}
    with rasterio.open(path, "w", driver="GTiff", crs=_UTM, transform=_PLACE, BIGTIFF="YES", **sizes) as dataset:
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


# ---- which way up a JPEG 2000 is -------------------------------------------------------------------------------------

_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


def _xmp(orientation: int) -> bytes:
    return f"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="{orientation}" tiff:Make="x"/>
</rdf:RDF></x:xmpmeta>""".encode()


def _exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[274] = orientation
    return exif.tobytes()[6:]


def _box(uuid: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(uuid) + len(content), b"uuid") + uuid + content


@pytest.mark.parametrize("palette", [False, True], ids=["GDAL", "Pillow"])
@pytest.mark.parametrize("said", ["XMP", "EXIF", "both", "EXIF against XMP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_orientation_of_jpeg_2000(tmp_path: Path, orientation: int, said: str, palette: bool) -> None:
    """It is turned once, as EXIF says or else XMP, by either decoder, and its XMP says upright from then on."""
    values = _values("uint8", 3, 20, 28)
    path = tmp_path / "a.jp2"
    Image.fromarray(values.transpose(1, 2, 0)).save(path)  # lossless
    data = path.read_bytes()
    if said != "EXIF":
        data += _box(_XMP_UUID, _xmp(orientation if said != "EXIF against XMP" else 3))
    if said != "XMP":
        data += _box(b"JpgTiffExif->JP2", _exif(orientation))
    path.write_bytes(data)
    image = PillowFile(str(path), "JPEG2000", FileLimits()) if palette else open_file(str(path), FileLimits())
    header = image.header
    turned = TURNS[orientation](values.transpose(1, 2, 0))
    assert (header.height, header.width) == turned.shape[:2]
    for rows, columns in ((slice(0, header.height), slice(0, header.width)), (slice(3, 9), slice(5, 17))):
        samples = image.window(rows, columns).samples.transpose(1, 2, 0)
        np.testing.assert_array_equal(samples, turned[rows, columns])
    image.close()
    assert (header.xmp is None) == (said == "EXIF")
    if header.xmp is not None:
        assert header.xmp == _xmp(1)


def test_orientation_of_a_georeferenced_jpeg_2000(tmp_path: Path) -> None:
    """Its place on Earth says how it lies; the tag stays as it was, and is told."""
    values = _values("uint8", 3, 20, 28)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
    path = Path(_write(tmp_path / "a.jp2", values, "JP2OpenJPEG", crs=_UTM, transform=_PLACE, **lossless))
    path.write_bytes(path.read_bytes() + _box(_XMP_UUID, _xmp(6)))
    header, pixels = _read(str(path))
    np.testing.assert_array_equal(pixels.samples, values)
    assert header.xmp == _xmp(6)
    assert "its orientation tag 6 is ignored, for its georeference says how it lies" in header.notes


@pytest.mark.parametrize(
    "box", [_box(b"JpgTiffExif->JP2", b"II*\0"), _box(b"JpgTiffExif->JP2", b"x"), _box(_XMP_UUID, b"")]
)
def test_broken_orientation_of_jpeg_2000(tmp_path: Path, box: bytes) -> None:
    """What makes no sense turns nothing."""
    values = _values("uint8", 3, 20, 28)
    path = Path(_write(tmp_path / "a.jp2", values, "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES"))
    path.write_bytes(path.read_bytes() + box)
    np.testing.assert_array_equal(_read(str(path))[1].samples, values)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_orientation_of_a_tiff_in_xmp_alone(tmp_path: Path, dtype: str) -> None:
    """Nobody turns such a file, and so its XMP stays as it is; where the tag says it too, both are upright."""
    values = np.arange(16 * 8, dtype=dtype).reshape(16, 8)
    bits = 8 * values.itemsize
    tags: dict[int, tuple[int, Any]] = {
        256: (3, 8),
        257: (3, 16),
        258: (3, bits),
        262: (3, 1),
        277: (3, 1),
        278: (3, 16),
    }
    path = tmp_path / "a.tif"
    path.write_bytes(tiff({**tags, 700: (1, _xmp(6))}, values.tobytes()))
    header, pixels = _read(str(path))
    np.testing.assert_array_equal(pixels.samples[0], values)
    assert header.xmp == _xmp(6)
    path.write_bytes(tiff({**tags, 274: (3, 6), 700: (1, _xmp(6))}, values.tobytes()))
    header, pixels = _read(str(path))
    np.testing.assert_array_equal(pixels.samples[0], np.rot90(values, -1))
    assert header.xmp == _xmp(1)
