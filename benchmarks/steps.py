"""`make bench-steps DATA=FOLDER`: what steps buy from scratch, from the shipped prior, from a collection's.

DATA as for benchmarks/quality.py. Writes docs/steps.png beside the section in docs/results.md.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from matplotlib.figure import Figure

from .collection import train_prior
from .parts import Part, measure
from .quality import OUT, PUBLISHED, Case, find_cases, mean, run_and_score
from .results import RESULTS, table

PLOT = RESULTS.with_name("steps.png")

STEPS = (0, 10, 20, 50, 100, 200, 500, 1500)

SCALE = 2

COLLECTION_STEPS = 2000
COLLECTION_CROP = 32

LOWEST_SHOWN = 36.0
"""In dB: the scratch curve comes from 4 dB below the others, which differ by tenths."""

LINEAR_STEPS = 10
"""Up to here the axis of the plot is linear, so that it has a 0; beyond, logarithmic."""


@dataclass(frozen=True)
class Start:
    """Something that fits start from."""

    name: str
    prior: str
    """As `--prior` names it."""


@dataclass(frozen=True)
class Point:
    """What so many steps gave, over the images of the set."""

    psnr: float
    """Mean Y-PSNR in dB."""
    fit_s: float
    """Mean seconds of the fit of one image."""


def fitted(start: Start, steps: int, cases: list[Case]) -> Point:
    """One run of all cases; without the no-harm rule, which would give bicubic for what few steps from scratch make."""
    name = f"steps-{start.name.replace(' ', '-')}-{steps}"
    scores = run_and_score(name, cases, "--prior", start.prior, "--steps", str(steps), "--method", "zssr")
    records = pq.read_table(OUT / name / "manifest.parquet", columns=["key", "fit_s"]).to_pylist()
    seconds = {record["key"]: record["fit_s"] for record in records}
    return Point(mean([scores[case.id]["psnr_y"] for case in cases]), mean([seconds[case.id] for case in cases]))


def steps_table(curves: dict[str, list[Point]]) -> str:
    """A row for each number of steps, the best PSNR of a row in bold."""
    rows = []
    for index, steps in enumerate(STEPS):
        points = [curve[index] for curve in curves.values()]
        best = max(point.psnr for point in points)
        cells = [(f"**{point.psnr:.2f}**" if point.psnr == best else f"{point.psnr:.2f}") for point in points]
        seconds = [f"{point.fit_s:.2f}" for point in points]
        rows.append([str(steps), *(cell for pair in zip(cells, seconds, strict=True) for cell in pair)])
    return table(["steps", *(cell for name in curves for cell in (f"{name}, dB", "fit s"))], rows)


def plot(curves: dict[str, list[Point]], path: Path) -> None:
    """PSNR over steps, each curve named at its end, published figures as thin lines."""
    figure = Figure(figsize=(7.5, 4.5), dpi=150, layout="constrained")  # no pyplot: there may be no display
    axes = figure.subplots()
    highest = LOWEST_SHOWN
    for (name, curve), colour in zip(curves.items(), ("tab:gray", "tab:blue", "tab:green"), strict=True):
        levels = [point.psnr for point in curve]
        axes.plot(STEPS, levels, marker="o", markersize=4, color=colour, label=name)
        highest = max(highest, *levels)
    for name in ("VDSR", "ZSSR (paper)"):
        level = PUBLISHED["set5"][name][SCALE - 2]
        highest = max(highest, level)
        axes.axhline(level, linewidth=0.7, linestyle="--", color="black")
        axes.text(1.01, level, f"{name} {level:.2f}", transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    axes.set_xscale("symlog", linthresh=LINEAR_STEPS, linscale=0.5)
    axes.set_xlim(-1, STEPS[-1] * 1.2)
    axes.set_xticks(STEPS, [str(steps) for steps in STEPS])
    axes.minorticks_off()
    axes.set_ylim(LOWEST_SHOWN, highest + 0.1)
    axes.set_xlabel("optimiser steps per image")
    axes.set_ylabel(f"Set5 x{SCALE}, mean Y-PSNR in dB")
    axes.legend(title="fits start", loc="lower left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def compare(data: Path) -> Part:
    """Fit from every start by every number of steps, draw the plot, and tell what came of it."""
    collection = [case for case in find_cases(data) if case.scale == SCALE]
    cases = [case for case in collection if case.set == "set5"]
    options = ("--scales", str(SCALE), "--steps", str(COLLECTION_STEPS), "--crop", str(COLLECTION_CROP))
    started = time.monotonic()
    prior, trained = train_prior("steps-collection", [case.lr for case in collection], *options)
    training_s = time.monotonic() - started
    starts = (Start("from scratch", "none"), Start("shipped prior", "shipped"), Start("collection prior", str(prior)))
    curves = {start.name: [fitted(start, steps, cases) for steps in STEPS] for start in starts}
    plot(curves, PLOT)
    return Part(f"""## Optimiser steps

The table has the mean Y-PSNR of `srpipe run` on Set5 x{SCALE} against the optimiser steps of a fit. Beside it are the
mean seconds of a fit in one worker of one thread, with all cores at work. The runs have `--method zssr`; learning
rate, ensemble, back-projection and all else are the default.

- *From scratch*: `--prior none`. 0 steps are bicubic and back-projection.
- *Shipped prior*: no Set5 or Set14 image is among those it was trained on (docs/prior.md).
- *Collection prior*: the shipped prior, trained for {COLLECTION_STEPS} more steps with crops of {COLLECTION_CROP} by
  `srpipe prior` in {training_s:.0f} s on {trained["images"]} images: the LR x{SCALE} files of Set5 and Set14. The
  tested LR images are among them, because your collection, too, holds the very images to be enlarged. No HR image was
  used.
  {_left_out(trained)}

{steps_table(curves)}

![PSNR against optimiser steps]({PLOT.name})

*The axis is linear up to {LINEAR_STEPS} steps and logarithmic beyond; below {LOWEST_SHOWN:.0f} dB see the table.*
""")


def _left_out(trained: dict[str, Any]) -> str:
    reasons = "; ".join(f"{Path(uri).name}: {reason}" for uri, reason in trained["left_out"])
    return f"Left out: {reasons}." if reasons else "None was left out."


if __name__ == "__main__":
    measure("make bench-steps DATA=...", "steps", {"": lambda: compare(Path(sys.argv[1]))})
