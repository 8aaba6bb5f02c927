"""`make bench-kernels DATA=FOLDER`: images of many cameras, by the whole command line.

DATA holds set5/, set14/ and kernels/. Parts, a section of docs/results.md each: MZSR's "g2.0 direct", the twelve
kernels of USRNet's table at x2, x3 and x4, clean bicubic, and what assuming a wrong Gaussian costs. Exit code 1 when a
bar is missed.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from .kernel_shots import Camera, in_file, mean_interpolated, mean_psnr, mzsr_taps, named, run_and_measure, shots
from .parts import Part, exit_code, measure
from .quality import OUT, SCALES, Case, find_cases
from .results import table

HERE = OUT / "kernels"

SET5 = ("baby", "bird", "butterfly", "head", "woman")
THREE = ("bird", "butterfly", "woman")
NOISES = (0.0, 2.55, 7.65)
"""In grey levels: 0, 1 and 3 % of their range."""
SIGMAS = ("0.6", "0.9", "1.2", "1.6", "2.0")
"""HR pixels at x2."""
SETTLED = 0.005
"""dB below which two results are alike: tables have two digits."""

DIRECT = {2: (28.73, 34.90, 35.20, 36.05), 4: (24.74, 27.39, 30.20, 30.50)}
"""Set5, Soh et al. 2020: bicubic, ZSSR, MZSR of 1 step and of 10."""
DIRECT_BARS = {2: 36.3, 4: 30.5}

TWELVE_BARS = {
    # scale, noise: the kernels from the first one on
    (2, 0.0): (35.5, 36.0, 34.7, 32.9, 31.8, 31.0, 31.8, 30.8, 28.0, 28.0, 29.0, 29.0),
    (2, 7.65): (32.5, 31.0, 29.3, 28.0),
}

BEFORE = {("set5", 2): 37.60, ("set5", 3): 33.80, ("set5", 4): 31.50}
BEFORE |= {("set14", 2): 33.06, ("set14", 3): 29.82, ("set14", 4): 28.09}
"""Of revision ac389d8, whose networks knew bicubic alone."""
MAY_LOSE = {2: 0.1, 3: 0.1, 4: 0.0}
"""dB by scale."""


def direct(data: Path, names: Sequence[str]) -> Part:
    """Set5 by the camera of MZSR's table: its own LR files at x2, made here at x4."""
    camera = in_file("variance-2", mzsr_taps(), HERE)
    folder = data / "kernels" / "mzsr_g20"
    pairs = {name: (folder / f"{name}_LR.png", folder / f"{name}_GT.png") for name in names}
    cases = [Case("direct", 2, name, *pair, camera.told) for name, pair in pairs.items()]
    cases += shots("direct", [data / "set5" / f"{name}.png" for name in names], 4, [camera], HERE / "direct")
    runs = {method: run_and_measure(f"kernels-direct-{method}", cases, *METHODS[method]) for method in METHODS}
    part, rows = Part(""), []
    for scale, (_, *others) in DIRECT.items():
        members = [case for case in cases if case.scale == scale]
        ours = {method: mean_psnr(scores, members) for method, scores in runs.items()}
        part.hold(f"g2.0 direct x{scale}", ours["default"], DIRECT_BARS[scale])
        figures = [mean_interpolated(runs["default"], members), *others, *ours.values()]
        rows.append([f"x{scale}", *(f"{figure:.2f}" for figure in figures)])
    header = ["scale", "bicubic", "ZSSR", "MZSR (1)", "MZSR (10)", *METHODS]
    part.text = f"""## Set5 by a Gaussian of variance 2, "g2.0 direct"

The blur is that of MZSR's table (Soh et al. 2020), in its place: it has a variance of 2 HR pixels squared about the
*first* of an LR pixel's HR pixels. It is told as a file. The LR files of x2 are MZSR's own; those of x4 are made here
of Set5. The figures of ZSSR, and of MZSR with 1 and with 10 steps, are published ones. *Base* is `--method bicubic`,
that is bicubic and the data step. *Prior* is `--method prior`, which makes no fit.

{table(header, rows)}"""
    return part


METHODS = {"base": ("--method", "bicubic"), "prior": ("--method", "prior"), "default": ()}


def twelve(scale: int, data: Path, names: Sequence[str]) -> Part:
    """Three pictures by the kernels of USRNet's table, without noise and with it."""
    hrs = [data / "set5" / f"{name}.png" for name in names if name in THREE]
    cameras = _twelve_cameras(data)
    made = {
        noise: [list(shots("twelve", hrs, scale, [camera], HERE / "twelve")) for camera in of_noise]
        for noise, of_noise in cameras.items()
    }
    cases = [case for row in made.values() for cell in row for case in cell]
    ours, base = (
        run_and_measure(f"kernels-twelve-x{scale}-{name}", cases, *METHODS[name]) for name in ("default", "base")
    )
    part, rows, base_rows = Part(""), [], []
    for noise, cells in made.items():
        figures, bars = [mean_psnr(ours, cell) for cell in cells], TWELVE_BARS.get((scale, noise), ())
        rows.append([f"{noise:g}", *(f"{figure:.2f}" for figure in figures)])
        base_rows.append([f"{noise:g}", *(f"{mean_psnr(base, cell):.2f}" for cell in cells)])
        for number, (figure, bar) in enumerate(zip(figures, bars, strict=False), 1):
            part.hold(f"kernel {number} at x{scale}, noise {noise:g}", figure, bar)
    losses = {case.id: base[case.id].psnr - ours[case.id].psnr for case in cases}
    part.missed += [f"{key}: {loss:.2f} dB below base" for key, loss in losses.items() if loss > SETTLED]
    header = ["noise", *map(str, range(1, 13))]
    part.text = f"""## Twelve kernels at x{scale}

The tables have the mean Y-PSNR in dB of {", ".join(hr.stem for hr in hrs)}. They were made small by the kernels of
USRNet's table (Zhang et al. 2020): 1 to 4 are Gaussians of sigma 0.7, 1.2, 1.6, 2.0 HR pixels, 5 to 8 are long ones,
and 9 to 12 are motion. The images have 8 bits, and noise of so many grey levels. The kernel is told as a file, and the
noise in the column `noise`. By default settings the figures are:

{table(header, rows)}

The next table is the base, `--method bicubic`, which is bicubic and the data step. The image on which the default
gains least gains {-max(losses.values()):+.2f} dB over it.

{table(header, base_rows)}"""
    return part


def _twelve_cameras(data: Path) -> dict[float, list[Camera]]:
    """By the noise in grey levels."""
    kernels = np.load(data / "kernels" / "kernels_12.npy")
    return {
        noise: [in_file(f"kernel-{number:02}", taps, HERE, noise) for number, taps in enumerate(kernels, 1)]
        for noise in NOISES
    }


def clean(data: Path, names: Sequence[str]) -> Part:
    """MATLAB's bicubic, of which srpipe is told nothing."""
    cases = [case for case in find_cases(data) if case.set != "set5" or case.name in names]
    if len(names) < len(SET5):
        cases = [case for case in cases if case.set == "set5"]
    scores = run_and_measure("kernels-clean", cases)
    part, rows = Part(""), []
    for (name, scale), before in BEFORE.items():
        members = [case for case in cases if (case.set, case.scale) == (name, scale)]
        if not members:
            continue
        value = mean_psnr(scores, members)
        part.hold(f"{name} x{scale}, clean", value, before - MAY_LOSE[scale])
        figures = [mean_interpolated(scores, members), before, value]
        rows.append([name.title(), f"x{scale}", *(f"{figure:.2f}" for figure in figures)])
    part.text = f"""## Clean bicubic

These are MATLAB's LR files. srpipe was told nothing, and has default settings. *Before* is revision ac389d8, whose
networks knew bicubic alone.

{table(["set", "scale", "bicubic", "before", "srpipe"], rows)}"""
    return part


def wrong(data: Path, names: Sequence[str]) -> Part:
    """Gaussians assumed against true ones."""
    hrs = [data / "set5" / f"{name}.png" for name in names]
    assumed = [*(f"gaussian:{sigma}" for sigma in SIGMAS), "bicubic"]
    made = {
        true: [list(shots("wrong", hrs, 2, [_told(true, cell)], HERE / "wrong")) for cell in assumed] for true in SIGMAS
    }
    scores = run_and_measure("kernels-wrong", [case for row in made.values() for cell in row for case in cell])
    rows = []
    for number, (true, cells) in enumerate(made.items()):
        figures = [f"{mean_psnr(scores, cell):.2f}" for cell in cells]
        figures[number] = f"**{figures[number]}**"
        rows.append([true, f"{mean_interpolated(scores, cells[0]):.2f}", *figures])
    return Part(f"""## Wrong against right kernels

The table has the mean Y-PSNR in dB of {len(hrs)} pictures of Set5 at x2, with default settings. The pictures were made
small by Gaussians of so many HR pixels and rounded to 8 bits. A row is for what was true, and a column for what srpipe
was told. Beside them is plain bicubic interpolation.

{table(["true sigma", "interpolated", *(f"told {sigma}" for sigma in SIGMAS), "told bicubic"], rows)}""")


def _told(true: str, cell: str) -> Camera:
    """A Gaussian, and what is said of it."""
    camera = named(f"gaussian:{true}", 2)
    return Camera(f"{camera.name}-told-{cell.replace(':', '')}", camera.kernel, cell)


PARTS: dict[str, Callable[[Path, Sequence[str]], Part]] = {
    "direct": direct,
    **{f"twelve-x{scale}": partial(twelve, scale) for scale in SCALES},
    "clean": clean,
    "wrong": wrong,
}


def main() -> int:
    """Read the arguments, measure, write docs/results.md; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="do these only")
    parser.add_argument(
        "--pictures", nargs="+", choices=SET5, default=SET5, help="of Set5 these only: for a look, writes nothing"
    )
    options = parser.parse_args()
    parts = {name: partial(PARTS[name], options.data, options.pictures) for name in options.parts}
    return exit_code(measure("make bench-kernels DATA=...", "kernels", parts, whole=options.pictures == SET5))


if __name__ == "__main__":
    sys.exit(main())
