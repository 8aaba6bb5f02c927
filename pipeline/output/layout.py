"""The layout of an output: tiles, commit records, the table, and files about the run."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import storage

VERSION = 1
"""Version of the layout: raised when an earlier srpipe would misread it."""

_TILE_NAME = re.compile(r"r(\d{4,})_c(\d{4,})\.(png|tif)")

_SIDECAR = re.compile(r"r\d{4,}_c\d{4,}\.(pgw|(png|tif)\.(aux\.xml|ovr|msk))|mosaic\.vrt\.(aux\.xml|ovr|msk)")

MOSAIC = "mosaic.vrt"
"""Beside the tiles; shows all of them as one picture."""

EXTENSIONS = ("png", "tif")

_LONGEST_CAMERA = 60
"""Most characters of a camera's name in a file name."""

_PLAIN_NAME = re.compile(rf"[a-z0-9_-]{{1,{_LONGEST_CAMERA}}}")
"""In lower case, because some disks ignore case."""

LONGEST_NAME = 255 - len(".0123456789abcdef.json")
"""Most bytes of a part of a key, so that a commit record's name has at most 255 bytes."""


def tiles_folder(output: str, key: str) -> str:
    return storage.join(output, "tiles", key)


def map_folder(output: str, key: str) -> str:
    """Return the folder of an image's disagreement map; its tiles are named like those of the image."""
    return storage.join(output, "disagreement", key)


def tile_name(row: int, column: int, extension: str) -> str:
    return f"r{row:04d}_c{column:04d}.{extension}"


def tile_position(name: str) -> tuple[int, int] | None:
    """Return row and column of a tile from its file name; None for any other name."""
    match = _TILE_NAME.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None


def world_file_name(tile: str) -> str:
    return f"{tile.removesuffix('.png')}.pgw"


def aux_name(tile: str) -> str:
    return f"{tile}.aux.xml"


def is_beside_tiles(name: str) -> bool:
    """Return whether a file of the folder of an image's tiles may have this name."""
    return bool(name == MOSAIC or _TILE_NAME.fullmatch(name) or _SIDECAR.fullmatch(name))


def own_places(output: str) -> tuple[str, ...]:
    """Return the files and folders of an output that runs write, replace and remove."""
    folders = (parts_folder, kernels_folder, scenes_folder, locks_folder, _commits_folder)
    files = (table, run_json, progress, success)
    of_images = (storage.join(output, name) for name in ("tiles", "images", "disagreement"))
    return (*of_images, *(place(output) for place in (*folders, *files)))


def single(output: str, key: str, extension: str) -> str:
    """Return the uri of an image's one file: under its own name, with another extension only if the kind changes."""
    return storage.join(output, "images", single_name(key, extension))


def single_name(key: str, extension: str) -> str:
    ends = (".tif", ".tiff") if extension == "tif" else (f".{extension}",)
    return key if key.lower().endswith(ends) else f"{key}.{extension}"


def single_names(key: str) -> list[str]:
    """Return all possible names of an image's one file."""
    return [single_name(key, extension) for extension in EXTENSIONS]


def file_rivals(key: str) -> set[str]:
    """Return the other keys whose one file may have a name that this key's may have: `a.png` of `a`."""
    names = single_names(key)
    others = {other for name in names for other in (name, name[: -len(".png")])} - {key}
    return {other for other in others if not {*names}.isdisjoint(single_names(other))}


def parts_folder(output: str) -> str:
    return storage.join(output, "manifest")


def table(output: str) -> str:
    return storage.join(output, "manifest.parquet")


def run_json(output: str) -> str:
    return storage.join(output, "run.json")


def progress(output: str) -> str:
    return storage.join(output, "progress.json")


def success(output: str) -> str:
    return storage.join(output, "_SUCCESS")


def locks_folder(output: str) -> str:
    return storage.join(output, "_lock")


def lock(output: str, number: int) -> str:
    return storage.join(locks_folder(output), f"{number:08d}.json")


def lock_number(uri: str) -> int:
    """Return the number of a lock from its uri; 0 for any other file."""
    stem = uri.rpartition("/")[2].removesuffix(".json")
    return int(stem) if stem.isdigit() else 0


@dataclass(frozen=True, slots=True)
class Commit:
    """An image of one source, done with certain settings. The commit record's name contains all of it."""

    settings: str
    key: str
    source: str

    def uri(self, output: str) -> str:
        return storage.join(_commits_folder(output), self.settings, f"{self.key}.{self.source}.json")

    def scene_folder(self, output: str) -> str:
        """Return the folder of a scene's work in progress, until it is committed."""
        return storage.join(scenes_folder(output), self.settings, f"{self.key}.{self.source}")


def how_to_redo(output: str, record: Mapping[str, Any]) -> str:
    """Return how to get files again that are gone or damaged: a run takes an image for done that has a commit."""
    settings, source = record["config_fingerprint"], record["source_fingerprint"]
    known = Commit(settings, record["key"], source or "").uri(output) if settings else None
    which = known or f"the commit of {record['key']} below {_commits_folder(output)}"
    return f"remove {which} and run the same srpipe run command again, which makes this image anew"


def moved(output: str, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record with its result and map below `output`, wherever that was when the record was written."""
    place, key, spread = record["output_uri"], record["key"], record.get("disagreement_uri")
    if not place or not key:
        return dict(record)
    if place.endswith(f"/tiles/{key}"):
        place = tiles_folder(output, key)
    else:
        singles = (name for name in single_names(key) if place.endswith(f"/images/{name}"))
        place = next((storage.join(output, "images", name) for name in singles), place)
    return {**record, "output_uri": place, "disagreement_uri": spread and map_folder(output, key)}


def each_commit(output: str) -> Iterator[Commit]:
    """Yield all commits of an output in no order, from one listing of names, which is not held. Raises OSError."""
    folder = _commits_folder(output)
    for uri in storage.names_below(folder):
        settings, _, name = uri.removeprefix(folder + "/").partition("/")
        key, _, source = name.removesuffix(".json").rpartition(".")
        if name.endswith(".json") and key:
            yield Commit(settings, key, source)


def list_commits(output: str) -> dict[str, list[Commit]]:
    """Return all commits of an output by key. Raises OSError."""
    commits: dict[str, list[Commit]] = {}
    for commit in each_commit(output):
        commits.setdefault(commit.key, []).append(commit)
    return commits


def kernels_folder(output: str) -> str:
    return storage.join(output, "kernels")


def kernel_json(output: str, camera: str) -> str:
    """Return the uri of the kernel that was found for a camera."""
    return storage.join(kernels_folder(output), f"{_kernel_name(camera)}.json")


def kernel_picture(output: str, camera: str) -> str:
    return storage.join(kernels_folder(output), f"{_kernel_name(camera)}.png")


def _kernel_name(camera: str) -> str:
    """Return the camera's name if it is plain; else a readable form with a mark, so that names stay distinct."""
    if _PLAIN_NAME.fullmatch(camera):
        return camera
    readable = re.sub(r"[^a-z0-9]+", "-", camera.lower())[-_LONGEST_CAMERA:].strip("-")
    mark = hashlib.sha256(camera.encode("utf-8", "backslashreplace")).hexdigest()[:12]
    return f"{readable or 'camera'}.{mark}"


def scenes_folder(output: str) -> str:
    return storage.join(output, "_scene")


def list_scenes(output: str) -> dict[Commit, list[str]]:
    """Return the files of every scene in progress, by its future commit, in order, from one listing of names."""
    folder = scenes_folder(output)
    scenes: dict[Commit, list[str]] = {}
    for uri in sorted(storage.names_below(folder)):
        settings, _, path = uri.removeprefix(folder + "/").partition("/")
        key, _, source = path.rpartition("/")[0].rpartition(".")
        if key:
            scenes.setdefault(Commit(settings, key, source), []).append(uri)
    return scenes


def _commits_folder(output: str) -> str:
    return storage.join(output, "_commit")
