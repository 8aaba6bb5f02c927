"""GeoTIFF and COG: pixels, mask and every fact of the header read back, and no nodata among the values of overviews."""

import base64
import io
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate

from pipeline.config import Format
from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import CMYK, DTYPES, RGB, Band, Georef, GroundPoint, Header, Transform
from pipeline.imagery.writing.cog import CogFile
from pipeline.imagery.writing.formats import held
from pipeline.imagery.writing.geotiff import encode_tif

_RNG = np.random.default_rng(0)

XMP = '<?xpacket begin="\ufeff" id="W5M0"?><x:xmpmeta xmlns:x="adobe:ns:meta/"><a b="é=1"/></x:xmpmeta>'.encode()

UTM = CRS.from_epsg(32618).to_wkt()
DEGREES = CRS.from_epsg(4326).to_wkt()

ROTATED = Transform(1 / 3, 0.02, 411234.1, 0.03, -0.3, 5123456.1)

BANDS = (
    Band("red", "rot ü", 0.1, -3.25, "W/m²", {"wavelength": "650 <nm> & more"}),
    Band("green"),
    Band("blue", scale=1 / 3),
)


@cache
def _profile() -> bytes:
    """Made once: it holds the second of its making."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def _header(height: int, width: int, dtype: str = "uint8", bands: tuple[Band, ...] = BANDS, **said: Any) -> Header:
    return Header("GTiff", height, width, dtype, bands, **said)


def _bands(*colours: str) -> tuple[Band, ...]:
    return tuple(Band(colour) for colour in colours)


def _noise(header: Header) -> NDArray[Any]:
    """From 50 to 150, far from what the tests call nodata."""
    return _RNG.integers(50, 120, (len(header.bands), header.height, header.width)).astype(header.dtype)


def _write_tif(folder: Path, header: Header, samples: NDArray[Any], mask: NDArray[np.bool_] | None) -> Path:
    path = folder / "tile.tif"
    path.write_bytes(encode_tif(samples, mask, held(header, Format.TIF)))
    return path


def _write_cog(folder: Path, header: Header, samples: NDArray[Any], mask: NDArray[np.bool_] | None) -> Path:
    """In tiles that do not keep to the blocks of the file."""
    path, side = folder / "whole.tif", 300
    file = CogFile(held(header, Format.COG), str(folder))
    for top in range(0, header.height, side):
        for left in range(0, header.width, side):
            window = (slice(top, top + side), slice(left, left + side))
            file.add(top, left, samples[:, *window], None if mask is None else mask[window])
    file.finish(str(path))
    assert cog_validate(path, quiet=True) == (True, [], [])
    return path


WRITERS = pytest.mark.parametrize("write", [_write_tif, _write_cog])


@WRITERS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "colours",
    [
        ("gray",),
        ("gray", "undefined", "alpha"),
        ("gray", *["undefined"] * 5),
        ("blue", "green", "red", "nir"),
        RGB,
        (*RGB, "nir"),
        (*RGB, "nir", "alpha"),
        (*RGB, "undefined"),
        (*RGB, "alpha"),
    ],
)
def test_pixels_come_back_exactly(tmp_path: Path, write: Any, dtype: str, colours: tuple[str, ...]) -> None:
    """Whatever the dtype and the bands, samples and colours of the bands are read as they were written."""
    header = _header(520, 33, dtype, _bands(*colours))
    samples = _RNG.integers(0, 256, (len(colours), 520, 33), dtype="uint8").view("int8").astype(dtype)
    with rasterio.open(write(tmp_path, header, samples, None)) as dataset:
        assert np.array_equal(dataset.read(), samples)
        assert set(dataset.dtypes) == {dtype}
        assert dataset.colorinterp == tuple(ColorInterp[colour] for colour in colours)
        assert dataset.block_shapes[0] == (512, 48 if write is _write_tif else 512)


def test_float_pixels_are_not_rounded(tmp_path: Path) -> None:
    """Float samples of any size, and those that are no numbers, come back to the bit."""
    header = _header(20, 30, "float32", _bands("gray"))
    samples = _RNG.integers(0, 2**32, (1, 20, 30), dtype="uint32").view("float32")
    with rasterio.open(_write_tif(tmp_path, header, samples, None)) as dataset:
        assert np.array_equal(dataset.read().view("uint32"), samples.view("uint32"))


FULL = {"tags": {"SENSOR": "Überflug <1> & 2", "TIFFTAG_SOFTWARE": "a camera"}, "xmp": XMP, "dpi": (72.5, 300.0)}


@WRITERS
@pytest.mark.parametrize("point", [False, True])
def test_every_fact_of_the_header_is_read_back(tmp_path: Path, write: Any, point: bool) -> None:
    """CRS, transform, nodata, tags, colours on paper, XMP, and what is said of every band, are those of the header."""
    georef = Georef(UTM, ROTATED, point)
    header = _header(70, 90, nodata=7.0, georef=georef, icc_profile=_profile(), **FULL)
    path = write(tmp_path, header, _noise(header), None)
    with rasterio.open(path) as dataset:
        assert dataset.crs == CRS.from_epsg(32618)
        assert dataset.transform[:6] == pytest.approx(ROTATED, rel=1e-15)
        assert dataset.nodata == 7
        tags = dataset.tags()
        assert (tags["SENSOR"], tags["TIFFTAG_SOFTWARE"]) == ("Überflug <1> & 2", "a camera")
        assert tags["AREA_OR_POINT"] == ("Point" if point else "Area")
        assert dataset.tags(ns="xml:XMP")["xml:XMP"].encode() == XMP
        assert base64.b64decode(dataset.tags(ns="COLOR_PROFILE")["SOURCE_ICC_PROFILE"]) == _profile()
        assert dataset.descriptions == ("rot ü", None, None)
        assert (dataset.scales, dataset.offsets) == ((0.1, 1.0, 1 / 3), (-3.25, 0.0, 0.0))
        assert [unit or None for unit in dataset.units] == ["W/m²", None, None]
        assert [dataset.tags(index) for index in (1, 2, 3)] == [BANDS[0].tags, {}, {}]
    with Image.open(path) as image:
        assert (image.mode, image.size, image.info["dpi"]) == ("RGB", (90, 70), (72.5, 300.0))
        assert (image.info["icc_profile"], image.info["xmp"]) == (_profile(), XMP)


@WRITERS
def test_no_setting_of_gdal_moves_pixel_centres(tmp_path: Path, write: Any) -> None:
    """A user's that would lay them half a pixel away does not count."""
    header = _header(70, 90, georef=Georef(UTM, ROTATED, point=True))
    with rasterio.Env(GTIFF_POINT_GEO_IGNORE="YES"):
        path = write(tmp_path, header, _noise(header), None)
    with rasterio.open(path) as dataset:
        assert dataset.transform[:6] == pytest.approx(ROTATED, rel=1e-15)


@WRITERS
@pytest.mark.parametrize("point", [False, True])
def test_points_and_polynomials_are_read_back(tmp_path: Path, write: Any, point: bool) -> None:
    """Ground control points lie where the header says, also when coordinates were of pixel centres, and RPCs stay."""
    places = ((0.0, 0.0), (0.5, 69.25), (60.0, 1.0), (60.0, 70.0))
    gcps = tuple(GroundPoint(row, column, 10 + column / 7, 50 - row / 3, row, "1", "") for row, column in places)
    rpcs = {
        f"{axis}_{kind}": "3.1400000000000001"
        for axis in ("LINE", "SAMP", "LAT", "LONG", "HEIGHT")
        for kind in ("OFF", "SCALE")
    }
    rpcs |= {f"{axis}_{part}_COEFF": " ".join(["0.125"] * 20) for axis in ("LINE", "SAMP") for part in ("NUM", "DEN")}
    header = _header(60, 70, georef=Georef(None, None, point, gcps, DEGREES, rpcs))
    with rasterio.open(write(tmp_path, header, _noise(header), None)) as dataset:
        points, crs = dataset.gcps
        assert crs == CRS.from_epsg(4326)
        assert [(point.row, point.col) for point in points] == list(places)
        assert [(point.x, point.y, point.z) for point in points] == [(gcp.x, gcp.y, gcp.z) for gcp in gcps]
        got = dataset.tags(ns="RPC")
    for name, value in rpcs.items():
        assert [float(number) for number in got[name].split()] == [float(number) for number in value.split()], name


@WRITERS
def test_a_mask_is_read_back_from_inside_the_file(tmp_path: Path, write: Any) -> None:
    """The mask needs no file of its own, and the pixels under it are kept."""
    header = _header(600, 620, mask=True, georef=Georef(UTM, ROTATED))
    samples, mask = _noise(header), _RNG.random((600, 620)) < 0.5
    path = write(tmp_path, header, samples, mask)
    assert not list(tmp_path.glob("*.msk"))
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.dataset_mask() == 255, mask)
        assert np.array_equal(dataset.read(), samples)


def test_print_colours_are_read_by_pillow_as_they_are() -> None:
    """A CMYK picture stays one."""
    header = _header(20, 30, bands=_bands(*CMYK), dpi=(300.0, 300.0))
    samples = _noise(header)
    with Image.open(io.BytesIO(encode_tif(samples, None, header))) as image:
        assert image.mode == "CMYK"
        assert np.array_equal(np.asarray(image).transpose(2, 0, 1), samples)


def test_a_plain_picture_is_compressed_in_blocks(tmp_path: Path) -> None:
    """A flat picture takes less than a hundredth of its size, and its blocks are no larger than asked for."""
    header = _header(1000, 1100)
    path = _write_tif(tmp_path, header, np.zeros((3, 1000, 1100), "uint8"), None)
    with rasterio.open(path) as dataset:
        assert dataset.block_shapes == [(512, 512)] * 3
        assert dataset.tags(ns="IMAGE_STRUCTURE")["COMPRESSION"] == "DEFLATE"
    assert path.stat().st_size < 33_000


@pytest.mark.parametrize(("dtype", "predictor"), [("uint8", "2"), ("uint16", "2"), ("float32", "3")])
def test_samples_are_predicted_before_they_are_compressed(tmp_path: Path, dtype: str, predictor: str) -> None:
    """From their neighbours: it halves most files."""
    header = _header(40, 50, dtype=dtype)
    path = _write_tif(tmp_path, header, _noise(header), None)
    with rasterio.open(path) as dataset:
        assert dataset.tags(ns="IMAGE_STRUCTURE")["PREDICTOR"] == predictor


@given(
    st.dictionaries(
        st.sampled_from(["self", "ns", "bidx", "bidx\x01", "n\x01s", "domain", "a b", "é"]), st.text(max_size=9)
    )
)
def test_no_tag_stops_the_writing(tags: dict[str, str]) -> None:
    """Names that mean something to the library, and characters that XML cannot hold, do no harm."""
    header = _header(5, 6, tags=tags, bands=(Band("gray", tags=tags),))
    assert encode_tif(_noise(header), None, header)


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [
        ("uint8", 7.0),
        ("uint16", 0.0),
        ("int16", -32768.0),
        ("int8", -1.0),
        ("float32", float("nan")),
        ("float32", -3e38),
    ],
)
def test_what_is_never_written_is_nodata(tmp_path: Path, dtype: str, nodata: float) -> None:
    """Where no tile was put a COG has nodata, and its overviews hold no mixture of nodata and values."""
    header = _header(1300, 1500, dtype, _bands("undefined", "undefined"), nodata=nodata, georef=Georef(UTM, ROTATED))
    samples = _noise(header)
    path = tmp_path / "whole.tif"
    file = CogFile(header, str(tmp_path))
    file.add(0, 0, samples[:, :701, :803], None)
    file.finish(str(path))
    assert cog_validate(path, quiet=True) == (True, [], [])
    with rasterio.open(path) as dataset:
        expected = np.full_like(samples, nodata)
        expected[:, :701, :803] = samples[:, :701, :803]
        assert np.array_equal(dataset.read(), expected, equal_nan=dtype == "float32")
        assert dataset.overviews(1)
    with rasterio.open(path, overview_level=0) as dataset:
        values = dataset.read(masked=True)
    assert values.min() >= 50
    assert values.max() <= 150
    assert np.array_equal(values.mask[0], ~_shown(351, 402, values.shape[1:]))


def test_what_is_never_written_is_masked(tmp_path: Path) -> None:
    """Where no tile was put a COG is masked, and its overviews hold no mixture of the void and values."""
    header = _header(1300, 1500, "uint8", _bands(*RGB), mask=True)
    path = tmp_path / "whole.tif"
    file = CogFile(header, str(tmp_path))
    file.add(0, 0, _noise(header)[:, :701, :803], np.ones((701, 803), bool))
    file.finish(str(path))
    with rasterio.open(path) as dataset:
        assert np.array_equal(dataset.dataset_mask() == 255, _shown(701, 803, (1300, 1500)))
    with rasterio.open(path, overview_level=0) as dataset:
        values = dataset.read()[:, dataset.dataset_mask() == 255]
    assert values.size
    assert values.min() >= 50


def _shown(height: int, width: int, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    shown = np.zeros(shape, bool)
    shown[:height, :width] = True
    return shown


@pytest.fixture
def full_disk(request: pytest.FixtureRequest) -> Iterator[None]:
    """No file grows beyond as many bytes as the test says."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (request.param, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("full_disk", [50_000, 500_000, 1_200_000, 1_320_000], indirect=True)
def test_a_full_disk_is_an_error_of_writing(tmp_path: Path) -> None:
    """A COG for which there is no space is no COG: the error says what to do."""
    header = _header(600, 700)
    with pytest.raises(ImageError, match="check space") as caught:
        _write_cog(tmp_path, header, _noise(header), None)
    assert caught.value.error_type is ErrorType.WRITE


def test_what_is_not_read_as_it_was_put_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A COG with other pixels than its tiles, which GDAL says nothing of, is an error of writing."""
    header = _header(40, 50)
    other = encode_tif(np.zeros((3, 40, 50), "uint8"), None, header)
    monkeypatch.setattr("rasterio.shutil.copy", lambda _, path, **__: Path(path).write_bytes(other))
    with pytest.raises(ImageError, match="what was written is not what is read") as caught:
        _write_cog(tmp_path, header, _noise(header), None)
    assert caught.value.error_type is ErrorType.WRITE


def test_a_small_cog_is_one_too(tmp_path: Path) -> None:
    """A picture of one pixel makes a valid COG."""
    header = replace(_header(1, 1), georef=Georef(UTM, ROTATED))
    samples = _noise(header)
    with rasterio.open(_write_cog(tmp_path, header, samples, None)) as dataset:
        assert dataset.transform == Affine(*ROTATED)
        assert np.array_equal(dataset.read(), samples)
