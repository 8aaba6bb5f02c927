"""The bytes of a table to its lines and columns: csv, jsonl, txt and parquet, as people's programs save them."""

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import UsageError

if TYPE_CHECKING:
    import _csv

Lines = list[tuple[int, str]]
"""Of every row its line number and what is wrong with it ("" for nothing)."""

Columns = dict[str, Sequence[Any]]

_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)
"""What a text may begin with to say how it is encoded; of those that begin alike the longer one first."""

_SEPARATORS = ",;\t|"
"""Excel's depends on the country; the first that makes a column for the images is the table's."""

_SEPARATOR_LINE = re.compile(r"sep=([,;\t|])(?:\r\n?|\n)")
"""What Excel takes for no row of the table."""


_OTHERS = {
    b"PK\3\4": "an Excel workbook or other ZIP archive; save it as UTF-8 csv",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as UTF-8 csv",
    b"\x1f\x8b": "a gzip archive; unpack it",
    b"PAR1": "a Parquet table; give it a name that ends in .parquet",
}
"""How files begin that are given as text by mistake."""


class _TwinsError(Exception):
    """The names that more than one column has."""


class ColumnValues(Sequence[Any]):
    """A column that keeps its Arrow type when it is carried, and gives Python values when it is read."""

    def __init__(self, values: pa.ChunkedArray) -> None:
        self.values = values.combine_chunks()

    def __getitem__(self, index: Any) -> Any:
        return self.values[index].as_py()

    def __len__(self) -> int:
        return len(self.values)


def read_table_file(uri: str, suffix: str, data: bytes, uri_columns: Container[str]) -> tuple[Lines, Columns]:
    """Its lines, of which each is a row, and its columns, each with a cell for every line.

    Args:
        suffix: one of SUFFIXES.
        uri_columns: the names, in small letters, that tell a table's first line from that of another separator.

    Raises:
        UsageError: it is not what the suffix says, or in no encoding that is known.
    """
    try:
        if suffix == ".parquet":
            return _read_parquet(data)
        text = _decoded(uri, data)
        return _read_csv(text, uri_columns) if suffix == ".csv" else _TEXT_READERS[suffix](text)
    except _TwinsError as error:
        raise UsageError(f"the manifest {uri} has more than one column named {error}; rename all but one") from error
    except (UnicodeError, csv.Error, pa.ArrowException) as error:
        raise UsageError(f"cannot read the manifest {uri}: {error}; is it really {suffix[1:]}?") from error


def as_text(value: Any) -> str:
    """What a cell says, whatever its type: "" for nothing; whole numbers without a point; bytes as the text they are.

    Tables made by pandas or Spark have 7.0 for 7 where a column has gaps, NaN for a gap, and bytes for text.
    """
    if value is None or value != value:
        return ""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode(errors="surrogateescape").strip()
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value).strip()


def _decoded(uri: str, data: bytes) -> str:
    other = next((what for magic, what in _OTHERS.items() if data.startswith(magic)), None)
    if other:
        raise UsageError(f"cannot read the manifest {uri}: it is {other}")
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding.startswith("utf-8"):
            line = data.count(b"\n", 0, error.start) + 1
            what = f"byte 0x{data[error.start]:02x} in line {line} is not UTF-8"
        else:
            what = f"it begins like {encoding}, but is damaged"
        raise UsageError(f"cannot read the manifest {uri}: {what}; save it as UTF-8") from error
    if "\0" in text[:2]:
        raise UsageError(f"cannot read the manifest {uri}: it is not UTF-8 (every other byte is 0); save it as UTF-8")
    return text


def _read_csv(text: str, uri_columns: Container[str]) -> tuple[Lines, Columns]:
    """Every cell stays the text it is: a csv has no types, and 007 must stay 007."""
    csv.field_size_limit(sys.maxsize)  # the outline of a country is longer than Python's 131,072 characters
    said = _SEPARATOR_LINE.match(text)
    begin = said.end() if said else 0
    separator = said[1] if said else _separator(text, uri_columns)
    reader = csv.reader(io.StringIO(text[begin:], newline=""), strict=True, delimiter=separator)
    skipped = 1 if said else 0
    try:
        return _csv_rows(reader, skipped)
    except csv.Error as error:
        raise csv.Error(f"line {reader.line_num + skipped}: {error}") from error


def _separator(text: str, uri_columns: Container[str]) -> str:
    for separator in _SEPARATORS:
        names = _header(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
        if any(name.strip().lower() in uri_columns for name in names):
            return separator
    return _SEPARATORS[0]


def _header(reader: "_csv.Reader") -> list[str]:
    """The first row with anything in it."""
    return next((cells for cells in reader if any(cell.strip() for cell in cells)), [])


def _csv_rows(reader: "_csv.Reader", skipped: int) -> tuple[Lines, Columns]:
    """Rows and columns with nothing in them are none; cells beyond the columns are none when they are empty."""
    header = _header(reader)
    lines: Lines = []
    table: list[list[str]] = []
    line = reader.line_num + 1
    for cells in reader:
        first_line, line = line, reader.line_num + 1  # a quoted cell may go over several lines
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()
        if not any(cell.strip() for cell in cells):
            continue
        fits = len(cells) == len(header)
        lines.append((first_line + skipped, "" if fits else f"{len(cells)} cells under {len(header)} columns"))
        table.append(cells if fits else [""] * len(header))
    columns: list[tuple[str, list[str]]] = []
    for index, name in enumerate(header):
        values = [cells[index] for cells in table]
        if name.strip():
            columns.append((name, values))
        elif any(value.strip() for value in values):
            columns.append((f"column_{index + 1}", values))
    _refuse_twins([name for name, _ in columns])
    return lines, dict(columns)


def _refuse_twins(names: Sequence[str]) -> None:
    """One of two columns of the same name would be lost."""
    plain = [name.strip() for name in names]
    twice = sorted({name for name in plain if plain.count(name) > 1})
    if twice:
        raise _TwinsError(", ".join(twice))


def _read_jsonl(text: str) -> tuple[Lines, Columns]:
    lines: Lines = []
    objects: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        problem, value = "", {}
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:  # numbers too long and lists too deep are neither
            problem = f"not JSON that can be read ({error})"
        if not isinstance(value, dict):
            problem, value = "not a JSON object", {}
        lines.append((number, problem))
        objects.append(value)
    names = dict.fromkeys(name for value in objects for name in value)
    _refuse_twins(list(names))
    return lines, {name: [value.get(name) for value in objects] for name in names}


def _read_txt(text: str) -> tuple[Lines, Columns]:
    """A uri a line; blank lines and lines that begin with # are no rows."""
    taken = [
        (number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip() and not line.startswith("#")
    ]
    return [(number, "") for number, _ in taken], {"uri": [line for _, line in taken]}


def _read_parquet(data: bytes) -> tuple[Lines, Columns]:
    file = pq.ParquetFile(pa.BufferReader(data))
    _refuse_twins(file.schema_arrow.names)
    table = file.read()
    return [(number, "") for number in range(1, len(table) + 1)], {
        name: ColumnValues(table[name]) for name in table.column_names
    }


_TEXT_READERS = {".jsonl": _read_jsonl, ".ndjson": _read_jsonl, ".txt": _read_txt}

SUFFIXES = (".csv", ".parquet", *_TEXT_READERS)
"""What the name of a table ends with."""
