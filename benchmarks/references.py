"""What Pillow and rasterio by themselves make of an image file: what srpipe's reading and its results are held against.

Nothing of srpipe's own reading is used. Files are read whole, here in this process.
"""

import base64
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps
from rasterio.io import DatasetReader

LARGEST = 2**30
"""Pixels that are read: what claims more is not decoded."""

_CALCULATED = {"AREA_OR_POINT", "TIFFTAG_XRESOLUTION", "TIFFTAG_YRESOLUTION", "TIFFTAG_RESOLUTIONUNIT", "NODATA_VALUES"}
"""Tags that GDAL makes of what the file says otherwise, or makes a mask of."""

_OF_PIXELS = {
    *(ExifTags.Base.Orientation, ExifTags.Base.XResolution, ExifTags.Base.YResolution, ExifTags.Base.ResolutionUnit),
    *(ExifTags.Base.ImageWidth, ExifTags.Base.ImageLength),
}
"""EXIF that has to change with the pixels."""

_DRIVERS = ("GTiff", "JP2OpenJPEG", "PNG", "PNM")
"""Of GDAL, for files that Pillow has no modes for. Others read a TGA as one band of 16 bits, a GIF's films as bands."""

_STRICT = {"GDAL_ERROR_ON_LIBJPEG_WARNING": "YES", "GDAL_PNG_WHOLE_IMAGE_OPTIM": "NO"}
"""A damaged file is not decoded: without the second a broken PNG comes out as noise, and no error is told."""

_NO_TEXTS = {"XML:com.adobe.xmp", "Raw profile type exif", "Raw profile type xmp"}
"""That Pillow finds among the texts of a PNG."""

Image.MAX_IMAGE_PIXELS = None  # LARGEST is looked at instead
warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)


@dataclass(frozen=True)
class Said:
    """What a file says besides its pixels, so far as it says anything."""

    crs: Any = None
    transform: Any = None
    nodata: float | None = None
    gcps: tuple[tuple[float, float, float, float], ...] = ()
    """Row, column, x, y."""
    rpcs: Mapping[str, str] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)
    """By name what must come out as it went in: ICC profile, EXIF, descriptions, scales, tags."""
    dpi: tuple[float, float] | None = None


@dataclass(frozen=True)
class Reference:
    """An input."""

    kind: str
    """Its format, mode or bands, dtype and size, for the reader of a table."""
    samples: NDArray[Any]
    """(C, H, W) as shown, alpha last."""
    known: NDArray[np.bool_]
    """(C, H, W): neither nodata nor NaN, masked or clear."""
    alpha: bool
    """The last band is one."""
    said: Said

    @property
    def measured(self) -> int:
        """Bands of which means and errors are told: not an alpha that says which ground is known."""
        return len(self.samples) - (self.alpha and not self.blends)

    @property
    def blends(self) -> bool:
        """It has an alpha that is as good as a colour."""
        return self.alpha and self.said.crs is None and self.said.transform is None

    @property
    def cmyk(self) -> bool:
        return " CMYK " in self.kind


@dataclass(frozen=True)
class Decoded:
    """What became of an attempt to read a file whole."""

    reference: Reference | None
    """None when neither Pillow nor rasterio can."""
    pixels: int
    """That the file claims; 0 when neither can tell."""


def decode(path: Path) -> Decoded:
    """By rasterio what lies on Earth or is deeper or has more bands than Pillow's modes; else by Pillow if it can."""
    raster, raster_pixels = _attempt(lambda: _by_rasterio(path))
    picture, picture_pixels = _attempt(lambda: _by_pillow(path))
    pixels = max(raster_pixels, picture_pixels)
    if raster is None or picture is None:
        return Decoded(raster or picture, pixels)
    located = raster.said.crs is not None or raster.said.transform is not None
    deeper = raster.samples.dtype != np.uint8
    more_bands = len(raster.samples) > len(picture.samples) and not raster.alpha
    return Decoded(raster if located or deeper or more_bands else picture, pixels)


class _TooLargeError(Exception):
    def __init__(self, pixels: int) -> None:
        super().__init__(pixels)
        self.pixels = pixels


def _attempt(read: Any) -> tuple[Reference | None, int]:
    try:
        reference: Reference = read()
    except _TooLargeError as error:
        return None, error.pixels
    except Exception:  # noqa: BLE001 - hostile files make decoders raise anything
        return None, 0
    return reference, math.prod(reference.samples.shape[1:])


def _by_pillow(path: Path) -> Reference:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of odd metadata
        with Image.open(path) as image:
            if image.width * image.height > LARGEST:
                raise _TooLargeError(image.width * image.height)
            image.load()
            kind = f"{image.format} {image.mode}"
            transparent = "transparency" in image.info
            said = said_by_pillow(image)
            shown = ImageOps.exif_transpose(image)
    samples = _samples(shown, transparent)
    alpha = samples.shape[0] in (2, 4) and image.mode != "CMYK"
    known = np.isfinite(samples)
    if alpha:
        known[:-1] &= samples[-1] > 0
    height, width = samples.shape[1:]
    return Reference(f"{kind} {samples.dtype} {width} x {height}", samples, known, alpha, said)


def _samples(image: Image.Image, transparent: bool) -> NDArray[Any]:
    """(C, H, W); a palette and a transparent colour resolved."""
    wanted = {"1": "L", "P": "RGB", "PA": "RGBA", "La": "LA", "RGBa": "RGBA"}.get(image.mode, image.mode)
    if transparent:
        wanted = "LA" if wanted == "L" else "RGBA"
    samples = np.asarray(image.convert(wanted))
    if image.mode == "I":
        samples = samples.astype(np.uint16)
    samples = samples[None] if samples.ndim == 2 else samples.transpose(2, 0, 1)
    if image.mode == "P" and (samples[0] == samples[1]).all() and (samples[0] == samples[2]).all():
        samples = samples[[0, *range(3, len(samples))]]
    return samples.astype(samples.dtype.newbyteorder("="))


def _by_rasterio(path: Path) -> Reference:
    with rasterio.Env(**_STRICT), rasterio.open(path) as raster:
        if raster.driver not in _DRIVERS:
            raise ValueError(f"{raster.driver} is not asked")
        if raster.width * raster.height > LARGEST:
            raise _TooLargeError(raster.width * raster.height)
        samples, known = read(raster, 0, raster.height)
        colours = [colour.name for colour in raster.colorinterp]
        order = sorted(range(len(colours)), key=lambda index: colours[index] == "alpha")
        if order != list(range(len(order))):
            samples, known = samples[order], known[order]
        kind = f"{raster.driver} {raster.count} x {samples.dtype} {raster.width} x {raster.height}"
        said = said_by_rasterio(raster)
        if raster.driver != "PNG":
            return Reference(kind, samples, known, "alpha" in colours, said)
    if said.nodata is not None:  # a colour that stands for clear
        opaque = known.all(0, keepdims=True)
        samples = np.concatenate([samples, opaque * samples.dtype.type(np.iinfo(samples.dtype).max)])
        known = np.concatenate([known, np.ones_like(opaque)])
    carried = {name: value for name, value in said.carried.items() if name != "tags"}  # texts, XMP among them
    alpha = "alpha" in colours or said.nodata is not None
    return Reference(kind, samples, known, alpha, replace(said, nodata=None, carried=carried))


def read(raster: DatasetReader, start: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """(C, h, W) of some rows, and what is known of them."""
    window = rasterio.windows.Window(0, start, raster.width, stop - start)
    samples = raster.read(window=window)
    known = np.isfinite(samples)
    known &= raster.read_masks(window=window) > 0
    colours = [colour.name for colour in raster.colorinterp]
    if "alpha" in colours:
        alpha = colours.index("alpha")
        clear = samples[alpha] == 0
        known &= ~clear
        known[alpha] = True
    return samples, known


def said_by_pillow(image: Image.Image) -> Said:
    """Of a picture that is loaded."""
    info = image.info
    carried: dict[str, Any] = {}
    if info.get("icc_profile"):
        carried["ICC"] = info["icc_profile"]
    exif = _exif(image)
    if exif:
        carried["EXIF"] = exif
    if info.get("xmp") or info.get("XML:com.adobe.xmp"):
        carried["XMP"] = True  # not its text: the orientation in it has to change
    texts = {*getattr(image, "text", {}), *({"comment"} & set(info))} - _NO_TEXTS
    if texts:
        carried["texts"] = texts
    if getattr(image, "n_frames", 1) > 1:
        carried["pages"] = True
    dpi = info.get("dpi")  # 1 of a TIFF that says nothing
    usable = (
        isinstance(dpi, tuple) and dpi != (1, 1) and all(math.isfinite(float(side)) and float(side) > 0 for side in dpi)
    )
    return Said(carried=carried, dpi=(float(dpi[0]), float(dpi[1])) if usable and dpi else None)


def _exif(image: Image.Image) -> dict[int, str]:
    """But for what has to change; nothing where it is damaged. Of a TIFF, whose tags Pillow calls EXIF too, nothing."""
    if image.format == "TIFF":
        return {}
    try:
        exif = image.getexif()
        return {name: str(value) for name, value in exif.items() if name not in _OF_PIXELS and name < 0x8000}
    except Exception:  # noqa: BLE001 - Pillow has no class of its own for broken metadata
        return {}


def said_by_rasterio(raster: DatasetReader) -> Said:
    points, points_crs = raster.gcps
    places = not raster.transform.is_degenerate and not raster.transform.is_identity
    bands = range(1, raster.count + 1)
    carried = {
        "descriptions": tuple(raster.descriptions),
        "scales": (tuple(raster.scales), tuple(raster.offsets)),
        "units": tuple(raster.units),
        "tags": (_tags(raster.tags()), *(_tags(raster.tags(band)) for band in bands)),
        "ICC": base64.b64decode(raster.tags(ns="COLOR_PROFILE").get("SOURCE_ICC_PROFILE", "")),
        "XMP": bool(raster.tags(ns="xml:XMP")),
    }
    without = ((None,) * raster.count, ((1.0,) * raster.count, (0.0,) * raster.count), ({},) * (raster.count + 1))
    return Said(
        crs=raster.crs or points_crs,
        transform=raster.transform if places else None,
        nodata=raster.nodata,
        gcps=tuple((point.row, point.col, point.x, point.y) for point in points),
        rpcs=raster.tags(ns="RPC"),
        carried={name: value for name, value in carried.items() if value and value not in without},
        dpi=_dpi(raster.tags()),
    )


def _tags(tags: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in tags.items() if name not in _CALCULATED and not name.startswith("STATISTICS_")}


def _dpi(tags: Mapping[str, str]) -> tuple[float, float] | None:
    unit = {"2": 1.0, "3": 2.54}.get(tags.get("TIFFTAG_RESOLUTIONUNIT", "")[:1])
    across, down = (float(tags.get(f"TIFFTAG_{axis}RESOLUTION", "0")) for axis in "XY")
    return (across * unit, down * unit) if unit and across > 0 and down > 0 else None
