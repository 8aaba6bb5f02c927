"""`make real-picture DATA=FOLDER`: draws docs/real.png, real scans and aerial pictures at x4, pixel by pixel.

DATA holds archive/, aerial_drone/ and satellite/. Pictures and places were chosen before any result of them was seen,
and stay. There is no truth: these are to be looked at.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import torch
from PIL import Image

from pipeline.output.results import stitch

from .pictures import captioned
from .quality import OUT, Case, run_cases
from .results import RESULTS

HERE = OUT / "real-picture"
PLOT = RESULTS.with_name("real.png")

SCALE = 4
SIDE = 384
"""Of what is worked on, in LR pixels: a part of a picture, in whole blocks of its JPEG."""
SHOWN = 52
"""LR pixels a side."""

TOLD = ("kernel", "kernel_source", "kernel_confidence", "kernel_note", "noise", "notes")
"""Columns of the records that are printed."""

Box = tuple[int, int]

Result = tuple[Image.Image, dict[str, Any]]
"""An enlargement, and its record."""


@dataclass(frozen=True)
class Subject:
    """A place in a picture."""

    title: str
    file: str
    """Under DATA."""
    corner: Box
    """Left and top of its SIDE x SIDE pixels, multiples of 16."""
    shown: Box
    """Left and top of its SHOWN x SHOWN pixels, in the file."""


SUBJECTS = (
    Subject("San Francisco, 1851", "archive/SanFran1851.jpg", (672, 240), (880, 416)),
    Subject("Civil War, 1860s", "archive/civil-war_2.jpg", (672, 384), (848, 560)),
    Subject("Ansel Adams, 1941-42", "archive/AnselAdamsAdobe.jpg", (992, 0), (1176, 168)),
    Subject("Berlinische Monatsschrift, 1784", "archive/kant_1784_0017.tif", (0, 896), (160, 1072)),
    Subject("Fire insurance map, 1850s", "archive/nypl_mulberry_map.png", (0, 0), (188, 112)),
    Subject("Drone, trees", "aerial_drone/dji_0018_half.jpg", (1056, 336), (1232, 512)),
    Subject("Drone, a bench in a park", "aerial_drone/dji_0030_half.jpg", (240, 624), (416, 792)),
    Subject("Landsat 7, 300 m", "satellite/RGB.byte.tif", (80, 112), (250, 280)),
)

INLINE = ("--executor", "inline")
"""Eight small images are not worth a cluster."""

BICUBIC = ("--kernel", "bicubic")


def cut(subject: Subject, data: Path) -> Case:
    """What is worked on, as a file without losses; there is no truth, so the file stands for it."""
    left, top = subject.corner
    path = HERE / f"{Path(subject.file).stem}.png"
    with Image.open(data / subject.file) as picture:
        plain = picture.convert("L" if picture.mode == "L" else "RGB")
        plain.crop((left, top, min(left + SIDE, plain.width), min(top + SIDE, plain.height))).save(path)
    return Case("real", SCALE, path.stem, path, path)


def results(name: str, cases: Sequence[Case], *options: str) -> dict[str, Result]:
    """Of one run: enlargements and records by the case's id."""
    output = run_cases(name, list(cases), *INLINE, *options)
    rows = pq.read_table(output / "manifest.parquet").to_pylist()
    return {row["key"]: (_image(output / "tiles" / row["key"]), row) for row in rows}


def _image(tiles: Path) -> Image.Image:
    levels = stitch(str(tiles.resolve())).round().clamp(0, 255).to(torch.uint8)
    return Image.fromarray(levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def panels(subject: Subject, case: Case, default: Result, bicubic: Result | None) -> list[tuple[str, Image.Image]]:
    """Captions and pictures, from left to right."""
    with Image.open(case.lr) as lr:
        large = lr.convert("RGB").resize((lr.width * SCALE, lr.height * SCALE), Image.Resampling.BICUBIC)
    shown = [("bicubic interpolation", large), (f"srpipe: {_told(default[1])}", default[0])]
    if bicubic is not None:
        shown.append(("srpipe --kernel bicubic", bicubic[0]))
    left, top = (SCALE * (at - first) for at, first in zip(subject.shown, subject.corner, strict=True))
    box = (left, top, left + SCALE * SHOWN, top + SCALE * SHOWN)
    return [(caption, picture.crop(box)) for caption, picture in shown]


def _told(record: dict[str, Any]) -> str:
    """What was assumed, in a few words."""
    noise = max(record["noise"])
    return f"{record['kernel']}, noise {noise:.1f}" if noise else str(record["kernel"])


def main(data: Path) -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    cases = {subject: cut(subject, data) for subject in SUBJECTS}
    default = results("real-picture-default", [*cases.values()])
    wider = [case for case in cases.values() if default[case.id][1]["kernel"] != "bicubic"]
    bicubic = results("real-picture-bicubic", wider, *BICUBIC) if wider else {}
    for _, record in default.values():
        print({name: record.get(name) for name in ("key", *TOLD)})
    rows = [
        (subject.title, panels(subject, case, default[case.id], bicubic.get(case.id)))
        for subject, case in cases.items()
    ]
    captioned(rows, across=2, letters=11).save(PLOT, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
