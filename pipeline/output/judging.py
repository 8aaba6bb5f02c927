"""Checks of written results against the limits that the user set.

A limit changes no pixel, so it is not in the fingerprint, and commits stay valid whatever it is. The driver checks
records as they come, and those of earlier runs again, with the limit of the current run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from ..codec import from_plain
from .record import COLUMNS, Record
from .status import WRITTEN, Status


def judged(record: Record, max_consistency_error: float | None) -> Record:
    """Return the record of a written result as done or degraded, and any other record unchanged."""
    if record.status not in WRITTEN:
        return record
    over = _over(record.consistency_rmse_bands or (), max_consistency_error)
    return replace(record, status=Status.DEGRADED if over else Status.DONE, error_message=over)


def judged_anew(table: pa.Table, max_consistency_error: float | None) -> Iterator[Record]:
    """Yield the records of a table whose verdict changes with this limit."""
    columns = (table["status"].to_pylist(), table["consistency_rmse_bands"].to_pylist())
    for index, (status, rmse_bands) in enumerate(zip(*columns, strict=True)):
        if status not in WRITTEN:
            continue
        over = _over(rmse_bands or (), max_consistency_error)
        if over is not None or status == Status.DEGRADED:
            (row,) = table.slice(index, 1).select(COLUMNS).to_pylist()
            old = from_plain(Record, row)
            new = judged(old, max_consistency_error)
            if new != old:
                yield new


def degraded_keys(table: pa.Table) -> set[str]:
    return set(table.filter(pc.equal(table["status"], Status.DEGRADED.value))["key"].to_pylist())


def _over(rmse_bands: Sequence[float], limit: float | None) -> str | None:
    """Return a sentence about what exceeds the limit; None if nothing does."""
    if limit is None:
        return None
    over = [(number, rmse) for number, rmse in enumerate(rmse_bands, 1) if rmse > limit]
    if not over:
        return None
    number, rmse = max(over, key=lambda band: band[1])
    more = f", and {len(over) - 1} more bands are over it" if len(over) > 1 else ""
    return (
        f"the consistency error of band {number} is {rmse:.4g}, over --max-consistency-error {limit:g}{more}; look"
        " whether --kernel and --noise are right for it, or allow more"
    )
