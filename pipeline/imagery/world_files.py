"""Files beside a picture that GIS programs read with it, such as the six numbers of a world file that give its place.

They are not read, but noted.
"""

import os
import re

from .. import storage
from .header import Header

_OF_THE_FILE = (".aux.xml", ".msk")
"""Endings of GDAL's files of metadata and of a mask."""

_OF_THE_STEM = (".RPB", ".rpb", "_RPC.TXT", "_rpc.txt")
"""Endings of files of RPCs, in place of the picture's."""

_PLEIADES = re.compile(r"IMG_(.+?)(_R\d+C\d+)?")
"""Name of a picture whose RPCs are in RPC_<...>.XML, for all its tiles together."""

_REMEDY = "gdal_translate puts all into one GeoTIFF"


def names(uri: str) -> tuple[str, ...]:
    """Return the names that GIS programs look for beside a file: a.jgw, a.jpgw and a.wld for a.jpg.

    The ending is in the case of the file's, or in another.
    """
    stem, suffix = os.path.splitext(os.path.basename(uri))
    if len(suffix) < 3:
        return (f"{stem}.wld",)
    short, long = f"{suffix[:2]}{suffix[-1]}w", f"{suffix}w"
    plain = dict.fromkeys((short, long, ".wld"))
    return tuple(stem + ending for ending in dict.fromkeys((*plain, *map(str.lower, plain), *map(str.upper, plain))))


def notes(uri: str, header: Header) -> tuple[str, ...]:
    """Return notes about a world file beside a picture without a place, and about other sidecars beside any picture.

    Raises OSError.
    """
    georef = header.georef
    worlds = () if georef is not None and (georef.transform is not None or georef.gcps) else names(uri)
    name = os.path.basename(uri)
    stem = os.path.splitext(name)[0]
    sidecars = [*(name + end for end in _OF_THE_FILE), *(stem + end for end in _OF_THE_STEM)]
    if of_pleiades := _PLEIADES.fullmatch(stem):
        sidecars.append(f"RPC_{of_pleiades[1]}.XML")
    found = storage.lies_beside(uri, (*worlds, *sidecars))
    told = [f"the world file {beside} beside it is not read; {_REMEDY}" for beside in found if beside in worlds][:1]
    others = [beside for beside in found if beside not in worlds]
    if others:
        subject = f"the files {', '.join(others)} beside it are" if others[1:] else f"the file {others[0]} beside it is"
        told.append(f"{subject} not read; {_REMEDY}")
    return tuple(told)
