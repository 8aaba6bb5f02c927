"""The maker of an image, from its file: the camera or scanner in EXIF, or a satellite's sensor."""

import warnings
from collections.abc import Mapping

from PIL import Image
from PIL.ExifTags import Base

from .header import Header

_SCANS = "scan"
"""Part of the names of scanner programs: EPSON Scan, VueScan, ScanSnap. Other programs process images of any camera."""

_PLATFORMS = ("SPACECRAFT_ID", "SPACECRAFT_NAME", "SATELLITEID", "SATELLITE", "PLATFORM")
_SENSORS = ("SENSOR_ID", "SENSOR", "INSTRUMENT")
"""Names of a raster's tags in upper case; the first that exists is used."""

_LONGEST = 120
"""Most characters of a name, because files are hostile."""


def maker_of(header: Header) -> str:
    """Return a name such as "Canon EOS 5D", "VueScan 9" or "SENTINEL-2 MSI"; "" if the file has none."""
    return _of_exif(header.exif) or _of_tags(header.tags or {})


def _of_exif(data: bytes | None) -> str:
    if not data:
        return ""
    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load(data)
            make, model, software = (_clean(exif.get(tag)) for tag in (Base.Make, Base.Model, Base.Software))
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
    """Return the text as one line without extra spaces; "" if it is no text."""
    if not isinstance(text, str):
        return ""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return " ".join(printable.split())[:_LONGEST].strip()
