"""Photographs and scans: read exactly, with all their bits, upright; and what Pillow would spoil is refused."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageCms, PngImagePlugin, TiffImagePlugin

from pipeline.codec import from_json, to_json
from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.header import FileLimits, Header
from pipeline.imagery.reading import png_chunks
from pipeline.imagery.reading.routing import open_file

from .picture_bytes import png, png_chunk, psd, tiff

_RNG = np.random.default_rng(0)
_NOISE = _RNG.integers(0, 256, (20, 24, 4), dtype=np.uint8)
_GRAY, _RGB = _NOISE[..., 0], _NOISE[..., :3]
_DEEP = _RNG.integers(0, 65536, (6, 8, 4), dtype=np.uint16)
_RAMP = np.add.outer(np.arange(20), np.arange(24)).astype(np.uint8) * 5
"""Smooth, for codecs that lose something."""


@pytest.fixture
def read(tmp_path: Path) -> Callable[..., tuple[Header, np.ndarray]]:
    """Header and (H, W) or (H, W, C) of the bytes of a file."""

    def read_bytes(data: bytes, limits: FileLimits | None = None) -> tuple[Header, np.ndarray]:
        path = tmp_path / "picture"
        path.write_bytes(data)
        image = open_file(str(path), limits or FileLimits())
        header = image.header
        samples = image.window(slice(0, header.height), slice(0, header.width)).samples
        image.close()
        assert samples.shape == (len(header.bands), header.height, header.width)
        assert str(samples.dtype) == header.dtype
        assert samples.flags.c_contiguous
        assert from_json(Header, to_json(header)) == header
        return header, samples[0] if len(samples) == 1 else samples.transpose(1, 2, 0)

    return read_bytes


Read = Callable[..., tuple[Header, np.ndarray]]


def _encode(picture: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _error(read: Read, data: bytes, limits: FileLimits | None = None) -> ImageError:
    with pytest.raises(ImageError) as caught:
        read(data, limits)
    return caught.value


LOSSLESS = [
    ("PNG", {}),
    ("PNG", {"optimize": True}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {"compression": "tiff_adobe_deflate"}),
    ("BMP", {}),
    ("JPEG2000", {}),
    ("PPM", {}),
    ("TGA", {}),
    ("TGA", {"compression": "tga_rle"}),
]
LOSSY = [("JPEG", {"quality": 100, "subsampling": 0}), ("JPEG", {"progressive": True}), ("AVIF", {"quality": 100})]


@pytest.mark.parametrize("picture", [_GRAY, _RGB], ids=["gray", "rgb"])
@pytest.mark.parametrize(("kind", "options"), LOSSLESS, ids=str)
def test_lossless_formats(read: Read, kind: str, options: dict[str, Any], picture: np.ndarray) -> None:
    """What NumPy held before is what is decoded, to the last bit, under the names of its bands."""
    header, decoded = read(_encode(picture, kind, **options))
    np.testing.assert_array_equal(decoded, picture)
    assert header.colours == (("gray",) if picture.ndim == 2 else ("red", "green", "blue"))
    assert (header.nodata, header.mask, header.georef) == (None, False, None)


@pytest.mark.parametrize("bands", [1, 3], ids=["gray", "rgb"])
@pytest.mark.parametrize(("kind", "options"), LOSSY, ids=str)
def test_lossy_formats(read: Read, kind: str, options: dict[str, Any], bands: int) -> None:
    """A smooth picture comes back within what the codec loses, with all bands in their place."""
    picture = _RAMP if bands == 1 else np.stack([_RAMP, _RAMP[::-1], 255 - _RAMP], -1)
    _, decoded = read(_encode(picture, kind, **options))
    assert decoded.shape == picture.shape
    assert np.abs(decoded.astype(int) - picture).mean() < 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "TGA", "WEBP"])
def test_alpha(read: Read, kind: str) -> None:
    """Transparency is the last band, and the colours under it are those of the file."""
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    header, decoded = read(_encode(_NOISE, kind, **options))
    np.testing.assert_array_equal(decoded, _NOISE)
    assert header.colours == ("red", "green", "blue", "alpha")
    assert header.has_alpha


@pytest.mark.parametrize("kind", ["PNG", "TGA"])
def test_gray_and_alpha(read: Read, kind: str) -> None:
    """Gray with transparency has two bands."""
    header, decoded = read(_encode(Image.fromarray(_NOISE[..., :2].copy(), "LA"), kind))
    np.testing.assert_array_equal(decoded, _NOISE[..., :2])
    assert header.colours == ("gray", "alpha")


def test_premultiplied_alpha_is_divided_out(read: Read) -> None:
    """A TIFF with associated alpha gives the colours before they were multiplied, gray and RGB alike."""
    alpha = np.array([[255, 128, 51, 0]], np.uint8)
    plain = np.array([[200, 100, 250, 0]], np.uint8)
    stored = np.round(plain.astype(float) * alpha / 255).astype(np.uint8)
    for bands, photometric in ((1, 1), (3, 2)):
        data = np.stack([*[stored] * bands, alpha], -1).tobytes()
        tags = {256: (4, 4), 257: (4, 1), 258: (3, [8] * (bands + 1)), 259: (3, 1), 262: (3, photometric)}
        tags |= {277: (3, bands + 1), 278: (4, 1), 338: (3, 1)}
        header, decoded = read(tiff(tags, data))
        assert header.has_alpha
        assert np.abs(decoded[..., 0].astype(int) - plain).max() <= 3  # what 8 bits of a product keep, at alpha 51
        np.testing.assert_array_equal(decoded[..., -1], alpha)


def test_one_bit(read: Read) -> None:
    """Black and white are 0 and 255, whichever of them the file calls 1."""
    picture = _GRAY > 127
    for kind in ("PNG", "TIFF", "PPM", "BMP"):
        np.testing.assert_array_equal(read(_encode(Image.fromarray(picture), kind))[1], picture * np.uint8(255))
    tags = {256: (4, 8), 257: (4, 1), 258: (3, 1), 259: (3, 1), 262: (3, 0), 277: (3, 1), 278: (4, 1)}
    np.testing.assert_array_equal(read(tiff(tags, b"\x0f"))[1], [[255] * 4 + [0] * 4])


def test_few_bits_are_stretched(read: Read) -> None:
    """Gray of 2 and 4 bits spans black to white as a viewer shows it, and so does its transparent colour."""
    assert read(png(4, 2, 0, [b"\x1b"]))[1].tolist() == [[0, 85, 170, 255]]
    assert read(png(4, 4, 0, [b"\x01\x9f"]))[1].tolist() == [[0, 17, 153, 255]]
    _, decoded = read(png(4, 4, 0, [b"\x01\x9f"], png_chunk(b"tRNS", b"\0\x09")))
    assert decoded.tolist() == [[[0, 255], [17, 255], [153, 0], [255, 255]]]
    assert read(b"P5 2 1 15\n\0\x0f")[1].tolist() == [[0, 255]]


def test_palettes_become_colours(read: Read) -> None:
    """A palette is looked up: to gray when it holds no other, to RGB, and with alpha when entries are transparent."""
    every_level = np.arange(256, dtype=np.uint8).reshape(16, 16)
    header, decoded = read(_encode(every_level, "GIF"))
    assert header.colours == ("gray",)
    np.testing.assert_array_equal(decoded, every_level)
    entries = bytes([10, 20, 30, 200, 100, 50, 7, 7, 7])
    plte = png_chunk(b"PLTE", entries)
    header, decoded = read(png(3, 8, 3, [b"\0\1\2"], plte))
    assert header.colours == ("red", "green", "blue")
    assert decoded.tolist() == [[[10, 20, 30], [200, 100, 50], [7, 7, 7]]]
    header, decoded = read(png(3, 8, 3, [b"\0\1\2"], plte + png_chunk(b"tRNS", b"\xff\x40")))
    assert header.has_alpha
    assert decoded.tolist() == [[[10, 20, 30, 255], [200, 100, 50, 64], [7, 7, 7, 255]]]
    header, decoded = read(
        png(2, 8, 3, [b"\0\1"], png_chunk(b"PLTE", bytes([9, 9, 9, 8, 8, 8])) + png_chunk(b"tRNS", b"\0"))
    )
    assert header.colours == ("gray", "alpha")
    assert decoded.tolist() == [[[9, 0], [8, 255]]]


def test_transparent_colour_becomes_alpha(read: Read) -> None:
    """The one colour that a PNG calls transparent has alpha 0, all others full; 8 and 16 bits, gray and RGB."""
    key = png_chunk(b"tRNS", b"\0\5")
    assert read(png(3, 8, 0, [b"\4\5\6"], key))[1].tolist() == [[[4, 255], [5, 0], [6, 255]]]
    rgb_key = png_chunk(b"tRNS", b"\0\1\0\2\0\3")
    assert read(png(2, 8, 2, [b"\1\2\3\1\2\4"], rgb_key))[1].tolist() == [[[1, 2, 3, 0], [1, 2, 4, 255]]]
    header, decoded = read(png(2, 16, 0, [b"\1\0\1\1"], png_chunk(b"tRNS", b"\1\1")))
    assert header.dtype == "uint16"
    assert decoded.tolist() == [[[256, 65535], [257, 0]]]
    header, decoded = read(
        png(2, 16, 2, [struct.pack(">6H", 1, 2, 300, 1, 2, 301)], png_chunk(b"tRNS", struct.pack(">3H", 1, 2, 300)))
    )
    assert header.dtype == "uint16"
    assert decoded.tolist() == [[[1, 2, 300, 0], [1, 2, 301, 65535]]]


@pytest.mark.parametrize(("colour", "bands"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_deep_png(read: Read, colour: int, bands: int) -> None:
    """A 16-bit PNG comes with all its bits, whatever its bands, and with its profile, EXIF, XMP and resolution."""
    picture = _DEEP[..., :bands]
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    before = png_chunk(b"pHYs", struct.pack(">IIB", 4000, 2000, 1)) + png_chunk(b"eXIf", exif.tobytes()[6:])
    header, decoded = read(png(8, 16, colour, [row.astype(">u2").tobytes() for row in picture], before))
    assert header.dtype == "uint16"
    np.testing.assert_array_equal(decoded, np.rot90(np.squeeze(picture), -1))
    assert header.dpi == pytest.approx((50.8, 101.6), rel=1e-3)
    assert _tags(header)[271] == "maker"


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_deep_gray(read: Read, kind: str) -> None:
    """16-bit gray comes with all its bits."""
    np.testing.assert_array_equal(read(_encode(_DEEP[..., 0].copy(), kind))[1], _DEEP[..., 0])


def test_deep_netpbm_and_float(read: Read) -> None:
    """A 16-bit PGM is uint16, a PFM float32."""
    assert read(b"P5 2 1 65535\n" + struct.pack(">2H", 258, 65535))[1].tolist() == [[258, 65535]]
    header, decoded = read(b"Pf\n2 2\n-1.0\n" + struct.pack("<4f", 1.5, -2, 3, 4e30))
    assert header.dtype == "float32"
    np.testing.assert_array_equal(decoded, np.float32([[3, 4e30], [1.5, -2]]))


@pytest.mark.parametrize("white", [256, 1000, 1023, 4095, 40000, 65534])
def test_every_number_of_a_deep_pgm(read: Read, white: int) -> None:
    """It comes as it is, whatever number is white, and the header and its notes say how many bits there are."""
    numbers = np.arange(white + 1)
    plain = b"P2 %d 1 %d\n" % (white + 1, white) + b" ".join(b"%d" % number for number in numbers)
    for data in (b"P5 %d 1 %d\n" % (white + 1, white) + numbers.astype(">u2").tobytes(), plain):
        header, decoded = read(data)
        np.testing.assert_array_equal(decoded[0], numbers)
        bits = white.bit_length()
        assert (header.dtype, header.bits) == ("uint16", bits if bits < 16 else None)
        assert header.notes == (f"its {bits}-bit values, of which {white} is white, are kept as they are in uint16",)


def test_stretched_numbers_are_told(read: Read) -> None:
    """A PGM or PPM of 8 bits looks as it does elsewhere; that its numbers are others is noted."""
    for data in (b"P5 3 1 100\n\0\x32\x64", b"P6 1 1 100\n\0\x32\x64", b"P2 3 1 100\n0 50 100\n"):
        header, decoded = read(data)
        assert (decoded.ravel().tolist(), header.bits) == ([0, 128, 255], None)
        assert header.notes == ("its values from 0 to 100 are stretched to 255",)
    for white in (1, 3, 15, 255):
        assert read(b"P5 2 1 %d\n\0%c" % (white, white))[0].notes == ()
    assert read(b"P5 2 1 65535\n" + bytes(4))[0].notes == ()


def test_cmyk_stays_cmyk(read: Read) -> None:
    """Four inks come as four bands as Pillow gives them, with their profile."""
    image = Image.fromarray(_NOISE, "CMYK")
    header, decoded = read(_encode(image, "TIFF", icc_profile=b"inks"))
    assert (header.colours, header.icc_profile) == (("cyan", "magenta", "yellow", "black"), b"inks")
    np.testing.assert_array_equal(decoded, _NOISE)
    data = _encode(image, "JPEG", quality=100, subsampling=0)
    np.testing.assert_array_equal(read(data)[1], np.asarray(Image.open(io.BytesIO(data))))


TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.transpose(1, 0, 2),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].transpose(1, 0, 2),
    8: lambda stored: np.rot90(stored),
}
"""What each value of the EXIF tag asks of a viewer (EXIF 2.32, 4.6.4 A)."""


def _tags(header: Header) -> Image.Exif:
    assert header.exif is not None
    exif = Image.Exif()
    exif.load(header.exif)
    return exif


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", TURNS)
def test_orientation(read: Read, orientation: int, kind: str) -> None:
    """A picture is turned as its tag says, exactly once; its sizes are those as shown, and its EXIF says upright."""
    exif = Image.Exif()
    exif[274], exif[272] = orientation, "model"
    picture = np.stack([_RAMP, _RAMP // 2, 255 - _RAMP], -1)
    options = {"lossless": True} if kind == "WEBP" else {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    header, decoded = read(_encode(picture, kind, exif=exif, **options))
    assert decoded.shape == TURNS[orientation](picture).shape
    np.testing.assert_allclose(decoded.astype(int), TURNS[orientation](picture), atol=6 if kind == "JPEG" else 0)
    assert (_tags(header)[274], _tags(header)[272]) == (1, "model")


@pytest.mark.parametrize("said", ['="6"', "='6'", ' = "6"', ">6</tiff:Orientation", "> 6 </tiff:Orientation"])
def test_orientation_in_any_xmp(read: Read, said: str) -> None:
    """Where XMP is made upright the picture is turned, however XMP is written, also where EXIF is broken."""
    text = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'><tiff:Orientation{said}></x:xmpmeta>"
    chunk = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + text.encode())
    for before in (chunk, chunk + png_chunk(b"eXIf", b"broken")):
        header, decoded = read(png(24, 8, 2, [row.tobytes() for row in _RGB], before))
        np.testing.assert_array_equal(decoded, np.rot90(_RGB, -1))
        assert header.xmp == text.replace("6", "1").encode()


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_metadata_behind_the_pixels(read: Read, dtype: str) -> None:
    """A PNG may say only at its end which way up it is, and what else EXIF and XMP say."""
    picture = _RGB.astype(dtype) * (1 if dtype == "uint8" else 257)
    exif = Image.Exif()
    exif[274], exif[271] = 8, "maker"
    xmp = png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x a='b'/>")
    rows = [row.astype(picture.dtype.newbyteorder(">")).tobytes() for row in picture]
    after = png_chunk(b"eXIf", exif.tobytes()[6:]) + xmp
    header, decoded = read(png(24, 8 * picture.itemsize, 2, rows, after=after))
    np.testing.assert_array_equal(decoded, np.rot90(picture))
    assert (_tags(header)[271], _tags(header)[274], header.xmp) == ("maker", 1, b"<x a='b'/>")


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_metadata_travels(read: Read, kind: str) -> None:
    """Profile, resolution and XMP come as they are in the file; where a picture is turned as XMP says, that says so."""
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    options: dict[str, Any] = {"icc_profile": b"not really a profile, but bytes are bytes"}
    if kind == "PNG":
        options["pnginfo"] = _png_text("XML:com.adobe.xmp", xmp.decode())
    elif kind == "TIFF":
        options["tiffinfo"] = TiffImagePlugin.ImageFileDirectory_v2()
        options["tiffinfo"][700] = xmp
    else:
        options["xmp"] = xmp
    header, _ = read(_encode(_RGB, kind, dpi=(300, 150), **options))
    assert header.icc_profile == options["icc_profile"]
    assert header.xmp == (xmp if kind == "TIFF" else xmp.replace(b'"6"', b'"1"'))
    dpi = (300, 150) if kind == "TIFF" else (150, 300)  # Pillow looks for an orientation in XMP, too
    assert header.dpi == (None if kind == "WEBP" else pytest.approx(dpi, rel=1e-3))
    plain, _ = read(_encode(_RGB, kind))
    assert (plain.icc_profile, plain.exif, plain.xmp, plain.notes) == (None, None, None, ())


def _png_text(keyword: str, text: str) -> Any:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt(keyword, text)
    return info


def test_exif_without_thumbnail(read: Read) -> None:
    """Exposure and place survive; the thumbnail, which shows the picture as it was, does not."""
    exif = Image.Exif()
    exif[271] = "maker"
    exif.get_ifd(34665)[33434] = 0.5
    exif.get_ifd(34853)[1] = "N"
    data = exif.tobytes()
    thumbnail = struct.pack(">HHHIII", 1, 513, 4, 1, 7, 0)  # a second directory, linked from the first
    count = struct.unpack(">H", data[14:16])[0]
    link = 16 + 12 * count
    data = data[:link] + struct.pack(">I", len(data) - 6) + data[link + 4 :] + thumbnail
    header, _ = read(_encode(_RGB, "JPEG", exif=data))
    kept = _tags(header)
    assert (kept[271], kept.get_ifd(34665)[33434], kept.get_ifd(34853)[1]) == ("maker", 0.5, "N")
    assert not kept.get_ifd(ExifTags.IFD.IFD1)
    with_it = Image.Exif()
    with_it.load(data)
    assert with_it.get_ifd(ExifTags.IFD.IFD1)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_letters_in_exif(read: Read, kind: str) -> None:
    """Names with umlauts come as the bytes that they are, in UTF-8 or another encoding."""
    exif = Image.Exif()
    exif[271] = "M##ller"
    exif.get_ifd(34665)[42036] = "L##nse"
    for letter in ("ü".encode(), "üä".encode("latin-1")):
        header, _ = read(_encode(_RGB, kind, exif=exif.tobytes().replace(b"##", letter)))
        kept = _tags(header)
        assert (kept[271], kept.get_ifd(34665)[42036]) == tuple(
            text.replace("##", letter.decode("latin-1")) for text in ("M##ller", "L##nse")
        )


def test_broken_exif_costs_no_pixels(read: Read) -> None:
    """A picture with damaged EXIF is read; the EXIF is left out, and the notes say so."""
    exif = Image.Exif()
    exif[271] = "a maker with a long name"
    for data in (exif.tobytes()[:-12], b"Exif\0\0II*\0\x08\0\0\0\x05\0junk", b"Exif\0\0junk that is no TIFF"):
        header, decoded = read(_encode(_RAMP, "JPEG", quality=100, exif=data))
        assert decoded.shape == _RAMP.shape
        assert header.exif is None
        assert ["EXIF" in note for note in header.notes] == [True]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP", "GIF", "MPO"])
def test_first_of_several(read: Read, kind: str) -> None:
    """Of several pictures in one file the first is done, and the notes tell how many there are."""
    picture = Image.fromarray(np.stack([_RAMP] * 3, -1))
    options = {"lossless": True} if kind == "WEBP" else {}
    header, decoded = read(
        _encode(picture, kind, save_all=True, append_images=[picture.rotate(180), picture], **options)
    )
    assert header.notes == ("the file holds 3 pictures; only the first is done",)
    first = decoded if decoded.ndim == 2 else decoded[..., 0]  # GIF sees that it is gray
    assert np.abs(first.astype(int) - _RAMP).mean() < 4


def test_small_versions_are_no_pages(read: Read) -> None:
    """Masks and reduced versions in a TIFF belong to the first picture."""
    tags = {254: (4, 1), 256: (4, 1), 257: (4, 1), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, 1)}
    first = tiff({**tags, 254: (4, 0)}, b"\x07")
    assert read(first)[0].notes == ()
    for kind, notes in ((1, 0), (4, 0), (2, 1), (0, 1)):
        offset = len(first)
        second = struct.pack("<H", 1) + struct.pack("<HHII", 254, 4, 1, kind) + bytes(4)
        link = 8 + 2 + 12 * 10
        both = first[:link] + struct.pack("<I", offset) + first[link + 4 :] + second
        assert len(read(both)[0].notes) == notes


def test_a_picture_that_comes_later(read: Read) -> None:
    """A first picture that says that it is a small version of a larger one in the file is refused, not enlarged."""
    small, large = Image.fromarray(_GRAY[:4, :4].copy()), Image.fromarray(_GRAY)
    error = _error(read, _encode(small, "TIFF", save_all=True, append_images=[large], tiffinfo={254: 1}))
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "a small version of another, of 480 pixels; extract" in str(error)
    alone, _ = read(_encode(small, "TIFF", tiffinfo={254: 1}))
    assert (alone.width, alone.notes) == (4, ())


def test_tags_that_are_not_carried_are_told(read: Read) -> None:
    """Those of TIFF that EXIF has no place for, but not those that say how pixels lie."""
    tags = {256: (4, 1), 257: (4, 1), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, 1)}
    assert read(tiff({**tags, 305: (2, b"me\0")}, b"\7"))[0].notes == ()
    told = read(tiff({**tags, 269: (2, b"a barn\0"), 318: (5, [1, 3, 1, 3])}, b"\7"))[0].notes
    assert told == ("its TIFF tags DocumentName, WhitePoint are not carried over",)


def test_what_colours_mean_in_a_png(read: Read) -> None:
    """Chunks before the pixels that say it are carried to the byte; others that nothing is made of are named."""
    said = {"gAMA": struct.pack(">I", 100_000), "cHRM": bytes(range(32)), "sRGB": b"\0", "cICP": bytes(4)}
    chunks = b"".join(png_chunk(name.encode(), data) for name, data in said.items())
    header, _ = read(png(1, 8, 0, [b"\x9f"], chunks + png_chunk(b"bKGD", bytes(2)), png_chunk(b"prVt", b"x")))
    assert header.png_colour == said
    assert header.notes == ("its chunks bKGD, prVt are not carried over",)
    assert read(png(1, 8, 0, [b"\x9f"], png_chunk(b"cICP", bytes(3))))[0].png_colour is None


def _with_gif_extension(name: bytes) -> bytes:
    data = _encode(_GRAY, "GIF")
    start = 13 + 3 * 2 ** ((data[10] & 7) + 1)  # behind its palette
    return data[:start] + b"!\xff\x0b" + name + b"\3abc\0" + data[start:]


def _bmp_with_colour_space(name: bytes) -> bytes:
    """A BMP with a header of the fifth version, of 124 bytes."""
    data = _encode(_RGB, "BMP")
    begin = data[:10] + struct.pack("<II", 54 + 84, 124) + data[18:54]
    return begin + bytes(16) + name + bytes(64) + data[54:]


LOST_COLOURS = {
    "a JPEG's, of which a segment is missing": (
        _encode(_RGB, "JPEG", icc_profile=bytes(200_000)).replace(b"ICC_PROFILE\0\1\4", b"ICC_PROFILE\0\1\5"),
        "its ICC profile is damaged and not carried over",
    ),
    "a PNG's, which does not unpack": (
        png(1, 8, 0, [b"\x9f"], png_chunk(b"iCCP", b"name\0\0no stream")),
        "its ICC profile is damaged and not carried over",
    ),
    "a GIF's": (_with_gif_extension(b"ICCRGBG1012"), "its ICC profile, in an extension of GIF, is not carried over"),
    "a GIF's XMP": (_with_gif_extension(b"XMP DataXMP"), "its XMP, in an extension of GIF, is not carried over"),
    "a BMP's": (_bmp_with_colour_space(b"DEBM"), "its colour profile, which a BMP holds or names, is not carried over"),
    "a BMP's of sRGB": (_bmp_with_colour_space(b"BGRs"), None),
    "an AVIF's in numbers": (
        _encode(_RGB, "AVIF").replace(b"colrnclx\0\1\0\r", b"colrnclx\0\x09\0\x10"),
        "that its colours have the primaries 9 and the transfer 16 (H.273) is not carried over",
    ),
}


@pytest.mark.parametrize("case", LOST_COLOURS)
def test_what_colours_mean_is_told_where_it_is_lost(read: Read, case: str) -> None:
    """Profiles that are broken, or lie where Pillow does not look, and colours other than sRGB in numbers."""
    data, note = LOST_COLOURS[case]
    header, _ = read(data)
    assert (header.icc_profile, header.notes) == (None, (note,) if note else ())


def _with_segments(data: bytes, *segments: tuple[int, bytes]) -> bytes:
    """A JPEG with more APPn segments, each of its number and content, behind the first."""
    (length,) = struct.unpack(">H", data[4:6])
    more = b"".join(struct.pack(">BBH", 0xFF, 0xE0 + number, len(text) + 2) + text for number, text in segments)
    return data[: 4 + length] + more + data[4 + length :]


def test_segments_that_are_not_read_are_told_of(read: Read) -> None:
    """Extended XMP, provenance, a second picture behind the first; not those that are carried or need not be."""
    plain, xmp = _encode(_RGB, "JPEG", dpi=(300, 300)), (1, b"http://ns.adobe.com/xap/1.0/\0<x/>")
    assert read(_with_segments(plain, xmp))[0].notes == ()
    extended = (1, b"http://ns.adobe.com/xmp/extension/\0" + bytes(40))
    header, _ = read(_with_segments(plain, extended, (11, b"JP\0\1" + bytes(9)), xmp))
    assert header.notes == ("its segments APP1 (http://ns.adobe.com/xmp/extension/), APP11 (JP) are not carried over",)
    assert header.xmp == b"<x/>"
    ducky, seven = (12, b"Ducky\0\1"), (7, b"\0\1\2")
    assert read(_with_segments(plain, ducky, seven))[0].notes == ("its segments APP7 are not carried over",)
    for count in (1, 2):
        index = b"MPF\0II*\0" + struct.pack("<LHHHLLL", 8, 1, 0xB001, 4, 1, count, 0)
        assert len(read(_with_segments(plain, (2, index)))[0].notes) == count - 1
    two = _encode(_RGB, "MPO", save_all=True, append_images=[Image.fromarray(_RGB)])
    gain = (1, b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>')
    for data in (two, _with_segments(two, gain)):
        assert any("only the first is done" in note for note in read(data)[0].notes)


EXIF_DENSITIES: dict[str, tuple[dict[int, Any], tuple[float, float] | None]] = {
    "none": ({271: "maker"}, None),
    "without a unit, which means inches": ({282: 300.0, 283: 300.0}, (300, 300)),
    "centimetres": ({282: 100.0, 283: 50.0, 296: 3}, (254, 127)),
    "one": ({282: 300.0}, None),
}


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("case", EXIF_DENSITIES)
def test_density_is_that_of_the_file(read: Read, case: str, kind: str) -> None:
    """A picture without one in its format's own words has that of its EXIF, and none if nobody said one."""
    tags, dpi = EXIF_DENSITIES[case]
    exif = Image.Exif()
    exif.update(tags)
    header, _ = read(_encode(_RGB, kind, exif=exif))
    assert header.dpi == (dpi and pytest.approx(dpi))


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_aspect_without_a_unit_is_told_of(read: Read, kind: str) -> None:
    """Pixels that are not square, of no size on paper."""
    data = _encode(_RGB, kind, dpi=(300, 150))
    if kind == "JPEG":
        data = data[:13] + struct.pack(">BHH", 0, 2, 1) + data[18:]
    else:
        place, chunk = data.index(b"pHYs"), b"pHYs" + struct.pack(">IIB", 2, 1, 0)
        data = data[:place] + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[place + 17 :]
    header, _ = read(data)
    assert (header.dpi, header.notes) == (None, ("its pixel aspect, 2:1 in no unit, is not carried over",))


def test_a_scale_of_floats_stays(read: Read) -> None:
    """That of a PFM is by what its numbers are to be multiplied; a text of a PNG named like it is none."""
    header, _ = read(b"Pf\n2 2\n-0.25\n" + np.arange(4, dtype="<f4").tobytes())
    assert header.bands[0].scale == 0.25
    texts = PngImagePlugin.PngInfo()
    for name in ("scale", "aspect", "jfif_unit"):
        texts.add_text(name, "x")
    header, _ = read(_encode(_RGB, "PNG", pnginfo=texts))
    assert {band.scale for band in header.bands} == {1.0}


def test_a_palette_of_bytes(read: Read) -> None:
    """A TIFF whose colours go to 255, as libtiff allows, is not black."""
    picture = Image.fromarray(_GRAY % 4, "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    data = _encode(picture, "TIFF")
    expected = read(data)[1]
    with Image.open(io.BytesIO(data)) as image:
        entries = image.tag_v2[320]  # type: ignore[attr-defined]
    words, of_bytes = (struct.pack(f"<{len(entries)}H", *(entry // by for entry in entries)) for by in (1, 256))
    assert words in data
    np.testing.assert_array_equal(read(data.replace(words, of_bytes))[1], expected)


def test_a_gray_palette_with_a_profile_stays_colours(read: Read) -> None:
    """Its profile is one of RGB, which no gray picture may have."""
    picture = Image.fromarray(_GRAY).convert("P")
    picture.putpalette([level for level in range(256) for _ in range(3)])
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert read(_encode(picture, "PNG"))[0].colours == ("gray",)
    header, decoded = read(_encode(picture, "PNG", icc_profile=profile))
    assert header.colours == ("red", "green", "blue")
    np.testing.assert_array_equal(decoded, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_paper_is_turned_with_the_picture(read: Read, kind: str) -> None:
    """Of a picture that lay on its side the resolutions across and down change places, in EXIF too."""
    exif = Image.Exif()
    exif[274], exif[282], exif[283] = 6, 204.0, 98.0
    header, _ = read(_encode(_RAMP, kind, exif=exif, dpi=(204, 98)))
    assert (header.height, header.width) == (24, 20)
    assert header.dpi == pytest.approx((98, 204), abs=0.02)
    if kind != "TIFF":
        assert (_tags(header)[282], _tags(header)[283]) == (98.0, 204.0)


def test_iptc_is_told(read: Read) -> None:
    """Captions of the press cannot be carried, and the notes say so."""
    record = b"\x1c\x02\x78\0\3abc"
    block = b"Photoshop 3.0\x008BIM\x04\x04\0\0" + struct.pack(">I", len(record)) + record
    jpeg = _encode(_RAMP, "JPEG")
    data = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(block) + 2) + block + jpeg[2:]
    tags = {256: (4, 1), 257: (4, 1), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, 1)}
    for file in (data, tiff({**tags, 33723: (7, record)}, b"\0")):
        assert read(file)[0].notes == ("its IPTC data is not carried over",)


def test_resources_of_photoshop_in_a_jpeg_are_told(read: Read) -> None:
    """Such as a clipping path; what other notes tell, or what is derived from the picture, is not."""
    blocks = b"".join(
        struct.pack(">4sHHI", b"8BIM", number, 0, 16) + bytes(16) for number in (1005, 1036, 1061, 1011, 2000)
    )
    segment = b"Photoshop 3.0\0" + blocks
    jpeg = _encode(_RAMP, "JPEG")
    data = jpeg[:2] + b"\xff\xed" + struct.pack(">H", len(segment) + 2) + segment + jpeg[2:]
    assert read(data)[0].notes == ("its image resources 1011, 2000 are not carried over",)


def _avif(bits: int) -> bytes:
    """An AVIF whose configuration claims a depth."""
    data = bytearray(_encode(_RGB, "AVIF"))
    flags = data.index(b"av1C") + 6
    data[flags] |= {8: 0, 10: 0x40, 12: 0x60}[bits]
    return bytes(data)


UNSUPPORTED = {
    "10-bit AVIF": _avif(10),
    "12-bit AVIF": _avif(12),
    "16-bit PPM": b"P6 2 1 65535\n" + bytes(12),
    "L*a*b* TIFF": _encode(Image.fromarray(_RGB).convert("LAB"), "TIFF"),
    "32-bit integers": tiff(
        {256: (4, 1), 257: (4, 1), 258: (3, 32), 259: (3, 1), 262: (3, 1), 277: (3, 1), 278: (4, 1)}, bytes(4)
    ),
    "raw photograph": tiff(
        {256: (4, 1), 257: (4, 1), 258: (3, 8), 259: (3, 1), 262: (3, 1), 277: (3, 1), 50706: (1, b"\1\4\0\0")}, b"\0"
    ),
    "Canon raw": b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
    "HEIF": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(64),
    "film": b"\0\0\0\x14ftypisom\0\0\0\0mp42" + bytes(64),
    "16-bit PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 4, 4, 16, 3) + bytes(64),
    "PDF": b"%PDF-1.7\n%\xe2\xe3",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(32),
    "JPEG XL": b"\xff\x0a" + bytes(32),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported(read: Read, kind: str) -> None:
    """A whole file of a kind that would not come out as it went in is refused, with a remedy."""
    error = _error(read, UNSUPPORTED[kind])
    assert error.error_type is ErrorType.UNSUPPORTED
    assert "; " in str(error)


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize(
    ("kind", "options"),
    [*LOSSLESS, *LOSSY, ("WEBP", {"lossless": True}), ("GIF", {}), ("TIFF", {"compression": "jpeg"})],
    ids=str,
)
def test_truncated(read: Read, kind: str, options: dict[str, Any], part: float) -> None:
    """A file of which the end is missing is corrupt, whatever its format: no half picture is enlarged."""
    data = _encode(_RGB, kind, **options)
    error = _error(read, data[: int(len(data) * part)])
    assert error.error_type is ErrorType.CORRUPT
    assert str(error).endswith("replace it")


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\0", bytes(600), b"no picture at all", b"<!DOCTYPE html><html>", b"<note/>", b"\xfe\xdc" * 300),
        *(b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0", b"MM\0+", b"BM", b"8BPS", b"RIFF....WEBP"),
        *(b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  \r\n\x87\n", b"P6 5 5 255\n", "Überall Text".encode()),
    ],
)
def test_not_an_image(read: Read, data: bytes) -> None:
    """Bytes that are no picture are corrupt, and the sentence says what to do."""
    error = _error(read, data)
    assert error.error_type is ErrorType.CORRUPT
    assert str(error).endswith("replace it")


@pytest.mark.parametrize("data", [bytes(600), b"\xfe\xdc" * 300])
def test_raw_rasters(read: Read, data: bytes) -> None:
    """They begin with anything; whoever has one is told what to do."""
    assert "ENVI, BIL, HGT), convert it with gdal_translate" in str(_error(read, data))


@pytest.mark.parametrize(("offset", "wrong"), [(0, b"IDAX"), (0, b"\0\1\2\3"), (100, b"\xff" * 64)])
def test_damaged_png(read: Read, offset: int, wrong: bytes) -> None:
    """A PNG whose data or whose chunk names are hit by wrong bytes is damaged, not of an unknown kind."""
    data = _encode(np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8), "PNG")
    hit = data.index(b"IDAT", data.index(b"IDAT") + 4) + offset  # in the second of its chunks of data
    assert _error(read, data[:hit] + wrong + data[hit + len(wrong) :]).error_type is ErrorType.CORRUPT


def test_damaged_deep_png(read: Read) -> None:
    """A 16-bit PNG of which the end is missing, or is wrong, is corrupt."""
    data = png(200, 16, 2, [_RNG.bytes(1200) for _ in range(200)])
    assert read(data)[0].dtype == "uint16"
    for broken in (data[: len(data) // 2], data[: len(data) // 2] + b"\xff" * 64 + data[len(data) // 2 + 64 :]):
        assert _error(read, broken).error_type is ErrorType.CORRUPT


def test_too_large(read: Read) -> None:
    """A header that claims more than the limits is refused before memory is taken, with numbers and a remedy."""
    bomb = png(30_000, 8, 2, [b""] * 30_000)
    error = _error(read, bomb, FileLimits(pixels=10**8))
    assert (error.error_type, "--max-pixels" in str(error)) == (ErrorType.TOO_LARGE, True)
    error = _error(read, bomb, FileLimits(bytes_at_once=10**9))
    assert (error.error_type, "2700000000" in str(error), "tiled TIFF" in str(error)) == (
        ErrorType.TOO_LARGE,
        True,
        True,
    )
    fits = _encode(_GRAY, "PNG")
    assert read(fits, FileLimits(pixels=_GRAY.size, bytes_at_once=_GRAY.size))[1].shape == _GRAY.shape
    assert _error(read, fits, FileLimits(pixels=_GRAY.size - 1)).error_type is ErrorType.TOO_LARGE
    assert _error(read, fits, FileLimits(bytes_at_once=_GRAY.size - 1)).error_type is ErrorType.TOO_LARGE


def test_texts_are_noted(read: Read) -> None:
    """Texts of a PNG and comments are not carried, and the notes name them; XMP among them is carried."""
    texts = png_chunk(b"tEXt", b"Title\0A barn") + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x a='b'/>")
    for around in ((texts, b""), (b"", texts)):
        assert read(png(1, 8, 0, [b"\x9f"], *around))[0].notes == ("its texts (Title) are not carried over",)
    for kind in ("JPEG", "GIF"):
        assert read(_encode(_GRAY, kind, comment=b"a barn"))[0].notes == ("its texts (comment) are not carried over",)


def test_nothing_is_looked_for_in_a_hole(tmp_path: Path) -> None:
    """Between both ends of a file that are had ahead of its pixels lie zeros, which are no chunks."""
    data = png(1, 8, 0, [b"\x9f"]).removesuffix(png_chunk(b"IEND", b""))
    behind = png_chunk(b"tEXt", b"Title\0A barn")
    for hole, texts in ((0, ("Title",)), (12, ()), (1 << 16, ())):
        (path := tmp_path / "picture").write_bytes(data + bytes(hole) + behind)
        assert png_chunks.read(str(path)).texts == texts


def test_profiles_in_texts(read: Read) -> None:
    """Of those that ImageMagick writes into a PNG EXIF is carried, and the others are named."""

    def text(kind: str, data: bytes) -> bytes:
        said = f"\n{kind}\n{len(data):8}\n{data.hex()}\n".encode()
        return png_chunk(b"zTXt", f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(said))

    exif = Image.Exif()
    exif[271] = "maker"
    chunks = text("exif", exif.tobytes()) + text("iptc", b"\x1c\x02\x78\0\3abc") + text("xmp", b"<x a='b'/>")
    for around in ((chunks, b""), (b"", chunks)):
        header, _ = read(png(1, 8, 0, [b"\x9f"], *around))
        assert _tags(header)[271] == "maker"
        assert header.notes == ("its texts (Raw profile type iptc, Raw profile type xmp) are not carried over",)


def test_what_a_psd_says(read: Read) -> None:
    """Resolution, EXIF and XMP of Photoshop come as those of other pictures; notes name what is left out."""
    exif = Image.Exif()
    exif[274], exif[271] = 6, "maker"
    said = {
        1005: struct.pack(">IHHIHH", 300 << 16, 1, 1, 150 << 16, 2, 1),
        1028: b"\x1c\x02\x78\0\3abc",
        1036: b"a thumbnail",
        1050: b"slices",
        1058: exif.tobytes()[6:],
        1060: b"<x a='b'/>",
    }
    planes = [plane.tobytes() for plane in _RGB.transpose(2, 0, 1)]
    header, decoded = read(psd(3, 24, planes, said))
    np.testing.assert_array_equal(decoded, np.rot90(_RGB, -1))
    assert (header.dpi, header.xmp, _tags(header)[271]) == ((150, 300), b"<x a='b'/>", "maker")
    assert header.notes == ("its image resources 1050 are not carried over", "its IPTC data is not carried over")
    header, _ = read(psd(3, 24, planes, {}))
    assert (header.dpi, header.exif, header.xmp, header.notes) == (None, None, None, ())
    header, _ = read(psd(3, 24, [*planes, planes[0], planes[1]], {1005: b"short"}))
    assert header.notes == (
        "its channels beyond RGB, 2 in number, are not carried over",
        "its image resources 1005 are not carried over",
    )
    (note,) = read(psd(1, 24, planes[:2], {}))[0].notes
    assert note == "its channels beyond L, 1 in number, are not carried over"


@pytest.mark.parametrize("layers", [0, 1, -1])
def test_a_saved_selection_of_a_psd_is_no_transparency(read: Read, layers: int) -> None:
    """The fourth channel is transparency only where the count of layers is negative, and else is told."""
    header, decoded = read(psd(3, 24, [plane.tobytes() for plane in _NOISE.transpose(2, 0, 1)], {}, layers))
    if layers < 0:
        assert (header.colours, header.notes) == (("red", "green", "blue", "alpha"), ())
        np.testing.assert_array_equal(decoded, _NOISE)
    else:
        assert header.colours == ("red", "green", "blue")
        assert header.notes == ("its channels beyond RGB, 1 in number, are not carried over",)
        np.testing.assert_array_equal(decoded, _RGB)


@pytest.mark.parametrize("compression", [None, "tga_rle"])
def test_a_byte_that_is_no_alpha(read: Read, compression: str | None) -> None:
    """A TGA of 32 bits is RGB where its header counts no bit as alpha, with a note: zeros there hide no pixel."""
    picture = _NOISE * np.array([1, 1, 1, 0], np.uint8)
    data = bytearray(_encode(picture, "TGA", compression=compression))
    assert read(bytes(data))[0].colours == ("red", "green", "blue", "alpha")
    data[17] &= 0xF0
    header, decoded = read(bytes(data))
    assert header.colours == ("red", "green", "blue")
    assert header.notes == ("the fourth byte of its pixels, which its header does not call alpha, is not carried over",)
    np.testing.assert_array_equal(decoded, _RGB)


@pytest.mark.parametrize("flat", [0, 1])
def test_a_psd_of_layers_alone_is_refused(read: Read, flat: int) -> None:
    """Its flat picture would be blank, and its version says so."""
    data = psd(3, 24, [plane.tobytes() for plane in _RGB.transpose(2, 0, 1)], {1057: struct.pack(">IB", 1, flat)}, 1)
    if flat:
        assert read(data)[0].notes == ()
    else:
        error = _error(read, data)
        assert (error.error_type, "layers alone" in str(error)) == (ErrorType.UNSUPPORTED, True)


def test_a_text_that_unpacks_to_too_much(read: Read) -> None:
    """A PNG's text of a few bytes that stands for megabytes is too large, not damage, and the remedy is told."""
    text = png_chunk(b"zTXt", b"bomb\0\0" + zlib.compress(bytes(2**23)))
    error = _error(read, png(1, 8, 0, [b"\x9f"], text))
    assert (error.error_type, "remove texts" in str(error)) == (ErrorType.TOO_LARGE, True)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "GIF", "AVIF"])
def test_header_needs_no_pixels(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a file decodes nothing: the header comes even when the pixels cannot be had."""

    def refuse(*_: Any) -> None:
        raise AssertionError("pixels were decoded")

    path = tmp_path / "picture"
    path.write_bytes(_encode(_RGB, kind))
    image = open_file(str(path), FileLimits())
    image.close()
    for plugin in ("ImageFile.ImageFile", "TiffImagePlugin.TiffImageFile", "WebPImagePlugin.WebPImageFile"):
        monkeypatch.setattr(f"PIL.{plugin}.load", refuse)
    image = open_file(str(path), FileLimits())
    assert (image.header.height, image.header.width) == _GRAY.shape
    image.close()
