"""Concatenation of the tables of several runs, even if a user's column has different types."""

import json

import pyarrow as pa


def concatenated(tables: list[pa.Table]) -> pa.Table:
    """Return one table with all columns; a column without a type that holds all of its cells becomes text.

    Args:
        tables: at least one.
    """
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        if not _have_a_type([table.select([name]) for table in tables if name in table.column_names]):
            tables = [_as_text(table, name) for table in tables]
    return pa.concat_tables(tables, promote_options="permissive")


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
