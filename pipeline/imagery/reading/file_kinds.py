"""The kind of a file, from its first bytes; its name does not count."""

import re

from ...errors import ErrorType, ImageError
from . import foreign_kinds, jp2_boxes, tiff_tags

TIFF, JPEG2000, PNG, TGA = "TIFF", "JPEG2000", "PNG", "TGA"

_MAGICS = {
    PNG: (b"\x89PNG\r\n\x1a\n",),
    "JPEG": (b"\xff\xd8\xff",),
    TIFF: tiff_tags.MAGICS,
    "GIF": (b"GIF87a", b"GIF89a"),
    "BMP": (b"BM",),
    JPEG2000: (jp2_boxes.FILE_MAGIC, jp2_boxes.CODESTREAM_MAGIC),
    "PPM": tuple(b"P%c" % letter for letter in b"123456f7y"),
    "PSD": (b"8BPS",),
}
"""How files begin, by Pillow's name of the format. WebP, AVIF and TGA are recognised separately."""

_BRANDS = {
    b"crx ": "a camera's raw file; develop it to TIFF",
    b"jxl ": "a JPEG XL picture; convert it to PNG or TIFF",
    **dict.fromkeys(
        (
            *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"),
            *(b"miaf", b"jpeg", b"jpgs", b"j2ki", b"j2is", b"avci", b"avcs", b"vvic", b"vvis", b"unif"),
        ),
        "a HEIF picture; convert it to PNG or TIFF",
    ),
}
"""Brands of the ISO container that HEIF, AVIF and videos share."""

_JPEG2000_BRANDS = {
    b"mjp2": "a film, not a picture; extract frames as PNG",
    b"jpm ": "a compound document of JPEG 2000; convert it to TIFF",
}

IF_RAW = "if it is a raw raster (ENVI, BIL, HGT), convert it with gdal_translate, or else replace it"
"""The remedy for a file that begins with anything."""

HEAD = 1024
"""Bytes at the beginning that are needed."""


def kind_of(head: bytes) -> str:
    """Return Pillow's name of the format of a file whose first HEAD bytes are `head`.

    Raises:
        ImageError: corrupt if it is not a picture; unsupported if it is of a known kind that is not read.
    """
    _refuse(foreign_kinds.by_magic(head))
    if not head.strip(b"\0"):
        what = f"begins with {len(head)} zero bytes; {IF_RAW}" if head else "is empty; replace it"
        raise ImageError(ErrorType.CORRUPT, f"the file {what}")
    for kind, magics in _MAGICS.items():
        if head.startswith(magics) and not (kind == "PPM" and not re.match(rb"P\d[\s#]|P[fy]\s", head)):
            return _checked(kind, head)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head[4:8] == b"ftyp":
        return _iso_kind(head)
    _refuse(foreign_kinds.by_pattern(head))
    if _is_text(head):
        what = _markup(head)
        raise ImageError(ErrorType.CORRUPT, f"the file holds {what}, no picture; replace it")
    return TGA  # which begins with anything


def _refuse(foreign: str | None) -> None:
    if foreign is not None:
        raise ImageError(ErrorType.UNSUPPORTED, f"the file is {foreign}")


def _checked(kind: str, head: bytes) -> str:
    if kind == TIFF and head[8:10] == b"CR":
        raise ImageError(ErrorType.UNSUPPORTED, "the file is a camera's raw file; develop it to TIFF")
    if kind == JPEG2000 and head[20:24] in _JPEG2000_BRANDS:
        raise ImageError(ErrorType.UNSUPPORTED, f"the file is {_JPEG2000_BRANDS[head[20:24]]}")
    depth = int.from_bytes(head[22:24], "big")
    if kind == "PSD" and depth > 8:
        raise ImageError(ErrorType.UNSUPPORTED, f"the picture has {depth} bits a sample; convert it to a 16-bit TIFF")
    return kind


def _iso_kind(head: bytes) -> str:
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[start : start + 4] for start in range(16, end - 3, 4))]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    for brand in brands:
        if brand in _BRANDS:
            raise ImageError(ErrorType.UNSUPPORTED, f"the file is {_BRANDS[brand]}")
    raise ImageError(ErrorType.UNSUPPORTED, "the file is a film, not a picture; extract frames as PNG")


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # not merely cut off within a character
            return False
        text = head[: error.start].decode()
    return all(letter.isprintable() or letter in "\r\n\t\f\ufeff" for letter in text)


def _markup(head: bytes) -> str:
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")[:100].lower()
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    return "a drawing or text in XML" if start.startswith(b"<") else "text"
