"""JPEG 2000: numbers, profiles, and which way is up, in boxes that are whole or broken."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import FileLimits, Transform
from pipeline.imagery.reading import jp2_boxes
from pipeline.imagery.reading.decoders import open_image
from pipeline.imagery.reading.pillow_files import PillowFile
from pipeline.imagery.reading.routing import open_file

from .raster_files import (
    PLACE,
    UTM,
    error_of,
    random_values,
    read_raster,
    write_values,
    xmp_of,
)
from .test_pillow_files import TURNS

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def test_what_lies_on_earth_keeps_its_place(tmp_path: Path) -> None:
    """Pillow reads palettes, and what GDAL cannot; but never what is georeferenced, whose place it would lose."""
    values = random_values("uint8", 3, 16, 16)
    path = Path(write_values(tmp_path / "a.jp2", values, "JP2OpenJPEG", crs=UTM, transform=PLACE))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"colr", b"pclr", 1))
    assert jp2_boxes.has_palette(str(path))
    assert read_raster(str(path))[0].georef is not None
    path.write_bytes(data + struct.pack(">I4s", 16, b"asoc") + struct.pack(">I4s", 0, b"lbl "))
    with pytest.raises(ImageError):
        read_raster(str(path))


def test_a_place_in_gml_is_no_loss(tmp_path: Path) -> None:
    """The place of a JPEG 2000 may be told in GML (GMLJP2); it is carried over, and no note says otherwise."""
    path = Path(
        write_values(tmp_path / "a.jp2", random_values("uint8", 3, 16, 16), "JP2OpenJPEG", crs=UTM, transform=PLACE)
    )
    assert b"gml.root-instance" in path.read_bytes()
    header, _ = read_raster(str(path))
    assert header.georef is not None
    assert header.notes == ()


def test_exif_of_jpeg_2000_is_told(tmp_path: Path) -> None:
    """In the box that programs use for it."""
    path = Path(write_values(tmp_path / "a.jp2", random_values("uint8", 3, 16, 16), "JP2OpenJPEG"))
    assert read_raster(str(path))[0].notes == ()
    content = b"uuidJpgTiffExif->JP2" + b"II*\0"
    with path.open("ab") as file:
        file.write((4 + len(content)).to_bytes(4, "big") + content)
    assert read_raster(str(path))[0].notes == ("its EXIF data, in a box of JPEG 2000, is not carried over",)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16"])
def test_jpeg_2000(tmp_path: Path, dtype: str) -> None:
    """A lossless JPEG 2000 comes to the last bit with its place, and its end must be there."""
    values = random_values(dtype, 3, 40, 50)
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES", "YCC": "NO"}
    path = write_values(tmp_path / "a.jp2", values, "JP2OpenJPEG", crs=UTM, transform=PLACE, **lossless)
    for sidecar in tmp_path.glob("*.xml"):
        sidecar.unlink()
    header, pixels = read_raster(path, slice(3, 30), slice(1, 44))
    np.testing.assert_array_equal(pixels.samples, values[:, 3:30, 1:44])
    assert header.dtype == dtype
    assert header.georef is not None
    assert header.georef.transform == Transform(*PLACE[:6])
    data = Path(path).read_bytes()
    Path(path).write_bytes(data[: len(data) // 2])
    assert error_of(path).error_type is ErrorType.CORRUPT


def _with_colours(path: Path, specification: bytes) -> None:
    """Put another colour specification box (ISO 15444-1, annex I.5.3.3) where the first one is."""
    data = path.read_bytes()
    colour, header = data.index(b"colr") - 4, data.index(b"jp2h") - 4
    size, whole = (int.from_bytes(data[start : start + 4], "big") for start in (colour, header))
    box = (8 + len(specification)).to_bytes(4, "big") + b"colr" + specification
    grown = (whole + len(box) - size).to_bytes(4, "big")
    path.write_bytes(data[:header] + grown + data[header + 4 : colour] + box + data[colour + size :])


@pytest.mark.parametrize(
    ("space", "colours"),
    [
        (b"RGB ", ("red", "green", "blue")),
        (b"RGB ", ("red", "green", "blue", "alpha")),
        (b"GRAY", ("gray",)),
        (b"GRAY", ("gray", "alpha")),
        (b"XYZ ", ("undefined", "undefined", "undefined")),
    ],
)
def test_profile_of_jpeg_2000(tmp_path: Path, space: bytes, colours: tuple[str, ...]) -> None:
    """A colour profile in the header of a JPEG 2000 comes as it is there, and names the bands."""
    mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[len(colours)]
    Image.frombytes(mode, (16, 16), bytes(256 * len(colours))).save(path := tmp_path / "a.jp2")
    assert read_raster(str(path))[0].icc_profile is None
    profile = bytes(16) + space + b"not really a profile"
    _with_colours(path, b"\2\0\0" + profile)
    header, _ = read_raster(str(path))
    assert (header.icc_profile, header.colours) == (profile, colours)
    image = PillowFile(str(path), "JPEG2000", FileLimits())
    assert image.header.icc_profile == profile
    image.close()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_bare_codestream_of_three_bands_is_rgb(tmp_path: Path, dtype: str) -> None:
    """Nothing in it names colours; a raster of three bands on Earth has the names that it has."""
    values = random_values(dtype, 3, 16, 16)
    lossless = {"QUALITY": 100, "REVERSIBLE": "YES", "YCC": "NO"}
    path = write_values(tmp_path / "a.j2k", values, "JP2OpenJPEG", CODEC="J2K", **lossless)
    header, pixels = read_raster(path)
    assert header.colours == ("red", "green", "blue")
    np.testing.assert_array_equal(pixels.samples, values)


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_luma_and_chroma_become_colours(tmp_path: Path, mode: str) -> None:
    """A JPEG 2000 in sYCC comes as it looks, with its alpha and a note about its EXIF."""
    stored = random_values("uint8", 16, 16, len(mode))
    Image.fromarray(stored).save(path := tmp_path / "a.jp2")
    _with_colours(path, b"\1\0\0" + struct.pack(">I", 18))
    path.write_bytes(path.read_bytes() + _box(b"JpgTiffExif->JP2", _exif(1)))
    header, pixels = read_raster(str(path))
    assert header.colours == ("red", "green", "blue", "alpha")[: len(mode)]
    looks = np.asarray(Image.fromarray(stored[..., :3].copy(), "YCbCr").convert("RGB"))
    samples = pixels.samples.transpose(1, 2, 0)
    np.testing.assert_allclose(samples[..., :3].astype(int), looks, atol=1)
    np.testing.assert_array_equal(samples[..., 3:], stored[..., 3:])
    assert "its EXIF data, in a box of JPEG 2000, is not carried over" in header.notes


@pytest.mark.parametrize(
    ("bands", "number", "name", "told"), [(4, 12, b"CMYK", "inks (CMYK)"), (3, 14, b"Lab ", "L*a*b*")]
)
def test_colours_that_are_no_shades_of_light_are_refused(
    tmp_path: Path, bands: int, number: int, name: bytes, told: str
) -> None:
    """By number or by the name in a profile. Inks would come out as shades of gray; L*a*b* has no intensities."""
    for colours in (b"\1\0\0" + struct.pack(">I", number), b"\2\0\0" + bytes(16) + name):
        Image.fromarray(random_values("uint8", 16, 16, bands)).save(path := tmp_path / "a.jp2")
        _with_colours(path, colours)
        error = error_of(str(path))
        assert (error.error_type, told in str(error)) == (ErrorType.UNSUPPORTED, True)


@pytest.mark.parametrize("number", [1, 11, 19, 20, 21, 24])
def test_colours_that_no_output_names_are_refused(tmp_path: Path, number: int) -> None:
    """Such as ROMM-RGB, which would pass for sRGB without a profile, and e-sYCC, for three bands without names."""
    Image.fromarray(random_values("uint8", 16, 16, 3)).save(path := tmp_path / "a.jp2")
    _with_colours(path, b"\1\0\0" + struct.pack(">I", number))
    error = error_of(str(path))
    assert (error.error_type, "convert it to RGB" in str(error)) == (ErrorType.UNSUPPORTED, True)


@pytest.mark.parametrize("around", [b"jp2h", b"asoc"])
def test_box_without_a_length(tmp_path: Path, around: bytes) -> None:
    """A box of JPEG 2000 in another that says no length, with which GDAL would never end, is damage."""
    path = Path(
        write_values(tmp_path / "a.jp2", random_values("uint16", 3, 16, 16), "JP2OpenJPEG", crs=UTM, transform=PLACE)
    )
    data = path.read_bytes()
    inside = data.index(around) + len(around)
    path.write_bytes(data[:inside] + bytes(4) + data[inside + 4 :])
    with pytest.raises(ValueError, match="has no length"):
        jp2_boxes.check_lengths(str(path))
    with pytest.raises(ImageError) as caught:
        open_image(str(path), FileLimits(seconds=20))
    assert caught.value.error_type is not ErrorType.DEADLINE


_XMP_UUID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


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
    values = random_values("uint8", 3, 20, 28)
    path = tmp_path / "a.jp2"
    Image.fromarray(values.transpose(1, 2, 0)).save(path)  # lossless
    data = path.read_bytes()
    if said != "EXIF":
        data += _box(_XMP_UUID, xmp_of(orientation if said != "EXIF against XMP" else 3))
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
        assert header.xmp == xmp_of(1)


def test_orientation_of_a_georeferenced_jpeg_2000(tmp_path: Path) -> None:
    """Its place on Earth says how it lies; the tag stays as it was, and is told."""
    values = random_values("uint8", 3, 20, 28)
    lossless = {"QUALITY": "100", "REVERSIBLE": "YES"}
    path = Path(write_values(tmp_path / "a.jp2", values, "JP2OpenJPEG", crs=UTM, transform=PLACE, **lossless))
    path.write_bytes(path.read_bytes() + _box(_XMP_UUID, xmp_of(6)))
    header, pixels = read_raster(str(path))
    np.testing.assert_array_equal(pixels.samples, values)
    assert header.xmp == xmp_of(6)
    assert "its orientation tag 6 is ignored, for its georeference says how it lies" in header.notes


@pytest.mark.parametrize(
    "box", [_box(b"JpgTiffExif->JP2", b"II*\0"), _box(b"JpgTiffExif->JP2", b"x"), _box(_XMP_UUID, b"")]
)
def test_broken_orientation_of_jpeg_2000(tmp_path: Path, box: bytes) -> None:
    """What makes no sense turns nothing."""
    values = random_values("uint8", 3, 20, 28)
    path = Path(write_values(tmp_path / "a.jp2", values, "JP2OpenJPEG", QUALITY="100", REVERSIBLE="YES"))
    path.write_bytes(path.read_bytes() + box)
    np.testing.assert_array_equal(read_raster(str(path))[1].samples, values)
