"""PNG of 8 and 16 bits with the metadata that it can hold, and files beside it with the georeference."""

import struct
import zlib
from typing import Any
from xml.etree.ElementTree import Element, SubElement

from numpy.typing import NDArray
from rasterio.io import MemoryFile

from ..exif import GDAL_NAMES
from ..header import Band, Header
from . import gdal_xml

_LEVEL = 4
"""Twice as fast as zlib's usual 6 for 1 to 4 % larger files; 1 is twice as fast again, but 10 % larger."""

_HEAD = 8 + 4 + 4 + 13 + 4
"""Bytes of signature and first chunk, IHDR."""

_INCH = 0.0254
"""One inch in metres."""

_LARGEST = 2**31 - 1
"""Largest number in a PNG."""


def encode_png(samples: NDArray[Any], header: Header) -> bytes:
    """Encode (C, H, W) of uint8 or uint16 without loss: grey, grey and alpha, RGB, or RGB and alpha.

    Includes ICC profile, colour chunks, EXIF, XMP, and DPI, rounded to whole pixels per metre.
    """
    bands, height, width = samples.shape
    shape = {"count": bands, "height": height, "width": width}
    with MemoryFile(ext=".png") as file:
        with file.open(driver="PNG", dtype=samples.dtype, zlevel=_LEVEL, **shape) as dataset:
            dataset.write(samples)
        data = bytes(file.read())
    return data[:_HEAD] + _chunks(header) + data[_HEAD:]


def world_file(header: Header) -> bytes:
    """Return the six numbers of the transform, for the centre of the upper left pixel, for programs other than GDAL.

    The header must have a transform.
    """
    assert header.georef is not None
    assert header.georef.transform is not None
    a, b, c, d, e, f = header.georef.transform
    lines = (a, d, b, e, c + (a + b) / 2, f + (d + e) / 2)
    return "".join(f"{gdal_xml.number(value)}\n" for value in lines).encode()


def says_all(header: Header) -> bool:
    """Return whether a PNG alone holds all that the header says; the rest goes into the file beside it."""
    silent = all(band == Band(band.colour) for band in header.bands)
    in_exif = GDAL_NAMES.values() if header.exif is not None else ()  # which is read from the same tags of a TIFF
    tags = set(header.tags or ()) - set(in_exif)
    return header.georef is None and header.nodata is None and not tags and silent


def aux_xml(header: Header) -> bytes:
    """Return what a PNG cannot hold, for GDAL: to be stored beside it, its whole name followed by ".aux.xml"."""
    root = Element("PAMDataset")
    gdal_xml.add_dataset(root, header)
    for index, band in enumerate(header.bands, 1):
        gdal_xml.add_band(SubElement(root, "PAMRasterBand", band=str(index)), band, header.nodata_of(band))
    return gdal_xml.to_bytes(root)


def _chunks(header: Header) -> bytes:
    """Return the chunks before the pixels, by the PNG specification, third edition."""
    chunks = b"".join(_chunk(name.encode(), data) for name, data in (header.png_colour or {}).items())
    if header.icc_profile is not None:
        chunks += _chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(header.icc_profile))
    if header.dpi is not None:
        across, down = (min(max(round(dpi / _INCH), 1), _LARGEST) for dpi in header.dpi)
        chunks += _chunk(b"pHYs", struct.pack(">IIB", across, down, 1))
    if header.exif is not None:
        chunks += _chunk(b"eXIf", header.exif)
    if header.xmp is not None:
        chunks += _chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + header.xmp)
    return chunks


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
