"""Reading what is asked for: a table, a plain list, a folder, a glob or one image becomes rows and user columns."""

import csv
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from .. import storage
from ..errors import UsageError
from ..output.records import COLUMNS, cell_text
from ..storage import Source

if TYPE_CHECKING:
    import _csv

URI_COLUMNS = ("uri", "path", "url", "image")
"""Names of the column that says where the image is; the first that a table has counts."""

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".webp", ".bmp", ".gif"),
    *(".jp2", ".j2k", ".ppm", ".pgm", ".pnm", ".pfm", ".tga", ".avif", ".mpo", ".psd"),
)
"""What a folder's files must end with to be taken for images."""


@dataclass(frozen=True, slots=True)
class Cells:
    """What one row of a manifest says, before it is checked."""

    line: int
    """Line of a text file, counted from 1; elsewhere the number of the row."""
    uri: str
    """As written, "" when empty."""
    id: str
    """As written, "" when absent."""
    scale: str
    """As written, "" when absent."""
    problem: str = ""
    """Why the line could not be read; the other cells are then empty."""


@dataclass(frozen=True)
class Manifest:
    uri: str
    """Absolute uri of the table, folder or pattern."""
    folder: str
    """What relative uris are relative to."""
    root: str
    """What keys are relative to; "" when keys are whole uris."""
    rows: tuple[Cells, ...]
    user_columns: pa.Table
    """The columns that srpipe only carries along, one row per row."""
    sources: dict[str, Source]
    """What a listing already told about the files; empty for tables."""
    ignored: tuple[str, ...] = ()
    """Files of a folder that were left out because their names do not end like an image's."""


def read_manifest(manifest: str) -> Manifest:
    """Read a manifest: csv, parquet, jsonl, txt (a uri a line), a folder (recursive), a glob or one image; local or S3.

    Raises:
        UsageError: it is missing, unreadable, empty, or has no column that says where the images are.
    """
    uri = storage.absolute(manifest)
    if not storage.check_service(uri):
        raise UsageError(f"the manifest {manifest} cannot be read: there is no such bucket; correct its name")
    suffix = os.path.splitext(uri)[1].lower()
    try:
        if suffix in _TABLE_READERS and not storage.is_folder(uri):
            return _read_table(uri, suffix)
        if storage.is_folder(uri):
            return _read_folder(uri)
        if suffix in IMAGE_SUFFIXES and storage.exists(uri):
            return _from_listing(uri, storage.parent(uri), {uri: storage.stat(uri)})
        if any(character in uri for character in "*?["):
            return _read_glob(uri)
        found = storage.exists(uri)
    except FileNotFoundError as error:
        raise UsageError(f"the manifest {manifest} does not exist; give a table, a folder or a glob") from error
    except OSError as error:
        raise UsageError(f"cannot read the manifest {manifest}: {storage.reason(error)}; check access") from error
    if found:
        raise UsageError(
            f"the manifest {manifest} is of no known kind; its name must end in {', '.join(_TABLE_READERS)}"
            " or like an image's"
        )
    raise UsageError(f"the manifest {manifest} does not exist; give a table, a folder or a glob")


def _read_folder(uri: str) -> Manifest:
    files = {file: source for file, source in storage.find(uri).items() if not _is_hidden(file[len(uri) :])}
    images = {file: source for file, source in files.items() if _looks_like_image(file)}
    if not images:
        raise UsageError(f"the folder {uri} holds no images ({len(files)} other files); give another folder")
    return _from_listing(uri, uri, images, tuple(file for file in files if file not in images))


def _read_glob(pattern: str) -> Manifest:
    first_wild = min(pattern.index(character) for character in "*?[" if character in pattern)
    root = storage.parent(pattern[:first_wild])
    files = {file: source for file, source in storage.glob(pattern).items() if not _is_hidden(file[len(root) :])}
    if not files:
        raise UsageError(f"nothing matches {pattern}; quote the pattern if the shell may have changed it")
    return _from_listing(pattern, root, files)


def _from_listing(uri: str, root: str, sources: dict[str, Source], ignored: tuple[str, ...] = ()) -> Manifest:
    rows = tuple(Cells(number, file, "", "") for number, file in enumerate(sources, 1))
    return Manifest(uri, root, root, rows, _no_columns(len(rows)), sources, ignored)


def _read_table(uri: str, suffix: str) -> Manifest:
    data = storage.read(uri)
    try:
        lines, columns = _TABLE_READERS[suffix](data)
    except (UnicodeDecodeError, csv.Error, pa.ArrowException) as error:
        raise UsageError(f"cannot read the manifest {uri}: {error}; is it really {suffix[1:]}?") from error
    if not lines:
        raise UsageError(f"the manifest {uri} holds no rows; there is nothing to do")
    names = {name.strip().lower(): name for name in reversed(list(columns))}
    uri_name = next((names[name] for name in URI_COLUMNS if name in names), None)
    if uri_name is None:
        held = ", ".join(columns) or "none"
        raise UsageError(
            f"the manifest {uri} has no column {URI_COLUMNS[0]!r} (or {', '.join(URI_COLUMNS[1:])}); it has: {held}"
        )
    id_name, scale_name = names.get("id"), names.get("scale")

    def cell(name: str | None, index: int) -> str:
        value = columns[name][index] if name is not None else None
        return "" if value is None else str(value).strip()

    rows = tuple(
        Cells(line, cell(uri_name, index), cell(id_name, index), cell(scale_name, index), problem)
        for index, (line, problem) in enumerate(lines)
    )
    carried = {name.strip(): values for name, values in columns.items() if name not in (uri_name, id_name, scale_name)}
    clashes = sorted(set(carried) & set(COLUMNS))
    if clashes:
        raise UsageError(f"the manifest {uri} has columns named like a record's: {', '.join(clashes)}; rename them")
    table = pa.table({name: _column(values) for name, values in carried.items()}) if carried else _no_columns(len(rows))
    return Manifest(uri, storage.parent(uri), "", rows, table, {})


Lines = list[tuple[int, str]]
"""Of every row its line number and what is wrong with it ("" for nothing)."""

Columns = dict[str, Sequence[Any]]


def _read_csv(data: bytes) -> tuple[Lines, Columns]:
    """Every cell stays the text it is: a csv has no types, and 007 must stay 007."""
    reader = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
    try:
        return _csv_rows(reader)
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num}: {error}") from error


def _csv_rows(reader: "_csv.Reader") -> tuple[Lines, Columns]:
    header = next(reader, [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise csv.Error(f"more than one column is named {', '.join(twice)}")
    lines: Lines = []
    table: list[Sequence[str]] = []
    line = reader.line_num + 1
    for cells in reader:
        first_line, line = line, reader.line_num + 1  # a quoted cell may go over several lines
        if not cells:
            continue  # a blank line holds no row
        fits = len(cells) == len(header)
        lines.append((first_line, "" if fits else f"{len(cells)} cells under {len(header)} columns"))
        table.append(cells if fits else [""] * len(header))
    return lines, {name: [cells[index] for cells in table] for index, name in enumerate(header)}


def _read_jsonl(data: bytes) -> tuple[Lines, Columns]:
    lines: Lines = []
    objects: list[dict[str, Any]] = []
    for number, text in enumerate(data.decode("utf-8-sig").split("\n"), 1):
        if not text.strip():
            continue
        problem, value = "", {}
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:  # numbers too long and lists too deep are neither
            problem = f"not JSON that can be read ({error})"
        if not isinstance(value, dict):
            problem, value = "not a JSON object", {}
        lines.append((number, problem))
        objects.append(value)
    names = dict.fromkeys(name for value in objects for name in value)
    return lines, {name: [value.get(name) for value in objects] for name in names}


def _read_txt(data: bytes) -> tuple[Lines, Columns]:
    """A uri a line; blank lines and lines that begin with # are no rows."""
    numbered = enumerate(data.decode("utf-8-sig").splitlines(), 1)
    taken = [(number, text) for number, text in numbered if text.strip() and not text.startswith("#")]
    return [(number, "") for number, _ in taken], {"uri": [text for _, text in taken]}


def _read_parquet(data: bytes) -> tuple[Lines, Columns]:
    table = pq.read_table(pa.BufferReader(data))
    return [(number, "") for number in range(1, len(table) + 1)], {
        name: _ParquetColumn(table[name]) for name in table.column_names
    }


class _ParquetColumn(Sequence[Any]):
    """A column that keeps its Arrow type when it is carried, and gives Python values when it is read."""

    def __init__(self, values: pa.ChunkedArray) -> None:
        self.values = values.combine_chunks()

    def __getitem__(self, index: Any) -> Any:
        return self.values[index].as_py()

    def __len__(self) -> int:
        return len(self.values)


_TABLE_READERS = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".txt": _read_txt,
}


def _column(values: Iterable[Any]) -> pa.Array:
    if isinstance(values, _ParquetColumn):
        return values.values
    values = list(values)
    if any(isinstance(value, dict | list) for value in values):
        return pa.array([None if value is None else cell_text(value) for value in values])
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # jsonl cells that no one type can hold
        return pa.array([None if value is None else cell_text(value) for value in values])


def _no_columns(rows: int) -> pa.Table:
    return pa.table({"row": pa.nulls(rows)}).select([])


def _is_hidden(relative: str) -> bool:
    return any(part.startswith(".") for part in relative.split("/"))


def _looks_like_image(uri: str) -> bool:
    return os.path.splitext(uri)[1].lower() in IMAGE_SUFFIXES
