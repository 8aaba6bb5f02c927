"""What a PSD says beside its pixels, and Pillow does not report (Adobe Photoshop File Formats Specification)."""

import struct
from collections.abc import Collection

from PIL.PsdImagePlugin import PsdImageFile

from ...errors import ErrorType, ImageError
from .notes import not_carried

RESOLUTION, IPTC = 1005, 1028
_PROFILE, _VERSION, _EXIF, _XMP = 1039, 1057, 1058, 1060
"""Numbers of image resources."""

_DERIVED = (1033, 1036, 1061)
"""Thumbnails, and a digest of the IPTC data."""

_CHANNELS = slice(12, 14)
"""Where the file's header says how many channels there are."""

_HEADER = 26
"""Bytes before the palette, the resources and the layers, each of which begins with its length."""

_IS_FLAT = 4
"""Which byte of the version says whether the file holds the picture composed of its layers."""


def is_transparent(path: str) -> bool:
    """Return whether the first channel beyond the colours is the picture's transparency, not a saved selection."""
    with open(path, "rb") as file:
        file.seek(_HEADER)
        for _ in range(2):
            file.seek(int.from_bytes(file.read(4), "big"), 1)
        layers, _ = (int.from_bytes(file.read(4), "big") for _ in range(2))
        count = int.from_bytes(file.read(2), "big", signed=True)
    return layers > 0 and count < 0


def put_into_info(image: PsdImageFile, path: str) -> tuple[str, ...]:
    """Put resolution, EXIF, XMP and IPTC into `image.info`, as of a JPEG; return notes about all that is left out.

    Raises:
        ImageError: unsupported; the file holds layers alone.
    """
    resources = {number: data for number, _, data in image.resources}
    image.info["photoshop"] = resources
    if resources.get(_VERSION, b"")[_IS_FLAT : _IS_FLAT + 1] == b"\0":
        message = "the file holds layers alone, not the picture composed of them; save it as a flat TIFF or PNG"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    read = {_VERSION}
    if len(resources.get(RESOLUTION, b"")) >= 16:
        across, down = struct.unpack_from(">I4xI", resources[RESOLUTION])  # 16.16, per inch whatever unit is shown
        image.info["dpi"] = across / 65536, down / 65536
        read.add(RESOLUTION)
    for number, name in ((_EXIF, "exif"), (_XMP, "xmp")):
        if number in resources:
            image.info[name] = resources[number]
            read.add(number)
    return (*_note_channels(image, path), *note_left(resources, read))


def note_left(resources: Collection[int], read: Collection[int]) -> tuple[str, ...]:
    """Return a note about the resources that are not read, and not told of by another note."""
    left = sorted({*resources} - {*read} - {IPTC, _PROFILE, *_DERIVED})
    return not_carried("its image resources {}", [str(number) for number in left])


def _note_channels(image: PsdImageFile, path: str) -> tuple[str, ...]:
    with open(path, "rb") as file:
        channels = int.from_bytes(file.read(_CHANNELS.stop)[_CHANNELS], "big")
    mode = image.mode if is_transparent(path) else image.mode.removesuffix("A")
    more = channels - len(mode)
    return (f"its channels beyond {mode}, {more} in number, are not carried over",) if more > 0 else ()
