"""A virtual raster (VRT) that shows the tiles of a picture as one, in GDAL and programs built on it."""

from collections.abc import Iterable
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ..header import Header
from . import gdal_xml

_TYPES = {"uint8": "Byte", "int8": "Int8", "uint16": "UInt16", "int16": "Int16", "float32": "Float32"}
"""GDAL's names of dtypes."""

_MASK = "mask,1"
"""GDAL's name of a file's mask, in the place of a band number."""


@dataclass(frozen=True)
class Placed:
    """A file with the picture's bands, and its place in pixels of the whole."""

    name: str
    """Relative to the folder of the mosaic."""
    top: int
    left: int
    height: int
    width: int


def vrt(header: Header, tiles: Iterable[Placed]) -> bytes:
    """Return a VRT file. Where there is no tile it reads as nodata, or else 0, and as masked.

    `header` must be returned by `formats.held` for the tiles' format, for the whole picture. CMYK is not possible: GDAL
    reads such files as RGB and alpha.
    """
    root = Element("VRTDataset", rasterXSize=str(header.width), rasterYSize=str(header.height))
    gdal_xml.add_dataset(root, header)
    data_type = _TYPES[header.dtype]
    sources = []
    for index, band in enumerate(header.bands, 1):
        element = SubElement(root, "VRTRasterBand", dataType=data_type, band=str(index))
        gdal_xml.add_band(element, band, header.nodata_of(band))
        sources.append((element, str(index), data_type))
    if header.mask:
        mask = SubElement(SubElement(root, "MaskBand"), "VRTRasterBand", dataType="Byte")
        sources.append((mask, _MASK, "Byte"))
    for tile in tiles:
        for element, source_band, source_type in sources:
            _add_source(element, tile, source_band, source_type)
    return gdal_xml.to_bytes(root)


def read_vrt(data: bytes) -> tuple[int, int, tuple[Placed, ...]]:
    """Return height, width and tiles of a file that `vrt` made. Raises ValueError for anything else."""
    try:
        root = ElementTree.fromstring(data)
        tiles = tuple(map(_placed, root.findall("VRTRasterBand[1]/SimpleSource")))
        return int(root.attrib["rasterYSize"]), int(root.attrib["rasterXSize"]), tiles
    except (ElementTree.ParseError, KeyError) as error:
        raise ValueError(f"it is not a mosaic: {error!r}") from error


def _placed(source: Element) -> Placed:
    name, place = source.findtext("SourceFilename"), source.find("DstRect")
    if name is None or place is None:
        raise ValueError("it is not a mosaic: a source has no name or no place")
    left, top, width, height = (int(place.attrib[edge]) for edge in ("xOff", "yOff", "xSize", "ySize"))
    return Placed(name, top, left, height, width)


def _add_source(element: Element, tile: Placed, source_band: str, data_type: str) -> None:
    height, width = str(tile.height), str(tile.width)
    source = SubElement(element, "SimpleSource")
    SubElement(source, "SourceFilename", relativeToVRT="1").text = tile.name
    SubElement(source, "SourceBand").text = source_band
    # with size and type given here, GDAL opens a tile only when its pixels are needed
    SubElement(source, "SourceProperties", RasterXSize=width, RasterYSize=height, DataType=data_type)
    SubElement(source, "SrcRect", xOff="0", yOff="0", xSize=width, ySize=height)
    SubElement(source, "DstRect", xOff=str(tile.left), yOff=str(tile.top), xSize=width, ySize=height)
