"""Which format of files holds a picture whole."""

from dataclasses import replace

from ...config import Format
from ...errors import ErrorType, ImageError
from ..header import ALPHA, CMYK, RGB, Band, Georef, Header

_MASK = Band(ALPHA)

NO_TAGS = {"self", "bidx", "ns"}
"""Names of tags that cannot be written to a GeoTIFF: rasterio takes them for something else."""


def choose(header: Header, wanted: Format) -> Format:
    """The format to write a picture in; never AUTO.

    Raises:
        ImageError: unsupported; the format that is wanted cannot hold the picture.
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
    """What files of that format hold of a picture that `choose` gave them; notes tell what they do not.

    In a PNG the mask is one more band, alpha: all of its range where the mask is True, 0 elsewhere.
    """
    if chosen is Format.PNG:
        return replace(header, bands=(*header.bands, _MASK), mask=False) if header.mask else header
    notes = []
    if header.png_colour is not None:
        notes.append(f"what a PNG says of its colours ({', '.join(header.png_colour)})")
    if header.exif is not None:
        notes.append("EXIF")
    names = {*(header.tags or ()), *(name for band in header.bands for name in band.tags or ())}
    unnamed = sorted(names & NO_TAGS)
    if unnamed:
        notes.append(f"tags named {', '.join(unnamed)}")
    xmp = header.xmp
    if xmp is not None and not _is_xml(xmp):
        notes.append("XMP that is no XML in UTF-8")
        xmp = None
    georef, gcp_notes = _georef_in_tif(header.georef)
    notes = [f"{what}: not in a GeoTIFF" for what in (*notes, *gcp_notes)]
    return replace(header, exif=None, xmp=xmp, png_colour=None, georef=georef, notes=(*header.notes, *notes))


def _georef_in_tif(georef: Georef | None) -> tuple[Georef | None, list[str]]:
    """What of it a GeoTIFF can say, and what it cannot."""
    if georef is None or not georef.gcps:
        return georef, []
    if georef.transform is not None:
        return replace(georef, gcps=(), gcps_crs=None), ["ground control points beside a transform"]
    unnamed = tuple(replace(gcp, id=str(number), info="") for number, gcp in enumerate(georef.gcps, 1))
    notes = [] if unnamed == georef.gcps else ["names of ground control points"]
    if georef.point:
        notes.append("that the coordinates of ground control points are of pixel centres")
    # GDAL 3.10 moves the points of a file by a pixel when its coordinates are of pixel centres; these are of corners
    return replace(georef, point=False, gcps=unnamed), notes


def _not_in_png(header: Header) -> str | None:
    """What of the pixels a PNG has no way to say; None when it says all. Other files stand beside it for the rest."""
    if header.dtype not in ("uint8", "uint16"):
        return f"samples of {header.dtype}"
    if header.mask and header.has_alpha:
        return "a mask beside an alpha band"
    if header.mask and header.nodata is not None:  # of nodata and alpha GDAL looks at nodata alone
        return "a mask beside a nodata value"
    if header.bits is not None and header.has_alpha:
        return f"an alpha of {header.bits} bits"
    colours = header.colours[:-1] if header.has_alpha else header.colours
    if colours == RGB or (len(colours) == 1 and colours != ("palette",)):
        return None
    return f"{len(header.bands)} bands that are {', '.join(header.colours)}"


def _is_xml(xmp: bytes) -> bool:
    """So far as needed: it is text with an attribute."""
    try:
        return "=" in xmp.decode()
    except UnicodeDecodeError:
        return False
