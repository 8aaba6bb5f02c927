"""Deciding what to do before anything is started: keys, collisions, what is done already, and units of work."""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NoReturn

from sr_ops.settings import COLLECTION_KERNEL, Settings

from .. import storage
from ..config import Existing, RunConfig
from ..errors import UsageError
from ..manifest.checking import claim
from ..manifest.claims import Rejected, claims, name_of
from ..manifest.manifest import Manifest, OpenManifest
from ..output.layout import Commit, file_rivals
from ..storage import Source
from ..work.estimates import ending, enlarging_seconds, fitting_seconds, pixels_per_byte
from ..work.units import Row

_UNIT_SECONDS = 30.0
"""Work of one unit: long enough that handing it out costs nothing, short enough that little is lost with a worker."""
_UNIT_ROWS = 16


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

    def reformed(self) -> "Plan":
        """Return the plan whose rows look for files of another form of their images."""
        return replace(self, units=tuple(tuple(replace(row, reformed=True) for row in unit) for unit in self.units))


def make_plan(
    config: RunConfig,
    manifest: Manifest,
    root: str,
    commits: Mapping[str, Sequence[Commit]],
    scenes: Mapping[Commit, Sequence[str]] | None = None,
    folds_case: bool = False,
    find_kernels: FindKernels | None = None,
    mapped: Container[Commit] | None = None,
    recorded: Container[str] = (),
) -> Plan:
    """Decide what to do with each row. Reads kernels' files; asks for the version of images, or reads all with `deep`.

    Args:
        root: what keys are relative to.
        commits: what is done, by key.
        scenes: the files of scenes that are begun.
        folds_case: names that differ in case alone are one where the output is.
        find_kernels: not called where no row asks for the kernel of its camera.
        mapped: commits that have a map of the disagreement, or nothing to draw one of: others are done again; None
            where no map is asked for.
        recorded: keys of which runs before left a record.

    Raises:
        UsageError: with `strict`, the first bad row; a kernel that was saved for a camera is damaged.
    """
    limit = len(manifest.rows) if config.limit is None else config.limit
    rows, all_rejected, duplicates = _check_rows(config, manifest, root, commits, folds_case, recorded)
    rejected = [row for row in all_rejected if row.index < limit]
    if config.strict and rejected:
        refuse(config, rejected[0], len(rejected))
    chosen = [row for row in rows if row.index < limit]
    sources = sources_of(config, manifest, [row.uri for row in chosen])
    if find_kernels is not None and any(row.kernel == COLLECTION_KERNEL for row in chosen):
        chosen = find_kernels(chosen, sources)
    done, begun = (_by_name(known, folds_case) for known in (chain.from_iterable(commits.values()), scenes or ()))

    todo: list[Row] = []
    committed: list[tuple[Row, Commit]] = []
    for row in chosen:
        source = sources.get(row.uri)
        wanted = row.commit(config, source.fingerprint if source else "")
        known = [spelt_as(row.key, commit) for commit in done.get(name_of(row.key, folds_case), ())]
        if is_done(wanted, known, config, mapped):
            committed.append((row, wanted))
            continue
        size = sources[row.uri].size if row.uri in sources else 0
        in_work = _in_work(row.key, begun.get(name_of(row.key, folds_case), ()), scenes or {}, config.output)
        goes_on = in_work.pop(wanted, [])
        stale = [*(commit.uri(config.output) for commit in known), *chain.from_iterable(in_work.values())]
        redo = wanted in known or config.existing is Existing.OVERWRITE
        rivalled = any(name_of(rival, folds_case) in done for rival in file_rivals(row.key))
        todo.append(replace(row, size=size, stale=tuple(stale), begun=tuple(goes_on), redo=redo, rivalled=rivalled))
    return Plan(
        pack(todo, config.settings),
        tuple(rejected),
        tuple(committed),
        tuple(row for row in rows if row.index >= limit),
        duplicates,
    )


def refuse(config: RunConfig, first: Rejected, number: int) -> NoReturn:
    """Raise UsageError for the first of `number` bad rows."""
    raise UsageError(f"line {first.line} of {config.manifest}: {first.message} ({number} bad rows, --strict)")


def _by_name(commits: Iterable[Commit], folds_case: bool) -> dict[str, list[Commit]]:
    named: defaultdict[str, list[Commit]] = defaultdict(list)
    for commit in commits:
        named[name_of(commit.key, folds_case)].append(commit)
    return named


def sources_of(config: RunConfig, manifest: OpenManifest, uris: Iterable[str]) -> Mapping[str, Source]:
    """Return the sources of those uris for which they can be determined."""
    return storage.content_sources(uris) if config.deep else manifest.sources or storage.stat_all(uris)


def spelt_as(key: str, commit: Commit) -> Commit:
    """Return the commit with its key spelt as this one, which is the same name in the output."""
    return commit if commit.key == key else replace(commit, key=key)


def _in_work(
    key: str, begun: Iterable[Commit], scenes: Mapping[Commit, Sequence[str]], output: str
) -> dict[Commit, list[str]]:
    """Return the files of a key's scenes that are begun, by what will mark them as done, spelt as this key."""
    files: dict[Commit, list[str]] = {}
    for commit in begun:
        spelt = spelt_as(key, commit)
        folders = commit.scene_folder(output), spelt.scene_folder(output)
        files.setdefault(spelt, []).extend(uri.replace(*folders, 1) for uri in scenes[commit])
    return files


def _check_rows(
    config: RunConfig,
    manifest: Manifest,
    root: str,
    done: Iterable[str],
    folds_case: bool,
    recorded: Container[str],
) -> tuple[list[Row], list[Rejected], int]:
    with claims(folds_case=folds_case, one_file=config.form.one_file) as claimed:
        claimed.add_done(done)
        claim(claimed, config, manifest, root, lambda _done, _todo: None)
        rows = [replace(row, recorded=True) if row.key in recorded else row for row in claimed.kept()]
        return rows, [*claimed.rejected()], claimed.repeated()


def is_done(wanted: Commit, known: Sequence[Commit], config: RunConfig, mapped: Container[Commit] | None) -> bool:
    """Return whether nothing is left to do.

    Args:
        known: all commits of the wanted one's key.
        mapped: as for `make_plan`.
    """
    return known == [wanted] and config.existing is Existing.RESUME and (mapped is None or wanted in mapped)


def pack(rows: list[Row], settings: Settings) -> tuple[tuple[Row, ...], ...]:
    """Return the rows as units, the longest rows first; short ones share a unit."""
    costs = {row.index: _seconds(row, row.settings(settings)) for row in rows}
    units: list[tuple[Row, ...]] = []
    unit: list[Row] = []
    for row in sorted(rows, key=lambda row: (-costs[row.index], row.index)):
        full = len(unit) == _UNIT_ROWS or sum(costs[held.index] for held in unit) + costs[row.index] > _UNIT_SECONDS
        if unit and full:
            units.append(tuple(unit))
            unit = []
        unit.append(row)
    return (*units, tuple(unit)) if unit else tuple(units)


def _seconds(row: Row, settings: Settings) -> float:
    """Estimate the seconds of one row on one CPU core, from its file's size."""
    pixels = row.size * pixels_per_byte(ending(row.uri))
    return fitting_seconds(settings) + enlarging_seconds(pixels, settings)
