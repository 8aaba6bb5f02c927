"""Units handed out to workers, and their answers, as plain values and as JSON.

A unit is a list of rows, or a group of the tiles of one scene. A scene is an image so large that it is divided: the
unit with its row fits the networks and stores them, and its answer lists the groups to be done next.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import ceil
from operator import add

from sr_ops.image.grid import times_of
from sr_ops.settings import AUTO, BICUBIC_KERNEL, Settings

from ..codec import from_json, from_plain, to_json
from ..config import VERSION, RunConfig, for_row
from ..output.kernel_columns import Found, kernel_columns
from ..output.layout import Commit
from ..output.record import Record
from ..output.status import Status
from ..output.written_tile import WrittenTile
from .estimates import enlarging_seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One requested image, checked and ready to be worked on."""

    index: int
    """Position in the manifest, from 0."""
    line: int
    key: str
    uri: str
    scale: int
    """From `Settings`, like `result_size`; where `told_scale` is None it says nothing of the image."""
    size: int
    """In bytes; 0 if the listing does not show it."""
    stale: tuple[str, ...] = ()
    """Files that describe this key's tiles and become wrong once these are overwritten: commits and unfinished scenes.
    """
    begun: tuple[str, ...] = ()
    """Files of its unfinished scene, which become wrong, too, if its image is found changed, so that it cannot go on.
    """
    redo: bool = False
    """Do the work even if it is committed."""
    nodata: str = AUTO
    """From `Settings`, like the fields below."""
    kernel: str = BICUBIC_KERNEL
    noise: str = AUTO
    result_size: str = ""
    camera: str = ""
    """What its image shares with others of one camera; "" if nobody asked."""
    found: Found | None = None
    """How the kernel was found, if it is that of the camera."""
    recorded: bool = False
    """Whether a run before left a record of it, and so perhaps another form."""
    rivalled: bool = False
    """Whether a file under a name of its one file may be that of another key, which an earlier run has done."""
    reformed: bool = False
    """Whether a run before wrote other files, of which it may have left some without a record when it was broken off.
    """

    @property
    def may_have_other_forms(self) -> bool:
        """Whether to look for them; a run that was broken off may have removed what was stale, and no more."""
        return self.recorded or self.reformed or bool(self.stale)

    @property
    def may_have_a_file(self) -> bool:
        """Whether to look for the one file that it was before."""
        return self.may_have_other_forms and not self.rivalled

    @property
    def told_scale(self) -> float | None:
        """The scale that was given; None for a size, with which it depends on the image."""
        times = times_of(Settings(scale=self.scale, result_size=self.result_size))
        return None if times is None else max(times)

    def commit(self, config: RunConfig, source: str) -> Commit:
        """Return the commit by which a run marks this row as done.

        Args:
            source: the fingerprint of its source.
        """
        return Commit(config.fingerprint(self.settings(config.settings)), self.key, source)

    def record(self, status: Status) -> Record:
        """Return what its record says whatever becomes of it."""
        return Record(
            key=self.key,
            manifest_line=self.line,
            source_uri=self.uri,
            status=status,
            scale=self.told_scale,
            camera=self.camera or None,
            srpipe_version=VERSION,
            **kernel_columns(self.kernel, self.found),
        )

    def settings(self, of_run: Settings) -> Settings:
        """Return the settings of a run with the values of this row."""
        return for_row(of_run, self.scale, self.result_size, self.nodata, self.kernel, self.noise)


@dataclass(frozen=True)
class Division:
    """Which images are scenes, and how they are divided."""

    pixels: int = 2048 * 2048
    """Most LR pixels of an image that one worker does alone: a divided one is read again by every worker."""
    group_seconds: float = 20.0
    """Work per group: as much as is lost with a worker, and as others may have to wait at the end."""


DIVISION = Division()


@dataclass(frozen=True)
class Group:
    """Some tiles of a scene, to be done."""

    row: Row
    source: str
    """Fingerprint of the source to which the networks were fitted."""
    start: int
    """The first of its tiles, numbered row by row from 0."""
    stop: int
    """One past the last one."""


Unit = Sequence[Row] | Group


@dataclass(frozen=True)
class Scene:
    """An image whose networks are fitted and stored, and whose tiles are to be done."""

    row: Row
    record: Record
    """What is known before the first tile, with the times of the fit."""
    groups: tuple[tuple[int, int], ...]
    """Start and stop of each."""

    def units(self) -> list[Unit]:
        assert self.record.source_fingerprint is not None
        row = replace(self.row, stale=(), begun=())
        return [Group(row, self.record.source_fingerprint, start, stop) for start, stop in self.groups]


@dataclass(frozen=True)
class GroupRecord:
    """A group that is done; stored beside the networks until its scene is committed."""

    start: int
    stop: int
    tiles: tuple[WrittenTile, ...]
    record: Record
    """Who did it, when, and in how many seconds; what only a whole image has is None."""
    map_names: tuple[str, ...] = ()
    """Tiles of the disagreement map, if one was wanted."""

    @property
    def lacks_map(self) -> bool:
        """Whether a map could have been drawn but was not wanted."""
        return not self.map_names and any(tile.measures.disagreement is not None for tile in self.tiles)


Answer = Record | Scene | GroupRecord


def divide(height: int, width: int, bands: int, settings: Settings, division: Division) -> tuple[tuple[int, int], ...]:
    """Return start and stop of the groups of an image's tiles; empty if the image is not a scene.

    Args:
        bands: without alpha.
    """
    if height * width <= division.pixels:
        return ()
    tiles = ceil(height / settings.tile_size) * ceil(width / settings.tile_size)
    seconds = enlarging_seconds(height * width, settings, bands) / tiles
    size = max(1, round(division.group_seconds / seconds))
    groups = tuple((start, min(start + size, tiles)) for start in range(0, tiles, size))
    return groups if len(groups) > 1 else ()


def with_tiles(record: Record, tiles: Sequence[WrittenTile], empty: int) -> Record:
    """Return the record with the measures of all tiles of its image, which are given row by row.

    Args:
        empty: number of tiles left out because nothing in them is known.
    """
    record = replace(
        record,
        tiles=len(tiles),
        tiles_empty=empty,
        output_sha256=hashlib.sha256("".join(tile.sha256 for tile in tiles).encode()).hexdigest(),
    )
    measures = reduce(add, (tile.measures for tile in tiles)) if tiles else None
    error = None if measures is None else measures.residuals.error()
    if measures is None or error is None:
        return record
    disagreement, octaves = measures.disagreement, measures.octaves
    return replace(
        record,
        samples_outside_range=measures.residuals.outside,
        consistency_mae=error.mae,
        consistency_rmse=error.rmse,
        consistency_max=error.max,
        consistency_bias=error.bias,
        consistency_rmse_bands=error.rmse_bands,
        disagreement_p50=None if disagreement is None else disagreement.quantile(0.5),
        disagreement_p95=None if disagreement is None else disagreement.quantile(0.95),
        spectrum_excess=None if octaves is None else octaves.excess(),
    )


@dataclass(frozen=True)
class _Rows:
    """A unit in which each kernel appears once: a file's taps take up to 22 KB, and a wave has 30,000 rows."""

    kernels: list[str]
    rows: list[Row]
    """Their `kernel` is an index into `kernels`, in digits."""


def unit_to_json(unit: Unit) -> str:
    if isinstance(unit, Group):
        return to_json(unit).decode()
    places = {kernel: str(place) for place, kernel in enumerate(dict.fromkeys(row.kernel for row in unit))}
    return to_json(_Rows(list(places), [replace(row, kernel=places[row.kernel]) for row in unit])).decode()


def unit_from_json(text: str) -> Unit:
    """Return what was given to `unit_to_json`. Raises DamagedError."""
    plain = from_json(dict[str, object], text)
    if "rows" not in plain:
        return from_plain(Group, plain)
    unit = from_plain(_Rows, plain)
    return [replace(row, kernel=unit.kernels[int(row.kernel)]) for row in unit.rows]


def answer_to_json(answer: Answer) -> str:
    return to_json({type(answer).__name__: answer}).decode()


def answer_from_json(text: str) -> Answer:
    """Return what was given to `answer_to_json`. Raises DamagedError."""
    ((name, plain),) = from_json(dict[str, object], text).items()
    kinds: dict[str, type[Answer]] = {kind.__name__: kind for kind in (Record, Scene, GroupRecord)}
    return from_plain(kinds[name], plain)
