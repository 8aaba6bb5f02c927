"""Records for users: Parquet parts while a run goes on, and the merged table."""

import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import storage
from ..errors import ErrorType, UsageError
from ..storage.patience import Patience
from . import layout
from .layout import Commit
from .mixed_columns import concatenated
from .record import COLUMNS, SCHEMA, Record
from .status import WRITTEN, Status

_FLUSH_SECONDS = 5.0
_FLUSH_RECORDS = 10_000
_FLUSH_SHARE = 0.01
"""Share of the run's time so far between two parts: every merge reads all parts, of which a long run must not have
50,000."""

FROM_MANIFEST = ("key", "manifest_line", "source_uri")
"""Columns of a record that are its manifest's: a collection may have moved since it was done."""

_MOMENT = "%Y%m%dT%H%M%S%f"
"""Of a run's begin, in its id."""

_ONCE = Patience(0)


def next_run_id(output: str, moment: datetime) -> str:
    """Return a new run's id. Ids sort by time; this one sorts last even if the clock of an earlier run was ahead."""
    with suppress(OSError, IndexError, ValueError):  # whoever works with the output tells what is wrong with it
        last = datetime.strptime(_run_of(_parts(output)[-1]).partition("-")[0], _MOMENT).replace(tzinfo=UTC)
        moment = max(moment, last + timedelta(microseconds=1))
    return f"{moment:{_MOMENT}}-{secrets.token_hex(2)}"


class RecordSink:
    """Writes the records of one run to Parquet parts, so that a run that is stopped leaves what it knew."""

    def __init__(self, output: str, run_id: str, user_columns: pa.Table, patience: Patience = _ONCE) -> None:
        self._patience = patience
        self._folder = layout.parts_folder(output)
        self._run_id = run_id
        self._user_columns = user_columns
        self._held: list[tuple[Record, int]] = []
        self._part = 0
        self._started_at = self._flushed_at = time.monotonic()

    def add(self, record: Record, row: int) -> None:
        """Add a record. `row` is the position in the manifest whose user columns it carries."""
        self._held.append((record, row))
        wait = max(_FLUSH_SECONDS, _FLUSH_SHARE * (self._flushed_at - self._started_at))
        if len(self._held) >= _FLUSH_RECORDS or time.monotonic() - self._flushed_at >= wait:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = to_table(record for record, _ in self._held)
            carried = self._user_columns.take(pa.array([row for _, row in self._held]))
            for name in carried.column_names:
                table = table.append_column(name, carried[name])
            part = storage.join(self._folder, f"part-{self._run_id}-{self._part:05d}.parquet")
            self._patience(partial(write_table, part, table))
            self._part += 1
            self._held.clear()
        self._flushed_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()


def to_table(records: Iterable[Record]) -> pa.Table:
    return pa.Table.from_pylist([record.to_dict() for record in records], schema=SCHEMA)


def write_table(uri: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    storage.write(uri, sink.getvalue().to_pybytes())


def read_table(uri: str) -> pa.Table:
    """Read a table, with all columns of a record: an earlier version may have had fewer."""
    return concatenated([SCHEMA.empty_table(), _parse(storage.read(uri))])


def _parse(data: bytes) -> pa.Table:
    """Return a table from a file's bytes. Raises ArrowException if they are damaged."""
    try:
        return pq.read_table(pa.BufferReader(data))
    except OSError as error:  # of damaged bytes in memory Arrow says so, too
        raise pa.ArrowInvalid(str(error)) from error


def latest(output: str, run_id: str) -> pa.Table:
    """Return the latest record of each key over the parts of all runs, in the order of first appearance.

    Rows without a usable key, or whose key is disputed, are taken from run `run_id` only: they have no identity from
    which to tell whether the manifest was corrected.
    """
    tables = []
    parts = _parts(output)
    for uri, data in zip(parts, storage.read_all(parts), strict=True):
        try:
            part = _parse(data)
            bad = pc.equal(part["error_type"], ErrorType.BAD_ROW.value).fill_null(False)
        except (pa.ArrowException, KeyError) as error:
            raise UsageError(
                f"{uri} is damaged ({error}); remove it and run again: commits show what is done, while its failures,"
                " scores and rows of earlier manifests are lost"
            ) from error
        tables.append(part if _run_of(uri) == run_id else part.filter(pc.invert(bad)))
    table = concatenated([SCHEMA.empty_table(), *tables])
    last: dict[object, int] = {}
    columns = (table["key"].to_pylist(), table["error_type"].to_pylist(), table["manifest_line"].to_pylist())
    for index, (key, error_type, line) in enumerate(zip(*columns, strict=True)):
        last[(line,) if error_type == ErrorType.BAD_ROW else key] = index
    return table.take(pa.array(list(last.values()), pa.int64()))


def current(output: str, run_id: str) -> pa.Table:
    """Return `latest` with what the merged table tells of these records: a collection may have moved since they came.

    They are in the order of the manifest's lines. If the parts were deleted, return the merged table.

    Raises:
        UsageError: one of them is damaged.
        OSError: one of them cannot be read.
    """
    known, uri = latest(output, run_id), layout.table(output)
    try:
        merged = read_table(uri)
    except FileNotFoundError:
        return known.sort_by("manifest_line")
    except pa.ArrowException as error:
        raise UsageError(f"{uri} is damaged ({error}); run again, which merges it again") from error
    table = _refreshed(known, told_by(merged, known)) if len(known) else merged
    return table.sort_by("manifest_line")


def told_by(merged: pa.Table, known: pa.Table) -> pa.Table:
    """Return the manifest's columns of a merged table, for `merge`.

    They are only of keys whose latest record it holds, and that no rows dispute.

    Args:
        known: the latest records, perhaps later ones than those that were merged.
    """
    disputed, same = _disputed(merged) | _disputed(known), {*_identities(known)}
    taken = [identity in same and identity[0] not in disputed for identity in _identities(merged)]
    of_pixels = [name for name in COLUMNS if name not in FROM_MANIFEST]
    return merged.filter(pa.array(taken, pa.bool_())).drop_columns(of_pixels)


def merge(output: str, run_id: str, told: pa.Table, patience: Patience = _ONCE) -> pa.Table:
    """Write `latest` to OUT/manifest.parquet and return it, with what the current manifest tells of its keys.

    It is in the order of the manifest's lines.

    Args:
        told: the columns of FROM_MANIFEST, and the user's; a row for each key.
    """
    known = patience(partial(latest, output, run_id))
    table = _refreshed(known, told).sort_by("manifest_line")
    patience(partial(write_table, layout.table(output), table))
    return table


def from_manifest(rows: Sequence[tuple[str, int, str, int]], user_columns: pa.Table) -> pa.Table:
    """Return what the manifest tells of each key, for `merge`.

    Args:
        rows: key, line and uri of each, and its row in `user_columns`.
    """
    keys, lines, uris, places = zip(*rows, strict=True) if rows else ((), (), (), ())
    schema = pa.schema([SCHEMA.field(name) for name in FROM_MANIFEST])
    told = pa.table(dict(zip(FROM_MANIFEST, (keys, lines, uris), strict=True)), schema)
    cells = user_columns.take(pa.array(places, pa.int64()))
    for name in cells.column_names:
        told = told.append_column(name, cells[name])
    return told


def failed_keys(table: pa.Table) -> frozenset[str]:
    """Return the keys whose record says that they failed."""
    return frozenset(table.filter(pc.equal(table["status"], Status.FAILED.value))["key"].drop_null().to_pylist())


def unrecorded(table: pa.Table, commits: Iterable[Commit]) -> list[Commit]:
    """Return the commits that no record mentions, as a killed run leaves them.

    Their names are compared as Arrow's bytes, because a set of a million commits takes twice the memory.
    """
    listed = [*commits]
    done = table.filter(pc.is_in(table["status"], pa.array([status.value for status in WRITTEN])))
    columns = (done["config_fingerprint"], done["key"], done["source_fingerprint"])
    recorded = pc.binary_join_element_wise(*columns, "\0").cast(pa.large_binary())
    names = (
        "\0".join((commit.settings, commit.key, commit.source)).encode(errors="surrogatepass") for commit in listed
    )
    known = pc.is_in(pa.array(names, pa.large_binary()), value_set=recorded)
    return [commit for commit, is_known in zip(listed, known.to_pylist(), strict=True) if not is_known]


def recorded_commits(table: pa.Table) -> set[Commit]:
    """Return the commits that records mention."""
    done = table.filter(pc.is_in(table["status"], pa.array([status.value for status in WRITTEN])))
    names = (done["config_fingerprint"], done["key"], done["source_fingerprint"])
    return set(map(Commit, *(column.to_pylist() for column in names)))


def recorded_with_map(table: pa.Table) -> set[Commit]:
    """Return those of them that have a disagreement map, or had nothing to draw."""
    lacks = pc.and_(pc.is_valid(table["disagreement_p50"]), pc.is_null(table["disagreement_uri"]))
    return recorded_commits(table.filter(pc.invert(lacks)))


def append_part(output: str, run_id: str, table: pa.Table) -> None:
    """Add a part to a run's parts."""
    number = sum(_run_of(part) == run_id for part in _parts(output))
    write_table(storage.join(layout.parts_folder(output), f"part-{run_id}-{number:05d}.parquet"), table)


def _refreshed(table: pa.Table, told: pa.Table) -> pa.Table:
    """Give records whose keys are still in the manifest its line, uri and user columns; others keep theirs."""
    rows = {key: row for row, key in enumerate(told["key"].to_pylist())}
    current = pa.array([key in rows for key in table["key"].to_pylist()], pa.bool_())
    before = table.filter(current)
    cells = told.take(pa.array([rows[key] for key in before["key"].to_pylist()], pa.int64()))
    renewed = before.select([name for name in COLUMNS if name not in FROM_MANIFEST])
    for name in cells.column_names:
        renewed = renewed.append_column(name, cells[name])
    return concatenated([SCHEMA.empty_table(), renewed, table.filter(pc.invert(current))])


def _identities(table: pa.Table) -> Iterator[tuple[object, ...]]:
    """Yield (key, status, finished_at) of each record, which together tell it from a later one of the same key."""
    return zip(*(table[name].to_pylist() for name in ("key", "status", "finished_at")), strict=True)


def _disputed(table: pa.Table) -> set[object]:
    """Return the keys that rows claim in vain, and None."""
    bad = pc.equal(table["error_type"], ErrorType.BAD_ROW.value).fill_null(False)
    return {None, *table.filter(bad)["key"].to_pylist()}


def _parts(output: str) -> list[str]:
    """Return the Parquet parts of all runs in order, oldest run first, which is the order of their names."""
    return [uri for uri in storage.find(layout.parts_folder(output)) if uri.endswith(".parquet")]


def _run_of(part: str) -> str:
    return part.rpartition("/part-")[2].rpartition("-")[0]
