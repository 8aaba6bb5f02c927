"""`make bench-plan DATA=FOLDER`: what `srpipe plan` foretells of three collections, and what `srpipe run` then takes.

DATA holds kodak/ and large/. Seconds are those of whole processes, bytes those of all files in OUT. With --small the
collections are so small, and one worker does them, that a busy machine is through in minutes; the document is then left
as it is.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .parts import Part, exit_code, measure
from .results import RESULTS, table
from .srpipe_process import srpipe

HERE = Path("bench-out/plan")

ASKED = 0.25
"""By how much hours and bytes may be off."""


@dataclass(frozen=True)
class Collection:
    """Pictures of one kind, and how they are enlarged."""

    name: str
    number: int
    few: int
    """Of them, with --small."""
    make: Callable[[Path, int], Image.Image]
    """The picture of a number."""
    ending: str
    options: tuple[str, ...]


def thumbnail(data: Path, number: int) -> Image.Image:
    """96 x 96 pixels of one of 24 photographs, each from another place."""
    left, top = np.random.default_rng(number).integers(0, (768 - 96, 512 - 96))
    return _photograph(data, number).crop((int(left), int(top), int(left) + 96, int(top) + 96))


def photograph(data: Path, number: int) -> Image.Image:
    """One of 24 photographs at half its size or less; each comes at three sizes."""
    whole = _photograph(data, number)
    share = (0.5, 0.4, 0.3)[(number + number // 24) % 3]
    return whole.resize((int(whole.width * share), int(whole.height * share)), Image.Resampling.BICUBIC)


def scene(data: Path, number: int) -> Image.Image:
    """A part of a picture of the Earth, larger than what one worker does alone."""
    with Image.open(data / "large/bmng.jpg") as whole:
        left, height = 1000 * (number % 3), 2100 + 150 * (number % 4)
        return whole.convert("RGB").crop((left, 0, left + 2200, height))


def _photograph(data: Path, number: int) -> Image.Image:
    with Image.open(data / f"kodak/kodim{1 + number % 24:02}.png") as whole:
        return whole.convert("RGB")


COLLECTIONS = (
    Collection("thumbnails", 600, 60, thumbnail, "jpg", ("--scale", "4")),
    Collection("photographs", 72, 6, photograph, "png", ("--scale", "4")),
    Collection("scenes", 3, 1, scene, "png", ("--scale", "2", "--preset", "fast")),
)


@dataclass(frozen=True)
class Compared:
    """A plan, and what came of it."""

    name: str
    images: int
    planned_s: float
    real_s: float
    planned_bytes: int
    real_bytes: int
    plan_s: float
    """That the plan itself took."""

    @property
    def off(self) -> tuple[float, float]:
        """Of seconds and of bytes: 0.1 for a plan a tenth above what came."""
        return self.planned_s / self.real_s - 1, self.planned_bytes / self.real_bytes - 1

    def seconds(self) -> tuple[str, str, str]:
        return f"{self.planned_s:.0f}", f"{self.real_s:.0f}", f"{self.off[0]:+.0%}"

    def megabytes(self) -> tuple[str, str, str]:
        return f"{self.planned_bytes / 1e6:.1f}", f"{self.real_bytes / 1e6:.1f}", f"{self.off[1]:+.0%}"


def compare(data: Path, collection: Collection, small: bool) -> Compared:
    folder, output = HERE / collection.name, HERE / f"{collection.name}-out"
    for old in (folder, output):
        shutil.rmtree(old, ignore_errors=True)
    folder.mkdir(parents=True)
    number = collection.few if small else collection.number
    for place in range(number):
        collection.make(data, place).save(folder / f"{place:04}.{collection.ending}", quality=85)  # a PNG has none
    words: tuple[str | Path, ...] = (folder, "--output", output, *collection.options, "--json")
    words += ("--executor", "inline") if small else ()
    begun = time.monotonic()
    plan = srpipe("plan", *words)
    planned, plan_s = json.loads(plan.out)["cost"], time.monotonic() - begun
    begun = time.monotonic()
    run = srpipe("run", *words)
    real_s = time.monotonic() - begun
    if (plan.code, run.code) != (0, 0):
        raise SystemExit(f"{collection.name}: {plan.last}; {run.last}")
    real_bytes = sum(file.stat().st_size for file in output.rglob("*") if file.is_file())
    return Compared(collection.name, number, planned["seconds"], real_s, planned["output_bytes"], real_bytes, plan_s)


def compare_all(data: Path, small: bool) -> Part:
    """Compare all collections, and tell what came of it."""
    found: list[Compared] = []
    for collection in COLLECTIONS:
        found.append(compare(data, collection, small))
        sys.stderr.write(f"{found[-1]}\n")
    rows = [[one.name, str(one.images), *one.seconds(), *one.megabytes(), f"{one.plan_s:.0f}"] for one in found]
    header = ["collection", "images", "planned s", "run s", "off", "planned MB", "written MB", "off", "plan took s"]
    missed = [
        f"{one.name}: {one.off[0]:+.0%} of seconds and {one.off[1]:+.0%} of bytes, at most {ASKED:.0%} asked"
        for one in found
        if max(map(abs, one.off)) > ASKED
    ]
    text = f"""## Plans against runs

What `srpipe plan` foretold of three collections, and what `srpipe run` then took: {found[0].images} thumbnails of
96 x 96 pixels and {found[1].images} photographs of 153 x 230 to 384 x 256 at x4, three scenes of 5 megapixels at
x2 with `--preset fast`. Seconds are those of whole processes, with the start of Ray.

{table(header, rows)}"""
    return Part(text, missed)


def main() -> int:
    """Read the arguments, measure, write docs/results.md; 1 where a plan is too far off."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_against_reality")
    parser.add_argument("data", type=Path)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    parts = {"": partial(compare_all, options.data, options.small)}
    document = None if options.small else RESULTS
    return exit_code(measure("make bench-plan DATA=...", "plan", parts, document=document))


if __name__ == "__main__":
    sys.exit(main())
