"""`make bench-methods DATA=FOLDER`: every method and every network side by side, by the whole command line.

DATA holds set5/ and set14/. Parts, a section of docs/methods.md each: a set at a scale, made small by bicubic and by a
Gaussian of variance 2, and Set5 with noise. Methods that are measured alone take their lines in the tables, and leave
the others as they are. Draws bench-out/methods.png. Exit code 1 when a bar is missed.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
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

ALONE = ("--executor", "inline")
"""One image after the other, with all threads of the machine."""

INTERPOLATED = "bicubic, no data step"
BICUBIC, BLURRED = "bicubic", "g2.0"
NOISE = 7.65
"""Grey levels."""

ABOVE_INTERPOLATION = {"selfex": 1.5, "srcnn": 1.5, "sparse": 1.0}
"""dB on Set5 at x2."""
NEAR_THE_CLOSED_FORM = 0.05

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

    def figures(self, scores: Scores) -> list[str]:
        means = [mean([scores[case.id][column] for case in self.cases]) for column in ("psnr_y", "ssim_y", "seconds")]
        return [f"{means[0]:.2f}", f"{means[1]:.4f}", f"{means[2]:.1f}"]

    def psnr(self, scores: Scores, column: str = "psnr_y") -> float:
        return mean([scores[case.id][column] for case in self.cases])

    def interpolated(self, scores: Scores) -> list[str]:
        means = [mean([scores[case.id][f"bicubic_{column}"] for case in self.cases]) for column in ("psnr_y", "ssim_y")]
        return [f"{means[0]:.2f}", f"{means[1]:.4f}", ""]


def of_set(name: str, scale: int, data: Path, methods: Sequence[str]) -> Part:
    """A set at a scale, by MATLAB's bicubic and by a Gaussian, both told."""
    cases = [case for case in find_cases(data) if (case.set, case.scale) == (name, scale)]
    camera = in_file("variance-2", mzsr_taps(), HERE, 0.0)
    blurred = shots(f"{name}-{BLURRED}", [case.hr for case in cases], scale, [camera], HERE / "lr")
    groups = (
        Group(BICUBIC, tuple(replace(case, kernel="bicubic", noise="0") for case in cases)),
        Group(BLURRED, tuple(blurred), told=False),
    )
    part, scores = _table(f"{name}-x{scale}", f"{name.title()} at x{scale}", groups, methods)
    if (name, scale) == ("set5", 2):
        for method in ABOVE_INTERPOLATION.keys() & scores.keys():
            plain = groups[0].psnr(scores[method], "bicubic_psnr_y")
            bar = plain + ABOVE_INTERPOLATION[method]
            part.hold(f"{method} on Set5 x2", groups[0].psnr(scores[method]), bar)
    return part


def noisy(data: Path, methods: Sequence[str]) -> Part:
    """Set5 at x2 with noise that is told."""
    hrs = sorted((data / "set5").glob("*.png"))
    groups = []
    for title, plain in ((BICUBIC, named("bicubic", 2)), (BLURRED, in_file("variance-2", mzsr_taps(), HERE))):
        camera = replace(plain, name=f"{plain.name}-noisy", noise=NOISE, told_noise=f"{NOISE:g}")
        cases = tuple(shots(f"noisy-{title}", hrs, 2, [camera], HERE / "lr"))
        groups.append(Group(title, cases, told=title == BICUBIC))
    part, scores = _table("noisy", f"Set5 at x2 with noise of {NOISE:g} grey levels", tuple(groups), methods)
    for group in groups:
        if {"map-tv", "bicubic"} <= scores.keys():
            for what, column in (("bicubic interpolation", "bicubic_psnr_y"), ("its data step", "psnr_y")):
                bar = group.psnr(scores["bicubic"], column)
                part.hold(f"map-tv beside {what}, {group.title}, noisy", group.psnr(scores["map-tv"]), bar)
    return part


def _table(part: str, title: str, groups: tuple[Group, ...], methods: Sequence[str]) -> tuple[Part, dict[str, Scores]]:
    """Run all methods, each on all groups that it takes; its lines beside those that the document has already."""
    everything, rows = {}, rows_of(f"methods-{part}", DOCUMENT)
    for method in methods:
        taken = [group for group in groups if group.told or method not in NETWORKS]
        cases = [case for group in taken for case in group.cases]
        scores = everything[method] = run_and_score(f"methods-{part}-{method}", cases, *WAYS[method], *ALONE)
        figures = [group.figures(scores) if group in taken else ["", "", ""] for group in groups]
        rows[method] = [*(cell for cells in figures for cell in cells), processor()]
        if len(taken) == len(groups):
            rows[INTERPOLATED] = [*(cell for group in groups for cell in group.interpolated(scores)), ""]
    order = [name for name in (INTERPOLATED, *WAYS) if name in rows]
    header = [f"{group.title} {what}" for group in groups for what in ("dB", "SSIM", "s")]
    header.append("seconds of")
    text = f"""## {title}

Y-PSNR in dB, SSIM and seconds an image, one after the other; kernel and noise are told.

{table(["method", *header], [[name, *rows[name]] for name in order])}"""
    return _with_closed_form(Part(text), title, groups, everything), everything


def _with_closed_form(part: Part, title: str, groups: tuple[Group, ...], everything: dict[str, Scores]) -> Part:
    """Back-projection as near to bicubic's data step, which it comes to, as it is to be."""
    if {"ibp", "bicubic"} <= everything.keys():
        for group in groups:
            bar = group.psnr(everything["bicubic"]) - NEAR_THE_CLOSED_FORM
            part.hold(f"ibp on {title}, {group.title}", group.psnr(everything["ibp"]), bar)
    return part


def draw(data: Path, methods: Sequence[str]) -> None:
    """bench-out/methods.png: a crop of what each made of one picture, beside the truth."""
    case = next(case for case in find_cases(data) if (case.set, case.scale, case.name) == ("set5", 4, DRAWN))
    made = tuple(slice(4 * part.start, 4 * part.stop) for part in CROP)
    cells = [
        Cell(_large(decode(case.lr.read_bytes())[:, CROP[0], CROP[1]], 4), "input", "each pixel a square"),
        Cell(_large(decode(case.hr.read_bytes())[:, made[0], made[1]]), "reference", "the true image"),
    ]
    for method in methods:
        tile = OUT / f"methods-set5-x4-{method}" / "tiles" / case.id / "r0000_c0000.png"
        if tile.exists():
            cells.append(Cell(_large(decode(tile.read_bytes())[:, made[0], made[1]]), method, ""))
    PICTURE.write_bytes(sheet(f"{DRAWN} of Set5 at x4, made small by bicubic", cells))


def _large(pixels: Tensor, times: int = 1) -> Tensor:
    height, width = (SHOWN_AT * times * side for side in pixels.shape[1:])
    return enlarged(pixels, height, width)


PARTS: dict[str, Callable[[Path, Sequence[str]], Part]] = {
    **{f"{name}-x{scale}": partial(of_set, name, scale) for name in ("set5", "set14") for scale in SCALES},
    "noisy": noisy,
}


def main() -> int:
    """Read the arguments, measure, write docs/methods.md and the picture; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.methods", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="do these only")
    parser.add_argument("--methods", nargs="+", choices=WAYS, default=[*WAYS], help="take these only")
    options = parser.parse_args()
    parts = {name: partial(PARTS[name], options.data, options.methods) for name in options.parts}
    all_methods = options.methods == [*WAYS]
    missed = measure("bench-methods", "methods", parts, timed=all_methods, document=DOCUMENT)
    draw(options.data, [*WAYS])
    return exit_code(missed)


if __name__ == "__main__":
    sys.exit(main())
