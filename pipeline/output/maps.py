"""The map of the disagreement of an image: in tiles as the image itself, in a folder beside that of its tiles."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Format
from ..imagery.header import Band, Header, type_range
from . import layout
from .target import Target

_GRAYS = 16
"""Of a PNG, for a grey level of 8 bits: most disagreement is below one level, and 16 is as white as need be."""


def map_target(output: str, key: str, of_image: Target) -> Target:
    """What becomes of the map of an image: PNG for a picture, a GeoTIFF of float32 for a raster.

    A raster is what lies somewhere on Earth, or what a PNG cannot hold.
    """
    is_picture = of_image.kind is Format.PNG and of_image.header.georef is None
    kind = Format.PNG if is_picture else Format.TIF
    place = layout.map_folder(output, key)
    return Target(kind, map_header(of_image.header, kind), place, False, of_image.grid)


def map_header(made: Header, kind: Format) -> Header:
    """Of the whole map.

    Args:
        made: of the whole result.
        kind: PNG or TIF.
    """
    is_png = kind is Format.PNG
    band = Band("gray", description=None if is_png else "disagreement", unit=None if is_png else made.bands[0].unit)
    return Header(
        format=made.format,
        height=made.height,
        width=made.width,
        dtype="uint8" if is_png else "float32",
        bands=(band,),
        nodata=None if is_png else float("nan"),
        georef=None if is_png else made.georef,
    )


def map_samples(disagreement: NDArray[np.float32], target: Target, of_image: Header) -> NDArray[Any]:
    """(1, H, W) as a file of the map has it.

    Args:
        disagreement: (H, W) in native units, NaN where nothing is known.
        of_image: of the image, or of its result.
    """
    if target.kind is not Format.PNG:
        return disagreement[None]
    largest = type_range(of_image.dtype)[1] if of_image.bits is None else 2.0**of_image.bits - 1
    grays = np.nan_to_num(disagreement) * (_GRAYS * 255 / largest)
    levels: NDArray[np.uint8] = np.minimum(grays + 0.5, 255).astype(np.uint8)
    return levels[None]


def kind_of(name: str) -> Format:
    """Of the map whose tile has this name."""
    return Format.PNG if name.endswith(f".{Format.PNG}") else Format.TIF
