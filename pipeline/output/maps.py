"""The disagreement map of an image: tiles like those of the image, in another folder."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import Format
from ..imagery.header import Band, Header
from ..imagery.writing.formats import held
from . import layout
from .target import Target

_GRAYS = 16
"""Grey levels of a PNG per 8-bit level: most disagreement is below one level, and 16 levels may well be white."""


def map_target(output: str, key: str, of_image: Target) -> Target:
    """Return the target of an image's map: PNG for a picture, a GeoTIFF of float32 for a raster.

    A raster is georeferenced, or more than a PNG can hold.
    """
    is_picture = of_image.kind is Format.PNG and of_image.header.georef is None
    kind = Format.PNG if is_picture else Format.TIF
    place = layout.map_folder(output, key)
    return Target(kind, map_header(of_image.header, kind), place, False, of_image.grid)


def map_header(made: Header, kind: Format) -> Header:
    """Return the header of the whole map.

    Args:
        made: the header of the whole result.
        kind: PNG or TIF.
    """
    is_png = kind is Format.PNG
    meanings = {(band.scale, band.unit) for band in made.bands[: made.measured]}
    scale, unit = meanings.pop() if len(meanings) == 1 else (1.0, None)
    # of differences, which have no offset
    band = Band("gray") if is_png else Band("gray", description="disagreement", scale=scale, unit=unit)
    header = Header(
        format=made.format,
        height=made.height,
        width=made.width,
        dtype="uint8" if is_png else "float32",
        bands=(band,),
        nodata=None if is_png else float("nan"),
    )
    return header if is_png else held(replace(header, georef=made.georef), kind)


def map_samples(disagreement: NDArray[np.float32], target: Target, of_image: Header) -> NDArray[Any]:
    """Return (1, H, W) as stored in a file of the map.

    Args:
        disagreement: (H, W) in native units, NaN where nothing is known.
        of_image: the header of the image, or of its result.
    """
    if target.kind is not Format.PNG:
        return disagreement[None]
    grays = np.nan_to_num(disagreement) * (_GRAYS * 255 / of_image.limits[1])
    levels: NDArray[np.uint8] = np.minimum(grays + 0.5, 255).astype(np.uint8)
    return levels[None]


def kind_of(name: str) -> Format:
    """Return the format of a map from the name of one of its tiles."""
    return Format.PNG if name.endswith(f".{Format.PNG}") else Format.TIF
