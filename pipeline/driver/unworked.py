"""Records of rows that no worker answers for, with the rows' positions in the manifest."""

from collections.abc import Container, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain

import pyarrow as pa

from .. import storage
from ..codec import DamagedError, from_json
from ..config import VERSION, RunConfig
from ..errors import ErrorType
from ..output import records
from ..output.clock import now
from ..output.judging import judged, judged_anew
from ..output.layout import Commit, each_commit
from ..output.record import Record
from ..output.status import Status
from ..work.units import Row
from .plan import Plan


def records_without_work(config: RunConfig, plan: Plan, table: pa.Table) -> Iterator[tuple[Record, int]]:
    """Yield records that need no work: bad rows, commits without a record from a killed run, and changed verdicts.

    Committed results are judged by the limits of this run, which may differ from those of earlier runs.

    Args:
        table: the latest records of earlier runs.
    """
    for rejected in plan.rejected:
        record = Record(
            key=rejected.key,
            manifest_line=rejected.line,
            source_uri=rejected.uri,
            status=Status.FAILED,
            error_type=ErrorType.BAD_ROW,
            error_message=f"line {rejected.line}: {rejected.message}",
            srpipe_version=VERSION,
            finished_at=now(),
        )
        yield record, rejected.index
    if not plan.committed:
        return
    lost, limit = {*records.unrecorded(table, (commit for _, commit in plan.committed))}, config.max_consistency_error
    rows_by_uri = {commit.uri(config.output): row for row, commit in plan.committed if commit in lost}
    for found, row in zip(committed_records([*rows_by_uri]), rows_by_uri.values(), strict=True):
        if found is not None:  # it was whole when the run was planned
            yield judged(replace(found, key=row.key), limit), row.index
    rows = {row.key: row for row, commit in plan.committed if commit not in lost}
    for record in judged_anew(table, limit):
        if record.key in rows:
            yield record, rows[record.key].index


def records_of_unattempted(
    output: str, plan: Plan, answered: Container[str], stopped_by: str | None
) -> Iterator[tuple[Record, int]]:
    """Yield a skipped record for each row that this run did not attempt, unless an earlier record of it still holds.

    Args:
        answered: keys that were worked on.
        stopped_by: the limit that ended the run.
    """
    stopped = [row for unit in plan.units for row in unit if row.key not in answered]
    withdrawn = _withdrawn(output, stopped)
    reasons = chain(
        ((row, "not asked for this time") for row in plan.skipped),
        ((row, f"not attempted: {stopped_by}") for row in stopped if row.key not in withdrawn),
        ((row, "begun anew and not ended; run again") for row in stopped if row.key in withdrawn),
    )
    for row, reason in reasons:
        if not row.recorded or row.key in withdrawn:
            yield unworked(row, Status.SKIPPED, None, reason), row.index


def _withdrawn(output: str, rows: Iterable[Row]) -> set[str]:
    """Return the keys of rows whose earlier results this run has begun to overwrite; none if they cannot be listed."""
    stale = {row.key: row.stale for row in rows if row.stale}
    with suppress(OSError):
        kept = {commit.key for commit in each_commit(output) if commit.key in stale} if stale else set()
        # of the few others some may be spelt otherwise, on a disk that ignores case
        return {key for key in stale.keys() - kept if not any(map(storage.exists, stale[key]))}
    return set()


def told_by_commits(output: str, lost: Sequence[Commit]) -> tuple[set[Commit], set[Commit]]:
    """Return which commits have a map of the disagreement or nothing to draw one of, and which are damaged.

    Raises OSError if one cannot be read.

    Args:
        lost: commits that no record mentions.
    """
    mapped, damaged = set(), set()
    for commit, record in zip(lost, committed_records([commit.uri(output) for commit in lost]), strict=True):
        if record is None:
            damaged.add(commit)
        elif record.disagreement_uri is not None or record.disagreement_p50 is None:
            mapped.add(commit)
    return mapped, damaged


def committed_records(uris: Sequence[str]) -> Iterator[Record | None]:
    """Yield the record in each of these commits; None for a damaged one. Raises OSError."""
    for data in storage.read_all(uris):
        try:
            yield from_json(Record, data)
        except DamagedError:
            yield None


def unworked(row: Row, status: Status, error_type: ErrorType | None, message: str) -> Record:
    """Return the record of a row without an answer of a worker."""
    return replace(row.record(status), error_type=error_type, error_message=message, finished_at=now())
