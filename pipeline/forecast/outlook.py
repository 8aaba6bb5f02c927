"""What a run would do, row by row: of a manifest of any length only counts are kept in memory, and a sample of rows."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from sr_ops.settings import COLLECTION_KERNEL

from .. import storage
from ..config import RunConfig
from ..driver.held import is_done
from ..driver.observer import Looking
from ..driver.plan import FindKernels, pack, refuse, sources_of
from ..driver.unworked import told_by_commits
from ..manifest.checking import claim
from ..manifest.claims import ALL, Rejected, claims
from ..manifest.manifest import OpenManifest
from ..output import records
from ..work.units import Row
from .committed import commits_on_disk
from .tallies import MOST_PROBLEMS

_AT_ONCE = 2_000
"""Rows whose files are asked for together: in the order of their names, so that a listing tells of all of them."""


@dataclass(frozen=True)
class Asked:
    """Options of a plan besides those of the run."""

    gpus: int | None = None
    """To plan for; None for those of this machine."""
    price_per_hour: float | None = None
    """For all machines together."""
    calibrate: int | None = None
    """Images to measure at least; 0 for none, None for as many as there is time for."""
    headers: int = 10_000
    """Most headers to read; of more images, a sample of this size is drawn."""


@dataclass(frozen=True)
class RowCounts:
    """How many rows of a manifest a run would treat in which way."""

    to_do: int
    """Rows whose images it would try."""
    already_done: int
    duplicates: int
    """Rows that repeat an earlier one, and are one with it."""
    skipped: int
    """Rows beyond the limit."""
    bad_rows: int
    """Invalid rows, including those of `collisions`."""
    collisions: int
    """Rows that claim the key, or the place in the output, of another."""

    @property
    def rows(self) -> int:
        """Rows of the manifest, identical ones counted once."""
        return self.to_do + self.already_done + self.bad_rows + self.skipped


@dataclass(frozen=True)
class Outlook:
    """What is known about all rows before a header is read."""

    counts: RowCounts
    rejected: tuple[Rejected, ...]
    """The first of the bad rows."""
    drawn: tuple[Row, ...]
    """The rows to do, or a sample of them, in the order of the manifest."""
    units: tuple[tuple[Row, ...], ...]
    """The units that workers get; empty if there is only a sample."""
    input_bytes: int
    """Total size of the files to read."""

    @property
    def shares(self) -> float:
        """Number of images that each drawn row stands for."""
        return self.counts.to_do / max(1, len(self.drawn))


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
    config: RunConfig, manifest: OpenManifest, find_kernels: FindKernels, most_drawn: int, looking: Looking
) -> Outlook:
    """Return the counts that `make_plan` would give for all rows, and a sample of the rows to do.

    Args:
        find_kernels: as in `make_plan`. If a row asks for the kernel of its camera, all rows are held at once.
        most_drawn: rows in the sample.

    Raises:
        OSError: the output cannot be listed.
        UsageError: with `strict`, the first bad row.
    """
    folds_case = storage.lies_where_case_folds(config.output)
    limit = ALL if config.limit is None else config.limit
    with (
        commits_on_disk(config.output, folds_case) as commits,
        claims(folds_case=folds_case, one_file=config.form.one_file) as claimed,
    ):
        root = config.root or manifest.root
        claimed.add_done(commit.key for commit in commits)
        number = claim(claimed, config, manifest, root, partial(looking, "checked"))
        collisions = claimed.disputed(limit)
        bad_rows = claimed.refused(limit) + collisions
        rejected = tuple(islice(claimed.rejected(limit), MOST_PROBLEMS))
        if config.strict and rejected:
            refuse(config, rejected[0], bad_rows)
        sample, already_done, input_bytes = _Sample(most_drawn), 0, 0
        asks = claimed.asks_for(COLLECTION_KERNEL)
        mapped = None
        if config.disagreement:
            table = records.latest(config.output, "")
            by_commits, _ = told_by_commits(config.output, records.unrecorded(table, commits))
            mapped = by_commits | records.recorded_with_map(table)
        for rows in _batches(claimed.kept(below=limit, by="uri"), ALL if asks else _AT_ONCE):
            looking("compared with the output", sample.given + already_done, number)
            for row, source in _with_sources(rows, config, manifest, find_kernels if asks else None):
                wanted = row.commit(config, source.fingerprint if source else "")
                if is_done(wanted, commits.listed(row.key), config, mapped):
                    already_done += 1
                    continue
                size = source.size if source else 0
                sample.add(replace(row, size=size))
                input_bytes += size
        drawn = sorted(sample.rows, key=lambda row: row.index)
        skipped = sum(1 for _ in claimed.kept(limit))
        return Outlook(
            RowCounts(sample.given, already_done, claimed.repeated(), skipped, bad_rows, collisions),
            rejected=rejected,
            drawn=tuple(drawn),
            units=pack(drawn, config.settings) if sample.given == len(drawn) else (),
            input_bytes=input_bytes,
        )


def _batches(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    while batch := list(islice(rows, size)):
        yield batch


def _with_sources(
    rows: Sequence[Row], config: RunConfig, manifest: OpenManifest, find_kernels: FindKernels | None
) -> Iterator[tuple[Row, storage.Source | None]]:
    """Yield each row, with the kernel of its camera if there is a way to find it, and its source if that exists."""
    sources = sources_of(config, manifest, dict.fromkeys(row.uri for row in rows))
    for row in rows if find_kernels is None else find_kernels(rows, sources):
        yield row, sources.get(row.uri)
