"""The file format that can hold a picture without loss."""

from dataclasses import replace

from ...config import Format
from ...errors import ErrorType, ImageError
from .. import exif
from ..header import ALPHA, CMYK, RGB, Band, Georef, Header
from .gdal_xml import without_controls

_MASK = Band(ALPHA)

NO_TAGS = {"self", "bidx", "ns"}
"""Names of tags that cannot be written to a GeoTIFF, because rasterio gives them another meaning."""


def choose(header: Header, wanted: Format) -> Format:
    """Return the format for a picture; never AUTO.

    Raises:
        ImageError: unsupported; the wanted format cannot hold the picture.
    """
    if wanted is Format.COG and header.colours[: len(CMYK)] == CMYK:
        raise ImageError(ErrorType.UNSUPPORTED, "GDAL makes no COG of CMYK; use --format tif or auto")
    if wanted in (Format.TIF, Format.COG):
        return wanted
    problem = _not_in_png(header)
    if problem is None:
        return Format.PNG
    if wanted is Format.PNG:
        raise ImageError(ErrorType.UNSUPPORTED, f"PNG cannot hold {problem}; use --format tif or auto")
    return Format.TIF


def held(header: Header, chosen: Format) -> Header:
    """Return the header as files of the chosen format can hold it; notes say what is lost.

    Of EXIF a GeoTIFF has tags for some texts, such as Artist and Copyright.

    In a PNG the mask becomes an additional alpha band: full where the mask is True, 0 elsewhere.
    """
    if chosen is Format.PNG:
        return replace(header, bands=(*header.bands, _MASK), mask=False) if header.mask else header
    notes = []
    if header.png_colour is not None:
        notes.append(f"what a PNG says of its colours ({', '.join(header.png_colour)})")
    tags = header.tags
    if header.exif is not None:
        texts, more = exif.texts(header.exif)
        tags = {**texts, **(tags or {})} or None
        notes += ["EXIF"] if more else []
    names = map(without_controls, (*(tags or ()), *(name for band in header.bands for name in band.tags or ())))
    unnamed = sorted({*names} & NO_TAGS)
    if unnamed:
        notes.append(f"tags named {', '.join(unnamed)}")
    xmp = header.xmp
    if xmp is not None and not _is_xml(xmp):
        notes.append("XMP that is not XML in UTF-8")
        xmp = None
    georef, gcp_notes = _georef_in_tif(header.georef)
    told = (*header.notes, *(f"{what}: not in a GeoTIFF" for what in (*notes, *gcp_notes)))
    return replace(header, tags=tags, exif=None, xmp=xmp, png_colour=None, georef=georef, notes=told)


def _georef_in_tif(georef: Georef | None) -> tuple[Georef | None, list[str]]:
    """Return the part of a georeference that a GeoTIFF can hold, and notes about the rest."""
    if georef is None or not georef.gcps:
        return georef, []
    if georef.transform is not None:
        return replace(georef, gcps=(), gcps_crs=None), ["ground control points beside a transform"]
    unnamed = tuple(replace(gcp, id=str(number), info="") for number, gcp in enumerate(georef.gcps, 1))
    notes = [] if unnamed == georef.gcps else ["names of ground control points"]
    if georef.point:
        notes.append("that the coordinates of ground control points are of pixel centres")
    # GDAL 3.10 shifts ground control points by a pixel if coordinates are of pixel centres; these are of corners
    return replace(georef, point=False, gcps=unnamed), notes


def _not_in_png(header: Header) -> str | None:
    """Return what a PNG cannot hold of the pixels; None if nothing. Metadata goes into other files."""
    if header.dtype not in ("uint8", "uint16"):
        return f"samples of {header.dtype}"
    if header.mask and header.has_alpha:
        return "a mask beside an alpha band"
    if header.mask and header.nodata is not None:  # GDAL uses nodata only if there is alpha, too
        return "a mask beside a nodata value"
    if header.bits is not None and header.has_alpha:
        return f"an alpha of {header.bits} bits"
    colours = header.colours[:-1] if header.has_alpha else header.colours
    if colours == RGB or (len(colours) == 1 and colours != ("palette",)):
        return None
    return f"{len(header.bands)} bands that are {', '.join(header.colours)}"


def _is_xml(xmp: bytes) -> bool:
    """Return whether it is XML, as far as needed: text with an attribute, and no name of NO_TAGS before it."""
    try:
        name, equals, _ = xmp.decode().partition("=")
    except UnicodeDecodeError:
        return False
    return bool(equals) and name not in NO_TAGS
