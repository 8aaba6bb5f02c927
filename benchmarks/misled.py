"""Where an estimate of the camera misleads: the ten worst of many pictures, and what its confidence said."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from sr_ops.estimate import Estimate
from sr_ops.guess import estimate_of

from .gallery import Shot, gallery, mean
from .kernel_shots import run_and_measure
from .parts import Part
from .pictures import decode
from .quality import OUT, Case
from .results import table

PRIOR = ("--method", "prior", "--executor", "inline")
"""Small images are not worth a cluster."""

WORST = 10

ROUNDED = 1 / 255

CONFIDENCES = ((0.0, 0.5), (0.5, 0.9), (0.9, 1.01))


@dataclass(frozen=True)
class Verdict:
    """Of one picture: what was true, found and assumed, and what came of it."""

    shot: Shot
    found: Estimate | None
    record: dict[str, Any]
    lost: float
    """dB against the true kernel."""

    @property
    def error(self) -> float:
        return math.nan if self.found is None else self.shot.error(self.found.covariance)

    def row(self) -> list[str]:
        case, found = self.shot.case, self.found
        true = _gaussian(self.shot.along, self.shot.across, self.shot.degrees)
        estimate = ["nothing", "", ""]
        if found is not None:
            first, second = (math.sqrt(max(0.0, each)) for each in found.variances)
            estimate = [_gaussian(first, second, found.degrees), f"{found.deviation:.2f}", f"{self.error:.2f}"]
        assumed = _in_lr_pixels(self.record["kernel"], case.scale)
        note = self.record["kernel_note"] or ""
        picture = f"{case.hr.parent.name}, {case.hr.stem[:20]}"
        return [picture, f"{self.lost:+.2f}", true, *estimate, f"{self.record['kernel_confidence']:.2f}", assumed, note]


def misled(data: Path) -> Part:
    """The pictures that lose most by not being told."""
    verdicts = [verdict for noise in (0.0, 2.55) for verdict in _verdicts(data, noise)]
    clean, noisy = verdicts[: len(verdicts) // 2], verdicts[len(verdicts) // 2 :]
    header = ["picture", "dB", "true", "estimated", "deviation", "error", "confidence", "assumed", "note"]
    worst = [table(header, [each.row() for each in sorted(of, key=_lost)[:WORST]]) for of in (clean, noisy)]
    return Part(f"""## Unknown cameras: the ten worst

{len(clean)} pictures at x2, of Set5, Set14, Kodak and satellites, cut to 384 x 384 pixels; each by a Gaussian of its
own, sigma 0.3 to 1.2 LR pixels along and across. Those ten that lose most dB against the true kernel being told, by
`--method prior`. Gaussians: standard deviations in LR pixels and the direction of the first. *Deviation*: of the
estimate's variances, as the fit has it; *error*: Frobenius norm of the covariance; LR pixels squared. *Confidence*,
*assumed*, *note*: as the records have them.

Without noise:

{worst[0]}

With noise of 2.55 levels, of which only the true way is told:

{worst[1]}

What the confidence is worth, pictures with and without noise:

{_by_confidence(verdicts)}""")


def _verdicts(data: Path, noise: float) -> list[Verdict]:
    shots, name = gallery(data, noise), f"misled-{noise:g}"
    cases = [shot.case for shot in shots]
    untold = [Case(case.set, case.scale, case.name, case.lr, case.hr) for case in cases]
    told = run_and_measure(f"{name}-true", cases, *PRIOR)
    alone = run_and_measure(f"{name}-estimate", untold, *PRIOR)
    columns = ["key", "kernel", "kernel_confidence", "kernel_note"]
    rows = pq.read_table(OUT / f"{name}-estimate" / "manifest.parquet", columns=columns).to_pylist()
    records = {row["key"]: row for row in rows}
    return [
        Verdict(shot, _estimate(shot), records[key], alone[key].psnr - told[key].psnr)
        for shot in shots
        for key in (shot.case.id,)
    ]


def _estimate(shot: Shot) -> Estimate | None:
    return estimate_of(decode(shot.case.lr.read_bytes()).float() / 255, None, ROUNDED)


def _by_confidence(verdicts: list[Verdict]) -> str:
    rows = []
    for kind, is_kind in (("bicubic", True), ("a Gaussian", False)):
        for low, high in CONFIDENCES:
            of = [
                each
                for each in verdicts
                if (each.record["kernel"] == "bicubic") == is_kind and low <= each.record["kernel_confidence"] < high
            ]
            if of:
                lost = [each.lost for each in of]
                rows.append(
                    [kind, f"{low:g} to {min(high, 1):g}", str(len(of)), f"{mean(lost):+.2f}", f"{min(lost):+.2f}"]
                )
    return table(["assumed", "confidence", "pictures", "dB", "worst"], rows)


def _lost(verdict: Verdict) -> float:
    return verdict.lost


def _in_lr_pixels(kernel: str, scale: int) -> str:
    name, _, numbers = kernel.partition(":")
    if name != "gaussian":
        return kernel
    first, *rest = map(float, numbers.split(","))
    return _gaussian(first / scale, rest[0] / scale, rest[1]) if rest else f"{first / scale:.2f}"


def _gaussian(first: float, second: float, degrees: float) -> str:
    """The wider standard deviation first."""
    if second > first:
        first, second, degrees = second, first, (degrees + 90) % 180
    return f"{first:.2f}, {second:.2f}, {degrees:.0f}"
