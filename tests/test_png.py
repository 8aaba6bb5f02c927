"""PNG: pixels exactly, and all that stands in the file or beside it read back by Pillow and by GDAL."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image, ImageCms
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import MemoryFile
from rasterio.transform import Affine

from pipeline.imagery.header import RGB, Band, Georef, GroundPoint, Header, Transform
from pipeline.imagery.reading import png_chunks
from pipeline.imagery.writing.png import aux_xml, encode_png, world_file

_RNG = np.random.default_rng(0)

COLOURS = {1: ("gray",), 2: ("gray", "alpha"), 3: RGB, 4: (*RGB, "alpha")}

XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description title="Süd &amp; Nord"/>'
    "</rdf:RDF></x:xmpmeta>"
).encode()

UTM = CRS.from_epsg(32618).to_wkt()
DEGREES = CRS.from_epsg(4326).to_wkt()


def _header(samples: NDArray[np.generic]) -> Header:
    bands = tuple(Band(colour) for colour in COLOURS[len(samples)])
    return Header("GTiff", samples.shape[1], samples.shape[2], str(samples.dtype), bands)


def _noise(bands: int, dtype: str) -> NDArray[np.generic]:
    return _RNG.integers(0, np.iinfo(dtype).max, (bands, 9, 13), dtype=dtype, endpoint=True)


@st.composite
def pictures(draw: st.DrawFn) -> NDArray[np.generic]:
    dtype, bands = draw(st.sampled_from(["uint8", "uint16"])), draw(st.integers(1, 4))
    return draw(hnp.arrays(dtype, (bands, draw(st.integers(1, 9)), draw(st.integers(1, 9)))))


@given(pictures())
def test_pixels_come_back_exactly(samples: NDArray[np.generic]) -> None:
    """Every picture of 8 or 16 bits that PNG has a colour type for is read back bit for bit, and as those colours."""
    with MemoryFile(encode_png(samples, _header(samples))) as file, file.open() as dataset:
        assert np.array_equal(dataset.read(), samples)
        assert dataset.dtypes == (str(samples.dtype),) * len(samples)
        assert dataset.colorinterp == tuple(ColorInterp[colour] for colour in COLOURS[len(samples)])


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_eight_bits_are_read_alike_by_pillow(bands: int) -> None:
    """Pillow sees the same pixels as were written."""
    samples = _noise(bands, "uint8")
    with Image.open(io.BytesIO(encode_png(samples, _header(samples)))) as image:
        pixels = np.asarray(image)
    assert np.array_equal(pixels, samples[0] if bands == 1 else samples.transpose(1, 2, 0))


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0112] = "Maker", 1
    return exif.tobytes().removeprefix(b"Exif\0\0")


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("bands", [1, 4])
def test_pillow_reads_back_what_is_said_of_colour_and_paper(bands: int, dtype: str) -> None:
    """ICC profile, DPI, EXIF and XMP in the file are those of the header."""
    samples = _noise(bands, dtype)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    said = {"icc_profile": profile, "dpi": (300.0, 72.5), "exif": _exif(), "xmp": XMP}
    with Image.open(io.BytesIO(encode_png(samples, replace(_header(samples), **said)))) as image:
        image.load()
        assert image.info["icc_profile"] == profile
        assert image.info["dpi"] == pytest.approx((300.0, 72.5), abs=0.0254 / 2)
        assert dict(image.getexif()) == {0x010F: "Maker", 0x0112: 1}
        assert image.info["xmp"] == XMP


def test_what_colours_mean_is_kept(tmp_path: Path) -> None:
    """The chunks of a PNG that say it stand before the pixels, as they were."""
    samples, said = _noise(3, "uint16"), {"gAMA": bytes(range(4)), "cHRM": bytes(range(32)), "cICP": bytes(4)}
    (path := tmp_path / "a.png").write_bytes(encode_png(samples, replace(_header(samples), png_colour=said)))
    assert png_chunks.read(str(path)).colour == said


def test_nothing_is_said_that_the_header_does_not_say() -> None:
    """Without profile, DPI, EXIF and XMP in the header there is nothing of the kind in the file."""
    samples = _noise(3, "uint8")
    with Image.open(io.BytesIO(encode_png(samples, _header(samples)))) as image:
        image.load()
        assert not image.info


@pytest.mark.parametrize("dpi", [1e-9, 1e12])
def test_a_density_beyond_what_png_can_say_becomes_the_nearest(dpi: float) -> None:
    """An absurd DPI is written as the least or the largest number of PNG, and the file opens."""
    samples = _noise(1, "uint8")
    with Image.open(io.BytesIO(encode_png(samples, replace(_header(samples), dpi=(dpi, dpi))))) as image:
        image.load()
        assert image.info["dpi"][0] == pytest.approx(min(max(dpi, 0.0254), 0.0254 * (2**31 - 1)))


ROTATED = Transform(0.123456789012345678, 0.02, 411234.0999999999, 0.03, -0.3, 5123456.1)

BANDS = (
    Band("red", "rot ü", 0.1, -3.25, "W/m²", {"wavelength": "650 <nm> & more", "name": 'say "é"'}),
    Band("green"),
    Band("blue", scale=1 / 3),
)

PLACED = Header(
    "GTiff",
    9,
    13,
    "uint16",
    BANDS,
    nodata=7.0,
    georef=Georef(UTM, ROTATED),
    tags={"SENSOR": "Überflug & Söhne <1>", "AREA_OR_POINT": "Area"},
)


def _open(folder: Path, header: Header) -> rasterio.DatasetReader:
    samples = _noise(len(header.bands), header.dtype)
    (folder / "r0000_c0000.png").write_bytes(encode_png(samples, header))
    (folder / "r0000_c0000.png.aux.xml").write_bytes(aux_xml(header))
    if header.georef is not None and header.georef.transform is not None:
        (folder / "r0000_c0000.pgw").write_bytes(world_file(header))
    return rasterio.open(folder / "r0000_c0000.png")


@pytest.mark.parametrize("point", [False, True])
def test_gdal_finds_the_place_and_meaning_beside_the_file(tmp_path: Path, point: bool) -> None:
    """CRS, transform, nodata, tags, and what is said of every band, are those of the header."""
    header = replace(PLACED, georef=Georef(UTM, ROTATED, point))
    with _open(tmp_path, header) as dataset:
        assert dataset.crs == CRS.from_epsg(32618)
        assert dataset.transform[:6] == pytest.approx(ROTATED, rel=1e-15)  # which GDAL reads from the world file
        assert dataset.nodata == 7
        assert dataset.tags() == {"SENSOR": "Überflug & Söhne <1>", "AREA_OR_POINT": "Point" if point else "Area"}
        assert dataset.descriptions == ("rot ü", None, None)
        assert (dataset.scales, dataset.offsets) == ((0.1, 1.0, 1 / 3), (-3.25, 0.0, 0.0))
        assert dataset.units == ("W/m²", None, None)
        assert [dataset.tags(index) for index in (1, 2, 3)] == [BANDS[0].tags, {}, {}]
        assert dataset.colorinterp == (ColorInterp.red, ColorInterp.green, ColorInterp.blue)


def test_the_world_file_alone_gives_the_same_place(tmp_path: Path) -> None:
    """A program that reads nothing but .pgw gets the transform, but for what half a pixel rounds."""
    _open(tmp_path, PLACED).close()
    (tmp_path / "r0000_c0000.png.aux.xml").unlink()
    with rasterio.open(tmp_path / "r0000_c0000.png") as dataset:
        assert dataset.transform[:6] == pytest.approx(ROTATED, rel=1e-15)
    assert len((tmp_path / "r0000_c0000.pgw").read_bytes().splitlines()) == 6


def test_points_and_polynomials_are_found_beside_the_file(tmp_path: Path) -> None:
    """Ground control points with their names, and rational polynomials, are those of the header."""
    gcps = tuple(
        GroundPoint(row, row * 2, 7 + row / 3, 50.1, row * 9, f"p{row}", "by the well") for row in (0.0, 0.5, 7.25, 9.0)
    )
    rpcs = {"LINE_OFF": "4.4999999999999991", "LINE_NUM_COEFF": " ".join(["0.1"] * 20), "ERR_BIAS": "1"}
    with _open(tmp_path, replace(PLACED, georef=Georef(gcps=gcps, gcps_crs=DEGREES, rpcs=rpcs))) as dataset:
        points, crs = dataset.gcps
        assert crs == CRS.from_epsg(4326)
        got = [GroundPoint(point.row, point.col, point.x, point.y, point.z, point.id, point.info) for point in points]
        assert tuple(got) == gcps
        assert dataset.tags(ns="RPC") == rpcs


@given(st.text(), st.text())
def test_any_tag_leaves_the_file_beside_readable(name: str, value: str) -> None:
    """Whatever characters stand in a tag, GDAL reads the place, and of the tag all that XML can hold."""
    tags = {f"k{name.replace('=', '').replace(':', '')}k": f"v{value}v"}
    header = replace(PLACED, tags=tags)
    samples = _noise(3, "uint16")
    with (
        MemoryFile(encode_png(samples, header), filename="a.png", dirname="tags") as file,
        MemoryFile(aux_xml(header), filename="a.png.aux.xml", dirname="tags"),
        file.open() as dataset,
    ):
        got = dataset.tags()
        assert dataset.transform == Affine(*ROTATED)
    kept = {_held(name): _held(value) for name, value in tags.items()}
    assert {**got, **kept} == got


def _held(text: str) -> str:
    """By the letter of XML 1.0, 2.2."""
    codes = [ord(character) for character in text]
    held = (
        code in (9, 10, 13) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000 for code in codes
    )
    return "".join(character for character, keep in zip(text, held, strict=True) if keep)
