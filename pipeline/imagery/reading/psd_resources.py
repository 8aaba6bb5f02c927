"""What a PSD says beside its pixels, and Pillow does not report (Adobe Photoshop File Formats Specification)."""

import struct

from PIL.PsdImagePlugin import PsdImageFile

_RESOLUTION, _IPTC, _PROFILE, _EXIF, _XMP = 1005, 1028, 1039, 1058, 1060
"""Numbers of image resources."""

_DERIVED = (1033, 1036, 1061)
"""Thumbnails, and a digest of the IPTC data."""

_CHANNELS = slice(12, 14)
"""Where the file's header says how many channels there are."""

_MOST_NAMES = 10
"""Most numbers of resources in a note, because files are hostile."""


def take(image: PsdImageFile, path: str) -> tuple[str, ...]:
    """Put resolution, EXIF, XMP and IPTC where Pillow has those of a JPEG; return notes about all that is left out."""
    resources = {number: data for number, _, data in image.resources}
    image.info["photoshop"] = resources
    read = {_IPTC, _PROFILE, *_DERIVED}
    if len(resources.get(_RESOLUTION, b"")) >= 16:
        across, down = struct.unpack_from(">I4xI", resources[_RESOLUTION])  # 16.16, per inch whatever unit is shown
        image.info["dpi"] = across / 65536, down / 65536
        read.add(_RESOLUTION)
    for number, name in ((_EXIF, "exif"), (_XMP, "xmp")):
        if number in resources:
            image.info[name] = resources[number]
            read.add(number)
    left = sorted(set(resources) - read)
    numbers = ", ".join(map(str, left[:_MOST_NAMES]))
    return (*_note_channels(image, path), *((f"its image resources {numbers} are not carried over",) if left else ()))


def _note_channels(image: PsdImageFile, path: str) -> tuple[str, ...]:
    with open(path, "rb") as file:
        channels = int.from_bytes(file.read(_CHANNELS.stop)[_CHANNELS], "big")
    more = channels - len(image.getbands())
    return (f"its channels beyond {image.mode}, {more} in number, are not carried over",) if more > 0 else ()
