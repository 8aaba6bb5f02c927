"""The spectrum against recurring patches: which tells a camera better, and in how many seconds."""

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_ops.estimation.spectrum import brightness

from .gallery import SATELLITE, Covariance, Shot, estimated, gallery
from .parts import Part
from .pictures import decode
from .recurrence import recurrence
from .results import table

SPECTRUM, PATCHES, OF_CAMERA = "spectrum", "patches", "patches, times 4/3"

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
    by_noise = {noise: [_found(shot) for shot in _chosen(gallery(data, noise))] for noise in NOISES}
    rows = [[f"{noise:g}", *row] for noise, of in by_noise.items() for row in _errors(of)]
    found = by_noise[0.0]
    measures = [f"{way}: {what}" for way in found[0].covariances for what in ("mean", "median", "most")]
    seconds = [[way, f"{statistics.mean(each.seconds[way] for each in found):.2f}"] for way in found[0].seconds]
    closer = [str(sum(each.error(PATCHES) < each.error(SPECTRUM) for each in of)) for of in by_noise.values()]
    return Part(f"""## Unknown cameras: recurring patches

The table has the error of the blur's covariance (Frobenius norm, LR pixels squared) for {len(found)} pictures at x2,
with noise of so many grey levels. The pictures are Set14, Kodak and two from the air, cut to 384 x 384 pixels. A
Gaussian of its own made each of them small, with a sigma of 0.3 to 1.2 LR pixels along and across. *Spectrum* is
`sr_ops.estimation`. *Patches* is Michaeli and Irani 2013 (benchmarks/recurrence.py). It finds the kernel between an
image and one twice as large that is as sharp at its size as the image at its own. *Times 4/3* is what that says of the
camera, if the larger image's own blur is of the same form.

{table(["noise", "pictures", *measures], rows)}

Patches were nearer on {" and ".join(closer)} of {len(found)}. An image takes these CPU seconds, with one thread and
both in one process:

{table(["", "s"], seconds)}""")


def _chosen(shots: Sequence[Shot]) -> list[Shot]:
    of_groups = [shot for shot in shots if shot.case.hr.parent.name in GROUPS]
    return [shot for shot in of_groups if shot.case.hr.stem not in SATELLITE[2:]]


def _found(shot: Shot) -> Found:
    levels = decode(shot.case.lr.read_bytes())
    started = time.process_time()
    estimate = estimated(levels)
    between = time.process_time()
    patches = recurrence(brightness(levels.float() / 255))
    ended = time.process_time()
    spectrum = (0.0, 0.0, 0.0) if estimate is None else estimate.covariance
    covariances = {SPECTRUM: spectrum, PATCHES: patches.covariance, OF_CAMERA: patches.of_camera}
    return Found(shot, covariances, {SPECTRUM: between - started, PATCHES: ended - between})


def _errors(found: Sequence[Found]) -> list[list[str]]:
    groups = {name: [each for each in found if each.shot.case.hr.parent.name == name] for name in GROUPS}
    rows = []
    for name, of in {**groups, "all": [*found]}.items():
        row = [f"{name}, {len(of)}"]
        for way in found[0].covariances:
            errors = [each.error(way) for each in of]
            row += [f"{measure(errors):.2f}" for measure in (statistics.mean, statistics.median, max)]
        rows.append(row)
    return rows
