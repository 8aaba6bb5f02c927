"""Corrections of what Pillow reads from the tags of a TIFF."""

from PIL import ImagePalette
from PIL.ExifTags import Base
from PIL.TiffImagePlugin import TiffImageFile


def correct(image: TiffImageFile) -> None:
    """Read a palette of bytes as such, and keep Pillow from turning the pixels as XMP says; the tag alone counts.

    It also keeps Pillow from mapping the file into memory, with which it reads pixels of turned files as if these were
    not turned.
    """
    image.filename = ""
    image.info.pop("xmp", None)
    if image.mode == "P":
        entries = image.tag_v2.get(Base.ColorMap, ())
        if max(entries, default=0) < 256:  # some writers go to 255, not to 65,535
            image.palette = ImagePalette.raw("RGB;L", bytes(entries))
