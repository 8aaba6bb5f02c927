"""Why no decoder here reads an intact file: consulted when all of them call it damaged."""

import os
from contextlib import suppress

from . import jpeg_segments, tiff_tags

_HEADERS = 2**20
"""Bytes in which the frame of a JPEG is looked for, after profiles and thumbnails."""

_COMPRESSIONS = {
    6: "old-style JPEG",
    9: "JBIG",
    10: "JBIG",
    22610: "JPEG XR",
    32767: "Sony's raw compression",
    32769: "Epson's raw compression",
    32770: "Samsung's raw compression",
    32867: "Kodak's KDC compression",
    32895: "IT8",
    32896: "IT8",
    32897: "IT8",
    32898: "IT8",
    32908: "Pixar's film compression",
    32909: "Pixar's log compression",
    32947: "Kodak's DCS compression",
    33003: "JPEG 2000",
    33004: "JPEG 2000",
    33005: "JPEG 2000",
    33007: "Leica's ALT_JPEG",
    34661: "JBIG",
    34712: "JPEG 2000",
    34713: "Nikon's NEF compression",
    34715: "JBIG2",
    34718: "Microsoft's MDI",
    34719: "Microsoft's MDI",
    34720: "Microsoft's MDI",
    34892: "lossy JPEG of DNG",
    34926: "an old Zstandard",
    34927: "an old WebP",
    34933: "PNG",
    34934: "JPEG XR",
    50002: "JPEG XL",
    52546: "JPEG XL",
    65000: "Kodak's DCR compression",
    65535: "Pentax's PEF compression",
}
_DECODED = {1, 2, 3, 4, 5, 7, 8, 32766, 32771, 32773, 32809, 32946, 34676, 34677, 34887, 34925, 50000, 50001}
"""Supported TIFF compressions; with these, a failure means that the file is damaged."""

_MOST_PREDICTOR = 3

_BMP_CODES = {4: "a JPEG inside", 5: "a PNG inside", 11: "inks (CMYK)", 12: "inks (CMYK)", 13: "inks (CMYK)"}


def of(path: str, kind: str, tiff: tiff_tags.TiffTags | None) -> str | None:
    """Return the unsupported feature, worded to follow "the picture has"; None if the file may really be damaged.

    Args:
        kind: as `file_kinds` names it.
        tiff: the tags of a TIFF.
    """
    with suppress(OSError):
        with open(path, "rb") as file:
            head = file.read(_HEADERS)
        if tiff is not None:
            return _of_tiff(path, tiff)
        if kind == "JPEG":
            return jpeg_segments.unread_feature(head)
        if kind == "BMP":
            return _of_bmp(head)
    return None


def _of_tiff(path: str, tiff: tiff_tags.TiffTags) -> str | None:
    if tiff.compression not in _DECODED:
        name = _COMPRESSIONS.get(tiff.compression, "a compression that is not known here")
        return f"pixels that are packed by {name} ({tiff.compression})"
    if tiff.predictor > _MOST_PREDICTOR:
        return f"pixels that were predicted in a way (predictor {tiff.predictor}) of DNG"
    if len(set(tiff.depths)) > 1:
        return f"samples of different depth ({', '.join(map(str, tiff.depths))} bits)"
    if tiff.photometric == tiff_tags.YCBCR and (tiff.separate or tiff.compression != tiff_tags.JPEG):
        return "YCbCr colours " + ("in separate planes" if tiff.separate else "that are not packed by JPEG")
    if tiff.compression == tiff_tags.JPEG:
        return _of_jpeg_part(path, tiff)
    return None


def _of_jpeg_part(path: str, tiff: tiff_tags.TiffTags) -> str | None:
    """Look at the first strip or tile, which is a JPEG."""
    if tiff.first_part is None:
        return None
    start, size = tiff.first_part
    with open(path, "rb") as file:
        file.seek(min(start, os.fstat(file.fileno()).st_size))
        feature = jpeg_segments.unread_feature(file.read(min(size, _HEADERS)))
    return feature and f"JPEGs inside of {feature}"


def _of_bmp(head: bytes) -> str | None:
    code = int.from_bytes(head[30:34], "little") if len(head) >= 34 and head[14:18] != b"\x0c\0\0\0" else 0
    if code in _BMP_CODES:
        return _BMP_CODES[code]
    bits = int.from_bytes(head[28:30], "little")
    return f"{bits} bits a pixel" if bits in (2, 64) else None
