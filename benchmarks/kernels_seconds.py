"""`make bench-x4-seconds DATA=FOLDER`: seconds of x4 of 512 x 512, beside those of an earlier revision in one run.

Both by default settings, in one worker of one thread, in turn; each in a process of its own, so that both pay what a
first image does. DATA holds kodak/. Exit code 1 when it takes more than a quarter.
"""

import sys
import tempfile
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq
from PIL import Image

from .parts import Part, exit_code, measure
from .results import table
from .same_pixels import checkout
from .srpipe_process import REPOSITORY, srpipe_of

BEFORE = "ac389d8"
"""The last one whose networks knew bicubic alone, and went to x4 by two stages."""
ASKED = 0.25
REPETITIONS = 3
SIDE = 512


def compare(data: Path) -> Part:
    """Enlarge by both revisions in turn, and tell what came of it."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        image = work / "lr.png"
        with Image.open(data / "kodak" / "kodim01.png") as photograph:
            photograph.crop((0, 0, SIDE, SIDE)).save(image)
        before = checkout(BEFORE, work / "before")
        pairs = [
            (seconds(before, image, work / f"before-{turn}"), seconds(REPOSITORY, image, work / f"now-{turn}"))
            for turn in range(REPETITIONS)
        ]
    return section(pairs)


def seconds(source: Path, image: Path, out: Path) -> float:
    """Of one image, as its record tells, by the sources in a folder."""
    options = ("--scale", "4", "--executor", "inline", "--threads-per-worker", "1", "--device", "cpu", "--json")
    srpipe_of(source, "run", image, "-o", out, *options)
    (taken,) = pq.read_table(out / "manifest.parquet", columns=["total_s"])["total_s"].to_pylist()
    return float(taken)


def section(pairs: list[tuple[float, float]]) -> Part:
    """What is to be said of (before, now)."""
    ratios = [now / before for before, now in pairs]
    rows = [
        [str(turn), f"{before:.1f}", f"{now:.1f}", f"{ratio:.3f}"]
        for turn, ((before, now), ratio) in enumerate(zip(pairs, ratios, strict=True), 1)
    ]
    part = Part(f"""## Seconds of x4, now and before

A photograph of {SIDE} x {SIDE} pixels was enlarged at x4 by default settings, in one thread, in turn by revision
{BEFORE} and by this one. The seconds are from the records. They do not count the start of a process, and they count
what a first image pays.

{table(["turn", f"{BEFORE}, s", "now, s", "ratio"], rows)}

The median of the ratios is **{median(ratios):.3f}**.""")
    if median(ratios) > ASKED:
        part.missed.append(f"x4 takes {median(ratios):.3f} of what it took, at most {ASKED} asked")
    return part


if __name__ == "__main__":
    parts = {"": lambda: compare(Path(sys.argv[1]))}
    sys.exit(exit_code(measure("make bench-x4-seconds DATA=...", "kernels-seconds", parts)))
