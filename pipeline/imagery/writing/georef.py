"""The header of an enlarged picture, and of a part of it: every number that depends on pixels is adapted."""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.TiffImagePlugin import IFDRational
from rasterio.crs import CRS

from ..exif import as_bytes, directory
from ..header import Georef, Header, Transform

_ABSURD = 1e9
"""Pixels per inch from which a resolution says nothing, and which some file formats cannot hold."""

_XMP_NUMBER = re.compile(
    rb"""(?P<before>\b(?:exif|tiff):(?P<name>Pixel[XY]Dimension|ImageWidth|ImageLength|[XY]Resolution)"""
    rb"""(?:\s*=\s*["']|\s*>)\s*)(?P<number>[0-9]{1,18}(?:/[0-9]{1,18})?)(?![0-9.])"""
)


def enlarged(header: Header, size: tuple[int, int], keep_dpi: bool) -> Header:
    """Return the header for `size` pixels down and across, for the same ground and the same size on paper.

    With `keep_dpi` the size on paper grows instead. An absurd resolution is left out, and the notes say so.
    """
    height, width = size
    down, across = height / header.height, width / header.width
    denser = (1.0, 1.0) if keep_dpi else (across, down)
    dpi, notes = header.dpi and (header.dpi[0] * denser[0], header.dpi[1] * denser[1]), header.notes
    if dpi and header.dpi and max(dpi) >= _ABSURD:
        said = f"{header.dpi[0]:g} x {header.dpi[1]:g}"
        dpi, notes = None, (*notes, f"its resolution of {said} pixels per inch is absurd and left out")
    return replace(
        header,
        height=height,
        width=width,
        georef=header.georef and _finer(header.georef, down, across),
        dpi=dpi,
        notes=notes,
        exif=header.exif and _resized_exif(header.exif, height, width, denser, (across, down)),
        xmp=header.xmp and _resized_xmp(header.xmp, height, width, denser),
    )


def part(header: Header, top: int, left: int, height: int, width: int) -> Header:
    """Return the header of a window of the picture, given in its pixels."""
    return replace(
        header,
        height=height,
        width=width,
        georef=header.georef and _moved(header.georef, top, left),
        exif=header.exif and _resized_exif(header.exif, height, width, (1.0, 1.0), (1.0, 1.0)),
        xmp=header.xmp and _resized_xmp(header.xmp, height, width, (1.0, 1.0)),
    )


def _finer(georef: Georef, down: float, across: float) -> Georef:
    transform = georef.transform
    if transform is not None:
        a, b, c, d, e, f = transform
        transform = Transform(a / across, b / down, c, d / across, e / down, f)
    gcps = tuple(replace(gcp, row=gcp.row * down, column=gcp.column * across) for gcp in georef.gcps)
    rpcs = georef.rpcs
    if rpcs is not None:
        line, sample = _number(rpcs, "LINE_OFF"), _number(rpcs, "SAMP_OFF")
        rpcs = {
            **rpcs,
            "LINE_OFF": f"{(line + 0.5) * down - 0.5:.17g}",  # counted from the centre of the first pixel
            "SAMP_OFF": f"{(sample + 0.5) * across - 0.5:.17g}",
            "LINE_SCALE": f"{_number(rpcs, 'LINE_SCALE') * down:.17g}",
            "SAMP_SCALE": f"{_number(rpcs, 'SAMP_SCALE') * across:.17g}",
        }
    return replace(georef, transform=transform, gcps=gcps, rpcs=rpcs)


def _moved(georef: Georef, top: int, left: int) -> Georef:
    transform = georef.transform
    if transform is not None:
        a, b, c, d, e, f = transform
        transform = transform._replace(c=c + a * left + b * top, f=f + d * left + e * top)
    gcps = tuple(replace(gcp, row=gcp.row - top, column=gcp.column - left) for gcp in georef.gcps)
    rpcs = georef.rpcs
    if rpcs is not None:
        line, sample = _number(rpcs, "LINE_OFF") - top, _number(rpcs, "SAMP_OFF") - left
        rpcs = {**rpcs, "LINE_OFF": f"{line:.17g}", "SAMP_OFF": f"{sample:.17g}"}
    return replace(georef, transform=transform, gcps=gcps, rpcs=rpcs)


def _number(rpcs: Mapping[str, str], name: str) -> float:
    return float(rpcs[name].split()[0])  # some files add the unit: "2199.00 pixels"


def _resized_exif(
    data: bytes, height: int, width: int, denser: tuple[float, float], finer: tuple[float, float]
) -> bytes:
    """Return EXIF with the new size, and with resolutions multiplied across and down, where it has them.

    Args:
        denser: for the resolution on paper.
        finer: for that on the sensor.
    """
    exif = Image.Exif()
    exif.load(data)
    of_camera = directory(exif, IFD.Exif)
    for tags, names in (
        (exif, {Base.ImageWidth: width, Base.ImageLength: height}),
        (of_camera, {Base.ExifImageWidth: width, Base.ExifImageHeight: height}),
    ):
        for name, size in names.items():
            if name in tags:
                tags[name] = size
    on_paper, on_sensor = (Base.XResolution, Base.YResolution), (Base.FocalPlaneXResolution, Base.FocalPlaneYResolution)
    for tags, both, times in ((exif, on_paper, denser), (of_camera, on_sensor, finer)):
        for name, factor in zip(both, times, strict=True):
            resolution = tags.get(name)
            if isinstance(resolution, Real) and math.isfinite(resolution):  # some files have 0/0
                tags[name] = IFDRational(float(resolution) * factor)  # Pillow knows the type of the first two alone
    return as_bytes(exif)


def _resized_xmp(data: bytes, height: int, width: int, denser: tuple[float, float]) -> bytes:
    """Return XMP with the same changes, in attributes and elements."""

    def changed(found: re.Match[bytes]) -> bytes:
        name, number = found["name"], found["number"]
        if name in (b"XResolution", b"YResolution"):
            above, _, below = number.partition(b"/")
            times = denser[name == b"YResolution"]
            new = number if times == 1 or below == b"0" else b"%d/%d" % (round(int(above) * times), int(below or b"1"))
        else:
            new = b"%d" % (width if name in (b"PixelXDimension", b"ImageWidth") else height)
        return found["before"] + new

    return _XMP_NUMBER.sub(changed, data)


def name_of_crs(header: Header) -> str | None:
    """Return EPSG:<number> if it is surely that, else WKT; None without a CRS."""
    wkt = header.georef and (header.georef.crs or header.georef.gcps_crs)
    if not wkt:
        return None
    crs = CRS.from_wkt(wkt)
    code = crs.to_epsg(confidence_threshold=100)  # a likely one may be hundreds of metres away
    return str(crs.to_wkt()) if code is None else f"EPSG:{code}"
