"""Concatenation of the tables of several runs, even if a user's column has different types."""

import json
from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc


def concatenated(tables: list[pa.Table]) -> pa.Table:
    """Return one table with all columns; a column without a type that holds all of its cells becomes text.

    So does one with times that Python has not, such as those beyond the year 9999.

    Args:
        tables: at least one.
    """
    tables = [_readable(table) for table in tables]
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        if not _have_a_type([table.select([name]) for table in tables if name in table.column_names]):
            tables = [_as_text(table, name) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive")


def without_views(column: pa.Array) -> pa.Array:
    """Return a column whose views of text and bytes are text and bytes: Arrow cannot take rows from views."""
    plain = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    kind = _changed(column.type, lambda kind: plain.get(kind, kind))
    return column if kind == column.type else column.cast(kind)


def _have_a_type(columns: list[pa.Table]) -> bool:
    """Return whether one type holds all cells of these tables of one column: none holds 2**60 + 1 and 0.5."""
    try:
        common = pa.unify_schemas([column.schema for column in columns], promote_options="permissive")
        for column in columns:
            if column.schema != common:
                column.cast(common)
    except (pa.ArrowTypeError, pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _readable(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if not _is_readable(table[field.name]):
            table = table.set_column(place, field.name, _times_as_text(table[field.name]))
    return table


def _is_readable(column: pa.ChunkedArray) -> bool:
    """Return whether Python has all values of a column; of dates and plain times the first and the last tell."""
    kind = column.type
    try:
        # Without pandas, not all of ns can be read; Arrow has no least of durations.
        if pa.types.is_nested(kind) or pa.types.is_duration(kind) or getattr(kind, "unit", "") == "ns":
            column.to_pylist()
        elif pa.types.is_temporal(kind):
            pc.min_max(column).as_py()
    except (OverflowError, ValueError):  # pyarrow's own are ValueErrors, too
        return False
    return True


def _times_as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column with its times as text, those with a zone in UTC, whose zone Arrow need not know."""
    in_utc = _changed(column.type, lambda kind: pa.timestamp(kind.unit, "UTC") if getattr(kind, "tz", None) else kind)
    return column.cast(in_utc).cast(_changed(in_utc, lambda kind: pa.string() if pa.types.is_temporal(kind) else kind))


def _changed(kind: pa.DataType, change: Callable[[pa.DataType], pa.DataType]) -> pa.DataType:
    """Return a type in which every type that holds no others is changed."""
    if pa.types.is_list(kind):
        return pa.list_(_changed(kind.value_type, change))
    if pa.types.is_large_list(kind):
        return pa.large_list(_changed(kind.value_type, change))
    if pa.types.is_fixed_size_list(kind):
        return pa.list_(_changed(kind.value_type, change), kind.list_size)
    if pa.types.is_map(kind):
        return pa.map_(_changed(kind.key_type, change), _changed(kind.item_type, change))
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_changed(field.type, change)) for field in kind])
    return change(kind)


def _as_text(table: pa.Table, name: str) -> pa.Table:
    if name not in table.column_names:
        return table
    cells = (
        None if cell is None else cell if isinstance(cell, str) else cell_text(cell) for cell in table[name].to_pylist()
    )
    return table.set_column(table.column_names.index(name), name, pa.array(cells, pa.string()))


def cell_text(cell: object) -> str:
    """Return a user's cell as JSON, for columns with mixed types."""
    return json.dumps(cell, default=str)
