"""`python -m benchmarks.real_pairs DATA`: pairs of real sensors, and small JPEGs as makers publish them, by whole runs.

DATA holds satellite_pairs/ and satellite/; aerial_drone/, photos_cc0/ and kodak/ besides for the JPEGs. Every result is
moved to its best place and given its truth's colours before it is compared. Pictures side by side are left in
bench-out/real-pairs/.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from . import real_scenes, small_jpegs
from .pair_runs import HERE, Methods
from .parts import Part, exit_code, measure

METHODS: Methods = {
    "base": ("--method", "bicubic"),
    "default": (),
    "prior": ("--method", "prior"),
    "mtf:0.3": ("--kernel", "mtf:0.3"),
    "estimate": ("--kernel", "estimate"),
}

OF_8_BITS: Methods = {
    "noise 4": ("--noise", "4"),
    "noise 8": ("--noise", "8"),
    "noise 8, prior": ("--noise", "8", "--method", "prior"),
    "noise 8, mtf:0.9": ("--noise", "8", "--kernel", "mtf:0.9"),
}
"""For the small JPEGs alone: noise is told in the file's units."""

_TOLD = """\
*bicubic* is Pillow's interpolation alone. *base* is `--method bicubic`, which is bicubic and the data step. The others
are `srpipe run` with the options that they are called by. Every result is moved to its best place, by parts of a
pixel, and its colours are matched to the truth's by a linear fit. Then the two are compared: by PSNR, and by *detail*,
the correlation of what is finer than a Gaussian of 2 LR pixels."""

_LANDSAT = """## Real pairs: Landsat 8, x2

Bands 2, 3 and 4 at 30 m were enlarged, and their best linear mix was compared with the panchromatic band at 15 m of
the same overpass. Clouds by the quality band are left out, and so are 20 LR pixels around them and along the borders.
PSNR is over the range of the finer band where it is compared, without a thousandth at each end. *Moved by* says how
far bicubic's result was moved down and right, in pixels of the finer band; the files say half a pixel each."""

_SENTINEL = """## Real pairs: Sentinel-2, x2

Bands at 20 m were enlarged, and each was compared with the band at 10 m that is nearest in wavelength. B8A (865 nm)
and B8 (842) see nearly the same, and B6 (740), B7 (783) and B8 less so. B5 (705) and B4 (665) lie on two sides of
where leaves begin to shine. PSNR is as above, and nothing but borders is left out. The grids of both lie corner on
corner. *sensor* is default settings and `sensor:sentinel-2:` with the band."""

_JPEGS = """## Small JPEGs as makers publish them, x4

These are 30 crops of satellite, aerial and other pictures, 256 to 480 pixels a side, after all that happens to such
pictures. They have a blur of 0.3 to 0.6 LR pixels, lie up to a pixel beside their place, and have noise of 1 to 5 grey
levels (of light and of reading, some of it common to neighbours). Each band has a gain and an offset. Contrast is
stretched, and the picture sharpened (unsharp mask, 0.3 to 1.5 at 0.8 to 1.2 LR pixels) and saved as JPEG of quality 70
to 92, 4:2:0 or 4:4:4. Noise and sharpening are rather much than little. The figures are those of brightness."""


def landsat(data: Path, methods: Methods) -> Part:
    return Part(f"{_LANDSAT}\n\n{_TOLD}\n\n{real_scenes.compared('landsat', real_scenes.landsat(data, HERE), methods)}")


def sentinel(data: Path, methods: Methods) -> Part:
    return Part(
        f"{_SENTINEL}\n\n{_TOLD}\n\n{real_scenes.compared('sentinel', real_scenes.sentinel(data, HERE), methods)}"
    )


def jpegs(data: Path, methods: Methods) -> Part:
    part = small_jpegs.compared(data, methods)
    return Part(f"{_JPEGS}\n\n{_TOLD}\n\n{part.text}", part.missed)


PARTS: dict[str, tuple[Callable[[Path, Methods], Part], Methods]] = {
    "landsat": (landsat, METHODS),
    "sentinel": (sentinel, METHODS),
    "jpegs": (jpegs, {**METHODS, **OF_8_BITS}),
}
"""Sections of docs/results.md, and what is compared in each."""


def real_pairs(data: Path, parts: Sequence[str] = (*PARTS,), methods: Sequence[str] | None = None) -> list[str]:
    """Measure the parts and print them; with all methods, also write them to docs/results.md. The bars missed."""
    chosen = {name: _of_part(name, methods) for name in parts}
    whole = all(of_part == PARTS[name][1] for name, of_part in chosen.items())
    made = {name: partial(PARTS[name][0], data, of_part) for name, of_part in chosen.items()}
    return measure("make bench-blind DATA=...", "real-pairs", made, whole)


def _of_part(name: str, methods: Sequence[str] | None) -> Methods:
    return {method: options for method, options in PARTS[name][1].items() if methods is None or method in methods}


def main() -> int:
    """Read the arguments, measure, write docs/results.md; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real_pairs", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS], help="do these only")
    names = [*METHODS, *OF_8_BITS]
    parser.add_argument("--methods", nargs="+", choices=names, help="these only: for a look, writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)  # pictures are small: on a busy machine more only wait for each other
    return exit_code(real_pairs(options.data, options.parts, options.methods))


if __name__ == "__main__":
    sys.exit(main())
