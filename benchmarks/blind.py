"""`make bench-blind DATA=FOLDER`: images of cameras that nobody tells, by the whole command line.

DATA holds set5/, set14/, kodak/ and satellite/; satellite_pairs/, aerial_drone/ and photos_cc0/ besides for real pairs
(`benchmarks.real_pairs`). Parts, a section of docs/results.md each. Exit code 1 when a bar is missed.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from sr_ops.camera.kernels import gaussian
from sr_ops.estimation.estimate import Estimate, pooled

from . import real_pairs
from .estimators import estimators
from .gallery import SIGMAS, apart, cameras, covariance_of, estimated
from .kernel_shots import Camera, Figures, mean_interpolated, mean_psnr, run_and_measure, shoot, shots
from .misled import misled
from .parts import Part, exit_code, measure
from .pictures import decode
from .quality import OUT, Case, find_cases, mean
from .results import table

HERE = OUT / "blind"

NOISES = (0.0, 2.55, 7.65)
"""In grey levels."""

BARS = {"true": 31.4, "estimated": 30.5}
"""Set14 at x2 without noise, dB."""

MAY_LOSE = 0.05
"""dB on clean bicubic."""

WAYS = {"true": (), "estimated": ("--kernel", "estimate"), "bicubic": ("--kernel", "bicubic")}
"""What is told: kernel and noise as they are; nothing, and both are found; that it is bicubic."""


def pictures_of(data: Path, folder: str, number: int | None = None) -> list[Path]:
    return sorted((data / folder).glob("*.png"))[:number]


def drawn(data: Path, folder: str, scale: int, noise: float, number: int | None = None) -> list[Case]:
    """Every picture by a camera of its own."""
    hrs = pictures_of(data, folder, number)
    return [
        case
        for hr, one in zip(hrs, cameras(len(hrs), scale, noise), strict=True)
        for case in shots(f"blind-{folder}", [hr], scale, [one], HERE / folder)
    ]


def untold(cases: Sequence[Case]) -> list[Case]:
    return [Case(case.set, case.scale, case.name, case.lr, case.hr) for case in cases]


def by_all_ways(name: str, cases: list[Case]) -> dict[str, dict[str, Figures]]:
    runs = {}
    for way, options in WAYS.items():
        chosen = cases if way == "true" else untold(cases)
        runs[way] = run_and_measure(f"blind-{name}-{way}", chosen, *options)
    return runs


def set14(scale: int, data: Path) -> Part:
    """Set14, with noise and without."""
    part, rows = Part(""), []
    by_noise = {noise: drawn(data, "set14", scale, noise) for noise in NOISES}
    runs = by_all_ways(f"set14-x{scale}", [case for cases in by_noise.values() for case in cases])
    for noise, cases in by_noise.items():
        figures = {way: mean_psnr(scores, cases) for way, scores in runs.items()}
        interpolated = mean_interpolated(runs["true"], cases)
        rows.append([f"{noise:g}", f"{interpolated:.2f}", *(f"{figure:.2f}" for figure in figures.values())])
        if scale == 2 and noise == 0:
            for way, bar in BARS.items():
                part.hold(f"Set14 x2, {way} kernel", figures[way], bar)
    part.text = f"""## Unknown cameras: Set14 at x{scale}

The table has the mean Y-PSNR in dB of 14 pictures. A Gaussian of its own made each of them small, with a sigma of
{SIGMAS[0]:g} to {SIGMAS[1]:g} LR pixels along and across, in any direction. LR pixels are in their place, have 8 bits,
and noise of so many grey levels. *Interpolated* is bicubic interpolation. For *true*, kernel and noise are told. For
*estimated*, `--kernel estimate`, nothing is told. For *bicubic*, `--kernel bicubic`, the noise is measured.

{table(["noise", "interpolated", *WAYS], rows)}"""
    return part


def others(data: Path) -> Part:
    """Set5 and photographs at x2 and x4."""
    rows = []
    for folder, number in (("set5", None), ("kodak", 8)):
        for scale in (2, 4):
            cases = drawn(data, folder, scale, 0.0, number)
            runs = by_all_ways(f"{folder}-x{scale}", cases)
            figures = [mean_psnr(scores, cases) for scores in runs.values()]
            interpolated = mean_interpolated(runs["true"], cases)
            rows.append([folder, f"x{scale}", f"{interpolated:.2f}", *(f"{figure:.2f}" for figure in figures)])
    return Part(f"""## Unknown cameras: other pictures

These are Set5 and eight pictures of Kodak (the prior has learned from these), made small as for Set14, without noise.

{table(["set", "scale", "interpolated", *WAYS], rows)}""")


def clean(data: Path) -> Part:
    """What looking for a kernel costs where bicubic is right."""
    part, rows = Part(""), []
    cases = [case for case in find_cases(data) if case.scale in (2, 4)]
    told = run_and_measure("blind-clean-bicubic", cases, "--kernel", "bicubic")
    found = run_and_measure("blind-clean-estimate", cases, "--kernel", "estimate")
    for name in ("set5", "set14"):
        for scale in (2, 4):
            members = [case for case in cases if (case.set, case.scale) == (name, scale)]
            one, other = (mean_psnr(scores, members) for scores in (told, found))
            worst = min(found[case.id].psnr - told[case.id].psnr for case in members)
            rows.append([name.title(), f"x{scale}", f"{one:.2f}", f"{other:.2f}", f"{worst:+.2f}"])
            part.hold(f"{name} x{scale}, clean, estimated", other, one - MAY_LOSE)
    header = ["set", "scale", "`--kernel bicubic`", "`--kernel estimate`", "one picture loses at most"]
    part.text = f"""## Unknown cameras: clean bicubic

These are MATLAB's LR files. Their kernel is bicubic. srpipe finds that out, or it does not find it out and assumes it.

{table(header, rows)}"""
    return part


def together(data: Path) -> Part:
    """How near the blur is that ten pictures tell together."""
    hrs, rows = pictures_of(data, "kodak", 10), []
    part = Part("")
    for sigma_1, sigma_2, degrees, noise in ((1.4, 1.4, 0, 0.0), (2.0, 1.0, 30, 0.0), (1.2, 1.6, 100, 2.55)):
        one = Camera("one", gaussian(sigma_1, sigma_2, degrees, 2), "", noise)
        lrs = [shoot(decode(hr.read_bytes()), one, 2) for hr in hrs]
        started = time.monotonic()
        found = [each for lr in lrs if (each := estimated(lr)) is not None]
        seconds = (time.monotonic() - started) / len(lrs)
        single = mean([_error(each, sigma_1, sigma_2, degrees) for each in found])
        joint = _error(pooled(found), sigma_1, sigma_2, degrees)
        rows.append(
            [f"{sigma_1:g}, {sigma_2:g}, {degrees}", f"{noise:g}", f"{single:.3f}", f"{joint:.3f}", f"{seconds:.2f}"]
        )
        if joint > single / 2:
            part.missed.append(f"pooled {sigma_1:g},{sigma_2:g}: {joint:.3f}, at most {single / 2:.3f} asked")
    part.text = f"""## Unknown cameras: ten pictures of one

The table has the error of the blur's covariance (Frobenius norm, LR pixels squared) for ten pictures of Kodak at x2,
of 384 x 256 pixels each: the mean of single pictures, and all together. The seconds are those of estimating, for an
image, with one thread.

{table(["sigmas, degrees", "noise", "single", "together", "s an image"], rows)}"""
    return part


def _error(found: Estimate, sigma_1: float, sigma_2: float, degrees: float) -> float:
    """Against a Gaussian with sigmas in HR pixels at x2."""
    return apart(found.covariance, covariance_of(sigma_1 / 2, sigma_2 / 2, degrees))


PARTS: dict[str, Callable[[Path], Part]] = {
    **{f"set14-x{scale}": partial(set14, scale) for scale in (2, 4)},
    "others": others,
    "clean": clean,
    "together": together,
    "estimators": estimators,
    "misled": misled,
}


def main() -> int:
    """Read the arguments, measure, write docs/results.md; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.blind", description=__doc__)
    parser.add_argument("data", type=Path)
    names = [*PARTS, *real_pairs.PARTS]
    parser.add_argument("--parts", nargs="+", choices=names, default=names, help="do these only")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {name: partial(PARTS[name], options.data) for name in options.parts if name in PARTS}
    missed = measure("make bench-blind DATA=...", "blind", parts)
    missed += real_pairs.real_pairs(options.data, [name for name in options.parts if name in real_pairs.PARTS])
    return exit_code(missed)


if __name__ == "__main__":
    sys.exit(main())
