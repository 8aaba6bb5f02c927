"""Metadata of a file from Pillow: EXIF, XMP, resolution, and notes on what is not carried over."""

import math
import warnings

from PIL import Image, ImageFile

from . import jp2_boxes, orientation, png_chunks, tiff_tags
from .size_limits import pages_note

_MOST_NAMES = 10
"""Most names of texts in a note, because files are hostile."""


def read_exif(image: ImageFile.ImageFile, path: str) -> tuple[int, bytes | None, tuple[str, ...]]:
    """Return orientation, from XMP if EXIF has none, EXIF set upright, and notes. Never decodes pixels."""
    side_up = orientation.of_xmp(_stored_xmp(image, path))
    try:
        exif = _parsed_exif(image)
        if orientation.TAG in exif:
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
    if not isinstance(dpi, tuple) or len(dpi) != 2:
        return None
    across, down = float(dpi[0]), float(dpi[1])
    if not (math.isfinite(across) and math.isfinite(down) and across > 0 and down > 0):
        return None
    return orientation.turn_dpi((across, down), stored)


def note_frames(image: ImageFile.ImageFile, tiff: tiff_tags.TiffTags | None) -> tuple[str, ...]:
    if image.format == "PSD":
        layers = len(getattr(image, "layers", ()))
        return (f"the file holds {layers} layers; only the picture composed of them is done",) if layers > 1 else ()
    frames = tiff.pages if tiff else getattr(image, "n_frames", 1)
    return (pages_note(frames),) if frames > 1 else ()


def note_lost(
    image: ImageFile.ImageFile, chunks: png_chunks.PngChunks | None, tiff: tiff_tags.TiffTags | None
) -> tuple[str, ...]:
    photoshop = image.info.get("photoshop")
    iptc = tiff.iptc if tiff else isinstance(photoshop, dict) and 0x0404 in photoshop
    nodata = tiff.nodata if tiff else None
    masked = tiff.masked if tiff else False
    beside = "inks" if tiff and tiff.photometric == tiff_tags.CMYK else "palette"
    texts = chunks.texts if chunks else ("comment",) if "comment" in image.info else ()
    others = chunks.others if chunks else ()
    return (
        *(("its IPTC data is not carried over",) if iptc else ()),
        *((f"its texts ({', '.join(texts[:_MOST_NAMES])}) are not carried over",) if texts else ()),
        *((f"its chunks {', '.join(others[:_MOST_NAMES])} are not carried over",) if others else ()),
        *(tiff.lost(tiff_tags.DESCRIPTIVE) if tiff else ()),
        *((f"its nodata value {nodata}, of the {beside}, is not carried over",) if nodata else ()),
        *((f"its mask, beside the {beside}, is not carried over",) if masked else ()),
        *((f"its GDAL metadata, beside the {beside}, is not carried over",) if tiff and tiff.metadata else ()),
    )
