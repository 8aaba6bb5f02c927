"""`make prior DATA=FOLDER [OPTIONS=...]`: the prior that srpipe ships, trained anew; docs/prior.md is its card.

OPTIONS are further ones of `srpipe prior`, beside whose needs there are none. DATA holds kodak/, photos_cc0/,
aerial_drone/, satellite_train/ and archive/. Equal on the same kind of processor, byte for byte; stopped, the same
command goes on.
"""

import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from pipeline.manifest.manifest import IMAGE_SUFFIXES
from pipeline.manifest.training_images import WEIGHT

from .srpipe_process import COMMAND, write_manifest

OUT = Path("bench-out")

SHIPPED = Path("pipeline/priors/any_camera.safetensors")

ANY_CAMERA = OUT / "any_camera.safetensors"
"""The heads for any camera, until those for clean images are trained, too."""

SHARES = {"kodak": 0.36, "photos_cc0": 0.30, "aerial_drone": 0.12, "satellite_train": 0.12, "archive": 0.10}
"""Of each folder under DATA: how much it counts, shared out among its pictures."""


NOT_LEARNED = {
    *("m_3607717_sw_18_1_20160620_subset.tif", "m_3607824_se_17_1_20160620_subset.tif", "s2_15S_B01_60m.jp2"),
    "L8-B8-Robinson-IL.tiff",
}
"""Of satellite_train: benchmarks/collection.py tests with them."""


def pictures(data: Path) -> Iterable[tuple[Path, float]]:
    """All that is learned from, and how much each counts."""
    for folder, share in SHARES.items():
        paths = [path for path in sorted((data / folder).iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
        learned = [path for path in paths if path.name not in NOT_LEARNED]
        yield from ((path, share / len(learned)) for path in learned)


def main(data: Path, options: list[str]) -> None:
    rows = ((image.resolve(), weight) for image, weight in pictures(data))
    manifest = write_manifest(OUT / "prior.csv", ("uri", WEIGHT), rows)
    started = time.monotonic()
    command = [*COMMAND, "prior", str(manifest), "--max-images", "1000", *options]
    if not ANY_CAMERA.exists():
        subprocess.run([*command, "--from", "none", "-o", ANY_CAMERA], check=True)
    subprocess.run([*command, "--from", ANY_CAMERA, "--clean", "-o", SHIPPED], check=True)
    ANY_CAMERA.unlink()
    print(f"{(time.monotonic() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
