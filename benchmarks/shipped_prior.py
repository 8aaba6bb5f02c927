"""`make prior DATA=FOLDER`: the prior that srpipe ships, trained anew; docs/prior.md is its model card.

DATA holds kodak/, satellite_train/ and archive/. Equal on the same kind of processor, byte for byte.
"""

import csv
import subprocess
import sys
import time
from pathlib import Path

OUT = Path("bench-out")

SHIPPED = Path("pipeline/priors/shipped_prior.safetensors")

STEPS = 12_000

IMAGES = (
    *(f"kodak/kodim{number:02}.png" for number in range(1, 25)),
    "satellite_train/2019_YELL_2_541000_4977000_image_crop.png",
    "satellite_train/SOAP_031.png",
    "satellite_train/SOAP_061.png",
    *(f"satellite_train/NAIP-VA-b{band}.tiff" for band in range(1, 5)),
    "archive/1860Girls.jpg",
    "archive/AnselAdamsAdobe.jpg",
    "archive/AnselAdamsBuildings.jpg",
    "archive/SanFran1851.jpg",
    "archive/civil-war_2.jpg",
    "archive/civil_war_3.jpg",
    "archive/dustbowl_sd.jpg",
    "archive/kant_1784_0017.tif",
    "archive/kant_1784_0020.tif",
)
"""Under DATA. docs/prior.md tells the licence of each."""


def write_manifest(data: Path, images: tuple[str, ...], manifest: Path) -> None:
    manifest.parent.mkdir(exist_ok=True)
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri"])
        writer.writerows([(data / image).resolve()] for image in images)


def main() -> None:
    manifest = OUT / "prior.csv"
    write_manifest(Path(sys.argv[1]), IMAGES, manifest)
    started = time.monotonic()
    command = [sys.executable, "-m", "jobs.cli", "prior", str(manifest), "-o", str(SHIPPED), "--from", "none"]
    subprocess.run([*command, "--steps", str(STEPS)], check=True)
    print(f"{(time.monotonic() - started) / 60:.0f} minutes")


if __name__ == "__main__":
    main()
