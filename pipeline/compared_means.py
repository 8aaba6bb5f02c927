"""The means of compared methods, over the same images."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from .output.status import WRITTEN, Status

_MEANS = ("psnr_y", "ssim_y", "consistency_mae", "total_s")
"""Columns of which the table has means."""

_COUNTED = ["key", "status", "peak_memory_bytes", *_MEANS]


@dataclass(frozen=True)
class Line:
    """The figures of one method.

    Means are over the images for which every method has the figure. A method that has it for no image does not count
    for this, and its mean is nan.
    """

    name: str
    done: int
    degraded: int
    """Written, but over a limit that the user set."""
    failed: int
    psnr_y: float
    """In dB."""
    ssim_y: float
    consistency_mae: float
    """In native units."""
    seconds: float
    """Per image."""
    peak_memory_bytes: int
    """The most of any worker."""


def means(tables: Mapping[str, pa.Table]) -> tuple[tuple[Line, ...], dict[str, int]]:
    """Return the line of each method, and how many images the means are over, by column."""
    common = {figure: _common(tables.values(), figure) for figure in _MEANS}
    lines = tuple(_line(name, table, common) for name, table in tables.items())
    return lines, {figure: len(keys) for figure, keys in common.items()}


def _common(tables: Iterable[pa.Table], figure: str) -> set[str]:
    """Return the keys of written images of which every table has the figure, but for tables that have it of none."""
    having = [{row["key"] for row in _written(table) if row[figure] is not None} for table in tables]
    return set.intersection(*filter(None, having)) if any(having) else set()


def _written(table: pa.Table) -> list[dict[str, Any]]:
    return [row for row in table.select(_COUNTED).to_pylist() if row["status"] in WRITTEN]


def _line(name: str, table: pa.Table, common: Mapping[str, Set[str]]) -> Line:
    """`common` has the keys that the means are over, by column."""
    numbers = Counter(table["status"].to_pylist())
    written = _written(table)
    means = {figure: _mean([row for row in written if row["key"] in keys], figure) for figure, keys in common.items()}
    return Line(
        name=name,
        done=numbers[Status.DONE],
        degraded=numbers[Status.DEGRADED],
        failed=numbers[Status.FAILED],
        psnr_y=means["psnr_y"],
        ssim_y=means["ssim_y"],
        consistency_mae=means["consistency_mae"],
        seconds=means["total_s"],
        peak_memory_bytes=max((row["peak_memory_bytes"] or 0 for row in written), default=0),
    )


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    values = [row[column] for row in rows if row[column] is not None]
    return sum(values) / len(values) if values else math.nan
