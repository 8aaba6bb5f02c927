"""`make bench-quality DATA=FOLDER`: Set5 and Set14 by the whole command line, and every promise of the main job.

DATA holds set5/ and set14/, each with the HR images and LR_bicubic/X2..X4/<name>x2.png made by MATLAB.
"""

import csv
import json
import subprocess
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from . import promises
from .results import machine, table, write_section

OUT = Path("bench-out")

SCALES = (2, 3, 4)

PUBLISHED = {
    # set: method: x2, x3, x4 in dB; SRCNN Dong 2014, ZSSR Shocher 2018, VDSR Kim 2016
    "set5": {"SRCNN": (36.66, 32.75, 30.48), "ZSSR (paper)": (37.37, 33.42, 31.13), "VDSR": (37.53, 33.66, 31.35)},
    "set14": {"SRCNN": (32.42, 29.28, 27.49), "ZSSR (paper)": (33.00, 29.80, 28.01), "VDSR": (33.03, 29.77, 28.01)},
}

BARS = {("set5", 2): 37.0, ("set5", 3): 32.8, ("set5", 4): 30.2, ("set14", 2): 32.6}


@dataclass(frozen=True)
class Case:
    """One LR image with its truth."""

    set: str
    scale: int
    name: str
    lr: Path
    hr: Path

    @property
    def id(self) -> str:
        return f"{self.set}/x{self.scale}/{self.name}"


def find_cases(data: Path) -> list[Case]:
    """Every image of both sets at every scale."""
    return [
        Case(name, scale, hr.stem, data / name / "LR_bicubic" / f"X{scale}" / f"{hr.stem}x{scale}.png", hr)
        for name in PUBLISHED
        for scale in SCALES
        for hr in sorted((data / name).glob("*.png"))
    ]


def run_and_score(name: str, cases: list[Case], *options: str) -> dict[str, dict[str, Any]]:
    """One `srpipe run` and one `srpipe eval` over the cases; the scores by id."""
    OUT.mkdir(exist_ok=True)
    manifest = OUT / f"{name}.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["uri", "id", "scale", "reference"])
        writer.writerows([case.lr.resolve(), case.id, case.scale, case.hr.resolve()] for case in cases)
    command = [sys.executable, "-m", "jobs.cli"]
    output = str(OUT / name)
    subprocess.run([*command, "run", str(manifest), "-o", output, "--existing", "overwrite", *options], check=True)
    done = subprocess.run([*command, "eval", output, "--json"], check=True, capture_output=True, text=True)
    return {score["key"]: score for score in json.loads(done.stdout)["scores"]}


def workers() -> str:
    """What the seconds are seconds of."""
    records = pq.read_table(OUT / "subpixel" / "manifest.parquet")
    count, threads = len(records["worker"].unique()), records["threads"].unique().to_pylist()
    return f"Seconds are those of one image in one worker, {count} workers at work, threads per worker {threads}."


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def quality_table(cases: list[Case], scores: dict[str, dict[str, Any]]) -> str:
    """Our mean Y-PSNR and SSIM beside the published figures."""
    groups: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for case in cases:
        groups[case.set, case.scale].append(scores[case.id])
    rows = []
    for (name, scale), group in groups.items():
        psnr, bicubic, ssim = (mean([s[column] for s in group]) for column in ("psnr_y", "bicubic_psnr_y", "ssim_y"))
        bar = BARS.get((name, scale))
        verdict = "" if bar is None else f"{bar:.1f} {'met' if psnr >= bar else '**missed**'}"
        others = [f"{figures[scale - 2]:.2f}" for figures in PUBLISHED[name].values()]
        seconds = f"{mean([s['seconds'] for s in group]):.1f}"
        rows.append(
            [name.title(), f"x{scale}", f"{bicubic:.2f}", *others, f"**{psnr:.2f}**", verdict, f"{ssim:.4f}", seconds]
        )
    names = list(PUBLISHED["set5"])
    return table(["set", "scale", "bicubic", *names, "srpipe, from scratch", "at least", "SSIM", "s per image"], rows)


def network_table(cases: list[Case], subpixel: dict[str, Any], zssr: dict[str, Any]) -> str:
    """Both networks at equal steps."""
    rows = [
        [
            case.name,
            *(f"{scores[case.id][column]:.{digits}f}" for scores in (subpixel, zssr) for column, digits in _COLUMNS),
        ]
        for case in cases
    ]
    means = [
        f"**{mean([scores[case.id][column] for case in cases]):.{digits}f}**"
        for scores in (subpixel, zssr)
        for column, digits in _COLUMNS
    ]
    return table(["Set5 x2", "subpixel dB", "s", "zssr dB", "s"], [*rows, ["**mean**", *means]])


_COLUMNS = (("psnr_y", 2), ("seconds", 1))


def main(data: Path) -> None:
    started = time.monotonic()
    cases = find_cases(data)
    scores = run_and_score("subpixel", cases)
    set5_x2 = [case for case in cases if case.set == "set5" and case.scale == 2]
    zssr = run_and_score("zssr", set5_x2, "--network", "zssr")
    kept = promises.check_all(data, OUT)
    minutes = (time.monotonic() - started) / 60
    text = f"""## Quality and promises

`make bench-quality DATA=...` ({minutes:.0f} minutes). {machine()}

Y-PSNR in dB (SSIM in a column of its own) of the 8-bit output of `srpipe run` with default settings, no prior, from
the MATLAB LR files; published figures beside it. {workers()}

{quality_table(cases, scores)}

The same steps with the paper's network, which works at HR size:

{network_table(set5_x2, scores, zssr)}

{table(["promise", "measured", "asked", ""], [promise.row() for promise in kept])}
"""
    write_section("quality", text)
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
