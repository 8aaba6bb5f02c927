"""Results as people read them: one record per row, commit records that alone say "done", and the merged table."""

import dataclasses
import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from . import storage
from .errors import ErrorType

_FLUSH_SECONDS = 5.0
_FLUSH_RECORDS = 500


class Status(StrEnum):
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Not attempted: beyond a limit."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """The result of one row. Seconds are wall-clock, sizes bytes, times UTC; None where it does not apply."""

    key: str | None
    """Identity of the image; None when the row has no usable one."""
    manifest_line: int
    """Where the row stands: line of a text file from 1, else number of the row."""
    source_uri: str
    source_fingerprint: str | None = None
    output_uri: str | None = None
    """Folder of the tiles."""
    status: str
    error_type: str | None = None
    error_message: str | None = None
    attempt: int = 1
    method_used: str | None = None
    """zssr, or bicubic for an image too small to fit."""
    scale: int | None = None
    width: int | None = None
    """Pixels of the input, as shown: after its EXIF orientation."""
    height: int | None = None
    bands: int | None = None
    dtype: str | None = None
    sr_width: int | None = None
    sr_height: int | None = None
    tiles: int | None = None
    output_sha256: str | None = None
    """Over the bytes of the tiles, row by row."""
    steps: int | None = None
    """Optimiser updates per stage."""
    final_loss: float | None = None
    """Mean L1, in units of the full range, over the first stage's last tenth of steps."""
    reconstruction_psnr: float | None = None
    """dB: the first stage's network on the shrunken input, against the input."""
    bicubic_reconstruction_psnr: float | None = None
    consistency_mae: float | None = None
    """Of downscale(written result) - input, in native units (grey levels), as all consistency_*."""
    consistency_rmse: float | None = None
    consistency_max: float | None = None
    consistency_bias: float | None = None
    consistency_rmse_bands: tuple[float, ...] | None = None
    psnr_y: float | None = None
    """Against the reference; filled in by `srpipe eval`."""
    ssim_y: float | None = None
    read_s: float | None = None
    """Fetching and decoding."""
    fit_s: float | None = None
    infer_s: float | None = None
    back_project_s: float | None = None
    write_s: float | None = None
    """Encoding and storing."""
    total_s: float | None = None
    peak_memory_bytes: int | None = None
    """On CUDA the most that torch held for this image; on a CPU the most the worker process ever held so far."""
    device: str | None = None
    threads: int | None = None
    worker: str | None = None
    """host:pid"""
    seed: int | None = None
    prior: str | None = None
    """Weights that the fit started from; "none" for a start from scratch."""
    config_fingerprint: str | None = None
    srpipe_version: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), default=lambda value: value.isoformat(), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Record":
        return cls.from_dict(json.loads(text))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Record":
        """From a mapping that may hold more than a record's columns, times as text or datetime."""
        known: dict[str, Any] = {name: values.get(name) for name in COLUMNS}
        for name in ("started_at", "finished_at"):
            if isinstance(known[name], str):
                known[name] = datetime.fromisoformat(known[name])
        if known["consistency_rmse_bands"] is not None:
            known["consistency_rmse_bands"] = tuple(known["consistency_rmse_bands"])
        return cls(**known)


_ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", "UTC"),
    tuple[float, ...]: pa.list_(pa.float64()),
}


def _arrow_type(field: "dataclasses.Field[Any]") -> pa.DataType:
    return next(arrow for kind, arrow in _ARROW_TYPES.items() if field.type in (kind, kind | None))


def now() -> datetime:
    return datetime.now(UTC)


# ---- commit records: written last, once every tile of an image is stored --------------------------------------------


@dataclass(frozen=True)
class Commit:
    """A commit record's name: which image of which source was done with which settings."""

    settings: str
    key: str
    source: str

    def uri(self, output: str) -> str:
        return storage.join(output, "_commit", self.settings, f"{self.key}.{self.source}.json")


def list_commits(output: str) -> dict[str, list[Commit]]:
    """All commits of an output by key, from one listing of names."""
    folder = storage.join(output, "_commit")
    commits: dict[str, list[Commit]] = {}
    for uri in storage.find(folder):
        settings, _, name = uri.removeprefix(folder + "/").partition("/")
        key, _, source = name.removesuffix(".json").rpartition(".")
        if name.endswith(".json") and key:
            commits.setdefault(key, []).append(Commit(settings, key, source))
    return commits


# ---- the table ------------------------------------------------------------------------------------------------------


class RecordSink:
    """Collects the records of one run into Parquet parts, so that a stopped run leaves what it knew."""

    def __init__(self, output: str, run_id: str, user_columns: pa.Table) -> None:
        self._folder = storage.join(output, "manifest")
        self._run_id = run_id
        self._user_columns = user_columns
        self._held: list[tuple[Record, int]] = []
        self._part = 0
        self._flushed_at = time.monotonic()

    def add(self, record: Record, row: int) -> None:
        """`row` is the position in the manifest whose user columns the record carries."""
        self._held.append((record, row))
        if len(self._held) >= _FLUSH_RECORDS or time.monotonic() - self._flushed_at >= _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._held:
            table = to_table(record for record, _ in self._held)
            carried = self._user_columns.take(pa.array([row for _, row in self._held]))
            for name in carried.column_names:
                table = table.append_column(name, carried[name])
            write_table(storage.join(self._folder, f"part-{self._run_id}-{self._part:05d}.parquet"), table)
            self._part += 1
            self._held.clear()
        self._flushed_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.flush()


def to_table(records: Iterable[Record]) -> pa.Table:
    return pa.Table.from_pylist([dataclasses.asdict(record) for record in records], schema=SCHEMA)


def write_table(uri: str, table: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    storage.write(uri, sink.getvalue().to_pybytes())


def read_table(uri: str) -> pa.Table:
    return pq.read_table(pa.BufferReader(storage.read(uri)))


def latest(output: str, run_id: str) -> pa.Table:
    """The latest record of each key over the parts of all runs, in the order of first appearance.

    Rows without a usable key, or whose key is disputed, are those of run `run_id` only: they have no identity that
    would tell whether the manifest was mended.
    """
    tables = []
    for uri in _parts(output):
        part = read_table(uri)
        bad = pc.equal(part["error_type"], ErrorType.BAD_ROW.value).fill_null(False)
        tables.append(part if _run_of(uri) == run_id else part.filter(pc.invert(bad)))
    table = _concatenate(tables)
    last: dict[object, int] = {}
    columns = (table["key"].to_pylist(), table["error_type"].to_pylist(), table["manifest_line"].to_pylist())
    for index, (key, error_type, line) in enumerate(zip(*columns, strict=True)):
        last[(line,) if error_type == ErrorType.BAD_ROW else key] = index
    return table.take(pa.array(list(last.values()), pa.int64()))


def merge(output: str, run_id: str) -> pa.Table:
    """Write `latest` to OUT/manifest.parquet and return it."""
    table = latest(output, run_id)
    write_table(storage.join(output, "manifest.parquet"), table)
    return table


def recorded_commits(output: str, run_id: str) -> set[Commit]:
    """The commits that the latest records tell of."""
    table = latest(output, run_id)
    done = table.filter(pc.equal(table["status"], Status.DONE.value))
    names = (done["config_fingerprint"], done["key"], done["source_fingerprint"])
    return set(map(Commit, *(column.to_pylist() for column in names)))


def append_part(output: str, table: pa.Table) -> str:
    """Add a part to the latest run's; returns that run's id."""
    last = _parts(output)[-1]
    run_id = _run_of(last)
    number = int(last.removesuffix(".parquet").rpartition("-")[2])
    write_table(storage.join(output, "manifest", f"part-{run_id}-{number + 1:05d}.parquet"), table)
    return run_id


def _parts(output: str) -> list[str]:
    """The Parquet parts of all runs, oldest run first, each run's in order: as their names sort."""
    return [uri for uri in storage.find(storage.join(output, "manifest")) if uri.endswith(".parquet")]


def _concatenate(tables: list[pa.Table]) -> pa.Table:
    """One table of all columns; a user column whose type changed from one run to another becomes text."""
    types: dict[str, set[pa.DataType]] = defaultdict(set)
    for table in tables:
        for field in table.schema:
            if not pa.types.is_null(field.type):
                types[field.name].add(field.type)
    changed = {name for name, kinds in types.items() if len(kinds) > 1}
    tables = [
        pa.table({name: column.cast(pa.string()) if name in changed else column for name, column in columns.items()})
        for columns in (dict(zip(table.column_names, table.columns, strict=True)) for table in tables)
    ]
    return pa.concat_tables([SCHEMA.empty_table(), *tables], promote_options="permissive")


def _run_of(part: str) -> str:
    return part.rpartition("/part-")[2].rpartition("-")[0]


COLUMNS = tuple(field.name for field in dataclasses.fields(Record))

SCHEMA = pa.schema([(field.name, _arrow_type(field)) for field in dataclasses.fields(Record)])
