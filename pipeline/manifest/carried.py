"""The columns of a manifest that srpipe only carries along."""

from collections.abc import Iterable, Iterator, Mapping

import pyarrow as pa

from .. import storage
from ..errors import UsageError
from ..output.mixed_columns import cell_text, concatenated, without_views
from ..output.record import COLUMNS
from .table import Column, as_text, printable

PREFIX = "manifest_"
"""Under which a user's column is carried that is named like one of a record."""

REFERENCE = "reference"
"""The user's column that `srpipe eval` reads."""


def carried(columns: Mapping[str, Column], rows: int, folder: str) -> pa.Table:
    """Return the user's columns, of so many rows, under the names that they have in records.

    A name that a record's own column has, in upper or lower case, gets PREFIX. Cells of the column `reference` become
    absolute uris, since records outlive the manifest; text that is no uri is kept.

    Args:
        folder: what relative references are relative to.
    """
    taken = {*COLUMNS, REFERENCE, *(name.strip().lower() for name in columns)}
    reference = reference_among(columns)
    table: dict[str, pa.Array] = {}
    for name, values in columns.items():
        plain = printable(name.strip())
        if name == reference:
            table[REFERENCE] = _column(_references(values, folder))
            continue
        if plain.lower() in (*COLUMNS, REFERENCE) or plain != name.strip():
            while plain.lower() in taken:
                plain = PREFIX + plain
            taken.add(plain.lower())
        table[plain] = _column(values)
    return pa.table(table) if table else pa.table({"row": pa.nulls(rows)}).select([])


def references_in(columns: pa.Table) -> Iterator[str]:
    """Yield the references among the user's columns, "" where a row has none."""
    if REFERENCE in columns.column_names:
        yield from (cell or "" for cell in columns[REFERENCE].to_pylist())


def reference_among(names: Iterable[str]) -> str | None:
    """Return the name of the column that is carried as REFERENCE."""
    references = [name for name in names if name.strip().lower() == REFERENCE]
    return min(references, key=lambda name: name.strip() != REFERENCE, default=None)


def _references(values: Column, folder: str) -> list[str | None]:
    cells = concatenated([pa.table({"": values})])[""].to_pylist() if isinstance(values, pa.Array) else values
    return [_absolute(printable(text), folder) if text else None for text in map(as_text, cells)]


def _absolute(uri: str, folder: str) -> str:
    try:
        return storage.absolute(uri, folder)
    except UsageError:  # eval tells it of the row, if it cannot be read without its secret
        return storage.uri_without_secrets(uri)


def _column(values: Column) -> pa.Array:
    if isinstance(values, pa.Array):
        return without_views(values)
    if any(isinstance(value, dict | list) for value in values):
        return pa.array([None if value is None else cell_text(value) for value in values])
    try:
        return pa.array(values)
    except (pa.ArrowException, OverflowError, UnicodeEncodeError):  # jsonl cells that no one type can hold
        return pa.array([None if value is None else cell_text(value) for value in values])
