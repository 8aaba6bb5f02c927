"""World files: six numbers beside a picture that give its place. They are not read, but noted."""

import os
from collections.abc import Callable, Sequence

from .header import Header


def names(uri: str) -> tuple[str, ...]:
    """Return the names that GIS programs look for beside a file: a.jgw, a.jpgw and a.wld for a.jpg, in its case."""
    stem, suffix = os.path.splitext(os.path.basename(uri))
    if len(suffix) < 3:
        return (f"{stem}.wld",)
    short, long = f"{suffix[:2]}{suffix[-1]}w", f"{suffix}w"
    plain = dict.fromkeys((short, long, ".wld"))
    return tuple(stem + ending for ending in dict.fromkeys((*plain, *map(str.upper, plain))))


def note(uri: str, header: Header, lies_beside: Callable[[str, Sequence[str]], tuple[str, ...]]) -> tuple[str, ...]:
    """Return a note about a world file beside a picture without a georeference; looks for one only then."""
    if header.georef is not None:
        return ()
    found = lies_beside(uri, names(uri))
    return (f"the world file {found[0]} beside it is not read; a GeoTIFF would keep its place",) if found else ()
