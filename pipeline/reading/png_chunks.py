"""The chunks of a PNG (ISO 15948), as far as Pillow does not tell of them without decoding the picture."""

import struct

_TEXTS = (b"XML:com.adobe.xmp\0", b"Raw profile type ")
"""Keywords of texts that are EXIF or XMP."""


def has_late_metadata(path: str) -> bool:
    """Whether EXIF or XMP stands behind the first of the pixels."""
    with open(path, "rb") as file:
        file.seek(8)
        pixels_begun = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels_begun and kind == b"eXIf":
                return True
            start = file.tell()
            if pixels_begun and kind in (b"iTXt", b"zTXt", b"tEXt") and file.read(32).startswith(_TEXTS):
                return True
            pixels_begun |= kind == b"IDAT"
            file.seek(start + length + 4)
    return False
