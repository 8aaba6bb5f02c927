"""The output of `srpipe plan` for people."""

import sys
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from pipeline.forecast.forecast import Forecast

from .amounts import counted, duration
from .console import Console
from .encoding import visible

_SHOWN = 10
"""Most problems printed; the JSON has all, up to a limit."""


def print_forecast(told: Forecast) -> None:
    """Print the forecast as a table, then what would fail, and remarks."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column()
    for name, value in (*_asked(told), *_images(told), *_cost(told)):
        table.add_row(name, Text(value))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for problem in told.problems[:_SHOWN]:
        name = problem.key or problem.uri
        line = f"would fail: line {problem.line}{', ' if name else ''}{name}: {problem.message}"
        console.print(visible(line), markup=False, soft_wrap=True)
    if told.failing > _SHOWN:
        console.print(f"{told.failing - _SHOWN} more would fail; --json and --save list the first thousand")
    for note in told.cost.notes:
        console.print(visible(f"note: {note}"), markup=False, soft_wrap=True)


def _asked(told: Forecast) -> Iterator[tuple[str, str]]:
    counts = told.counts
    yield "manifest", f"{told.manifest}, {counted(counts.rows, 'row')}"
    yield "output", told.output
    others = {
        "already done": counts.already_done,
        "repeat another row": counts.duplicates,
        "beyond --limit": counts.skipped,
        "bad rows": counts.bad_rows,
    }
    yield "to do", ", ".join([f"{counts.to_do:,}", *(f"{count:,} {what}" for what, count in others.items() if count)])
    if counts.collisions:
        yield "collisions", f"{counts.collisions:,} of the bad rows claim the key or the place of another"


def _images(told: Forecast) -> Iterator[tuple[str, str]]:
    if not told.headers_read:
        return
    drawn = f" of {told.counts.to_do:,}, a random sample: the next lines count these, totals are estimated from them"
    yield "headers read", f"{told.headers_read:,}{drawn if told.sampled else ''}"
    kinds = told.kinds
    named = {
        "format": kinds.formats,
        "size": kinds.megapixels,
        "bands": {f"{bands}:": count for bands, count in kinds.bands.items()},
        "samples": kinds.dtypes,
        "results": kinds.results,
        "would fail": told.refused,
    }
    for name, counts in named.items():
        if counts:
            of_all = f", about {_of_all(told):,} of all" if name == "would fail" and told.sampled else ""
            yield name, ", ".join(f"{what} {count:,}" for what, count in counts.items()) + of_all


def _of_all(told: Forecast) -> int:
    """Images that would fail by their headers, estimated from the sample."""
    return round(sum(told.refused.values()) * told.counts.to_do / told.headers_read)


def _cost(told: Forecast) -> Iterator[tuple[str, str]]:
    if not told.headers_read:
        return
    cost = told.cost
    by = (
        f"measured on {counted(cost.measured, 'image')} in {cost.measuring_seconds:.0f} s"
        if cost.measured
        else "by known rates"
    )
    if cost.seconds is not None and cost.work_seconds is not None:
        yield "time", f"{duration(cost.seconds)}, {by}"
        yield "work", f"{duration(cost.work_seconds)} of one {'GPU' if cost.device == 'cuda' else 'CPU'} worker"
    else:
        yield "time", "not known"
    yield "workers", f"{cost.workers} ({cost.workers_why})"
    yield "memory", f"{_size(cost.worker_memory)} a worker"
    megapixels = f"{told.megapixels:,.1f} Mpixel become {told.result_megapixels:,.1f}"
    yield "written", f"{_size(cost.output_bytes)}, of {_size(told.input_bytes)} read; {megapixels}"
    if told.price is not None:
        yield "price", f"{told.price:,.2f}"


def _size(number: float) -> str:
    for unit, bytes_ in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= bytes_:
            return f"{number / bytes_:.3g} {unit}"
    return f"{number / 1e3:.3g} kB"
