"""`make bench-same DATA=... BEFORE=REVISION`: whether two versions of srpipe write the same bytes.

Each version runs from a checkout of its own, with this checkout's environment, on the MATLAB LR files of Set5 and Set14
at x2, x3 and x4 by default settings. What is compared is the bytes of every tile; a line per set and scale gives one
sha256 over those of its tiles, for either version.
"""

import argparse
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .results import table
from .srpipe_process import REPOSITORY, srpipe_of, write_manifest

SETS, SCALES = ("set5", "set14"), (2, 3, 4)


def checkout(revision: str, folder: Path) -> Path:
    """The files of a revision, as Git has them."""
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision], cwd=REPOSITORY, check=True, stdout=subprocess.PIPE)
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    return folder


def manifest(data: Path, name: str, scale: int, path: Path) -> Path:
    """The LR images of a set."""
    images = sorted((data / name / "LR_bicubic" / f"X{scale}").glob("*.png"))
    if not images:
        sys.exit(f"{data / name}: no LR images for x{scale}; DATA names a folder with set5/ and set14/")
    return write_manifest(path, ["uri", "id"], ([image.resolve(), image.stem] for image in images))


def tiles(source: Path, images: Path, scale: int, out: Path) -> dict[str, str]:
    """The sha256 of every tile that this version writes."""
    srpipe_of(source, "run", images, "-o", out, "--scale", str(scale), "--json")
    found = sorted((out / "tiles").rglob("*.png"))
    return {str(tile.relative_to(out)): hashlib.sha256(tile.read_bytes()).hexdigest() for tile in found}


def compared(data: Path, before: Path, after: Path, work: Path) -> Iterator[list[str]]:
    """A row per set and scale."""
    for name in SETS:
        for scale in SCALES:
            images = manifest(data, name, scale, work / f"{name}-x{scale}.csv")
            old = tiles(before, images, scale, work / f"before-{name}-{scale}")
            new = tiles(after, images, scale, work / f"after-{name}-{scale}")
            differing = [tile for tile in sorted({*old, *new}) if old.get(tile) != new.get(tile)]
            sums = [hashlib.sha256("".join(version.values()).encode()).hexdigest() for version in (old, new)]
            verdict = "equal" if not differing else f"{len(differing)} differ: {', '.join(differing[:3])}"
            print(name, f"x{scale}", len(old), verdict, flush=True)
            yield [name, f"x{scale}", str(len(old)), *(f"`{digest[:16]}`" for digest in sums), verdict]


def main() -> int:
    """Read the arguments; 1 where anything differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.same_pixels", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("before", help="a revision")
    parser.add_argument("--after", default="HEAD", help="another one")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        before, after = checkout(options.before, work / "old"), checkout(options.after, work / "new")
        rows = list(compared(options.data, before, after, work))
    print(table(["set", "scale", "tiles", "before", "after", ""], rows))
    return int(any(row[-1] != "equal" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
