"""Whole files of kinds that are not read are never called damaged, and damaged ones never whole."""

import io
import struct
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import FileLimits, Header
from pipeline.imagery.reading import foreign_kinds
from pipeline.imagery.reading.jpeg_segments import segments, without_empty_headers
from pipeline.imagery.reading.routing import open_file

from .picture_bytes import tiff

_NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)


def _encoded(kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(_NOISE).save(buffer, kind, **options)
    return buffer.getvalue()


JPEG = _encoded("JPEG")
_FRAME = JPEG.index(b"\xff\xc0")


def _read(path: Path, data: bytes) -> tuple[Header, np.ndarray]:
    path.write_bytes(data)
    image = open_file(str(path), FileLimits())
    header = image.header
    samples = image.window(slice(0, header.height), slice(0, header.width)).samples
    image.close()
    return header, samples


def _error(path: Path, data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        _read(path, data)
    return caught.value


KINDS = {
    "JPEG XL codestream": (b"\xff\x0a", "JPEG XL"),
    "JPEG XL": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    "JPEG XL, by brand": (b"\0\0\0\x14ftypjxl \0\0\0\0jxl ", "JPEG XL"),
    "JPEG XR": (b"II\xbc\x01\x20\0\0\0", "JPEG XR"),
    "JPEG-LS": (b"\xff\xd8\xff\xf7\0\x0b\x08\0\x10\0\x10\1", "JPEG-LS"),
    "JPEG XS": (b"\xff\x10\xff\x50\0\2", "JPEG XS"),
    "DICOM": (bytes(128) + b"DICM\2\0\0\0UL", "DICOM"),
    "DICOM, a preamble": (b"\1" * 128 + b"DICM\2\0\0\0UL", "DICOM"),
    "FITS": (b"SIMPLE  =                    T / conforms to FITS", "FITS"),
    "ECW": (b"e\2\1\x08", "ECW"),
    "MrSID": (b"msid\1\0\0\0", "MrSID"),
    "QOI": (b"qoif\0\0\0\x10\0\0\0\x10\3\0", "QOI"),
    "Radiance": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n", "Radiance HDR"),
    "Radiance, the other name": (b"#?RGBE\nFORMAT=32-bit_rle_rgbe\n", "Radiance HDR"),
    "OpenEXR": (b"\x76\x2f\x31\x01\2\0\0\0", "OpenEXR"),
    "ICO": (b"\0\0\1\0\1\0\x10\x10\0\0\1\0\x20\0\x68\4\0\0\x16\0\0\0", "ICO"),
    "CUR": (b"\0\0\2\0\2\0\x10\x10\0\0\1\0\1\0\x68\4\0\0\x26\0\0\0", "ICO"),
    "ICNS": (b"icns\0\0\1\0", "ICNS"),
    "DDS": (b"DDS |\0\0\0", "DDS"),
    "PCX": (b"\x0a\5\1\x08\0\0\0\0", "PCX"),
    "SGI": (b"\1\xda\1\1\0\2", "SGI"),
    "XCF": (b"gimp xcf v011\0", "XCF"),
    "PSB": (b"8BPS\0\2" + bytes(6) + b"\0\3\0\0\0\x10\0\0\0\x10\0\x08\0\3", "PSB"),
    "CgBI": (b"\x89PNG\r\n\x1a\n\0\0\0\4CgBI\x50\0\x20\6", "CgBI"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- a map -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "SVG alone": (b"<svg width='9'></svg>", "SVG"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n", "PostScript"),
    "PAM": (b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 1\nMAXVAL 255\nENDHDR\n\0\0\0\0", "PAM"),
    "XBM": (b"#define map_width 16\n#define map_height 16\n", "XBM"),
    "ASCII grid": (b"ncols 4\nnrows 4\nxllcorner 0\n", "ASCII grid"),
    "ERDAS": (b"EHFA_HEADER_TAG\0", "ERDAS"),
    "NIfTI": (b"\x5c\1\0\0" + bytes(340) + b"n+1\0", "NIfTI"),
    "PFM in colour": (b"PF\n2 2\n-1.0\n" + bytes(48), "PFM"),
    "farbfeld": (b"farbfeld\0\0\0\2\0\0\0\2" + bytes(32), "farbfeld"),
    "ASTC": (b"\x13\xab\xa1\x5c\4\4\1", "ASTC"),
    "Softimage": (b"\x53\x80\xf6\x34\x40\0\0\0", "Softimage"),
    "MSP": (b"LinS\x10\0\x10\0", "MSP"),
    "IM": (b"Image type: RGB image\r\n", "IM"),
    "LERC": (b"Lerc2 \5\0\0\0", "LERC"),
    "DIB": (struct.pack("<IiiHHI", 40, 16, 16, 1, 24, 0) + bytes(20), "DIB"),
    "WMF without a place": (b"\1\0\x09\0\0\3\x2c\0\0\0", "metafile"),
    "DICOM without a preamble": (b"\x08\0\5\0\x0a\0\0\0ISO_IR 100\x08\0\x16\0", "DICOM"),
    "HDF5 behind a block of the user": (bytes([7]) * 512 + b"\x89HDF\r\n\x1a\n", "HDF5"),
    "HEIF of other profiles": (b"\0\0\0\x14ftyphevx\0\0\0\0hevx", "HEIF"),
    "HEIF around another coding": (b"\0\0\0\x14ftypmiaf\0\0\0\0vvic", "HEIF"),
    "film without a brand": (b"\0\0\0\x08wide\0\0\0\0mdat", "film"),
    "film": (b"RIFF\0\0\0\0AVI LIST", "film"),
    "Motion JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n\0\0\0\x14ftypmjp2\0\0\0\0", "film"),
    "VRT": (b'<VRTDataset rasterXSize="6" rasterYSize="4">', "gdal_translate x.vrt x.tif"),
    "VRT with a prolog": (b"<?xml version='1.0'?>\n<VRTDataset>", "virtual raster"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c", "7-Zip archive; unpack"),
    "tar": (b"a.png" + bytes(252) + b"ustar\00000", "tar archive; unpack"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_known_by_their_first_bytes(tmp_path: Path, kind: str) -> None:
    """Unsupported, by name and with the remedy, whatever the file is called and however long it is."""
    head, name = KINDS[kind]
    text = head.isascii() and b"\0" not in head
    for data in (head, head + (b"\n" * 40 if text else bytes(range(256)) * 4)):
        error = _error(tmp_path / "a.png", data)
        assert error.error_type is ErrorType.UNSUPPORTED
        assert name in str(error)
        assert any(remedy in str(error) for remedy in ("convert it", "unpack", "extract", "export"))
        assert "replace" not in str(error)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "GIF", "BMP", "WEBP", "JPEG2000", "PPM", "TGA", "AVIF"])
def test_kinds_that_are_read_are_not_among_them(tmp_path: Path, kind: str) -> None:
    """No magic of another kind begins like theirs; nor does a TIFF become a DICOM by what stands at its byte 128."""
    data = _encoded(kind)
    assert foreign_kinds.by_magic(data[:1024]) is None
    _read(tmp_path / "a", data)
    if kind == "TIFF":
        both = tiff({256: (3, 16), 257: (3, 16), 258: (3, 8), 262: (3, 1), 277: (3, 1), 278: (3, 16)}, bytes(256))
        both = both[:128] + b"DICM" + both[132:]
        assert int(_read(tmp_path / "b", both)[1][0].sum()) > 0


@given(st.binary(max_size=700))
def test_what_no_one_knows_is_no_such_kind(head: bytes) -> None:
    """Whatever the bytes are, telling them neither fails nor takes long."""
    what = foreign_kinds.by_magic(head) or foreign_kinds.by_pattern(head)
    assert what is None or ";" in what


# ---- JPEG ------------------------------------------------------------------------------------------------------------


def _with_frame(marker: int = 0xC0, **changes: int) -> bytes:
    """JPEG with another kind of frame, or another number in it."""
    places = {"precision": (4, 1), "height": (5, 2), "components": (9, 1)}
    frame = bytearray(JPEG[_FRAME : _FRAME + 19])
    frame[1] = marker
    for name, value in changes.items():
        place, size = places[name]
        frame[place : place + size] = value.to_bytes(size, "big")
    return JPEG[:_FRAME] + bytes(frame) + JPEG[_FRAME + 19 :]


@pytest.mark.parametrize(
    ("data", "feature"),
    [
        *((_with_frame(marker), "lossless") for marker in (0xC3, 0xCB, 0xCF)),
        *((_with_frame(marker), "hierarchical") for marker in (0xC5, 0xC6, 0xC7, 0xCD, 0xCE)),
        (JPEG[:_FRAME] + b"\xff\xde" + JPEG[_FRAME + 2 : _FRAME + 19] + JPEG[_FRAME:], "hierarchical"),
        (_with_frame(0xF7), "JPEG-LS"),
        (_with_frame(0xC1, precision=12), "12 bits a sample"),
        (_with_frame(0xC2, precision=12), "12 bits a sample"),
        (_with_frame(height=0), "a height that is given after its pixels"),
    ],
)
def test_jpegs_of_other_processes(tmp_path: Path, data: bytes, feature: str) -> None:
    """What the standard has and no decoder here does is named."""
    error = _error(tmp_path / "a.jpg", data)
    assert (error.error_type, feature in str(error), "convert it" in str(error)) == (ErrorType.UNSUPPORTED, True, True)


@pytest.mark.parametrize("data", [JPEG[:200], JPEG[:_FRAME], JPEG[:-100], b"\xff\xd8\xff" + bytes(99)])
def test_jpegs_that_are_cut(tmp_path: Path, data: bytes) -> None:
    """These are damaged."""
    assert _error(tmp_path / "a.jpg", data).error_type is ErrorType.CORRUPT


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


EMPTY = {
    "JFIF and a zero": _segment(0xE0, b"JFIF\0"),
    "JFIF": _segment(0xE0, b"JFIF"),
    "Adobe": _segment(0xEE, b"Adobe"),
    "Adobe, half": _segment(0xEE, b"Adobe\0\x64\0"),
    "profile": _segment(0xE2, b"ICC_PROFILE\0"),
    "EXIF": _segment(0xE1, b"Exif\0\0"),
    "Photoshop": _segment(0xED, b"Photoshop 3.0\0"),
    "nothing": _segment(0xE0, b""),
}


@pytest.mark.parametrize("header", EMPTY)
def test_empty_headers_of_a_jpeg(tmp_path: Path, header: str) -> None:
    """They tell nothing, so the picture is what it is without them; in place of JFIF and beside it."""
    plain = _read(tmp_path / "plain.jpg", JPEG)[1]
    instead = JPEG[:2] + EMPTY[header] + JPEG[20:]
    for data in (instead, JPEG[:2] + EMPTY[header] + JPEG[2:], JPEG[:20] + EMPTY[header] + JPEG[20:]):
        np.testing.assert_array_equal(_read(tmp_path / "a.jpg", data)[1], plain)


def test_full_headers_of_a_jpeg_stay() -> None:
    """What has something to say is not left out, and of what is, the name is told."""
    assert without_empty_headers(JPEG) == (JPEG, ())
    with_profile = _encoded("JPEG", icc_profile=bytes(200), exif=b"Exif\0\0II*\0\x08\0\0\0\0\0")
    assert without_empty_headers(with_profile) == (with_profile, ())
    data = JPEG[:20] + EMPTY["Adobe"] + EMPTY["profile"] + JPEG[20:]
    assert without_empty_headers(data) == (JPEG, ("Adobe", "ICC_PROFILE"))


@given(st.binary(max_size=200))
def test_segments_of_anything(data: bytes) -> None:
    """Any bytes have none, or some that lie one after the other."""
    found = list(segments(b"\xff\xd8" + data))
    assert all(one.stop <= other.start for one, other in pairwise(found))


# ---- TIFF and BMP ----------------------------------------------------------------------------------------------------

_GRAY: Mapping[int, tuple[int, int]] = {256: (3, 16), 257: (3, 16), 258: (3, 8), 262: (3, 1), 277: (3, 1), 278: (3, 16)}


@pytest.mark.parametrize(
    ("tags", "feature"),
    [
        *(({259: (3, code)}, "JBIG") for code in (9, 10, 34661)),
        *(({259: (3, code)}, "JPEG 2000") for code in (33003, 33005, 34712)),
        *(({259: (3, code)}, "JPEG XL") for code in (50002, 52546)),
        ({259: (3, 34934)}, "JPEG XR"),
        ({259: (3, 34892)}, "lossy JPEG of DNG"),
        ({259: (3, 6)}, "old-style JPEG"),
        ({259: (3, 12345)}, "not known here (12345)"),
        ({259: (3, 5), 317: (3, 34894)}, "predictor 34894"),
        ({262: (3, 2), 277: (3, 3), 258: (3, [5, 6, 5])}, "samples of different depth (5, 6, 5 bits)"),
        ({262: (3, 6), 277: (3, 3), 258: (3, [8, 8, 8]), 284: (3, 2)}, "YCbCr colours"),
        ({262: (3, 6), 277: (3, 3), 258: (3, [8, 8, 8]), 284: (3, 2), 259: (3, 5), 530: (3, [2, 1])}, "YCbCr colours"),
    ],
)
def test_tiffs_that_are_not_read(tmp_path: Path, tags: Mapping[int, object], feature: str) -> None:
    """Packings and layouts that neither decoder has are named."""
    error = _error(tmp_path / "a.tif", tiff({**_GRAY, **tags}, bytes(range(256)) * 3))  # type: ignore[dict-item]
    assert (error.error_type, feature in str(error), "convert it" in str(error)) == (ErrorType.UNSUPPORTED, True, True)


@pytest.mark.parametrize("code", [2, 3, 4, 5, 8, 34887, 34925, 50000, 50001])
def test_tiffs_that_are_damaged(tmp_path: Path, code: int) -> None:
    """Of a packing that is read what cannot be unpacked is damaged."""
    error = _error(tmp_path / "a.tif", tiff({**_GRAY, 259: (3, code)}, b"\xff\x13" * 99))
    assert error.error_type is ErrorType.CORRUPT


@pytest.mark.parametrize(("inside", "named"), [(_with_frame(0xC3), "lossless"), (_with_frame(precision=12), "12 bits")])
def test_jpegs_in_tiffs(tmp_path: Path, inside: bytes, named: str) -> None:
    """A strip of JPEG is looked into."""
    tags = {**_GRAY, 259: (3, 7), 262: (3, 2), 277: (3, 3), 258: (3, [8, 8, 8])}
    error = _error(tmp_path / "a.tif", tiff(tags, inside))
    assert (error.error_type, named in str(error)) == (ErrorType.UNSUPPORTED, True)


def test_bmps_around_other_pictures(tmp_path: Path) -> None:
    """A bitmap that holds a PNG or a JPEG is none that Pillow reads."""
    for code, name in ((4, "JPEG"), (5, "PNG")):
        head = struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 99, 0, 0, 54, 40, 16, 16, 1, 0, code, 10, 0, 0, 0, 0)
        error = _error(tmp_path / "a.bmp", head + JPEG)
        assert (error.error_type, f"a {name} inside" in str(error)) == (ErrorType.UNSUPPORTED, True)
