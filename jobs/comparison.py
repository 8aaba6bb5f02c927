"""The output of `srpipe compare`."""

import math

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.compare import Comparison
from sr_ops.settings import Method

from .amounts import counted
from .encoding import visible

_WIDTH = 100

_BICUBIC = "bicubic: interpolation and the data step; the bicubic of srpipe eval is interpolation alone"


def as_text(comparison: Comparison) -> str:
    """Return a line per method, and where the rest is."""
    if not comparison.lines:
        return "no method is finished yet, so there is no table"
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("method", no_wrap=True)
    for name in ("done", "degraded", "failed", "PSNR dB", "SSIM", "consistency", "s an image", "MB a worker"):
        table.add_column(name, no_wrap=True, justify="right")
    for line in comparison.lines:
        table.add_row(
            Text(line.name),
            str(line.done),
            str(line.degraded),
            str(line.failed),
            _figure(line.psnr_y, 2),
            _figure(line.ssim_y, 4),
            _figure(line.consistency_mae, 3),
            _figure(line.seconds, 2),
            str(round(line.peak_memory_bytes / 2**20)),
        )
    console = Console(width=_WIDTH, highlight=False)
    with console.capture() as printed:
        console.print(table)
    folder = comparison.table.rpartition("/")[0]
    sheets = f"; contact sheets: {folder}/sheets" if comparison.sheets else ""
    return "\n".join(
        [
            *(line.rstrip() for line in printed.get().splitlines()),
            *map(visible, comparison.problems),
            *([_BICUBIC] if any(line.name == Method.BICUBIC for line in comparison.lines) else []),
            _counts(comparison),
            "consistency: mean of |result shrunk again - input|, in the units of the files",
            f"table: {comparison.table}{sheets}",
        ]
    )


def _counts(comparison: Comparison) -> str:
    """Say what the means are over."""
    scored = f"; PSNR: over {counted(comparison.scored, 'image')}" if comparison.scored else ""
    return f"means: over {counted(comparison.compared, 'image')} that all methods finished{scored}"


def _figure(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
