"""Tables for people, on stdout."""

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.evaluate import Score

from .encoding import visible


def print_scores(scores: Sequence[Score]) -> None:
    """Print one line per image: its time, its likeness to the truth, and its consistency with the input."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("image", no_wrap=True)
    table.add_column("status", no_wrap=True)
    for name in ("x", "s", "PSNR", "bicubic", "gain", "SSIM", "mean", "max"):
        table.add_column(name, no_wrap=True, justify="right")
    for score in scores:
        table.add_row(Text(score.key), score.status, *([] if score.problem else _figures(score)))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    good = [score for score in scores if not score.problem]
    for score in scores:
        if score.problem:
            console.print(visible(f"{score.key}: {score.problem}"), markup=False, soft_wrap=True)
    if good:
        psnr = sum(score.psnr_y for score in good) / len(good)
        bicubic = sum(score.bicubic_psnr_y for score in good) / len(good)
        console.print(f"mean of {len(good)}: {psnr:.2f} dB, bicubic {bicubic:.2f} dB")
    console.print("bicubic: interpolation alone; the method bicubic of run and compare is followed by the data step")
    console.print("mean, max: of |result shrunk again - input| in grey levels, the consistency error")


def _figures(score: Score) -> tuple[str, ...]:
    return (
        f"{score.scale:.4g}",
        f"{score.seconds:.1f}",
        f"{score.psnr_y:.2f}",
        f"{score.bicubic_psnr_y:.2f}",
        f"{score.psnr_y - score.bicubic_psnr_y:+.2f}",
        f"{score.ssim_y:.4f}",
        f"{score.consistency_mae:.2f}",
        f"{score.consistency_max:.2f}",
    )
