"""What made an image, by what its file says: the camera or scanner of its EXIF, or a satellite's sensor."""

import warnings
from collections.abc import Mapping

from PIL import Image

from .header import Header

_MAKE, _MODEL, _SOFTWARE = 271, 272, 305
"""Of EXIF, and of TIFF, whose first directory has the same tags."""

_SCANS = "scan"
"""In the name of a program that drives a scanner: EPSON Scan, VueScan, ScanSnap. Others made images of any camera."""

_PLATFORMS = ("SPACECRAFT_ID", "SPACECRAFT_NAME", "SATELLITEID", "SATELLITE", "PLATFORM")
_SENSORS = ("SENSOR_ID", "SENSOR", "INSTRUMENT")
"""Names, in capital letters, of a raster's tags; the first that there is counts."""

_LONGEST = 120
"""Characters: files are hostile."""


def maker_of(header: Header) -> str:
    """As "Canon EOS 5D", "VueScan 9" or "SENTINEL-2 MSI"; "" where the file does not say."""
    return _of_exif(header.exif) or _of_tags(header.tags or {})


def _of_exif(data: bytes | None) -> str:
    if not data:
        return ""
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(data)
            make, model, software = (_clean(exif.get(tag)) for tag in (_MAKE, _MODEL, _SOFTWARE))
    except Exception:  # noqa: BLE001 - Pillow has no class of its own for broken metadata
        return ""
    if make or model:
        return model if model.lower().startswith(make.lower()) else f"{make} {model}".strip()
    return software if _SCANS in software.lower() else ""


def _of_tags(tags: Mapping[str, str]) -> str:
    said = {name.upper(): _clean(text) for name, text in tags.items()}
    parts = (next((said[name] for name in names if said.get(name)), "") for names in (_PLATFORMS, _SENSORS))
    return " ".join(filter(None, parts))


def _clean(text: object) -> str:
    """One line without spaces too many; "" for what is no text."""
    if not isinstance(text, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST].strip()
