"""`make bench-collection DATA=FOLDER`: when a prior of a collection's own pays over the one that srpipe ships.

DATA holds satellite/ and satellite_train/; benchmarks/satellite.py tells which file is on which side.
"""

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .parts import Part, measure
from .quality import OUT, Case, mean, run_and_score
from .results import table
from .satellite import AERIAL, LANDSAT, SCALE, SENTINEL, SIDE, TESTED, TRAINING, UNSUITED, prepare
from .shipped_prior import pictures
from .srpipe_process import COMMAND, write_manifest

FEW, MANY = 150, 600
"""Steps of a training."""

CROP, BATCH = 32, 12
"""LR pixels, of LR images that are made still smaller."""

TEST_STEPS = (0, 10, 50)
DEFAULT_STEPS = 50

NOTICEABLE = 0.02
"""Gains in dB below this are luck: as much as a learning rate twice too high costs."""

Scores = dict[int, dict[str, float]]
"""By the steps of a fit: Y-PSNR in dB by the case's id."""


@dataclass(frozen=True)
class Trained:
    """A prior with what it is called in the tables."""

    name: str
    prior: str
    """As `--prior` names it."""
    seconds: float
    """That its training took; 0 for the shipped one."""


def train_prior(name: str, images: list[Path], *options: str) -> tuple[Path, dict[str, Any]]:
    """One `srpipe prior` over the images: the file it wrote and the summary it printed."""
    manifest = write_manifest(OUT / f"{name}.csv", ["uri"], ([image.resolve()] for image in images))
    output = OUT / f"{name}.safetensors"
    command = [*COMMAND, "prior", str(manifest), "-o", str(output), "--json", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return output, json.loads(done.stdout)


def train_all(training: list[Case], tested: list[Case]) -> list[Trained]:
    """Every prior that is compared, the shipped one first."""
    sides = {"other places": training, "the tested images": tested}

    def train(side: str, steps: int) -> Trained:
        name = f"{side}, {steps} steps from shipped"
        options = ("--scales", str(SCALE), "--steps", str(steps), "--crop", str(CROP), "--batch", str(BATCH))
        began = time.monotonic()
        prior, _ = train_prior(_file_name(name), [case.lr for case in sides[side]], *options)
        return Trained(name, str(prior), time.monotonic() - began)

    return [
        Trained("shipped", "shipped", 0.0),
        train("other places", FEW),
        train("other places", MANY),
        train("the tested images", MANY),
    ]


def score_all(priors: list[Trained], cases: list[Case]) -> dict[str, Scores]:
    """All priors at all their steps, as many runs at once as there are cores; the scores by the prior's name."""

    def score(prior: Trained, steps: int) -> dict[str, float]:
        name = _file_name(f"{prior.name} {steps}")
        options = ("--prior", prior.prior, "--steps", str(steps), "--method", "zssr", "--executor", "inline")
        scores = run_and_score(name, cases, *options)
        return {case.id: scores[case.id]["psnr_y"] for case in cases}

    jobs = [(prior, steps) for prior in priors for steps in sorted(TEST_STEPS, reverse=True)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda job: score(*job), jobs)
        by_name: dict[str, Scores] = {prior.name: {} for prior in priors}
        for (prior, steps), scores in zip(jobs, results, strict=True):
            by_name[prior.name][steps] = scores
    return by_name


def _file_name(text: str) -> str:
    return f"collection-{text.replace(',', '').replace(' ', '-')}"


def steps_table(priors: list[Trained], scores: dict[str, Scores]) -> str:
    """Mean PSNR of each prior over all tested images, by the steps of the fits."""
    rows = []
    for prior in priors:
        held = scores[prior.name]
        cells = [f"{mean([*held[steps].values()]):.2f}" for steps in TEST_STEPS]
        rows.append([prior.name, f"{prior.seconds:.0f}" if prior.seconds else "", *cells])
    return table(["prior trained on", "training s", *(f"{steps} steps, dB" for steps in TEST_STEPS)], rows)


def kind_table(priors: list[Trained], scores: dict[str, Scores], cases: list[Case]) -> str:
    """Gain over the shipped prior at the default steps, by kind."""
    kinds = {kind: [case.id for case in cases if case.set == kind] for kind in (AERIAL, SENTINEL, LANDSAT)}
    shipped = scores[priors[0].name][DEFAULT_STEPS]
    rows = [["shipped, dB", *(f"{mean([shipped[key] for key in keys]):.2f}" for keys in kinds.values())]]
    for prior in priors[1:]:
        held = scores[prior.name][DEFAULT_STEPS]
        rows.append(
            [prior.name, *(f"{mean([held[key] - shipped[key] for key in keys]):+.2f}" for keys in kinds.values())]
        )
    return table([f"at {DEFAULT_STEPS} steps", *(f"{kind} ({len(keys)})" for kind, keys in kinds.items())], rows)


def conclusion(scores: dict[str, Scores]) -> str:
    """A sentence told from the numbers."""
    shipped = scores["shipped"][DEFAULT_STEPS]
    joint, own = (scores[f"{side}, {MANY} steps from shipped"] for side in ("other places", "the tested images"))

    def gain(held: Scores) -> str:
        gains = [held[DEFAULT_STEPS][key] - level for key, level in shipped.items()]
        won = sum(value >= NOTICEABLE for value in gains)
        lost = sum(value <= -NOTICEABLE for value in gains)
        verdict = "pays" if mean(gains) >= NOTICEABLE else "does not pay"
        return f"{verdict}: {mean(gains):+.2f} dB over the shipped one ({won} of {len(gains)} images gain, {lost} lose)"

    return (
        f"At {DEFAULT_STEPS} steps, with {NOTICEABLE} dB taken for luck, a prior of other places of the same kinds"
        f" {gain(joint)}; one of the tested collection's own LR images {gain(own)}."
    )


def compare(data: Path) -> Part:
    """Train the priors, test them, and tell what came of it."""
    learned = {f"{path.parent.name}/{path.name}" for path, _ in pictures(data)}
    assert not TESTED.keys() & learned, "the shipped prior has seen what is to be tested"
    left_out = dict(UNSUITED)
    training, tested = prepare(data, TRAINING, left_out), prepare(data, TESTED, left_out)
    priors = train_all(training, tested)
    scores = score_all(priors, tested)
    return Part(f"""## Collection priors

{conclusion(scores)}

The tables have the mean Y-PSNR at x{SCALE} of `srpipe run --method zssr` over {len(tested)} satellite and aerial
pictures. An HR image is at most {SIDE} x {SIDE} pixels of a picture, with 16-bit bands stretched to 8 bits. The LR
image is `downscale` of it. Priors learn from LR images only, by `srpipe prior` with crops of {CROP}, {BATCH} a step.
They learn from {len(training)} pictures of other places, or from the tested pictures themselves, as a nightly job on a
collection does. What the shipped prior was trained on is never tested.

{steps_table(priors, scores)}

{kind_table(priors, scores, tested)}

Tested: {_names(tested)}. Of other places: {_names(training)}.
Left out: {"; ".join(f"{Path(file).name} ({reason})" for file, reason in left_out.items())}.
""")


def _names(cases: list[Case]) -> str:
    return ", ".join(case.name for case in cases)


if __name__ == "__main__":
    measure("make bench-collection DATA=...", "collection", {"": lambda: compare(Path(sys.argv[1]))})
