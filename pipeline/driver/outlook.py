"""What a run would do, row by row: of a manifest of any length only counts are kept in memory, and a sample of rows."""

import random
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice

from sr_ops.settings import COLLECTION_KERNEL

from .. import storage
from ..config import RunConfig
from ..output import records
from ..output.layout import Commit, each_commit
from ..work.units import Row
from .checking import claim
from .claims import ALL, Rejected, claims, database_on_disk, name_of
from .manifest import OpenManifest
from .plan import FindKernels, is_done, pack, refuse, under, wanted_commit

_AT_ONCE = 2_000
"""Rows whose files are asked for together: in the order of their names, so that a listing tells of all of them."""

Looking = Callable[[str, int, int], None]
"""Called with what is done with images, as in "read", how many are done, and of how many."""

Known = Callable[[str], Sequence[Commit]]
"""The commits of a name."""


@dataclass(frozen=True)
class Outlook:
    """What is known about all rows before a header is read."""

    to_do: int
    already_done: int
    duplicates: int
    skipped: int
    bad_rows: int
    collisions: int
    """Bad rows that claim the key or the place of another row."""
    rejected: tuple[Rejected, ...]
    """The first of the bad rows."""
    drawn: tuple[Row, ...]
    """The rows to do, or a sample of them, in the order of the manifest."""
    units: tuple[tuple[Row, ...], ...]
    """The units that workers get; empty if there is only a sample."""
    input_bytes: int
    """Total size of the files to read."""

    @property
    def rows(self) -> int:
        """Rows of the manifest, identical ones counted once."""
        return self.to_do + self.already_done + self.bad_rows + self.skipped

    @property
    def shares(self) -> float:
        """Number of images that each drawn row stands for."""
        return self.to_do / max(1, len(self.drawn))


@dataclass
class _Sample:
    """A sample of the rows it is given, each equally likely; the same sample every time (Vitter's algorithm R)."""

    most: int
    rows: list[Row] = field(default_factory=list)
    given: int = 0
    draws: random.Random = field(default_factory=lambda: random.Random(0))

    def add(self, row: Row) -> None:
        self.given += 1
        if len(self.rows) < self.most:
            self.rows.append(row)
            return
        place = self.draws.randrange(self.given)
        if place < self.most:
            self.rows[place] = row


def look_ahead(
    config: RunConfig,
    manifest: OpenManifest,
    root: str,
    find_kernels: FindKernels,
    most_drawn: int,
    most_told: int,
    looking: Looking,
) -> Outlook:
    """Return the counts that `make_plan` would give for all rows, and a sample of the rows to do.

    Args:
        root: what keys are relative to.
        find_kernels: as in `make_plan`. If a row asks for the kernel of its camera, all rows are held at once.
        most_drawn: rows in the sample.
        most_told: bad rows to list.

    Raises:
        OSError: the output cannot be listed.
        UsageError: with `strict`, the first bad row.
    """
    folds_case = storage.lies_where_case_folds(config.output)
    limit = ALL if config.limit is None else config.limit
    with claims(folds_case=folds_case, one_file=config.form.one_file) as claimed:
        number = claim(claimed, config, manifest, root, lambda *counts: looking("checked", *counts))
        collisions = claimed.disputed(limit)
        bad_rows = claimed.refused(limit) + collisions
        rejected = tuple(islice(claimed.rejected(limit), most_told))
        if config.strict and rejected:
            refuse(config, rejected[0], bad_rows)
        sample, already_done, input_bytes = _Sample(most_drawn), 0, 0
        asks = claimed.asks_for(COLLECTION_KERNEL)
        with _committed(config.output, folds_case) as known:
            mapped = records.mapped_commits(records.latest(config.output, "")) if config.disagreement else None
            for rows in _batches(claimed.kept(below=limit, by="uri"), ALL if asks else _AT_ONCE):
                looking("compared with the output", sample.given + already_done, number)
                for row, done in _compared(rows, config, manifest, find_kernels if asks else None, known, mapped):
                    if done:
                        already_done += 1
                    else:
                        sample.add(row)
                        input_bytes += row.size
        drawn = sorted(sample.rows, key=lambda row: row.index)
        return Outlook(
            to_do=sample.given,
            already_done=already_done,
            duplicates=claimed.repeated(),
            skipped=sum(1 for _ in claimed.kept(limit)),
            bad_rows=bad_rows,
            collisions=collisions,
            rejected=rejected,
            drawn=tuple(drawn),
            units=pack(drawn, config.settings) if sample.given == len(drawn) else (),
            input_bytes=input_bytes,
        )


def _batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while batch := list(islice(rows, size)):
        yield batch


def _compared(
    rows: Sequence[Row],
    config: RunConfig,
    manifest: OpenManifest,
    find_kernels: FindKernels | None,
    known: Known,
    mapped: Container[Commit] | None,
) -> Iterator[tuple[Row, bool]]:
    """Yield each row with the size of its file, and whether it is done."""
    uris = dict.fromkeys(row.uri for row in rows)
    sources = storage.content_sources(uris) if config.deep else manifest.sources or storage.stat_all(uris)
    for row in rows if find_kernels is None else find_kernels(rows, sources):
        source = sources.get(row.uri)
        commits = [under(row.key, commit) for commit in known(row.key)]
        done = is_done(wanted_commit(row, source, config), commits, config, mapped)
        yield replace(row, size=source.size if source else 0), done


@contextmanager
def _committed(output: str, folds_case: bool) -> Iterator[Known]:
    """Give a function from a key to its commits in an output. Raises OSError if the output cannot be listed."""
    with database_on_disk() as database:
        database.execute("CREATE TABLE commits (name TEXT, settings TEXT, key TEXT, source TEXT)")
        commits = (
            (name_of(commit.key, folds_case), commit.settings, commit.key, commit.source)
            for commit in each_commit(output)
        )
        database.execute("BEGIN")
        database.executemany("INSERT INTO commits VALUES (?, ?, ?, ?)", commits)
        database.execute("COMMIT")
        database.execute("CREATE INDEX by_name ON commits (name)")

        def known(key: str) -> list[Commit]:
            found = database.execute(
                "SELECT settings, key, source FROM commits WHERE name = ?", (name_of(key, folds_case),)
            )
            return [Commit(*values) for values in found]

        yield known
