"""`make bench-pipeline DATA=FOLDER`: the pipeline against a bare loop, and where seconds go.

DATA holds kodak/ and set5/. Everything runs on the CPU.
"""

import json
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from pipeline.imagery.scored import read_levels
from pipeline.output.results import stitch

from .bare_loop import STEPS
from .parts import Part, exit_code, measure
from .quality import OUT, Case, run_and_score
from .results import table
from .srpipe_process import COMMAND, write_manifest

HERE = OUT / "pipeline"

PHOTOGRAPHS = tuple(f"kodak/kodim{number:02}.png" for number in range(1, 25))

IMAGES, SIDE = 40, 128
"""Crops of the photographs that the pipeline is compared with a bare loop on."""
SCALE = 2
"""The least work for the same number of rows: the pipeline's share is largest."""
ALTERNATIONS = 5
RUNS_OF_TWO = 2
"""With two workers."""
OVERHEAD_ASKED = 1.08

TIMED_SIDES, TIMED_SCALES = (256, 512), (2, 4)
SECONDS = ("read_s", "fit_s", "infer_s", "back_project_s", "write_s", "total_s")

PORT_S, PORT_DB = 740.0, 33.21
"""Butterfly x2 by a PyTorch port of the ZSSR authors' code, measured on the machine of docs/results.md."""
SPEED_ASKED = 300
REPEATS = 3


@dataclass(frozen=True)
class Span:
    """One run over all crops, in seconds."""

    start_up: float
    """From the start of the process to that of its first image."""
    work: float
    """From there to the end of its last image."""


def crop_photographs(data: Path) -> Path:
    """A folder of IMAGES crops of SIDE x SIDE pixels, each from another place of a photograph."""
    folder = HERE / "images"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(IMAGES):
        start = SIDE * (number // len(PHOTOGRAPHS))
        _save_crop(data / PHOTOGRAPHS[number % len(PHOTOGRAPHS)], folder / f"{number:02}.png", SIDE, start)
    return folder


def _save_crop(photograph: Path, path: Path, side: int, start: int = 0) -> None:
    with Image.open(photograph) as image:
        image.crop((start, start, start + side, start + side)).save(path)


def by_srpipe(folder: Path, workers: int) -> Span:
    launched = time.time()
    run_srpipe(folder, HERE / "srpipe", "-s", str(SCALE), "--steps", str(STEPS), "--workers", str(workers))
    times = pq.read_table(HERE / "srpipe/manifest.parquet", columns=["started_at", "finished_at"])
    begun = min(times["started_at"].to_pylist()).timestamp()
    return Span(begun - launched, max(times["finished_at"].to_pylist()).timestamp() - begun)


def by_loop(folder: Path) -> Span:
    launched = time.time()
    command = [sys.executable, "-m", "benchmarks.bare_loop", str(folder), str(HERE / "loop"), str(SCALE)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return Span(told["begun"] - launched, told["ended"] - told["begun"])


def run_srpipe(manifest: Path, output: Path, *options: str) -> None:
    """One `srpipe run` with the default preset; every image is done anew."""
    command = [*COMMAND, "run", str(manifest), "-o", str(output), "--device", "cpu", "--existing", "overwrite"]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)


def overhead(data: Path) -> Part:
    """srpipe with one worker and the bare loop in turn, then srpipe with two workers."""
    folder = crop_photographs(data)
    pairs = [(by_srpipe(folder, 1), by_loop(folder)) for _ in range(ALTERNATIONS)]
    names = sorted(path.name for path in folder.iterdir())
    equal = sum(_same_pixels(HERE / "srpipe/tiles" / name, HERE / "loop" / name) for name in names)
    two = [by_srpipe(folder, 2) for _ in range(RUNS_OF_TWO)]
    ratios = [ours.work / loop.work for ours, loop in pairs]
    ratio = statistics.median(ratios)
    rows = [
        [str(number), *(f"{s:.1f}" for span in pair for s in (span.start_up, span.work)), f"{ratios[number - 1]:.3f}"]
        for number, pair in enumerate(pairs, 1)
    ]
    one_s, two_s = (statistics.median(span.work for span in spans) for spans in ([pair[0] for pair in pairs], two))
    part = Part(f"""### Against a bare loop

{IMAGES} photographs of {SIDE} x {SIDE} pixels were enlarged at x{SCALE} with {STEPS} steps, in turn by
`srpipe run --workers 1` and by a loop. The loop makes the same fits, enlargements and PNG files in one process,
without Ray, plan, records and commits (benchmarks/bare_loop.py). Work goes from the first image begun to the last one
ended. Start-up is what comes before. Pixels are equal in {equal} of {IMAGES} images.

{table(["", "srpipe start-up s", "work s", "loop start-up s", "work s", "work, srpipe / loop"], rows)}

The median of the ratios is **{ratio:.3f}**. Two workers take {two_s:.1f} s of work (median of {RUNS_OF_TWO} runs), and
are {one_s / two_s:.2f} times as fast as one worker ({one_s:.1f} s).
""")
    if ratio > OVERHEAD_ASKED:
        part.missed.append(f"work takes {ratio:.3f} times what it takes a bare loop, at most {OVERHEAD_ASKED} asked")
    return part


def _same_pixels(tiles: Path, file: Path) -> bool:
    return bool((stitch(str(tiles.resolve())) == read_levels(str(file.resolve()))).all())


def seconds_per_image(data: Path) -> Part:
    """Where the seconds of one image go, from the columns of its record."""
    cases = [(side, scale) for side in TIMED_SIDES for scale in TIMED_SCALES]
    for side in TIMED_SIDES:
        _save_crop(data / PHOTOGRAPHS[0], HERE / f"{side}.png", side)
    lines = (((HERE / f"{side}.png").resolve(), scale, f"{side}-x{scale}") for side, scale in cases)
    manifest = write_manifest(HERE / "timed.csv", ("uri", "scale", "id"), lines)
    run_srpipe(manifest, HERE / "timed", "--workers", "1")
    records = {record["key"]: record for record in pq.read_table(HERE / "timed/manifest.parquet").to_pylist()}
    rows = []
    for side, scale in cases:
        record = records[f"{side}-x{scale}"]
        rows.append([f"{side} x {side}", f"x{scale}", *(f"{record[column]:.2f}" for column in SECONDS)])
    header = ["LR, RGB", "scale", "read", "fit", "infer", "back-project", "write", "total"]
    return Part(f"""### Seconds per image

One worker of one thread enlarged these images with the default preset, and nothing else was at work. The seconds are
from the columns of the records. Reading and writing go on beside the rest, so the total is not the sum.

{table(header, rows)}
""")


def against_the_port(data: Path) -> Part:
    """Butterfly x2 with one and with two threads, against the port of the authors' code."""
    lr, hr = data / "set5/LR_bicubic/X2/butterflyx2.png", data / "set5/butterfly.png"
    cases = [Case("set5", 2, f"butterfly-{number}", lr, hr) for number in range(1, REPEATS + 1)]
    part, rows = Part(""), []
    for threads in (1, 2):
        options = ("--workers", "1", "--threads-per-worker", str(threads), "--device", "cpu")
        scores = [*run_and_score(f"{HERE.name}/butterfly-{threads}", cases, *options).values()]
        times = [score["seconds"] for score in scores]
        psnr, ratio = scores[0]["psnr_y"], PORT_S / statistics.median(times)
        if ratio < SPEED_ASKED:
            part.missed.append(f"threads {threads}: {ratio:.0f} times as fast as the port, {SPEED_ASKED} asked")
        if psnr <= PORT_DB:
            part.missed.append(f"threads {threads}: {psnr:.2f} dB, the port has {PORT_DB}")
        seconds = ", ".join(f"{value:.2f}" for value in times)
        rows.append([str(threads), seconds, f"{psnr:.2f}", f"{ratio:.0f}"])
    header = ["threads", "s", "dB", "times as fast"]
    part.text = f"""### Against the authors' code

Butterfly of Set5 (LR 128 x 128) was enlarged at x2 with the default preset, {REPEATS} times in one worker. The first
time pays what any first image does. A PyTorch port of the authors' code takes {PORT_S:.0f} s for {PORT_DB:.2f} dB. The
ratio is that of the median.

{table(header, rows)}
"""
    return part


def compare(data: Path) -> Part:
    """Measure all three, and tell what came of it."""
    shutil.rmtree(HERE, ignore_errors=True)  # records of keys that are no more would be counted
    parts = [overhead(data), seconds_per_image(data), against_the_port(data)]
    text = "\n\n".join(["## Pipeline", *(part.text.strip() for part in parts)])
    return Part(text, [sentence for part in parts for sentence in part.missed])


if __name__ == "__main__":
    parts = {"": lambda: compare(Path(sys.argv[1]))}
    sys.exit(exit_code(measure("make bench-pipeline DATA=...", "pipeline", parts)))
