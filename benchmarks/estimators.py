"""The spectrum against recurring patches: which tells a camera better, and in how many seconds."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_ops.guess import estimate_of
from sr_ops.spectrum import brightness

from .gallery import SATELLITE, Covariance, Shot, gallery, mean
from .parts import Part
from .pictures import decode
from .recurrence import recurrence
from .results import table

SPECTRUM, PATCHES, LARGER = "spectrum", "patches", "patches, times 4/3"

ROUNDED = 1 / 255

NOISES = (0.0, 2.55)
"""In grey levels."""

GROUPS = ("set14", "kodak", "satellite")


@dataclass(frozen=True)
class Found:
    """Of one picture, by each estimator."""

    shot: Shot
    covariances: Mapping[str, Covariance]
    seconds: Mapping[str, float]
    """Of CPU."""

    def error(self, way: str) -> float:
        return self.shot.error(self.covariances[way])


def estimators(data: Path) -> Part:
    """Errors of the covariance, and seconds."""
    found = {noise: [_found(shot) for shot in _chosen(gallery(data, noise))] for noise in NOISES}
    rows = [row for noise, of in found.items() for row in _errors(noise, of)]
    header = [
        "noise",
        "pictures",
        *(f"{way}: error" for way in (SPECTRUM, PATCHES, LARGER)),
        "median",
        "median",
        "median",
    ]
    seconds = [[way, f"{mean([each.seconds[way] for each in found[0.0]]):.2f}"] for way in (SPECTRUM, PATCHES)]
    return Part(f"""## Unknown cameras: recurring patches

Error of the blur's covariance (Frobenius norm, LR pixels squared) of {len(found[0.0])} pictures at x2: Set14, Kodak and
two from the air, cut to 384 x 384 pixels, each by a Gaussian of its own, sigma 0.3 to 1.2 LR pixels along and across;
means, and medians in the same order. *Spectrum*: `sr_ops.estimate`. *Patches*: Michaeli and Irani 2013
(benchmarks/recurrence.py), which finds the kernel between an image and one twice as large, as sharp at its size as the
image at its own; *times 4/3*: what that says of the camera, if the larger image's blur is of the same form.

{table(header, rows)}

CPU seconds an image, one thread, both in one process:

{table(["", "s"], seconds)}""")


def _chosen(shots: Sequence[Shot]) -> list[Shot]:
    of_groups = [shot for shot in shots if shot.case.hr.parent.name in GROUPS]
    return [shot for shot in of_groups if shot.case.hr.stem not in SATELLITE[2:]]


def _found(shot: Shot) -> Found:
    lr = decode(shot.case.lr.read_bytes()).float() / 255
    started = time.process_time()
    estimate = estimate_of(lr, None, ROUNDED)
    between = time.process_time()
    patches = recurrence(brightness(lr))
    ended = time.process_time()
    spectrum = (0.0, 0.0, 0.0) if estimate is None else estimate.covariance
    covariances = {SPECTRUM: spectrum, PATCHES: patches.covariance, LARGER: patches.of_camera}
    return Found(shot, covariances, {SPECTRUM: between - started, PATCHES: ended - between})


def _errors(noise: float, found: Sequence[Found]) -> list[list[str]]:
    groups = {name: [each for each in found if each.shot.case.hr.parent.name == name] for name in GROUPS}
    rows = []
    for name, of in {**groups, "all": [*found]}.items():
        errors = {way: sorted(each.error(way) for each in of) for way in (SPECTRUM, PATCHES, LARGER)}
        means = [f"{mean(values):.3f}" for values in errors.values()]
        medians = [
            f"{(values[len(values) // 2] + values[(len(values) - 1) // 2]) / 2:.3f}" for values in errors.values()
        ]
        rows.append([f"{noise:g}", f"{name}, {len(of)}", *means, *medians])
    return rows
