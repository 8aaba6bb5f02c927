"""Which images are of one camera: by the manifest, by what their files say, or by where they lie."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from .. import storage
from ..storage import Source
from ..work.units import Row

ALL = "all images"
"""The camera of images of which nothing else is known."""

_MOST_IMAGES = 32
"""Of a camera that are looked at: the error of the mean shrinks with the root of their number."""

_SHARE = 2
"""Images in a folder from which on it is taken for one camera's; a folder for each image says nothing."""


def with_cameras(
    rows: Sequence[Row],
    recorded: Mapping[tuple[str, str], str],
    sources: Mapping[str, Source],
    saved: Callable[[str], bool],
    makers: Callable[[Sequence[str]], Sequence[str]],
) -> list[Row]:
    """Rows, each with its camera: what the manifest says, what it was recorded with, what the file says, the folder.

    Args:
        recorded: the camera by key and fingerprint of the source, of earlier runs; those images are not opened again.
        saved: whether the kernel of a camera is saved: what was recorded counts only then.
        makers: what the files at some uris say, in their order; "" for nothing. Each is asked for once.
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
    """Of a camera's images those by which its kernel is told, each once, spread evenly over their keys."""
    images = list({row.uri: row for row in sorted(members, key=lambda row: row.key)}.values())
    number = min(len(images), _MOST_IMAGES)
    return [images[place * len(images) // number] for place in range(number)]


def recorded_cameras(table: pa.Table, keys: Collection[str]) -> dict[tuple[str, str], str]:
    """The camera by key and source of records of earlier runs, for some keys."""
    columns = (table[name].to_pylist() for name in ("key", "source_fingerprint", "camera"))
    return {
        (key, source): camera for key, source, camera in zip(*columns, strict=True) if camera and source and key in keys
    }
