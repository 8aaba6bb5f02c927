"""Pictures in TIFF: which way is up, few bits, odd depths, inks, JPEG inside, tags and pages."""

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ErrorType
from pipeline.imagery.reading import routing

from .picture_bytes import big_tiff, tiff
from .raster_files import (
    PLACE,
    UTM,
    edited,
    error_of,
    plain_tags,
    random_values,
    read_raster,
    write_values,
    xmp_of,
)
from .test_pillow_files import TURNS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def test_inks(tmp_path: Path) -> None:
    """Inks stay inks, with what GDAL says beside them or not; on Earth GDAL would turn 8 bits to RGB: refused."""
    place = {"crs": UTM, "transform": PLACE, "photometric": "CMYK"}
    values = random_values("uint16", 4, 4, 4)
    header, pixels = read_raster(write_values(tmp_path / "a.tif", values, **place))
    assert header.colours == ("cyan", "magenta", "yellow", "black")
    np.testing.assert_array_equal(pixels.samples, values)
    values = random_values("uint8", 4, 4, 4)
    path = write_values(tmp_path / "c.tif", values, photometric="CMYK")
    edited(path, lambda raster: raster.update_tags(by="me"))
    header, pixels = read_raster(path)
    assert header.colours == ("cyan", "magenta", "yellow", "black")
    assert header.notes == ("its GDAL metadata, beside the inks, is not carried over",)
    np.testing.assert_array_equal(pixels.samples, values)
    error = error_of(write_values(tmp_path / "b.tif", random_values("uint8", 4, 4, 4), **place))
    assert (error.error_type, "CMYK" in str(error)) == (ErrorType.UNSUPPORTED, True)


@pytest.mark.parametrize("orientation", TURNS)
def test_orientation(tmp_path: Path, orientation: int) -> None:
    """A deep picture that lies nowhere is turned as its tag says, in windows, too; a raster on Earth never is."""
    values = random_values("uint16", 1, 5, 7)
    tags = {**plain_tags(7, 5, 16), 274: (3, orientation)}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, values.astype("<u2").tobytes()))
    upright = TURNS[orientation](values[0][..., None])[..., 0]
    header, pixels = read_raster(str(path))
    assert (header.height, header.width) == upright.shape
    np.testing.assert_array_equal(pixels.samples[0], upright)
    np.testing.assert_array_equal(read_raster(str(path), slice(1, 4), slice(2, 5))[1].samples[0], upright[1:4, 2:5])
    tags |= {33550: (12, [10.0, 20.0, 0.0]), 33922: (12, [0.0, 0.0, 0.0, 1000.0, 2000.0, 0.0])}
    path.write_bytes(tiff(tags, values.astype("<u2").tobytes()))
    header, pixels = read_raster(str(path))
    np.testing.assert_array_equal(pixels.samples, values)
    assert len(header.notes) == (orientation != 1)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize(("photometric", "bands"), [(5, 4), (3, 1), (1, 1), (2, 3)])
def test_orientation_of_what_is_not_packed(tmp_path: Path, photometric: int, bands: int, orientation: int) -> None:
    """Inks, palettes, gray and colours, which Pillow would map into memory as if they were not turned."""
    values, palette = random_values("uint8", 5, 7, bands), random_values("uint8", 256, 3)
    tags = {**plain_tags(7, 5, 8, bands, photometric), 274: (3, orientation)}
    if photometric == 3:
        tags[320] = (3, [257 * level for column in palette.T for level in column.tolist()])
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, values.tobytes()))
    pixels = read_raster(str(path))[1]
    expected = palette[values[..., 0]] if photometric == 3 else values
    np.testing.assert_array_equal(pixels.samples, TURNS[orientation](expected).transpose(2, 0, 1))


@pytest.mark.parametrize("compress", ["LZW", "DEFLATE", "PACKBITS", "NONE"])
def test_alpha_in_a_plane_of_its_own(tmp_path: Path, compress: str) -> None:
    """Gray and alpha one after the other, of which Pillow would read the second as 0."""
    values = random_values("uint8", 2, 40, 50)
    profile = {"interleave": "band", "compress": compress, "alpha": "YES", "photometric": "MINISBLACK"}
    header, pixels = read_raster(write_values(tmp_path / "a.tif", values, **profile))
    assert header.colours == ("gray", "alpha")
    np.testing.assert_array_equal(pixels.samples, values)


@pytest.mark.parametrize("white", [0, 1])
def test_one_bit(tmp_path: Path, white: int) -> None:
    """One bit becomes 0 and 255 as it looks, on Earth too, where the notes say so."""
    photometric = "MINISBLACK" if white else "MINISWHITE"
    values = random_values("uint8", 1, 4, 9) % 2
    path = write_values(tmp_path / "a.tif", values, nbits=1, crs=UTM, transform=PLACE, photometric=photometric)
    header, pixels = read_raster(path)
    told = f"its 1-bit values 0 and 1 become {255 * (1 - white)} and {255 * white}"
    assert (header.colours, header.notes) == (("gray",), (told,))
    np.testing.assert_array_equal(pixels.samples, 255 * (values == white))
    nowhere = write_values(tmp_path / "b.tif", values, nbits=1, photometric=photometric)
    assert read_raster(nowhere)[0].notes == ()


@pytest.mark.parametrize("photometric", ["MINISBLACK", "MINISWHITE"])
def test_nodata_beyond_one_bit(tmp_path: Path, photometric: str) -> None:
    """255, as programs write it beside masks, is no value of a bit: it is left out, and a note says so."""
    values = random_values("uint8", 1, 4, 9) % 2
    place = {"crs": UTM, "transform": PLACE, "nodata": 255, "photometric": photometric}
    header, _ = read_raster(write_values(tmp_path / "a.tif", values, nbits=1, **place))
    assert header.nodata is None
    assert "its nodata value 255.0 cannot occur in 1 bits and is left out" in header.notes


def _packed(values: np.ndarray, bits: int) -> bytes:
    """(h, w) of so many bits each, rows of whole bytes."""
    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return b"".join(np.packbits(row).tobytes() for row in planes.reshape(len(values), -1))


@pytest.mark.parametrize("bits", [2, 4, 6, 8, 10, 12, 14, 16])
@pytest.mark.parametrize("white_is_0", [True, False])
def test_gray_as_it_looks(tmp_path: Path, bits: int, white_is_0: bool) -> None:
    """A picture that lies nowhere comes as it looks, whichever end is white; 2 and 4 bits become 8."""
    dtype = "uint8" if bits <= 8 else "uint16"
    values = random_values(dtype, 4, 9) & (2**bits - 1)
    values[0, 0] = 1
    tags = {**plain_tags(9, 4, bits, photometric=int(not white_is_0)), 42113: (2, b"1\0")}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, _packed(values, bits) if bits < 16 else values.tobytes()))
    header, pixels = read_raster(str(path))
    stretch = {2: 85, 4: 17}.get(bits, 1)
    looks = stretch * (2**bits - 1 - values if white_is_0 else values)
    np.testing.assert_array_equal(pixels.samples[0], looks)
    assert header.nodata == looks[0, 0]
    assert header.bits == (bits if bits in (6, 10, 12, 14) else None)


@pytest.mark.parametrize(("bits", "stretch"), [(1, 255), (2, 85), (4, 17)])
def test_colours_of_few_bits(tmp_path: Path, bits: int, stretch: int) -> None:
    """They become 8 bits as gray does."""
    values = random_values("uint8", 3, 4, 8) & (2**bits - 1)
    header, pixels = read_raster(
        write_values(tmp_path / "a.tif", values, nbits=bits, photometric="RGB", compress="deflate")
    )
    np.testing.assert_array_equal(pixels.samples, stretch * values)
    assert (header.bits, header.notes) == (None, ())


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_measurements_are_not_turned_over(tmp_path: Path, dtype: str) -> None:
    """Of a raster on Earth the numbers count, as GDAL gives them; that their least one is white is noted."""
    values = random_values(dtype, 1, 4, 9)
    path = write_values(tmp_path / "a.tif", values, crs=UTM, transform=PLACE, photometric="MINISWHITE", nodata=7)
    header, pixels = read_raster(path)
    np.testing.assert_array_equal(pixels.samples, values)
    assert (header.nodata, header.colours) == (7, ("gray",))
    assert header.notes == ("that its least value is white is not carried over; its numbers are",)


def test_paper_is_turned_with_the_picture(tmp_path: Path) -> None:
    """Of a picture that lay on its side the resolutions across and down change places."""
    values = random_values("uint16", 1, 5, 7)
    tags = {**plain_tags(7, 5, 16), 282: (5, [204, 1]), 283: (5, [98, 1]), 296: (3, 2)}
    for orientation, dpi in ((1, (204, 98)), (3, (204, 98)), (6, (98, 204))):
        path = tmp_path / "a.tif"
        path.write_bytes(tiff({**tags, 274: (3, orientation)}, values.astype("<u2").tobytes()))
        assert read_raster(str(path))[0].dpi == dpi


@pytest.mark.parametrize(("dtype", "bits"), [("uint8", 4), ("uint16", 12)])
def test_odd_depths(tmp_path: Path, dtype: str, bits: int) -> None:
    """Numbers of fewer bits than their type are kept as they are, and the notes say how many bits."""
    values = random_values(dtype, 1, 4, 8) % 2**bits
    header, pixels = read_raster(write_values(tmp_path / "a.tif", values, nbits=bits, crs=UTM, transform=PLACE))
    np.testing.assert_array_equal(pixels.samples, values)
    assert header.notes == (f"its {bits}-bit values are kept as they are in {dtype}",)


def test_jpeg_in_tiff_is_rgb(tmp_path: Path) -> None:
    """What is stored as luma and chroma comes as red, green and blue."""
    ramp = np.add.outer(np.arange(64), np.arange(64)).astype(np.uint8)
    values = np.stack([ramp, 255 - ramp, ramp // 2])
    jpeg = {"compress": "jpeg", "photometric": "ycbcr", "JPEG_QUALITY": 95}
    header, pixels = read_raster(write_values(tmp_path / "a.tif", values, crs=UTM, transform=PLACE, **jpeg))
    assert header.colours == ("red", "green", "blue")
    assert np.abs(pixels.samples.astype(int) - values).mean() < 4


@pytest.mark.parametrize("bits", [8, 16])
def test_an_aspect_without_a_unit_is_told_of(tmp_path: Path, bits: int) -> None:
    """Pixels that are not square, of no size on paper."""
    path = tmp_path / "a.tif"
    for down, told in ((1, ()), (2, ("its pixel aspect, 1:2 in no unit, is not carried over",))):
        tags = {**plain_tags(2, 2, bits), 282: (5, [1, 1]), 283: (5, [down, 1]), 296: (3, 1)}
        path.write_bytes(tiff(tags, bytes(8)))
        header, _ = read_raster(str(path))
        assert (header.dpi, header.notes) == (None, told)


@pytest.mark.parametrize("large", [10**9, 10])
def test_luma_and_chroma_that_no_jpeg_packs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int) -> None:
    """They become colours, be the picture small or large."""
    monkeypatch.setattr(routing, "_LARGE", large)
    stored = random_values("uint8", 6, 8, 3)
    (path := tmp_path / "a.tif").write_bytes(tiff({**plain_tags(8, 6, 8, 3, 6), 530: (3, [1, 1])}, stored.tobytes()))
    header, pixels = read_raster(str(path))
    assert header.colours == ("red", "green", "blue")
    looks = np.asarray(Image.fromarray(stored, "YCbCr").convert("RGB")).astype(int)
    np.testing.assert_allclose(pixels.samples.transpose(1, 2, 0), looks, atol=2)


def test_tags_of_tiff(tmp_path: Path) -> None:
    """Profile, XMP, resolution and EXIF come from a raster's tags."""
    xmp = b'<a tiff:Orientation="3"/>'
    tags = {**plain_tags(2, 2, 16), 34675: (7, b"profile"), 700: (1, xmp), 271: (2, b"maker\0")}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, bytes(8)))
    header, _ = read_raster(str(path))
    assert (header.icc_profile, header.xmp) == (b"profile", xmp)
    assert header.exif is not None
    assert b"maker" in header.exif
    path = Path(write_values(tmp_path / "b.tif", random_values("uint16", 1, 4, 4)))
    resolution = {"TIFFTAG_XRESOLUTION": 100, "TIFFTAG_YRESOLUTION": 50, "TIFFTAG_RESOLUTIONUNIT": 3}
    header, _ = read_raster(edited(str(path), lambda raster: raster.update_tags(**resolution)))
    assert header.dpi == pytest.approx((254, 127))
    assert header.tags is None


def test_no_place_in_the_file_goes_into_exif(tmp_path: Path) -> None:
    """A directory that EXIF points at lies elsewhere in the result, where the number would lead nowhere."""
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x9003: "2026:11:28 12:00:00", 0xA005: {1: "R98"}})
    Image.new("L", (8, 8)).save(tmp_path / "a.tif", exif=exif.tobytes())
    header, _ = read_raster(str(tmp_path / "a.tif"))
    read = Image.Exif()
    read.load(header.exif or b"")
    assert dict(read.get_ifd(0x8769)) == {0x9003: "2026:11:28 12:00:00"}


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_heights_keep_their_system(tmp_path: Path, version: str) -> None:
    """The vertical part of a compound one, which GDAL by itself hides of older files."""
    place = {"crs": "EPSG:32633+5773", "transform": PLACE, "GEOTIFF_VERSION": version}
    header, _ = read_raster(write_values(tmp_path / "a.tif", random_values("float32", 1, 4, 4), **place))
    assert header.georef is not None
    assert "EGM96" in (header.georef.crs or "")


def test_further_pages_are_told(tmp_path: Path) -> None:
    """Of several rasters in one file the first is done, and the notes tell how many there are."""
    path = write_values(tmp_path / "a.tif", random_values("uint16", 1, 4, 4))
    write_values(Path(path), random_values("uint16", 1, 4, 4), append_subdataset="YES")
    assert read_raster(path)[0].notes == ("the file holds 2 pictures; only the first is done",)


@pytest.mark.parametrize(("orientation", "height"), [(3, 16), (6, 16), (6, 8)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_orientation_of_a_tiff_in_xmp_alone(tmp_path: Path, dtype: str, orientation: int, height: int) -> None:
    """Nobody turns such a file, and so its XMP stays as it is; where the tag says it too, both are upright."""
    values = np.arange(height * 8, dtype=dtype).reshape(height, 8)
    bits = 8 * values.itemsize
    tags: dict[int, tuple[int, Any]] = {
        256: (3, 8),
        257: (3, height),
        258: (3, bits),
        262: (3, 1),
        277: (3, 1),
        278: (3, height),
    }
    path = tmp_path / "a.tif"
    path.write_bytes(tiff({**tags, 700: (1, xmp_of(orientation))}, values.tobytes()))
    header, pixels = read_raster(str(path))
    np.testing.assert_array_equal(pixels.samples[0], values)
    assert header.xmp == xmp_of(orientation)
    path.write_bytes(tiff({**tags, 274: (3, orientation), 700: (1, xmp_of(orientation))}, values.tobytes()))
    header, pixels = read_raster(str(path))
    np.testing.assert_array_equal(pixels.samples[0], TURNS[orientation](values[..., None])[..., 0])
    assert header.xmp == xmp_of(1)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_big_endian_big_tiff(tmp_path: Path, bits: int) -> None:
    """Its pixels come, and its tags and its EXIF with them."""
    values = random_values(f"uint{bits}", 1, 3, 5)
    data = values.astype(f">u{bits // 8}").tobytes()
    tags = {**plain_tags(5, 3, bits), 315: (2, b"me\0")}
    exif = struct.pack(">QHHQH6xQ", 1, 34850, 3, 1, 2, 0)  # ExposureProgram 2
    place = len(big_tiff({**tags, 34665: (4, 0)}, data))
    (path := tmp_path / "a.tif").write_bytes(big_tiff({**tags, 34665: (4, place)}, data, exif))
    header, pixels = read_raster(str(path))
    np.testing.assert_array_equal(pixels.samples, values)
    assert header.notes == ()
    assert header.exif is not None
    (said := Image.Exif()).load(header.exif)
    assert (said[315], said.get_ifd(34665)) == ("me", {34850: 2})


def test_letters_in_exif(tmp_path: Path) -> None:
    """The name of an artist comes as the bytes that it is."""
    tags = {**plain_tags(5, 3, 8), 315: (2, "Müller\0".encode())}
    (path := tmp_path / "a.tif").write_bytes(tiff(tags, bytes(15)))
    exif = read_raster(str(path))[0].exif
    assert exif is not None
    assert "Müller".encode() in exif


def test_what_pillow_takes_for_another_picture(tmp_path: Path) -> None:
    """Pillow looks for the tags of a big-endian BigTIFF where none are told to be, and may find some there."""
    values = random_values("uint8", 1, 3, 5)
    image = big_tiff(plain_tags(5, 3, 8), values.tobytes())
    wrong = {256: 1, 257: 1, 258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 278: 1, 279: 1}
    entries = b"".join(struct.pack(">HHIH2x", tag, 3, 1, value) for tag, value in wrong.items())
    (path := tmp_path / "a.tif").write_bytes(image.ljust(8 << 16, b"\0") + struct.pack(">H", 9) + entries + bytes(4))
    np.testing.assert_array_equal(read_raster(str(path))[1].samples, values)
