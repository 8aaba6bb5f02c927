"""Tables for people, on stdout."""

import math
import sys
from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from pipeline.evaluate import Score

from .amounts import counted
from .console import Console
from .encoding import visible


def print_scores(scores: Sequence[Score]) -> None:
    """Print one line per image: its time, its likeness to the truth, and its consistency with the input."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("image")  # the only one that gets narrower where the terminal is
    table.add_column("status", no_wrap=True)
    for name in ("x", "s", "PSNR", "bicubic", "gain", "SSIM", "mean", "max"):
        table.add_column(name, no_wrap=True, justify="right")
    for score in scores:
        key = Text(visible(score.key), no_wrap=True, overflow="ellipsis")
        table.add_row(key, score.status, *([] if score.problem else _figures(score)))
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for score in scores:
        if score.problem:
            console.print(visible(f"{score.key}: {score.problem}"), markup=False, soft_wrap=True)
    if good := [score for score in scores if not score.problem]:
        console.print(_means(good))
    console.print("bicubic: interpolation alone; the method bicubic of run and compare is followed by the data step")
    console.print("mean, max: of |result shrunk again - input| in the units of the files, the consistency error")


def _means(scores: Sequence[Score]) -> str:
    """Return the means over images that neither the result nor bicubic hits exactly, where PSNR is infinite."""
    pairs = [(score.psnr_y, score.bicubic_psnr_y) for score in scores]
    finite = [pair for pair in pairs if all(map(math.isfinite, pair))]
    exact = len(pairs) - len(finite)
    told = f"{counted(exact, 'image')} exact, by the result or by bicubic" if exact else ""
    if not finite:
        return told
    psnr, bicubic = (sum(values) / len(finite) for values in zip(*finite, strict=True))
    return f"mean of {len(finite)}: {psnr:.2f} dB, bicubic {bicubic:.2f} dB{told and f'; not in it: {told}'}"


def _figures(score: Score) -> tuple[str, ...]:
    gain = score.psnr_y - score.bicubic_psnr_y
    return (
        f"{score.scale:.4g}",
        f"{score.seconds:.1f}",
        _decibels(score.psnr_y),
        _decibels(score.bicubic_psnr_y),
        f"{gain:+.2f}" if math.isfinite(gain) else "-",
        "-" if math.isnan(score.ssim_y) else f"{score.ssim_y:.4f}",
        f"{score.consistency_mae:.2f}",
        f"{score.consistency_max:.2f}",
    )


def _decibels(psnr: float) -> str:
    return "exact" if math.isinf(psnr) else f"{psnr:.2f}"
