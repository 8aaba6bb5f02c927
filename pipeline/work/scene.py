"""The working folder of a scene, with what is stored before it is committed, and its commit.

    OUT/_scene/<settings>/<key>.<source>/
        weights.safetensors      the fitted networks
        scaling.json             scaling of the image's numbers
        result.json              header of the whole result and the side of its tiles; written anew by every run
        scene.json               the record of the fit; written after the weights, it means that the fit is done
        group-00000-00009.json   the record of some tiles, start and stop; written after the last of them
        failed.json              why a group failed; the following ones are left to the next run

Importing this file does not load torch: the driver commits.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .. import storage
from ..codec import DamagedError, from_json, to_json
from ..errors import ErrorType
from ..output.clock import now
from ..output.layout import Commit, list_scenes, scenes_folder
from ..output.record import Record
from ..output.status import Status
from ..output.tidying import Tiling
from ..storage.patience import Patience
from .settling import settle
from .units import Group, GroupRecord, Row, Scene, with_tiles

_SUMMED = ("read_s", "infer_s", "back_project_s", "write_s", "total_s")
"""Summed over the fit and all groups."""


class SceneFolder:
    """The working folder of a scene, and where in it each file lies."""

    def __init__(self, output: str, commit: Commit) -> None:
        """`commit` will mark the scene as done."""
        self.uri = commit.scene_folder(output)
        self.weights = storage.join(self.uri, "weights.safetensors")
        self.scaling = storage.join(self.uri, "scaling.json")
        self.result = storage.join(self.uri, "result.json")
        self.fit = storage.join(self.uri, "scene.json")
        self.failure = storage.join(self.uri, "failed.json")

    def group(self, start: int, stop: int) -> str:
        return storage.join(self.uri, f"group-{start:05d}-{stop:05d}.json")


def clear(folder: SceneFolder) -> None:
    """Remove what earlier networks led to, before other networks are stored. Raises OSError.

    Groups go before the fit, and the fit before its weights, so that what a broken removal leaves can be resumed.
    """
    for uri in sorted(storage.names_below(folder.uri)):  # follows no link out of the output
        storage.remove(uri)


def resume(folder: SceneFolder, row: Row, groups: tuple[tuple[int, int], ...], tiling: Tiling) -> Scene | None:
    """Return the scene, ready to be resumed, if its fit is stored with all that its groups need; else None.

    Raises OSError.

    Args:
        groups: start and stop of each of its groups.
        tiling: stored again, since the stored one may be damaged.
    """
    record = None
    with suppress(FileNotFoundError, DamagedError):  # if it is damaged, the fit is done again
        record = from_json(Record, storage.read(folder.fit))
    if record is None or not all(map(storage.exists, (folder.scaling, folder.weights))):
        return None
    storage.remove(folder.failure)
    storage.write(folder.result, to_json(tiling))
    return Scene(row, replace(record, manifest_line=row.line, source_uri=row.uri), groups)


def answered(folder: SceneFolder, group: Group, with_map: bool) -> GroupRecord | Record | None:
    """Return the record of a group that is done, or of its scene if that failed; else None. Raises OSError.

    Args:
        with_map: a group without its part of the disagreement map is not done.
    """
    with suppress(FileNotFoundError, DamagedError):  # a damaged record is ignored
        done = from_json(GroupRecord, storage.read(folder.group(group.start, group.stop)))
        if not (with_map and done.lacks_map):
            return done
    with suppress(FileNotFoundError, DamagedError):
        return from_json(Record, storage.read(folder.failure))
    return None


def fail(output: str, scene: Scene, failed: Record) -> None:
    """Tell the workers to skip groups that are not begun yet."""
    with suppress(OSError):  # otherwise they are merely done in vain
        storage.write(SceneFolder(output, _commit(scene.record)).failure, to_json(failed))


def finish(output: str, scene: Scene, groups: Sequence[GroupRecord], patiently: Patience) -> Record:
    """Commit a scene whose groups are all done, in the order of its tiles; return its record, failed on storage errors.

    The record equals that of a single worker doing all the work, except that the seconds are sums.
    """
    record = _summed(scene, groups)
    commit, names = _commit(record), [tile.name for group in groups for tile in group.tiles]
    folder, uri = SceneFolder(output, commit), commit.uri(output)
    try:
        tiling = from_json(Tiling, patiently(lambda: storage.read(folder.result)))
    except (FileNotFoundError, DamagedError) as error:  # `resume` stores it again
        return _failed(scene, ErrorType.READ, f"{folder.result} is gone or damaged ({error}); run again")
    except OSError as error:
        message = f"cannot read {folder.result}: {storage.reason(error)}; check access, then run again"
        return _failed(scene, ErrorType.READ, message)
    try:
        map_uri = settle(output, scene.row, tiling, names, _map_names(groups), patiently)
        record = replace(record, disagreement_uri=map_uri)
        patiently(lambda: storage.write(uri, to_json(record)))
    except OSError as error:
        message = f"cannot write {uri}: {storage.reason(error)}; check space and access, then run again"
        return _failed(scene, ErrorType.WRITE, message)
    with suppress(OSError):  # `tidy` tries again
        clear(folder)
    return record


def _summed(scene: Scene, groups: Sequence[GroupRecord]) -> Record:
    """Return the record of a scene that is done now."""
    tiles = [tile for group in groups for tile in group.tiles]
    record = with_tiles(scene.record, tiles, empty=groups[-1].stop - len(tiles))
    parts = [record, *(group.record for group in groups)]
    seconds: dict[str, Any] = {name: sum(getattr(part, name) for part in parts) for name in _SUMMED}
    return replace(
        record,
        status=Status.DONE,
        **seconds,
        attempt=1 + sum((part.attempt or 1) - 1 for part in parts),
        peak_memory_bytes=max(part.peak_memory_bytes or 0 for part in parts),
        finished_at=now(),
    )


def _map_names(groups: Sequence[GroupRecord]) -> list[str]:
    """Return the names of the whole map; none if a group was done without a map, which leaves a hole."""
    if any(group.lacks_map for group in groups):
        return []
    return [name for group in groups for name in group.map_names]


def _failed(scene: Scene, error_type: ErrorType, message: str) -> Record:
    failed = replace(scene.record, output_uri=None, finished_at=now())
    return replace(failed, error_type=error_type, error_message=message)


def tidy(output: str) -> None:
    """Remove what is left of committed scenes, and empty folders; unfinished scenes stay."""
    with suppress(OSError):  # the next run tries again
        for commit, uris in list_scenes(output).items():
            if storage.exists(commit.uri(output)):
                for uri in uris:
                    storage.remove(uri)
        storage.remove_empty_folders(scenes_folder(output))


def _commit(record: Record) -> Commit:
    assert record.key is not None
    assert record.config_fingerprint is not None
    assert record.source_fingerprint is not None
    return Commit(record.config_fingerprint, record.key, record.source_fingerprint)
