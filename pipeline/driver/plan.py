"""Deciding what to do before anything is started: keys, collisions, what is done already, and units of work."""

import logging
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NoReturn

from sr_ops.settings import COLLECTION_KERNEL, Settings

from .. import storage
from ..config import Existing, RunConfig
from ..errors import UsageError
from ..manifest.checking import claim
from ..manifest.claims import Rejected, claims
from ..manifest.manifest import Manifest, OpenManifest
from ..output.layout import Commit
from ..storage import Source
from ..work.estimates import ending, enlarging_seconds, fitting_seconds, pixels_per_byte
from ..work.units import Row
from .held import Held

_UNIT_SECONDS = 30.0
"""Work of one unit: long enough that handing it out costs nothing, short enough that little is lost with a worker."""
_UNIT_ROWS = 16


_log = logging.getLogger(__name__)

FindKernels = Callable[[Sequence[Row], Mapping[str, Source]], list[Row]]
"""Gives rows the kernel of their camera, by the sources of their images."""


@dataclass(frozen=True)
class Plan:
    """What a run does with each row of its manifest."""

    units: tuple[tuple[Row, ...], ...]
    """What is to be done, longest first."""
    rejected: tuple[Rejected, ...]
    committed: tuple[tuple[Row, Commit], ...]
    """Rows that are done already, with what says so."""
    skipped: tuple[Row, ...]
    """Rows that are not to be attempted this time."""
    duplicates: int
    """Rows that ask for the same as an earlier one; they are one with it."""

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every row that has a key of its own."""
        todo = (row for unit in self.units for row in unit)
        return (*todo, *(row for row, _ in self.committed), *self.skipped)

    @property
    def todo(self) -> int:
        return sum(map(len, self.units))

    def restricted(self, keys: Container[str]) -> "Plan":
        """Return the plan with nothing to do but the rows of these keys."""
        units = (tuple(row for row in unit if row.key in keys) for unit in self.units)
        others = (row for unit in self.units for row in unit if row.key not in keys)
        return replace(self, units=tuple(filter(None, units)), skipped=(*self.skipped, *others))


def make_plan(
    config: RunConfig,
    manifest: Manifest,
    root: str,
    held: Held,
    find_kernels: FindKernels | None = None,
    only: Container[str] = (),
) -> Plan:
    """Decide what to do with each row. Reads kernels' files; asks for the version of images, or reads all with `deep`.

    Args:
        root: what keys are relative to.
        held: what the output holds.
        find_kernels: not called where no row asks for the kernel of its camera.
        only: keys that are done although they lie beyond the limit.

    Raises:
        UsageError: with `strict`, the first bad row; a kernel that was saved for a camera is damaged.
    """
    limit = len(manifest.rows) if config.limit is None else config.limit
    rows, all_rejected, duplicates = _check_rows(config, manifest, root, held)
    rejected = [row for row in all_rejected if row.index < limit]
    if config.strict and rejected:
        refuse(config, rejected[0], len(rejected))
    chosen = [row for row in rows if row.index < limit or row.key in only]
    others = [row for row in rows if not (row.index < limit or row.key in only)]
    sources = sources_of(config, manifest, [row.uri for row in chosen])
    if find_kernels is not None and any(row.kernel == COLLECTION_KERNEL for row in chosen):
        chosen = find_kernels(chosen, sources)

    todo: list[Row] = []
    committed: list[tuple[Row, Commit]] = []
    for row in chosen:
        source = sources.get(row.uri)
        wanted = row.commit(config, source.fingerprint if source else "")
        if held.is_done(wanted, config):
            committed.append((row, wanted))
        else:
            todo.append(_to_do(replace(row, size=source.size if source else 0), wanted, config, held))
    return Plan(
        pack(todo, config.settings),
        tuple(rejected),
        tuple(committed),
        tuple(others),
        duplicates,
    )


def _to_do(row: Row, wanted: Commit, config: RunConfig, held: Held) -> Row:
    """Return the row with what a worker must know of what the output holds of it."""
    known, begun = held.done(row.key), held.begun(row.key, config.output)
    damaged = held.is_damaged(wanted)
    if damaged:
        _log.warning("the commit %s is damaged; its image is done again", wanted.uri(config.output))
    goes_on = begun.pop(wanted, [])
    return replace(
        row,
        stale=(*(commit.uri(config.output) for commit in known), *chain.from_iterable(begun.values())),
        begun=tuple(goes_on),
        redo=(wanted in known and not damaged) or config.existing is Existing.OVERWRITE,
        rivalled=held.has_rival(row.key),
        reformed=held.reformed,
    )


def refuse(config: RunConfig, first: Rejected, number: int) -> NoReturn:
    """Raise UsageError for the first of `number` bad rows."""
    raise UsageError(f"line {first.line} of {config.manifest}: {first.message} ({number} bad rows, --strict)")


def sources_of(config: RunConfig, manifest: OpenManifest, uris: Iterable[str]) -> Mapping[str, Source]:
    """Return the sources of those uris for which they can be determined."""
    return storage.content_sources(uris) if config.deep else manifest.sources or storage.stat_all(uris)


def _check_rows(config: RunConfig, manifest: Manifest, root: str, held: Held) -> tuple[list[Row], list[Rejected], int]:
    with claims(folds_case=held.folds_case, one_file=config.form.one_file) as claimed:
        claimed.add_done(commit.key for commit in held.commits)
        claim(claimed, config, manifest, root, lambda _done, _todo: None)
        rows = [replace(row, recorded=True) if row.key in held.recorded else row for row in claimed.kept()]
        return rows, [*claimed.rejected()], claimed.repeated()


def pack(rows: list[Row], settings: Settings) -> tuple[tuple[Row, ...], ...]:
    """Return the rows as units, the longest rows first; short ones share a unit."""
    costs = {row.index: seconds_of(row, settings) for row in rows}
    units: list[tuple[Row, ...]] = []
    unit: list[Row] = []
    for row in sorted(rows, key=lambda row: (-costs[row.index], row.index)):
        full = len(unit) == _UNIT_ROWS or sum(costs[other.index] for other in unit) + costs[row.index] > _UNIT_SECONDS
        if unit and full:
            units.append(tuple(unit))
            unit = []
        unit.append(row)
    return (*units, tuple(unit)) if unit else tuple(units)


def seconds_of(row: Row, of_run: Settings) -> float:
    """Estimate the seconds of one row on one CPU core, from its file's size."""
    settings = row.settings(of_run)
    pixels = row.size * pixels_per_byte(ending(row.uri))
    return fitting_seconds(settings) + enlarging_seconds(pixels, settings)
