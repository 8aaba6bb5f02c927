"""Rows that cannot both be done, since their results would lie in one place."""

import unicodedata
from collections import defaultdict
from collections.abc import Container, Iterable, Sequence

from sr_ops.settings import COLLECTION_KERNEL

from ..output.layout import single_names, tile_position
from ..work.units import Row


def name_of(key: str, folds_case: bool) -> str:
    """What keys have in common that are one name where the output is; of many systems that are alike, the strictest."""
    if not folds_case:
        return key
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", key).casefold())


def conflict(name: str, claimants: Sequence[Row], names: Container[str], places: "Places | None") -> str | None:
    """Why rows of one name cannot be done, all of them; None for one image, however often it is asked for.

    Args:
        names: of all rows.
    """
    folder, _, last = name.rpartition("/")
    if places is not None and (told := places.conflict(name)):
        return told
    if places is None and tile_position(last) and folder in names:
        return f"the key {claimants[0].key!r} is the place of a tile of {folder!r}; give the row another id"
    lines = " and ".join(str(row.line) for row in claimants)
    keys = dict.fromkeys(row.key for row in claimants)
    if len(keys) > 1:
        spelt = " and ".join(map(repr, keys))
        return (
            f"the keys {spelt} of lines {lines} are one name in the output, whose disk ignores case; give each an id of"
            " its own, or choose another --output"
        )
    if len({_asked(row) for row in claimants}) > 1:
        return f"lines {lines} ask for different work under the key {claimants[0].key!r}; give each its own id"
    return None


def _asked(row: Row) -> tuple[object, ...]:
    """All that decides the pixels; of the camera only where the kernel is its own."""
    camera = row.camera if row.kernel == COLLECTION_KERNEL else ""
    return row.uri, row.scale, row.result_size, row.nodata, row.kernel, row.noise, camera


class Places:
    """Where the one file of each image may lie, and what folders that takes."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._files: defaultdict[str, set[str]] = defaultdict(set)
        self._folders: defaultdict[str, set[str]] = defaultdict(set)
        for key in keys:
            for name in single_names(key):
                self._files[name].add(key)
            for folder in _folders_of(key):
                self._folders[folder].add(key)

    def conflict(self, key: str) -> str | None:
        """Why the file of an image could be another's, or a folder of another's; None if it could not."""
        files, folders = single_names(key), _folders_of(key)
        others = {other for name in (*files, *folders) for other in self._files.get(name, ())}
        others.update(other for name in files for other in self._folders.get(name, ()))
        others.discard(key)
        if not others:
            return None
        return f"the file of the key {key!r} would lie where that of {min(others)!r} does; give the row another id"


def _folders_of(key: str) -> list[str]:
    parts = key.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]
