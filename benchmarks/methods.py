"""`make bench-methods DATA=FOLDER`: every method and every network side by side, by the whole command line.

DATA holds set5/ and set14/. Parts, a section of docs/methods.md each: a set at a scale, made small by bicubic and by a
Gaussian of variance 2, and Set5 with noise. Each method's line is written as soon as the method is measured, and leaves
the others as they are. After a call that was stopped, name what is left with --parts and --methods. Networks take
hours: --workers 2 does two images at once, and each line says so. Draws bench-out/methods.png. Exit code 1 when a bar
is missed.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from torch import Tensor

from pipeline.contact_sheet import Cell, enlarged, sheet
from sr_ops.registry import METHODS, NETWORKS
from sr_ops.settings import Method

from .kernel_shots import in_file, mzsr_taps, named, shots
from .parts import Part, exit_code, measure
from .pictures import decode
from .quality import OUT, SCALES, Case, find_cases, mean, run_and_score
from .results import METHODS as DOCUMENT
from .results import processor, rows_of, table

HERE = OUT / "methods"
PICTURE = OUT / "methods.png"
"""Not in docs: Set5 has no licence. docs/compare.png shows the demo's own picture."""

WAYS = {
    **{name: ("--method", name) for name in (*METHODS, Method.PRIOR)},
    **{name: ("--method", Method.ZSSR, "--network", name) for name in NETWORKS},
}
"""Options of `srpipe run` by the names of tables: methods, and by theirs networks that are fitted to each image."""

INTERPOLATED = "bicubic, no data step"
BICUBIC, BLURRED = "bicubic", "g2.0"
NOISE = 7.65
"""Grey levels."""

DRAWN, CROP = "butterfly", (slice(24, 48), slice(30, 62))
"""Of Set5 at x4, rows and columns of LR pixels."""
SHOWN_AT = 2
"""Pixels a side for each of a result."""

Scores = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Group:
    """Images of which a table has means: three columns of it."""

    title: str
    cases: tuple[Case, ...]
    told: bool = True
    """Whether its kernel is one for methods that take any; networks from scratch know bicubic alone."""

    def cells(self, scores: Scores, psnr: str = "psnr_y", ssim: str = "ssim_y", seconds: str = "seconds") -> list[str]:
        """The means of these columns; of no column an empty cell."""
        columns = ((psnr, 2), (ssim, 4), (seconds, 1))
        return [
            f"{mean([scores[case.id][name] for case in self.cases]):.{digits}f}" if name else ""
            for name, digits in columns
        ]


@dataclass(frozen=True)
class Bar:
    """A method is to have as many dB as another one, and this many more, on each group."""

    method: str
    beside: str
    more: float


NEAR_THE_CLOSED_FORM = Bar("ibp", "bicubic", -0.05)
"""Back-projection comes to bicubic's data step."""
ABOVE_INTERPOLATION = (
    Bar("selfex", INTERPOLATED, 1.5),
    Bar("srcnn", INTERPOLATED, 1.5),
    Bar("sparse", INTERPOLATED, 1.0),
)
ABOVE_NOISE = (Bar("map-tv", INTERPOLATED, 0.0), Bar("map-tv", "bicubic", 0.0))


@dataclass(frozen=True)
class Table:
    """A section of docs/methods.md: a line for each method."""

    name: str
    title: str
    groups: tuple[Group, ...]
    bars: tuple[Bar, ...] = ()

    def measure(self, method: str, workers: int = 1) -> Part:
        """Run a method on all groups that it takes: its line beside the document's own, and the bars of all lines.

        Args:
            workers: images at once, each by one thread.
        """
        rows = rows_of(f"methods-{self.name}", DOCUMENT)
        taken = [group for group in self.groups if group.told or method not in NETWORKS]
        cases = [case for group in taken for case in group.cases]
        at_once = ("--workers", str(workers)) if workers > 1 else ("--executor", "inline")
        scores = run_and_score(f"methods-{self.name}-{method}", cases, *WAYS[method], *at_once)
        cells = [group.cells(scores) if group in taken else [""] * 3 for group in self.groups]
        rows[method] = [*chain(*cells), processor() + (f", {workers} at once" if workers > 1 else "")]
        if len(taken) == len(self.groups):
            interpolated = [group.cells(scores, "bicubic_psnr_y", "bicubic_ssim_y", "") for group in self.groups]
            rows[INTERPOLATED] = [*chain(*interpolated), ""]
        return self._part(rows)

    def _part(self, rows: dict[str, list[str]]) -> Part:
        header = [f"{group.title} {what}" for group in self.groups for what in ("dB", "SSIM", "s")]
        order = [name for name in (INTERPOLATED, *WAYS) if name in rows]
        part = Part(f"""## {self.title}

Y-PSNR in dB, SSIM, and seconds of an image by one thread; kernel and noise are told.

{table(["method", *header, "seconds of"], [[name, *rows[name]] for name in order])}""")
        for bar in self.bars:
            if {bar.method, bar.beside} <= rows.keys():
                for column, group in enumerate(self.groups):
                    psnr, beside = (rows[name][3 * column] for name in (bar.method, bar.beside))
                    if psnr and beside:
                        what = f"{bar.method} on {self.title}, {group.title}"
                        part.hold(what, float(psnr), float(beside) + bar.more)
        return part


def of_set(name: str, scale: int, data: Path) -> Table:
    """A set at a scale, by MATLAB's bicubic and by a Gaussian, both told."""
    cases = [case for case in find_cases(data) if (case.set, case.scale) == (name, scale)]
    camera = in_file("variance-2", mzsr_taps(), HERE, 0.0)
    blurred = shots(f"{name}-{BLURRED}", [case.hr for case in cases], scale, [camera], HERE / "lr")
    groups = (
        Group(BICUBIC, tuple(replace(case, kernel="bicubic", noise="0") for case in cases)),
        Group(BLURRED, tuple(blurred), told=False),
    )
    own_bars = ABOVE_INTERPOLATION if (name, scale) == ("set5", 2) else ()
    return Table(f"{name}-x{scale}", f"{name.title()} at x{scale}", groups, (NEAR_THE_CLOSED_FORM, *own_bars))


def noisy(data: Path) -> Table:
    """Set5 at x2 with noise that is told."""
    hrs = sorted((data / "set5").glob("*.png"))
    groups = []
    for title, plain in ((BICUBIC, named("bicubic", 2)), (BLURRED, in_file("variance-2", mzsr_taps(), HERE))):
        camera = replace(plain, name=f"{plain.name}-noisy", noise=NOISE, told_noise=f"{NOISE:g}")
        cases = tuple(shots(f"noisy-{title}", hrs, 2, [camera], HERE / "lr"))
        groups.append(Group(title, cases, told=title == BICUBIC))
    title = f"Set5 at x2 with noise of {NOISE:g} grey levels"
    return Table("noisy", title, tuple(groups), (NEAR_THE_CLOSED_FORM, *ABOVE_NOISE))


def draw(data: Path) -> None:
    """bench-out/methods.png: a crop of what each made of one picture, beside the truth."""
    case = next(case for case in find_cases(data) if (case.set, case.scale, case.name) == ("set5", 4, DRAWN))
    made = tuple(slice(4 * part.start, 4 * part.stop) for part in CROP)
    cells = [
        Cell(_large(decode(case.lr.read_bytes())[:, CROP[0], CROP[1]], 4), "input", "each pixel a square"),
        Cell(_large(decode(case.hr.read_bytes())[:, made[0], made[1]]), "reference", "the true image"),
    ]
    for method in WAYS:
        tile = OUT / f"methods-set5-x4-{method}" / "tiles" / case.id / "r0000_c0000.png"
        if tile.exists():
            cells.append(Cell(_large(decode(tile.read_bytes())[:, made[0], made[1]]), method, ""))
    PICTURE.write_bytes(sheet(f"{DRAWN} of Set5 at x4, made small by bicubic", cells))


def _large(pixels: Tensor, times: int = 1) -> Tensor:
    height, width = (SHOWN_AT * times * side for side in pixels.shape[1:])
    return enlarged(pixels, height, width)


TABLES: dict[str, Callable[[Path], Table]] = {
    **{f"{name}-x{scale}": partial(of_set, name, scale) for name in ("set5", "set14") for scale in SCALES},
    "noisy": noisy,
}


def main() -> int:
    """Read the arguments, measure, write docs/methods.md and the picture; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=TABLES, default=[*TABLES], help="do these only")
    parser.add_argument("--methods", nargs="+", choices=WAYS, default=[*WAYS], help="take these only")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="enlarge N images at once")
    options = parser.parse_args()
    missed = {}
    for name in options.parts:
        of_part = TABLES[name](options.data)
        for method in options.methods:
            line = {name: partial(of_part.measure, method, options.workers)}
            missed[name] = measure("make bench-methods DATA=...", "methods", line, timed=False, document=DOCUMENT)
    draw(options.data)
    return exit_code([*chain(*missed.values())])


if __name__ == "__main__":
    sys.exit(main())
