"""A table's file to its rows, one after the other."""

from collections.abc import Container, Iterator, Sequence

import pyarrow.parquet as pq

from .table import Column, Table, TableRow
from .text_tables import CsvTable, JsonlTable, TextTable, TxtTable

_READ_BYTES = 1 << 20
"""Of a column of a Parquet file at a time."""

_BATCH_ROWS = 4096


def open_table(uri: str, suffix: str, path: str, uri_columns: Container[str]) -> Table:
    """The table in a file.

    Args:
        uri: what it is called in sentences.
        suffix: one of SUFFIXES.
        path: of a local file with its bytes.
        uri_columns: the names, in small letters, that tell a table's first line from that of another separator.

    Raises:
        UsageError: it is not what the suffix says, or in no encoding that is known.
    """
    if suffix == ".parquet":
        return _Parquet(uri, suffix, path)
    if suffix == ".csv":
        return CsvTable(uri, suffix, path, uri_columns)
    return _TEXTS[suffix](uri, suffix, path)


class _Parquet(Table):
    """Its columns keep their types when they are carried."""

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
"""What the name of a table ends with."""
