"""Results as people read them: Parquet parts of records while a run goes on, and the merged table."""

import time
from collections.abc import Iterable
from typing import Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .. import storage
from ..errors import ErrorType, UsageError
from . import layout
from .layout import Commit
from .mixed_columns import concatenated
from .record import COLUMNS, SCHEMA, Record
from .status import WRITTEN

_FLUSH_SECONDS = 5.0
_FLUSH_RECORDS = 10_000
_FLUSH_SHARE = 0.01
"""Of the run's time so far: every part is read again at each merge, and a run of days should not leave 50,000."""


@dataclass(frozen=True, kw_only=True)
class Record(TrustColumns):
    """The result of one row. Seconds are wall-clock, sizes bytes, times UTC; None where it does not apply."""

    key: str | None
    """Identity of the image; None when the row has no usable one."""
    manifest_line: int
    """Where the row stands: line of a text file from 1, else number of the row."""
    source_uri: str
    source_fingerprint: str | None = None
    output_uri: str | None = None
    """Folder of the tiles; with --single or --format cog the one file."""
    status: str
    error_type: str | None = None
    error_message: str | None = None
    attempt: int = 1
    method_used: str | None = None
    """zssr: a network fitted to the image; prior: one as it is; bicubic. Asked for, or the best on parts held out."""
    network: str | None = None
    """Which network was fitted."""
    scale: float | None = None
    """As it was asked for; where that was a size, the larger of `scale_x` and `scale_y`, as where these differ."""
    scale_x: float | None = None
    """sr_width / width."""
    scale_y: float | None = None
    """sr_height / height."""
    whole_scale: int | None = None
    """At which it was made, and on whose pixels `kernel` lies; above `scale` it was reduced then."""
    kernel: str | None = None
    """The camera's blur that was assumed, as --kernel names it; of a file its size, and the sha256 of its taps."""
    kernel_source: str | None = None
    """How it came about, a `KernelSource` of kernel_columns.py; None, as `kernel`, where it was to be found, and was
    not yet."""
    kernel_confidence: float | None = None
    """Of one that was looked for in the pixels: from 0, where they do not tell, to 1."""
    kernel_note: str | None = None
    """Why what was found in the pixels is not taken, as the end of a sentence."""
    camera: str | None = None
    """The group of images whose kernel is one: as the manifest says, or as it was found for estimate-collection."""
    noise: tuple[float, ...] | None = None
    """Standard deviation of the input's noise that was assumed, in native units, by band: told, or measured."""
    noise_offset: tuple[float, ...] | None = None
    """Of the line that the variance of measured noise follows against the level, in native units, by band: at level 0.
    None where none was measured, or levels differ too little to tell a line."""
    noise_slope: tuple[float, ...] | None = None
    """Of that line: by how much the variance grows a unit of the level; 0 for noise that is the same everywhere."""
    width: int | None = None
    """Pixels of the input, as shown: after its EXIF orientation."""
    height: int | None = None
    bands: int | None = None
    dtype: str | None = None
    sr_width: int | None = None
    sr_height: int | None = None
    crs: str | None = None
    """As EPSG:<number> where it has one, else as WKT."""
    transform: tuple[float, ...] | None = None
    """Of the result: x = t[0] * column + t[1] * row + t[2], y = t[3] * column + t[4] * row + t[5], of pixel corners."""
    nodata: float | None = None
    """What the result's files declare: the input's, a fill that was recognised in it, or what --nodata told."""
    notes: str | None = None
    """What of the input is not in the result, and what was taken for a fill."""
    tiles: int | None = None
    tiles_empty: int | None = None
    """That were left out, since nothing is known in them."""
    output_sha256: str | None = None
    """Over the sha256 of the tiles, as hex digits, row by row: so parts of an image can be done apart."""
    steps: int | None = None
    """Optimiser updates per stage."""
    final_loss: float | None = None
    """Mean L1, in units of the full range, over the first stage's last tenth of steps."""
    reconstruction_psnr: float | None = None
    """dB over parts of the input held out of the fit: the first stage's network on them shrunk, against themselves."""
    prior_reconstruction_psnr: float | None = None
    """The same of the prior as it is."""
    bicubic_reconstruction_psnr: float | None = None
    """The same of bicubic, for networks that know any camera with a data step."""
    consistency_mae: float | None = None
    """Of the written result, shrunk by `kernel`, less the input, in native units (levels), as all consistency_*; where
    it was reduced, of what was made at `whole_scale`, rounded as if it was written."""
    consistency_rmse: float | None = None
    consistency_max: float | None = None
    consistency_bias: float | None = None
    consistency_rmse_bands: tuple[float, ...] | None = None
    samples_outside_range: int | None = None
    """Samples of the result below the least or above the largest of the input, band by band, where it is known."""
    psnr_y: float | None = None
    """Against the reference; filled in by `srpipe eval`."""
    ssim_y: float | None = None
    read_s: float | None = None
    """Fetching and decoding, which goes on while the image before is worked on."""
    fit_s: float | None = None
    infer_s: float | None = None
    back_project_s: float | None = None
    write_s: float | None = None
    """Encoding and storing, which goes on while the next tile is computed."""
    total_s: float | None = None
    """From the start of the work on this image to its end; of a scene the sum over its fit and its groups of tiles."""
    peak_memory_bytes: int | None = None
    """On CUDA the most that torch held for this image; on a CPU the most the worker process ever held so far."""
    device: str | None = None
    threads: int | None = None
    workers: int | None = None
    """Worker processes that the run had at most."""
    workers_why: str | None = None
    """Why so many: what was asked for, or what there was room for."""
    worker: str | None = None
    """host:pid; of a scene, where it was fitted"""
    seed: int | None = None
    prior: str | None = None
    """sha256 of the weights that fits start from; "none" for a start from scratch."""
    prior_bands: int | None = None
    """Bands of the prior's network that was used: 1 treats each band of an image on its own."""
    weights: str | None = None
    """sha256 of the trained model of others (--weights) that enlarged the image; None for the other methods."""
    config_fingerprint: str | None = None
    srpipe_version: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None

    def to_dict(self) -> dict[str, Any]:
        """By column. Not by `dataclasses.asdict`, whose deep copies take ten times as long as the rest of a row."""
        return {name: getattr(self, name) for name in COLUMNS}


_ARROW_TYPES = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    datetime: pa.timestamp("us", "UTC"),
    tuple[float, ...]: pa.list_(pa.float64()),
}


def _arrow_type(field: "dataclasses.Field[Any]") -> pa.DataType:
    return next(arrow for kind, arrow in _ARROW_TYPES.items() if field.type in (kind, kind | None))


class RecordSink:
    """Collects the records of one run into Parquet parts, so that a stopped run leaves what it knew."""

    def __init__(self, output: str, run_id: str, user_columns: pa.Table) -> None:
        self._folder = layout.parts_folder(output)
        self._run_id = run_id
        self._user_columns = user_columns
        self._held: list[tuple[Record, int]] = []
        self._part = 0
        self._started_at = self._flushed_at = time.monotonic()

    def add(self, record: Record, row: int) -> None:
        """`row` is the position in the manifest whose user columns the record carries."""
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
            write_table(storage.join(self._folder, f"part-{self._run_id}-{self._part:05d}.parquet"), table)
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
    return _parse(storage.read(uri))


def _parse(data: bytes) -> pa.Table:
    return pq.read_table(pa.BufferReader(data))


def latest(output: str, run_id: str) -> pa.Table:
    """The latest record of each key over the parts of all runs, in the order of first appearance.

    Rows without a usable key, or whose key is disputed, are those of run `run_id` only: they have no identity that
    would tell whether the manifest was mended.
    """
    tables = []
    parts = _parts(output)
    for uri, data in zip(parts, storage.read_all(parts), strict=True):
        try:
            part = _parse(data)
        except pa.ArrowException as error:
            raise UsageError(
                f"{uri} is damaged ({error}); remove it and run again: commits tell what is done"
            ) from error
        bad = pc.equal(part["error_type"], ErrorType.BAD_ROW.value).fill_null(False)
        tables.append(part if _run_of(uri) == run_id else part.filter(pc.invert(bad)))
    table = concatenated([SCHEMA.empty_table(), *tables])
    last: dict[object, int] = {}
    columns = (table["key"].to_pylist(), table["error_type"].to_pylist(), table["manifest_line"].to_pylist())
    for index, (key, error_type, line) in enumerate(zip(*columns, strict=True)):
        last[(line,) if error_type == ErrorType.BAD_ROW else key] = index
    return table.take(pa.array(list(last.values()), pa.int64()))


def merge(output: str, run_id: str, rows: dict[str, int], user_columns: pa.Table) -> pa.Table:
    """Write `latest` to OUT/manifest.parquet and return it, with the user columns as the manifest has them now.

    In the order of the manifest's lines.

    Args:
        rows: the row of `user_columns` that each key of the manifest stands in.
    """
    table = _refreshed(latest(output, run_id), rows, user_columns).sort_by("manifest_line")
    write_table(layout.table(output), table)
    return table


def recorded_commits(table: pa.Table) -> set[Commit]:
    """The commits that records tell of."""
    done = table.filter(pc.is_in(table["status"], pa.array([status.value for status in WRITTEN])))
    names = (done["config_fingerprint"], done["key"], done["source_fingerprint"])
    return set(map(Commit, *(column.to_pylist() for column in names)))


def mapped_commits(table: pa.Table) -> set[Commit]:
    """Those among them that have a map of the disagreement, or had nothing to draw one of."""
    lacks = pc.and_(pc.is_valid(table["disagreement_p50"]), pc.is_null(table["disagreement_uri"]))
    return recorded_commits(table.filter(pc.invert(lacks)))


def append_part(output: str, run_id: str, table: pa.Table) -> None:
    """Add a part to those of a run."""
    number = sum(_run_of(part) == run_id for part in _parts(output))
    write_table(storage.join(layout.parts_folder(output), f"part-{run_id}-{number:05d}.parquet"), table)


def _refreshed(table: pa.Table, rows: dict[str, int], user_columns: pa.Table) -> pa.Table:
    """Records of keys that the manifest still names get its user columns, the others keep what they had."""
    current = pa.array([key in rows for key in table["key"].to_pylist()], pa.bool_())
    renewed = table.select(COLUMNS).filter(current)
    cells = user_columns.take(pa.array([rows[key] for key in renewed["key"].to_pylist()], pa.int64()))
    for name in cells.column_names:
        renewed = renewed.append_column(name, cells[name])
    return concatenated([SCHEMA.empty_table(), renewed, table.filter(pc.invert(current))])


def _parts(output: str) -> list[str]:
    """The Parquet parts of all runs, oldest run first, each run's in order: as their names sort."""
    return [uri for uri in storage.find(layout.parts_folder(output)) if uri.endswith(".parquet")]


def _run_of(part: str) -> str:
    return part.rpartition("/part-")[2].rpartition("-")[0]
