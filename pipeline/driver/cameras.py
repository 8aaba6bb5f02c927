"""Which images share a camera: by the manifest, by their files' metadata, or by their folder."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from .. import storage
from ..storage import Source
from ..work.units import Row

ALL = "all images"
"""Camera of images about which nothing else is known."""

_MOST_IMAGES = 32
"""Images of a camera to look at; the error of the mean falls with the root of their number."""

_SHARE = 2
"""Fewest images in a folder that count as one camera; a folder per image means nothing."""


def with_cameras(
    rows: Sequence[Row],
    recorded: Mapping[tuple[str, str], str],
    sources: Mapping[str, Source],
    saved: Callable[[str], bool],
    makers: Callable[[Sequence[str]], Sequence[str]],
) -> list[Row]:
    """Return rows with their camera: from the manifest, an earlier record, the file, or the folder, in this order.

    Args:
        recorded: camera by key and fingerprint of the source, from earlier runs; these images are not opened again.
        saved: whether a camera's kernel is saved; a recorded camera counts only then.
        makers: returns what the files at some uris say, in order, "" for nothing; called once, with distinct uris.
    """
    named: dict[int, str] = {}
    for row in rows:
        source = sources.get(row.uri)
        earlier = recorded.get((row.key, source.fingerprint), "") if source else ""
        named[row.index] = row.camera or (earlier if earlier and saved(earlier) else "")
    unnamed = [row for row in rows if not named[row.index]]
    uris = list(dict.fromkeys(row.uri for row in unnamed))
    said = dict(zip(uris, makers(uris), strict=True))
    beside = Counter(storage.parent(uri) for uri, maker in said.items() if not maker)
    for row in unnamed:
        folder = storage.parent(row.uri)
        is_camera = beside[folder] >= _SHARE or saved(folder)
        named[row.index] = said[row.uri] or (folder if is_camera else ALL)
    return [replace(row, camera=named[row.index]) for row in rows]


def to_look_at(members: Sequence[Row]) -> list[Row]:
    """Return the images from which a camera's kernel is estimated, each once, spread evenly over their keys."""
    images = list({row.uri: row for row in sorted(members, key=lambda row: row.key)}.values())
    number = min(len(images), _MOST_IMAGES)
    return [images[place * len(images) // number] for place in range(number)]


def recorded_cameras(table: pa.Table, keys: Collection[str]) -> dict[tuple[str, str], str]:
    """Return the camera by key and source from records of earlier runs, for some keys."""
    columns = (table[name].to_pylist() for name in ("key", "source_fingerprint", "camera"))
    return {
        (key, source): camera for key, source, camera in zip(*columns, strict=True) if camera and source and key in keys
    }
