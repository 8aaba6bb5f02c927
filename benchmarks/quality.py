"""`make bench-quality DATA=FOLDER`: Set5 and Set14 by the whole command line, the presets, and every promise.

DATA holds set5/ and set14/, each with the HR images and LR_bicubic/X2..X4/<name>x2.png made by MATLAB.
"""

import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sr_ops.settings import FROM_SCRATCH, Preset
from sr_ops.settings import preset as make_preset

from . import promises
from .parts import Part, exit_code, measure
from .results import table
from .srpipe_process import COMMAND, write_manifest

OUT = Path("bench-out")

SCALES = (2, 3, 4)

PUBLISHED = {
    # set: method: x2, x3, x4 in dB; SRCNN Dong 2014, ZSSR Shocher 2018, VDSR Kim 2016
    "set5": {"SRCNN": (36.66, 32.75, 30.48), "ZSSR (paper)": (37.37, 33.42, 31.13), "VDSR": (37.53, 33.66, 31.35)},
    "set14": {"SRCNN": (32.42, 29.28, 27.49), "ZSSR (paper)": (33.00, 29.80, 28.01), "VDSR": (33.03, 29.77, 28.01)},
}

BARS = {("set5", 2): 37.5, ("set5", 3): 33.6, ("set5", 4): 31.25, ("set14", 2): 32.95}
"""dB below which the benchmark fails."""


@dataclass(frozen=True)
class Case:
    """One LR image with its truth."""

    set: str
    scale: int
    name: str
    lr: Path
    hr: Path
    kernel: str = ""
    """The manifest's cell: what srpipe is told of the camera; empty for nothing."""
    noise: str = ""
    """The same of its noise."""

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


def run_cases(name: str, cases: list[Case], *options: str) -> Path:
    """One `srpipe run` over the cases; its output."""
    columns = ("uri", "id", "scale", "reference", "kernel", "noise")
    rows = ((case.lr.resolve(), case.id, case.scale, case.hr.resolve(), case.kernel, case.noise) for case in cases)
    manifest, output = write_manifest(OUT / f"{name}.csv", columns, rows), OUT / name
    subprocess.run([*COMMAND, "run", manifest, "-o", output, "--existing", "overwrite", *options], check=True)
    return output


def run_and_score(name: str, cases: list[Case], *options: str) -> dict[str, dict[str, Any]]:
    """One `srpipe run` and one `srpipe eval` over the cases; the scores by id."""
    output = run_cases(name, cases, *options)
    done = subprocess.run([*COMMAND, "eval", output, "--json"], check=True, capture_output=True, text=True)
    return {score["key"]: score for score in json.loads(done.stdout)["scores"]}


def workers() -> str:
    """What the seconds are seconds of."""
    records = pq.read_table(OUT / "default" / "manifest.parquet")
    count, threads = len(records["worker"].unique()), records["threads"].unique().to_pylist()
    return f"Seconds are those of one image in one worker, {count} workers at work, threads per worker {threads}."


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def quality_table(cases: list[Case], default: dict[str, dict[str, Any]], scratch: dict[str, dict[str, Any]]) -> str:
    """Our mean Y-PSNR and SSIM beside the published figures."""
    groups: dict[tuple[str, int], list[str]] = defaultdict(list)
    for case in cases:
        groups[case.set, case.scale].append(case.id)
    rows = []
    for (name, scale), keys in groups.items():
        psnr, bicubic, ssim, seconds = (
            mean([default[key][column] for key in keys]) for column in ("psnr_y", "bicubic_psnr_y", "ssim_y", "seconds")
        )
        others = [f"{figures[scale - 2]:.2f}" for figures in PUBLISHED[name].values()]
        without = [
            f"{mean([scratch[key][column] for key in keys]):.{digits}f}" if keys[0] in scratch else ""
            for column, digits in _COLUMNS
        ]
        ours = [f"**{psnr:.2f}**", f"{ssim:.4f}", f"{seconds:.1f}"]
        rows.append([name.title(), f"x{scale}", f"{bicubic:.2f}", *others, *ours, *without])
    names = list(PUBLISHED["set5"])
    ours = ["srpipe", "SSIM", "s", "srpipe `--prior none`", "s"]
    return table(["set", "scale", "bicubic", *names, *ours], rows)


def preset_table(cases: list[Case], default: dict[str, dict[str, Any]]) -> str:
    """What each preset costs and gives."""
    groups = {
        name: [case for case in cases if (case.set, case.scale) == key]
        for name, key in (("Set5 x2", ("set5", 2)), ("Set5 x4", ("set5", 4)), ("Set14 x2", ("set14", 2)))
    }
    rows = []
    for preset in Preset:
        wanted = ["Set5 x2"] if preset in FROM_SCRATCH else list(groups)  # these take minutes an image
        chosen = [case for name in wanted for case in groups[name]]
        balanced = preset is Preset.BALANCED
        scores = default if balanced else run_and_score(f"preset-{preset}", chosen, "--preset", preset)
        settings = make_preset(preset, from_prior=preset not in FROM_SCRATCH)
        row = [f"`{preset}`", str(settings.network), str(settings.fit.steps)]
        for name, members in groups.items():
            figures = [mean([scores[case.id][column] for case in members]) for column, _ in _COLUMNS if name in wanted]
            row += [f"{figures[0]:.2f}", f"{figures[1]:.1f}"] if figures else ["", ""]
        rows.append(row)
    header = ["preset", "network", "steps", *(column for name in groups for column in (f"{name} dB", "s"))]
    return table(header, rows)


_COLUMNS = (("psnr_y", 2), ("seconds", 1))


def compare(data: Path) -> Part:
    """Measure, and tell what came of it."""
    cases = find_cases(data)
    default = run_and_score("default", cases)
    scratch = run_and_score("scratch", [case for case in cases if case.set == "set5"], "--prior", "none")
    presets = preset_table(cases, default)
    kept = promises.check_all(data, OUT)
    steps = make_preset(Preset.BALANCED, from_prior=False).fit.steps
    part = Part(f"""## Quality and promises

Y-PSNR in dB of the 8-bit output of `srpipe run` from the MATLAB LR files; published figures beside it. srpipe: default
settings: the shipped prior as it is, since a fit does not pay for bicubic. `--prior none`: nothing but the image
itself and {steps} steps a stage. {workers()}

{quality_table(cases, default, scratch)}

Presets:

{presets}

{table(["promise", "measured", "promised", ""], [promise.row() for promise in kept])}
""")
    for (name, scale), bar in BARS.items():
        members = [default[case.id]["psnr_y"] for case in cases if (case.set, case.scale) == (name, scale)]
        part.hold(f"{name} x{scale}", mean(members), bar)
    part.missed += [f"promise broken: {promise.name}" for promise in kept if not promise.kept]
    return part


if __name__ == "__main__":
    parts = {"": lambda: compare(Path(sys.argv[1]))}
    sys.exit(exit_code(measure("make bench-quality DATA=...", "quality", parts)))
