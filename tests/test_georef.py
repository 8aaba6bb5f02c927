"""Where an enlarged picture lies: where the picture lay, whichever way the file says it."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.rpc import RPC
from rasterio.transform import Affine, GCPTransformer, RPCTransformer

from pipeline.imagery.header import Band, Georef, GroundPoint, Header, Transform
from pipeline.imagery.writing.georef import enlarged, name_of_crs, part
from pipeline.imagery.writing.png import encode_png

HEIGHT, WIDTH = 70, 90

HEADER = Header("GTiff", HEIGHT, WIDTH, "uint16", (Band("gray"),))

_SIZES = st.floats(1e-9, 1e6)
_PLACES = st.floats(-1e7, 1e7)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    """Rotated, mirrored, south up, of tiny and of huge pixels."""
    across, down, angle = draw(_SIZES), draw(_SIZES) * draw(st.sampled_from([-1, 1])), draw(st.floats(0, math.tau))
    a, b = across * math.cos(angle), -down * math.sin(angle)
    d, e = across * math.sin(angle), down * math.cos(angle)
    return Transform(a, b, draw(_PLACES), d, e, draw(_PLACES))


def _located(georef: Georef) -> Header:
    return replace(HEADER, georef=georef)


def times(scale: int) -> tuple[int, int]:
    """Height and width of the picture, so many times."""
    return scale * HEIGHT, scale * WIDTH


def _affine(header: Header) -> Affine:
    assert header.georef is not None
    assert header.georef.transform is not None
    return Affine(*header.georef.transform)


def _assert_same_place(
    first: Affine, first_place: tuple[float, float], second: Affine, place: tuple[float, float]
) -> None:
    """To 1e-9 of a pixel, or to what float64 can tell of such coordinates."""
    one, other = first @ first_place, second @ place
    pixel = min(math.hypot(first.a, first.d), math.hypot(first.b, first.e))
    for here, there in zip(one, other, strict=True):
        assert abs(here - there) <= max(1e-9 * pixel, 4 * math.ulp(max(abs(here), abs(first.c), abs(first.f), 1e-300)))


@given(transforms(), st.integers(2, 8))
def test_corners_stay_where_they_are(transform: Transform, scale: int) -> None:
    """All four corners of the enlarged picture lie where those of the picture lie, whatever the transform."""
    before = _located(Georef(transform=transform))
    after = enlarged(before, times(scale), keep_dpi=False)
    assert (after.height, after.width) == (scale * HEIGHT, scale * WIDTH)
    for corner in ((0, 0), (WIDTH, 0), (0, HEIGHT), (WIDTH, HEIGHT)):
        place = (corner[0] * scale, corner[1] * scale)
        _assert_same_place(_affine(before), corner, _affine(after), place)


@given(transforms(), st.integers(0, HEIGHT), st.integers(0, WIDTH))
def test_a_part_lies_where_it_was_cut_out(transform: Transform, top: int, left: int) -> None:
    """A pixel of a part lies where it lies in the whole."""
    whole = _located(Georef(transform=transform))
    window = part(whole, top, left, 5, 7)
    assert (window.height, window.width) == (5, 7)
    _assert_same_place(_affine(whole), (left + 7, top + 5), _affine(window), (7, 5))


RPCS = {
    "ERR_BIAS": "0.5",
    "HEIGHT_OFF": "200",
    "HEIGHT_SCALE": "500",
    "LAT_OFF": "45.5",
    "LAT_SCALE": "0.05",
    "LONG_OFF": "11.25",
    "LONG_SCALE": "0.07",
    "LINE_OFF": "34.25 pixels",
    "LINE_SCALE": "36",
    "SAMP_OFF": "45.75",
    "SAMP_SCALE": "44",
    "LINE_NUM_COEFF": "0.001 0.02 -1.1 0.03 " + "0.0001 " * 16,
    "LINE_DEN_COEFF": "1 0.001 0.002 0.001 " + "0.00001 " * 16,
    "SAMP_NUM_COEFF": "0.002 1.05 0.01 -0.02 " + "0.0002 " * 16,
    "SAMP_DEN_COEFF": "1 0.002 0.001 0.002 " + "0.00002 " * 16,
}


def _rpc_pixel(header: Header, longitude: float, latitude: float, height: float) -> tuple[float, float]:
    """Row and column from the picture's corner, by GDAL."""
    assert header.georef is not None
    assert header.georef.rpcs is not None
    numbers = {name: value.removesuffix(" pixels") for name, value in header.georef.rpcs.items()}
    with RPCTransformer(RPC.from_gdal(numbers)) as transformer:
        rows, columns = transformer.rowcol([longitude], [latitude], zs=[height], op=lambda place: place)
    return float(rows[0]), float(columns[0])


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_rational_polynomials_keep_the_place(scale: int) -> None:
    """What GDAL's model shows at a place of the picture, it shows at `scale` times that place of the enlarged one."""
    before = _located(Georef(rpcs=RPCS))
    after = enlarged(before, times(scale), keep_dpi=False)
    for place in ((11.2, 45.48, 150.0), (11.3, 45.53, 900.0)):
        row, column = _rpc_pixel(before, *place)
        assert _rpc_pixel(after, *place) == pytest.approx((scale * row, scale * column), rel=1e-12)
    assert after.georef is not None
    assert after.georef.rpcs is not None
    counted = {"LINE_OFF", "SAMP_OFF", "LINE_SCALE", "SAMP_SCALE"}
    assert {name: after.georef.rpcs[name] for name in RPCS.keys() - counted} == {
        name: RPCS[name] for name in RPCS.keys() - counted
    }


def test_rational_polynomials_of_a_part_keep_the_place() -> None:
    """A place that GDAL's model shows in the whole is shown in the part as many pixels nearer as were cut off."""
    whole = _located(Georef(rpcs=RPCS))
    row, column = _rpc_pixel(whole, 11.2, 45.48, 150.0)
    window = part(whole, 11, 22, 30, 30)
    assert _rpc_pixel(window, 11.2, 45.48, 150.0) == pytest.approx((row - 11, column - 22), rel=1e-12)


GCPS = tuple(
    GroundPoint(row, column, 7 + column / 100 + row / 900, 50 - row / 80, 100.0, name, "a stone")
    for name, row, column in (("a", 0.0, 0.0), ("b", 0.5, 89.25), ("c", 70.0, 3.0), ("d", 66.0, 90.0))
)


def _gcp_place(header: Header, row: float, column: float) -> tuple[float, float]:
    """On the ground, by GDAL."""
    assert header.georef is not None
    points = [GroundControlPoint(gcp.row, gcp.column, gcp.x, gcp.y, gcp.z) for gcp in header.georef.gcps]
    with GCPTransformer(points) as transformer:
        xs, ys = transformer.xy([row], [column], offset="ul")
    return float(xs[0]), float(ys[0])


def test_ground_control_points_keep_the_place() -> None:
    """GDAL's fit to the points puts a pixel of the enlarged picture, and of a part of it, where it lay before."""
    before = _located(Georef(gcps=GCPS))
    after = enlarged(before, times(3), keep_dpi=False)
    window = part(after, 20, 30, 60, 60)
    place = _gcp_place(before, 12.5, 31.25)
    assert _gcp_place(after, 3 * 12.5, 3 * 31.25) == pytest.approx(place, rel=1e-12)
    assert _gcp_place(window, 3 * 12.5 - 20, 3 * 31.25 - 30) == pytest.approx(place, rel=1e-12)
    assert after.georef is not None
    assert [(gcp.id, gcp.info, gcp.z) for gcp in after.georef.gcps] == [(gcp.id, gcp.info, 100.0) for gcp in GCPS]


def _exif(**ifd: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "Maker"
    exif[0x011A], exif[0x011B] = 72.5, 300.0
    exif.get_ifd(0x8769).update({0xA002: ifd["width"], 0xA003: ifd["height"], 0x9003: "2020:02:02 02:02:02"})
    return exif.tobytes().removeprefix(b"Exif\0\0")


def _read_exif(data: bytes | None) -> Image.Exif:
    assert data is not None
    exif = Image.Exif()
    exif.load(data)
    return exif


@pytest.mark.parametrize(("keep_dpi", "density"), [(False, 4), (True, 1)])
def test_resolution_grows_with_the_picture_unless_it_is_kept(keep_dpi: bool, density: int) -> None:
    """DPI and EXIF say `scale` times the resolution, or the same when that is wished, and always the new size."""
    before = replace(HEADER, dpi=(72.5, 300.0), exif=_exif(width=WIDTH, height=HEIGHT))
    after = enlarged(before, times(4), keep_dpi)
    exif = _read_exif(after.exif)
    assert after.dpi == (72.5 * density, 300.0 * density)
    assert (exif[0x011A], exif[0x011B]) == after.dpi
    assert (exif[0x0112], exif[0x010F]) == (1, "Maker")
    assert dict(exif.get_ifd(0x8769)) == {0xA002: 4 * WIDTH, 0xA003: 4 * HEIGHT, 0x9003: "2020:02:02 02:02:02"}


@pytest.mark.parametrize("dpi", [(1e308, 72.0), (72.0, 5e307), (1.3e8, 1.3e8)])
def test_an_absurd_resolution_is_left_out(dpi: tuple[float, float]) -> None:
    """One beyond what any file can say once it is multiplied; the notes say so, and a PNG can be written."""
    after = enlarged(replace(HEADER, dpi=dpi), times(8), keep_dpi=False)
    assert after.dpi is None
    assert after.notes == (f"its resolution of {dpi[0]:g} x {dpi[1]:g} pixels per inch is absurd and left out",)
    assert encode_png(np.zeros((1, 3, 3), np.uint16), after)


@pytest.mark.parametrize("dpi", [9600.0, 1.2e8])
def test_a_high_resolution_is_kept(dpi: float) -> None:
    """A scanner's, and all up to a thousand million in the result."""
    after = enlarged(replace(HEADER, dpi=(dpi, dpi)), times(8), keep_dpi=False)
    assert (after.dpi, after.notes) == ((8 * dpi, 8 * dpi), ())


def test_numbers_in_xmp_are_those_of_the_result() -> None:
    """As in EXIF, in attributes and in elements; all else stays as it is, to the byte."""
    xmp = (
        b"<x tiff:XResolution = '3000000/10000' tiff:YResolution=\"72\" exif:PixelXDimension='%d' my:ImageWidth='7'>"
        b"<tiff:ImageLength>%d</tiff:ImageLength><exif:PixelYDimension>1.5</exif:PixelYDimension></x>"
    )
    before = replace(HEADER, xmp=xmp % (WIDTH, HEIGHT))
    made = enlarged(before, (2 * HEIGHT, 3 * WIDTH), False)
    grown = xmp.replace(b"3000000/", b"9000000/").replace(b'"72"', b'"144/1"')
    assert made.xmp == grown % (3 * WIDTH, 2 * HEIGHT)
    assert part(made, 0, 0, 5, 8).xmp == grown % (8, 5)
    assert enlarged(before, (2 * HEIGHT, 3 * WIDTH), True).xmp == xmp % (3 * WIDTH, 2 * HEIGHT)


def test_a_sensor_has_as_many_more_pixels_as_the_picture() -> None:
    """Whatever becomes of the size on paper: programs tell from it the sensor's size, and so the focal length."""
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA20E: IFDRational(100), 0xA20F: IFDRational(80), 0xA002: WIDTH})
    before = replace(HEADER, exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    for keep_dpi in (False, True):
        made = enlarged(before, (2 * HEIGHT, 3 * WIDTH), keep_dpi)
        for header in (made, part(made, 0, 0, 5, 8)):
            of_camera = _read_exif(header.exif).get_ifd(0x8769)
            assert (of_camera[0xA20E], of_camera[0xA20F]) == (300, 160)
            assert isinstance(of_camera[0xA20E], IFDRational), "as EXIF 2.32 wants it, table 8"


def test_letters_of_exif_stay() -> None:
    """In any encoding, in each of its directories, in the whole and in a tile of it."""
    exif = Image.Exif()
    exif[0x013B] = "?" * 6
    exif.get_ifd(0x8769)[0xA430] = "!" * 9
    exif.get_ifd(0x8825)[0x001D] = "_" * 6
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    letters = {b"?" * 6: b"M\xfcller", b"!" * 9: "Ærøskø".encode(), b"_" * 6: b"\x80" * 6}
    for stand_in, written in letters.items():
        data = data.replace(stand_in, written)
    made = enlarged(replace(HEADER, exif=data), (2 * HEIGHT, 2 * WIDTH), False)
    for header in (made, part(made, 0, 0, 8, 8)):
        assert header.exif is not None
        assert [written in header.exif for written in letters.values()] == [True] * 3


def test_a_size_beyond_16_bits_goes_into_exif() -> None:
    """EXIF of a picture of more than 65535 pixels across says so, although it was kept in 16 bits before."""
    wide = replace(HEADER, exif=_exif(width=9000, height=9), width=9000)
    exif = _read_exif(enlarged(wide, (8 * HEIGHT, 72000), False).exif)
    assert exif.get_ifd(0x8769)[0xA002] == 72000


def test_nothing_is_made_up() -> None:
    """A header that says nothing of place, paper or EXIF says nothing of them after, and all else stays."""
    full = replace(HEADER, nodata=7.0, tags={"a": "b"}, icc_profile=b"icc", xmp=b"xmp", notes=("n",))
    assert enlarged(full, times(2), keep_dpi=False) == replace(full, height=2 * HEIGHT, width=2 * WIDTH)
    assert part(full, 1, 2, 3, 4) == replace(full, height=3, width=4)


@pytest.mark.parametrize("code", [32633, 2154, 4326, 3857])
def test_a_coordinate_system_has_its_number(code: int) -> None:
    """That of EPSG, from its WKT."""
    assert name_of_crs(_located(Georef(crs=CRS.from_epsg(code).to_wkt()))) == f"EPSG:{code}"


def test_a_system_that_is_only_like_another_has_no_number() -> None:
    """A datum that is not said may be hundreds of metres from any that is."""
    wkt = CRS.from_string("+proj=utm +zone=33 +ellps=intl").to_wkt()
    assert name_of_crs(_located(Georef(crs=wkt))) == CRS.from_wkt(wkt).to_wkt()


def test_pixel_sizes_divide_without_loss() -> None:
    """A factor of two changes the exponents of the transform's numbers only."""
    transform = Transform(300.0379266750948, 0.1, 101985.0, 0.7, -300.041782729805, 2826915.0)
    after = _affine(enlarged(_located(Georef(transform=transform, point=True)), times(2), keep_dpi=False))
    assert np.array_equal(np.array(after[:6]) * [2, 2, 1, 2, 2, 1], np.array(transform))
