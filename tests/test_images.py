"""Pixels in and out: what is read is read exactly, and what would not survive is refused with a reason."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import ErrorType, ImageError
from pipeline.images import decode, encode_png, to_levels

_RNG = np.random.default_rng(0)
_NOISE = _RNG.integers(0, 256, (20, 24, 3), dtype=np.uint8)
_GRAY = _NOISE[..., 0]
_RAMP = np.add.outer(np.arange(20), np.arange(24)).astype(np.uint8) * 5
"""Smooth, for codecs that lose something."""

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


def _encode(picture: np.ndarray | Image.Image, kind: str, **options: Any) -> bytes:
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _decode(data: bytes) -> np.ndarray:
    """(H, W) or (H, W, 3), as NumPy and Pillow order axes."""
    levels = decode(data).levels
    assert levels.dtype == torch.uint8
    assert levels.is_contiguous()
    return levels[0].numpy() if len(levels) == 1 else levels.permute(1, 2, 0).numpy()


def _error(data: bytes) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data)
    return caught.value


def _png(width: int, height: int, depth: int, colour: int, row: bytes) -> bytes:
    """A PNG after its specification (ISO 15948), of equal rows, since Pillow writes no more than 8 bits of colour."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress((b"\0" + row) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def _tiff(bits: int, bands: int, sample_format: int, side: int = 4) -> bytes:
    """An uncompressed chunky TIFF 6.0 of zeros, little-endian, of any depth and number of bands."""
    data = bytes(side * side * bands * bits // 8)
    shorts = [struct.pack(f"<{bands}H", *[value] * bands) for value in (bits, sample_format)]
    start = 8 + 2 + 11 * 12 + 4  # header, count of entries, entries, offset of the next directory
    places = (start, start + len(shorts[0]))
    bits_at, format_at = (
        (int.from_bytes(values, "little") if len(values) <= 4 else place)
        for values, place in zip(shorts, places, strict=True)
    )
    photometric = 2 if bands >= 3 else 1
    entries = [
        (256, 4, 1, side),
        (257, 4, 1, side),
        (258, 3, bands, bits_at),
        (259, 3, 1, 1),
        (262, 3, 1, photometric),
        (273, 4, 1, start + sum(map(len, shorts))),
        (277, 3, 1, bands),
        (278, 4, 1, side),
        (279, 4, 1, len(data)),
        (284, 3, 1, 1),
        (339, 3, bands, format_at),
    ]
    directory = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<I", 8) + directory + bytes(4) + b"".join(shorts) + data


@pytest.mark.parametrize("picture", [_GRAY, _NOISE], ids=["gray", "rgb"])
@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_lossless_formats(kind: str, options: dict[str, Any], picture: np.ndarray) -> None:
    """What NumPy held before is what is decoded, to the last bit."""
    np.testing.assert_array_equal(_decode(_encode(picture, kind, **options)), picture)


def test_lossless_webp() -> None:
    """WebP knows no gray: colour comes back exactly, and RGBA that is opaque everywhere is plain colour."""
    np.testing.assert_array_equal(_decode(_encode(_NOISE, "WEBP", lossless=True)), _NOISE)


def test_gray_gif() -> None:
    """A GIF whose palette is the gray scale itself is a gray picture."""
    every_level = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(_decode(_encode(every_level, "GIF")), every_level)


@pytest.mark.parametrize("bands", [1, 3], ids=["gray", "rgb"])
@pytest.mark.parametrize(("kind", "options"), LOSSY)
def test_lossy_formats(kind: str, options: dict[str, Any], bands: int) -> None:
    """A smooth picture comes back within what the codec loses, with all bands in their place."""
    picture = _RAMP if bands == 1 else np.stack([_RAMP, _RAMP[::-1], 255 - _RAMP], -1)
    decoded = _decode(_encode(picture, kind, **options))
    assert decoded.shape == picture.shape
    assert np.abs(decoded.astype(int) - picture).mean() < 4


def test_plain_tiff_and_png_by_hand() -> None:
    """The makers of odd files below make even ones, too: 8 bits are read, so the depth is what the others fail on."""
    np.testing.assert_array_equal(
        _decode(_png(4, 2, 8, 2, bytes(range(12)))), np.arange(12).reshape(1, 4, 3).repeat(2, 0)
    )
    np.testing.assert_array_equal(_decode(_tiff(8, 3, 1)), np.zeros((4, 4, 3)))
    np.testing.assert_array_equal(_decode(_tiff(8, 1, 1)), np.zeros((4, 4)))


_IMAGE = Image.fromarray(_NOISE)
_MASK = Image.fromarray(_GRAY)
_DEEP = Image.fromarray(_GRAY.astype(np.uint16) * 257)
_CLEAR = _IMAGE.copy()
_CLEAR.putalpha(_MASK)

UNSUPPORTED = {
    "16-bit gray PNG": _encode(_DEEP, "PNG"),
    "16-bit gray TIFF": _encode(_DEEP, "TIFF"),
    "16-bit gray JPEG 2000": _encode(_DEEP, "JPEG2000"),
    "16-bit RGB PNG": _png(4, 2, 16, 2, bytes(24)),
    "16-bit gray and alpha PNG": _png(4, 2, 16, 4, bytes(16)),
    "4-bit gray PNG": _png(4, 2, 4, 0, bytes(2)),
    "2-bit gray PNG": _png(4, 2, 2, 0, bytes(1)),
    "16-bit RGB TIFF": _tiff(16, 3, 1),
    "32-bit RGB TIFF": _tiff(32, 3, 1),
    "signed 8-bit TIFF": _tiff(8, 1, 2),
    "float TIFF": _tiff(32, 1, 3),
    "double TIFF": _tiff(64, 1, 3),
    "4-band 8-bit TIFF": _tiff(8, 4, 1),
    "4-band 16-bit TIFF": _tiff(16, 4, 1),
    "5-band 8-bit TIFF": _tiff(8, 5, 1),
    "16-bit PPM": b"P6 2 1 65535\n" + bytes(12),
    "16-bit PGM": b"P5 2 1 65535\n" + bytes(4),
    "4-bit PPM": b"P6 2 1 15\n" + bytes(6),
    "PPM up to 200": b"P6 2 1 200\n" + bytes(6),
    "PGM up to 1": b"P5 2 1 1\n" + bytes(2),
    "palette": _encode(_IMAGE.convert("P"), "PNG"),
    "palette GIF": _encode(_IMAGE, "GIF"),
    "RGBA PNG": _encode(_CLEAR, "PNG"),
    "RGBA WebP": _encode(_CLEAR, "WEBP"),
    "RGBA TGA": _encode(_CLEAR, "TGA"),
    "LA": _encode(_CLEAR.convert("LA"), "PNG"),
    "1 bit": _encode(_IMAGE.convert("1"), "PNG"),
    "CMYK JPEG": _encode(_IMAGE.convert("CMYK"), "JPEG"),
    "CMYK TIFF": _encode(_IMAGE.convert("CMYK"), "TIFF"),
    "Lab": _encode(_IMAGE.convert("LAB"), "TIFF"),
    "transparent colour": _encode(_IMAGE, "PNG", transparency=(1, 2, 3)),
    "transparent gray": _encode(_MASK, "PNG", transparency=5),
    **{
        f"two frames {kind}": _encode(_IMAGE, kind, save_all=True, append_images=[_IMAGE.rotate(180)])
        for kind in ("PNG", "TIFF", "WEBP", "GIF", "MPO")
    },
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
def test_unsupported(kind: str) -> None:
    """A whole picture of another kind is refused, never squeezed into 8 bits, and the sentence says what to do."""
    error = _error(UNSUPPORTED[kind])
    assert (error.error_type, str(error).split("; ")[-1]) in [
        (ErrorType.UNSUPPORTED, "convert it to 8-bit gray or RGB first"),
        (ErrorType.UNSUPPORTED, "split it first"),
    ]


@pytest.mark.parametrize("part", [0.5, 0.9])
@pytest.mark.parametrize(
    ("kind", "options"), [*LOSSLESS, *LOSSY, ("WEBP", {"lossless": True})], ids=lambda value: str(value)
)
def test_truncated(kind: str, options: dict[str, Any], part: float) -> None:
    """A file of which the end is missing is corrupt, whatever its format: no half picture is enlarged."""
    data = _encode(_NOISE, kind, **options)
    assert _error(data[: int(len(data) * part)]).error_type is ErrorType.CORRUPT


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"no picture at all", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"II*\0"]
)
def test_not_an_image(data: bytes) -> None:
    """Bytes that are no picture are corrupt, and the sentence says so."""
    error = _error(data)
    assert error.error_type is ErrorType.CORRUPT
    assert str(error).endswith("replace it") or str(error).endswith("replace the file")


@pytest.mark.parametrize(("offset", "wrong"), [(0, b"IDAX"), (0, b"\0\1\2\3"), (100, b"\xff" * 64)])
def test_damaged_png(offset: int, wrong: bytes) -> None:
    """A PNG whose data or whose chunk names are hit by wrong bytes is damaged, not of an unknown kind."""
    data = _encode(np.random.default_rng(1).integers(0, 256, (300, 300, 3), dtype=np.uint8), "PNG")
    hit = data.index(b"IDAT", data.index(b"IDAT") + 4) + offset  # in the second of its chunks of data
    assert _error(data[:hit] + wrong + data[hit + len(wrong) :]).error_type is ErrorType.CORRUPT


def test_too_large() -> None:
    """A header that claims more pixels than the limit is refused before any memory is taken."""
    error = _error(_png(30_000, 30_000, 8, 2, b""))
    assert error.error_type is ErrorType.TOO_LARGE
    assert "cut it into parts first" in str(error)


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


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation(orientation: int, kind: str) -> None:
    """A picture is turned as its tag says, exactly once, in every format that carries the tag."""
    exif = Image.Exif()
    exif[274] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    np.testing.assert_array_equal(_decode(_encode(_NOISE, kind, exif=exif, **options)), TURNS[orientation](_NOISE))


def test_exif_orientation_of_jpeg() -> None:
    """A phone's portrait, stored lying on its side, stands up."""
    exif = Image.Exif()
    exif[274] = 6
    upright = _decode(_encode(np.stack([_RAMP] * 3, -1), "JPEG", quality=100, exif=exif))
    assert np.abs(upright.astype(int) - np.rot90(np.stack([_RAMP] * 3, -1), -1)).mean() < 2


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_icc_profile_travels(kind: str) -> None:
    """The colour profile of the input is in the PNG of the output, byte for byte; none stays none."""
    profile = b"not really a profile, but bytes are bytes"
    picture = decode(_encode(_NOISE, kind, icc_profile=profile))
    assert (
        Image.open(io.BytesIO(encode_png(picture.levels.float(), picture.icc_profile))).info["icc_profile"] == profile
    )
    plain = decode(_encode(_NOISE, kind))
    assert "icc_profile" not in Image.open(io.BytesIO(encode_png(plain.levels.float(), plain.icc_profile))).info


@given(st.tuples(st.sampled_from([1, 3]), st.integers(1, 9), st.integers(1, 9)), st.integers(0, 2**32 - 1))
def test_encode_png_round_trip(shape: tuple[int, int, int], seed: int) -> None:
    """Whole grey levels survive encoding and decoding, whatever the shape; Pillow agrees."""
    levels = torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))
    data = encode_png(levels.float(), None)
    assert torch.equal(decode(data).levels, levels)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "L" if shape[0] == 1 else "RGB", (shape[2], shape[1]))


def test_lr_spans_zero_to_one() -> None:
    """Grey levels become float32 of [0, 1], and back again without loss."""
    picture = decode(_encode(np.arange(256, dtype=np.uint8).reshape(16, 16), "PNG"))
    assert picture.lr.dtype == torch.float32
    assert (float(picture.lr.min()), float(picture.lr.max())) == (0.0, 1.0)
    assert torch.equal(to_levels(picture.lr), picture.levels.float())


def test_to_levels_rounds_half_up() -> None:
    """Halves go up, where NumPy and torch would go to the even neighbour, and out of range is cut off."""
    asked = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9, -0.2, 1.2])  # 25.5, 76.5, 127.5, 178.5, 229.5 levels
    kept = asked.clone()
    assert to_levels(asked).tolist() == [26, 77, 128, 179, 230, 0, 255]
    assert torch.equal(asked, kept)
