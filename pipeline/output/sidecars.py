"""The files beside a PNG tile, with what it cannot hold."""

from collections.abc import Callable

from ..imagery.header import Header
from ..imagery.writing.png import aux_xml, says_all, world_file
from . import layout


def sidecars(tile: str, header: Header) -> dict[str, Callable[[Header], bytes]]:
    """Return the names of the files that belong beside a tile, each with the function that makes its content.

    Args:
        tile: name of its file.
        header: of the tile, or of the whole result, whose tiles all have the same files beside them.
    """
    if not tile.endswith(".png") or says_all(header):
        return {}
    files: dict[str, Callable[[Header], bytes]] = {layout.aux_name(tile): aux_xml}
    if header.georef is not None and header.georef.transform is not None:
        files[layout.world_file_name(tile)] = world_file
    return files
