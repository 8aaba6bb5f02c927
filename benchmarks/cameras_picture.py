"""`make cameras-picture DATA=FOLDER`: draws docs/cameras.png, pictures with a wrong kernel told and with the right one.

DATA holds satellite/, odd/archive/ and set14/; nothing of them taught the shipped prior. Whole runs at x2, default
settings.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from torch import Tensor

from pipeline.imagery.scored import from_levels, to_levels
from pipeline.output.results import stitch
from sr_ops.image.resample import upscale

from .kernel_shots import Camera, Figures, named, run_and_measure, shots
from .pictures import captioned, decode
from .quality import OUT, Case
from .results import RESULTS

HERE = OUT / "cameras"
PLOT = RESULTS.with_name("cameras.png")

SCALE, SIDE = 2, 192
"""SIDE: of a truth, of which the middle is shown."""
SHOWN, ENLARGED = 80, 4
"""HR pixels a side, and by how much each is enlarged to be seen."""

Box = tuple[int, int]


@dataclass(frozen=True)
class Subject:
    """A truth, what blurred it, and what was said of that."""

    title: str
    file: str
    """Under DATA."""
    corner: Box
    """Left and top of its SIDE x SIDE pixels."""
    true: str
    wrong: str
    prepared: Callable[[Image.Image], Image.Image] = lambda picture: picture.convert("RGB")


def smaller(picture: Image.Image) -> Image.Image:
    """A scan of one bit, averaged 2 x 2, so that it has greys."""
    return picture.convert("L").reduce(2)


SUBJECTS = (
    Subject("Aerial photograph", "satellite/test_tiled.tif", (164, 569), "gaussian:1.6", "bicubic"),
    Subject("Scan of print", "odd/archive/pport_g4.tif", (64, 16), "gaussian:1.2", "gaussian:1.8", smaller),
    Subject("Photograph", "set14/zebra.png", (300, 50), "gaussian:2,0.8,30", "gaussian:2,0.8,120"),
)


def truth(subject: Subject, data: Path) -> Path:
    """Its crop, as a file."""
    left, top = subject.corner
    path = HERE / f"{Path(subject.file).stem}.png"
    with Image.open(data / subject.file) as picture:
        subject.prepared(picture).crop((left, top, left + SIDE, top + SIDE)).save(path)
    return path


def taken(subject: Subject, data: Path) -> dict[str, Case]:
    """The one LR image, with what is said of it."""
    camera, hr = named(subject.true, SCALE), truth(subject, data)
    return {
        name: case
        for name, told in (("wrong", subject.wrong), ("right", subject.true))
        for case in shots(name, [hr], SCALE, [Camera(camera.name, camera.kernel, told)], HERE / "lr")
    }


def panels(subject: Subject, cases: dict[str, Case], scores: dict[str, Figures]) -> list[tuple[str, Image.Image]]:
    """Captions and pictures, from left to right."""
    lr, wrong, right = cases["right"].lr.read_bytes(), *(cases[name].id for name in ("wrong", "right"))
    interpolated = to_levels(upscale(from_levels(decode(lr)), SCALE))
    results = [stitch(str((OUT / "cameras-runs/tiles" / key).resolve())) for key in (wrong, right)]
    shown = [
        (f"bicubic interpolation: {scores[right].interpolated:.1f} dB", interpolated),
        (f"told {subject.wrong}: {scores[wrong].psnr:.1f} dB", results[0]),
        (f"told {subject.true}: {scores[right].psnr:.1f} dB", results[1]),
        ("the truth", decode(cases["right"].hr.read_bytes())),
    ]
    return [(caption, magnified(levels)) for caption, levels in shown]


def magnified(levels: Tensor) -> Image.Image:
    """The middle of (C, SIDE, SIDE), every pixel a square."""
    first = (SIDE - SHOWN) // 2
    inside = slice(first, first + SHOWN)
    pixels = levels[:, inside, inside].round().clamp(0, 255).byte().permute(1, 2, 0)
    pixels = pixels.expand(-1, -1, 3).contiguous()
    return Image.fromarray(pixels.numpy()).resize((SHOWN * ENLARGED,) * 2, Image.Resampling.NEAREST)


def main(data: Path) -> None:
    HERE.mkdir(parents=True, exist_ok=True)
    cases = {subject: taken(subject, data) for subject in SUBJECTS}
    scores = run_and_measure("cameras-runs", [case for pair in cases.values() for case in pair.values()])
    rows = [
        (f"{subject.title}, made small by {subject.true}", panels(subject, pair, scores))
        for subject, pair in cases.items()
    ]
    captioned(rows, across=1, letters=14).save(PLOT, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
