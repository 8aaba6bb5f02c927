"""Open the file of a table, whatever its kind, to read its rows one after the other."""

from collections.abc import Container, Iterator, Sequence

import pyarrow.parquet as pq

from .table import Column, Table, TableRow
from .text_tables import CsvTable, JsonlTable, TextTable, TxtTable

_READ_BYTES = 1 << 20
"""Bytes of a column of a Parquet file that are read at a time."""

_BATCH_ROWS = 4096


def open_table(uri: str, suffix: str, path: str, uri_columns: Container[str]) -> Table:
    """Return the table in a file.

    Args:
        uri: its name in messages.
        suffix: one of SUFFIXES.
        path: of a local file with the table.
        uri_columns: lower-case names of the column of images, by which the separator of a csv is recognised.

    Raises:
        UsageError: the file is not what its suffix says, or its encoding is unknown.
    """
    if suffix == ".parquet":
        return _Parquet(uri, suffix, path)
    if suffix == ".csv":
        return CsvTable(uri, suffix, path, uri_columns)
    return _TEXTS[suffix](uri, suffix, path)


class _Parquet(Table):
    """A Parquet file. Columns that are carried along keep their types."""

    def __init__(self, uri: str, suffix: str, path: str) -> None:
        super().__init__(uri, suffix, path)
        with self.refusing(), pq.ParquetFile(path) as file:
            self.names = tuple(file.schema_arrow.names)
        self.refuse_twins(self.names)

    def _rows(self, names: Sequence[str]) -> Iterator[TableRow]:
        number = 0
        with pq.ParquetFile(self._path, buffer_size=_READ_BYTES) as file:
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(names)):
                columns = [batch.column(name).to_pylist() for name in names]
                for cells in zip(*columns, strict=True):
                    number += 1
                    yield number, "", cells

    def columns(self, names: Sequence[str]) -> dict[str, Column]:
        with self.refusing(), pq.ParquetFile(self._path) as file:
            table = file.read(columns=list(names))
            return {name: table[name].combine_chunks() for name in names}


_TEXTS: dict[str, type[TextTable]] = {".jsonl": JsonlTable, ".ndjson": JsonlTable, ".txt": TxtTable}

SUFFIXES = (".csv", ".parquet", *_TEXTS)
"""Endings of the names of tables."""
