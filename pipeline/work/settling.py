"""What follows the last tile of an image, whether one worker made it or many."""

from collections.abc import Sequence

from ..output.tidying import Tiling, finish_map, finish_tiles, remove_other_forms
from ..storage.patience import Patience
from .units import Row


def settle(
    output: str,
    row: Row,
    tiling: Tiling,
    names: Sequence[str],
    map_names: Sequence[str],
    patiently: Patience,
    one_file: str | None = None,
) -> str | None:
    """Write the mosaics, and remove what earlier runs left; return the uri of the disagreement map, if there is one.

    Args:
        names: the tiles that were written, and those of the map; no `map_names` if no map is wanted.
        one_file: uri of the image's one file; None if it is in tiles.

    Raises:
        OSError: something could not be written or removed.
    """
    if one_file is None:
        patiently(lambda: finish_tiles(output, row.key, tiling, names))
    if row.may_have_a_file:
        patiently(lambda: remove_other_forms(output, row.key, one_file))
    if map_names or row.may_have_other_forms:
        return patiently(lambda: finish_map(output, row.key, tiling, map_names))
    return None
