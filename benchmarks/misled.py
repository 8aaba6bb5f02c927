"""Where an estimate of the camera misleads: the ten worst of many pictures, and what its confidence said."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sr_ops.estimation.estimate import Estimate
from sr_ops.estimation.guess import Guess, guess

from .gallery import Shot, estimated, gallery
from .kernel_shots import run_and_measure
from .parts import Part
from .pictures import decode
from .quality import Case, mean
from .results import table

WORST = 10

NOISES = (0.0, 2.55)
"""In grey levels."""

PRIOR = ("--method", "prior", "--executor", "inline")
"""Fits are not compared here, and small images are not worth a cluster."""

CONFIDENCES = ((0.0, 0.5), (0.5, 0.9), (0.9, 1.0))

BICUBIC_IS = 0.3
"""LR pixels squared: blurs that are wider are not bicubic's."""


@dataclass(frozen=True)
class Verdict:
    """Of one picture: what was true, found and assumed."""

    shot: Shot
    noise: float
    found: Estimate
    assumed: Guess

    @property
    def error(self) -> float:
        return self.shot.error(self.found.covariance)

    def row(self, lost: float) -> list[str]:
        first, second = (math.sqrt(max(0.0, each)) for each in self.found.variances)
        folder, name = self.shot.case.hr.parent.name, self.shot.case.hr.stem
        return [
            f"{folder}, {name[:16]}" + (f", noise {self.noise:g}" if self.noise else ""),
            gaussian_text(self.shot.along, self.shot.across, self.shot.degrees),
            gaussian_text(first, second, self.found.degrees),
            f"{self.error:.2f}",
            f"{self.found.deviation:.2f}",
            f"{self.found.misfit:.2f}",
            in_lr_pixels(self.assumed.kernel, self.shot.case.scale),
            f"{self.assumed.confidence:.2f}",
            f"{lost:+.2f}",
            self.assumed.reason,
        ]


def misled(data: Path) -> Part:
    """The pictures whose estimates are furthest off."""
    verdicts, silent = [], 0
    for noise in NOISES:
        for shot in gallery(data, noise):
            found = estimated(decode(shot.case.lr.read_bytes()))
            if found is None:
                silent += 1
            else:
                verdicts.append(Verdict(shot, noise, found, guess(found, shot.case.scale)))
    worst = sorted(verdicts, key=lambda verdict: verdict.error)[: -WORST - 1 : -1]
    header = ["picture", "true", "estimated", "error", "deviation", "misfit", "assumed", "confidence", "dB", "why"]
    rows = [verdict.row(lost) for verdict, lost in zip(worst, _lost(worst), strict=True)]
    return Part(f"""## Unknown cameras: the ten worst

{len(verdicts) + silent} images were looked at, at x2. They are the pictures of Set5, Set14, Kodak and five from the
air, cut to 384 x 384 pixels. A Gaussian of its own made each of them small (sigma 0.3 to 1.2 LR pixels along and
across), without noise and with noise of 2.55 levels. {silent} tell nothing. The table has the ten whose estimates are
furthest off. *True*, *estimated* and *assumed* are standard deviations in LR pixels, the wider one first, and its
direction. *Error* is the Frobenius norm of the covariance's error. *Deviation* is the standard deviation of its
variances, as the fit has it. Both are in LR pixels squared. *dB* is `--kernel estimate` against being told kernel and
noise, by `--method prior`.

{table(header, rows)}

The next table tells what the confidence is worth, by all of them. It is *right* to assume bicubic where the wider
variance is below {BICUBIC_IS:g} LR pixels squared, and a Gaussian where it is above. *Too wide* is by how much the
assumed wider variance is above the true one, at most. *Error* is the mean error of the covariance that was estimated.

{_by_confidence(verdicts)}""")


def _lost(verdicts: Sequence[Verdict]) -> list[float]:
    """dB against being told."""
    cases = [verdict.shot.case for verdict in verdicts]
    untold = [Case(case.set, case.scale, case.name, case.lr, case.hr) for case in cases]
    told = run_and_measure("misled-told", cases, *PRIOR)
    alone = run_and_measure("misled-estimate", untold, *PRIOR, "--kernel", "estimate")
    return [alone[case.id].psnr - told[case.id].psnr for case in cases]


def _by_confidence(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for kind in ("bicubic", "Gaussian"):
        for low, high in CONFIDENCES:
            of = [each for each in verdicts if _kind(each) == kind and low <= each.assumed.confidence <= high]
            if of:
                right = sum(
                    (max(each.shot.along, each.shot.across) ** 2 > BICUBIC_IS) == (kind != "bicubic") for each in of
                )
                error = mean([each.error for each in of])
                too_wide = "" if kind == "bicubic" else f"{max(map(_too_wide, of)):+.2f}"
                rows.append([kind, f"{low:g} to {high:g}", str(len(of)), str(right), too_wide, f"{error:.2f}"])
    return table(["assumed", "confidence", "images", "right", "too wide", "error"], rows)


def _kind(verdict: Verdict) -> str:
    return "bicubic" if verdict.assumed.kernel == "bicubic" else "Gaussian"


def _too_wide(verdict: Verdict) -> float:
    widest = max(map(float, verdict.assumed.kernel.partition(":")[2].split(",")[:2])) / verdict.shot.case.scale
    return widest**2 - max(verdict.shot.along, verdict.shot.across) ** 2


def in_lr_pixels(kernel: str, scale: int) -> str:
    """A kernel's text, of a Gaussian the standard deviations in LR pixels and the direction."""
    name, _, numbers = kernel.partition(":")
    if name != "gaussian":
        return kernel
    first, *rest = map(float, numbers.split(","))
    return gaussian_text(first / scale, rest[0] / scale, rest[1]) if rest else f"{first / scale:.2f}"


def gaussian_text(first: float, second: float, degrees: float) -> str:
    """Two standard deviations, the wider one first, and its direction."""
    if second > first:
        first, second, degrees = second, first, degrees + 90
    return f"{first:.2f}, {second:.2f}, {round(degrees) % 180}"
