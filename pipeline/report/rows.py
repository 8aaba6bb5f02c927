"""The records of a run as the page holds them, packed by column."""

import base64
import gzip
import json
from collections.abc import Set
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa

from ..output.mixed_columns import cell_text
from ..output.status import Status
from .measures import SHOWN, of_done

HELD = 20_000
"""Most records in a page; those that it links to come first, then those of failed images."""

_DIGITS = 6

_LARGEST_WHOLE = 2**53
"""Largest integer that a browser's numbers hold."""


def held_rows(table: pa.Table, linked: Set[int]) -> list[int]:
    """Return the rows of the table for the page, in order: all, or some of them.

    Args:
        linked: rows that the page links to. They are always held; failures and an even sample of the others fill it up.
    """
    if len(table) <= HELD:
        return list(range(len(table)))
    fine = np.array([status not in (Status.FAILED, Status.DEGRADED) for status in table["status"].to_pylist()])
    left = np.ones(len(table), bool)
    left[list(linked)] = False
    room = max(0, HELD - len(linked))
    bad, good = np.flatnonzero(~fine & left), np.flatnonzero(fine & left)
    bad = bad[: min(room, max(HELD // 2, room - len(good)))]
    spread = np.linspace(0, len(good) - 1, min(len(good), room - len(bad))).astype(int)
    return sorted(int(row) for row in (*linked, *bad, *good[spread]))


def pack(table: pa.Table, rows: list[int]) -> str:
    """Return the gzipped JSON {"count": n, "rows": [...], "columns": {name: values or {"all": value}}} in base64.

    Columns without any value are left out; a constant column has its value once. The report's measures are columns
    whose names begin with a dot.
    """
    columns: dict[str, Any] = {}
    for measure in SHOWN:
        columns[f".{measure.name}"] = [_plain(float(value)) for value in of_done(measure, table)[rows]]
    taken = table.take(pa.array(rows, pa.int64()))
    for name in taken.column_names:
        columns.setdefault(name, [_plain(value) for value in taken[name].to_pylist()])
    packed = {
        name: {"all": values[0]} if all(value == values[0] for value in values) else values
        for name, values in columns.items()
        if any(value is not None for value in values)
    }
    plain = json.dumps({"count": len(rows), "rows": rows, "columns": packed}, separators=(",", ":"))
    return base64.b64encode(gzip.compress(plain.encode(), 6, mtime=0)).decode()


def _plain(value: object) -> object:
    """Return a cell for people: numbers with the digits that matter, times to the second in their zone, NaN as None."""
    if isinstance(value, float):
        return None if value != value else float(f"{value:.{_DIGITS}g}") if abs(value) < 1e300 else str(value)
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S %Z}".rstrip()
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, int) and abs(value) > _LARGEST_WHOLE:
        return str(value)
    if value is None or isinstance(value, str | int):
        return value
    return cell_text(value)
