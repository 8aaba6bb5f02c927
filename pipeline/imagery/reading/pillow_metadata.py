"""Metadata of a file from Pillow: EXIF, XMP, resolution, and notes on what is not carried over."""

import math
import re
import struct
import warnings
from contextlib import suppress
from io import BytesIO

from PIL import Image, ImageFile, TiffImagePlugin
from PIL.ExifTags import Base

from . import jp2_boxes, orientation, png_chunks, psd_resources, tiff_tags
from .notes import not_carried, of_pages

_READ_SEGMENTS = (
    *(b"JFIF\0", b"JFXX\0", b"Exif\0", b"http://ns.adobe.com/xap/1.0/\0", b"ICC_PROFILE\0", b"MPF\0"),
    *(b"Photoshop 3.0\0", b"Adobe", b"Ducky"),
)
"""How segments of a JPEG begin that are read here, are thumbnails, or are told of by another note."""

_SRGB_PRIMARIES, _SRGB_TRANSFERS = {1, 2}, {1, 2, 6, 13, 14, 15}
"""Numbers (ITU-T H.273) of colours that are shown as sRGB; 2 means unspecified."""

_GIF_EXTENSIONS = {b"!\xff\x0bICCRGBG1012": "ICC profile", b"!\xff\x0bXMP DataXMP": "XMP"}
"""How extensions of a GIF begin that Pillow does not read."""

_BMP_HEAD, _BMP_PROFILES = 74, (b"DEBM", b"KNIL")
"""Bytes up to the colour space of a BMP, and the spaces that are an embedded profile or the name of one."""


def read_exif(image: ImageFile.ImageFile, path: str) -> tuple[int, bytes | None, tuple[str, ...]]:
    """Return orientation, from XMP if EXIF has none, EXIF set upright, and notes. Never decodes pixels."""
    side_up = orientation.of_xmp(_stored_xmp(image, path))
    try:
        exif = _parsed_exif(image)
        if Base.Orientation in exif:
            side_up = orientation.of_exif(exif)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # how Pillow reports what it drops as broken
            return side_up, orientation.upright_exif(_parsed_exif(image)), ()
    except Exception as error:  # noqa: BLE001 - Pillow has no class of its own for broken metadata
        reason = " ".join(str(error).split()) or type(error).__name__
        return side_up, None, (f"its EXIF data is damaged ({reason}) and not carried over",)


def _parsed_exif(image: ImageFile.ImageFile) -> Image.Exif:
    """Parse the file's EXIF; Pillow's own getexif warns but once, and finds the orientation in little of XMP."""
    exif = Image.Exif()
    if "exif" in image.info:
        exif.load(image.info["exif"])
    elif "Raw profile type exif" in image.info:
        exif.load(bytes.fromhex("".join(image.info["Raw profile type exif"].split("\n")[3:])))
    return exif


def read_profile(image: ImageFile.ImageFile, path: str) -> bytes | None:
    if image.format == "JPEG2000":
        return jp2_boxes.icc_profile(path)
    return image.info.get("icc_profile") or None


def read_xmp(image: ImageFile.ImageFile, path: str) -> bytes | None:
    """Return XMP set upright."""
    return orientation.upright_xmp(_stored_xmp(image, path))


def _stored_xmp(image: ImageFile.ImageFile, path: str) -> bytes | None:
    if image.format == "JPEG2000":
        return jp2_boxes.xmp(path)
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp")
    return (xmp.encode() if isinstance(xmp, str) else xmp) or None


def read_dpi(image: ImageFile.ImageFile, stored: int) -> tuple[float, float] | None:
    dpi = image.info.get("dpi")
    made_up = image.format in ("JPEG", "MPO") and image.info.get("jfif_unit") not in (1, 2)  # by Pillow
    if dpi is None or made_up:
        dpi = _dpi_of_exif(image)
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    across, down = float(dpi[0]), float(dpi[1])
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        return None
    return orientation.turn_dpi((across, down), stored)


def _dpi_of_exif(image: ImageFile.ImageFile) -> tuple[float, float] | None:
    with suppress(Exception):  # broken EXIF, for which Pillow has no class of its own
        exif = _parsed_exif(image)
        inches = tiff_tags.INCHES[exif.get(Base.ResolutionUnit, 2)]
        return float(exif[Base.XResolution]) * inches, float(exif[Base.YResolution]) * inches
    return None


def _unread(image: ImageFile.ImageFile, path: str) -> tuple[str, ...]:
    """Return notes about profiles, and other meanings of colours, that Pillow cannot read or does not look for."""
    if "icc_profile" in image.info:
        return () if image.info["icc_profile"] else ("its ICC profile is damaged and not carried over",)
    if image.format not in ("AVIF", "BMP", "GIF"):
        return ()
    with open(path, "rb") as file:
        data = file.read(_BMP_HEAD if image.format == "BMP" else -1)
    if image.format == "GIF":
        names = [name for begin, name in _GIF_EXTENSIONS.items() if begin in data]
        return tuple(f"its {name}, in an extension of GIF, is not carried over" for name in names)
    if image.format == "BMP":
        has_profile = data[14] >= 124 and data[70:74] in _BMP_PROFILES  # in its header of the fifth version
        return ("its colour profile, which a BMP holds or names, is not carried over",) if has_profile else ()
    nclx = re.search(b"colrnclx(.{4})", data, re.DOTALL)
    primaries, transfer = struct.unpack(">HH", nclx[1]) if nclx else (2, 2)
    if primaries in _SRGB_PRIMARIES and transfer in _SRGB_TRANSFERS:
        return ()
    return (f"that its colours have the primaries {primaries} and the transfer {transfer} (H.273) is not carried over",)


def _aspect(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Return a note where a picture says how wide its pixels are, in no unit, and they are not square."""
    unit, density = image.info.get("jfif_unit"), image.info.get("jfif_density")
    aspect = density if unit == 0 else image.info.get("aspect")
    if not isinstance(aspect, tuple) or aspect[0] == aspect[1]:
        return ()
    return (f"its pixel aspect, {aspect[0]}:{aspect[1]} in no unit, is not carried over",)


def _segments(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Return notes about what a JPEG holds in segments that are not read."""
    segments = getattr(image, "applist", ())
    several = image.format == "JPEG" and any(_pictures(data) > 1 for _, data in segments)  # Pillow counts those of MPO
    names = {
        f"{name} ({begin.decode()})" if (begin := re.split(rb"[^ -~]", data[:40], maxsplit=1)[0]) else name
        for name, data in segments
        if name != "COM" and not data.startswith(_READ_SEGMENTS)
    }
    return (
        *(("the file holds more pictures (MPF); only the first is done",) if several else ()),
        *not_carried("its segments {}", sorted(names)),
    )


def _pictures(segment: bytes) -> int:
    """Return how many pictures an index of pictures (MPF, CIPA DC-007) names; 0 for any other segment."""
    if not segment.startswith(b"MPF\0"):
        return 0
    index = TiffImagePlugin.ImageFileDirectory_v2(segment[4:12])
    with suppress(Exception):  # broken, for which Pillow has no class of its own
        stream = BytesIO(segment[4:])
        stream.seek(index.next)
        index.load(stream)
    return int(index.get(0xB001, 0))


def note_frames(image: ImageFile.ImageFile, tiff: tiff_tags.TiffTags | None) -> tuple[str, ...]:
    if image.format == "PSD":
        layers = len(getattr(image, "layers", ()))
        return (f"the file holds {layers} layers; only the picture composed of them is done",) if layers > 1 else ()
    return of_pages(tiff.pages if tiff else getattr(image, "n_frames", 1))


def note_lost(
    image: ImageFile.ImageFile, path: str, chunks: png_chunks.PngChunks | None, tiff: tiff_tags.TiffTags | None
) -> tuple[str, ...]:
    photoshop = image.info.get("photoshop")
    iptc = tiff.iptc if tiff else isinstance(photoshop, dict) and psd_resources.IPTC in photoshop
    nodata = tiff.nodata if tiff else None
    masked = tiff.masked if tiff else False
    beside = "inks" if tiff and tiff.photometric == tiff_tags.CMYK else "palette"
    texts = chunks.texts if chunks else ("comment",) if "comment" in image.info else ()
    others = chunks.others if chunks else ()
    resources = photoshop if isinstance(photoshop, dict) and image.format in ("JPEG", "MPO") else {}
    boxed = image.format == "JPEG2000" and jp2_boxes.has_exif(path)
    return (
        *((jp2_boxes.EXIF_NOTE,) if boxed else ()),
        *(("its IPTC data is not carried over",) if iptc else ()),
        *psd_resources.note_left(resources, (psd_resources.RESOLUTION,)),
        *not_carried("its texts ({})", texts),
        *not_carried("its chunks {}", others),
        *_segments(image),
        *_unread(image, path),
        *_aspect(image),
        *(tiff.lost(tiff_tags.DESCRIPTIVE) if tiff else ()),
        *((f"its nodata value {nodata}, of the {beside}, is not carried over",) if nodata else ()),
        *((f"its mask, beside the {beside}, is not carried over",) if masked else ()),
        *((f"its GDAL metadata, beside the {beside}, is not carried over",) if tiff and tiff.metadata else ()),
    )
