"""Small JPEGs as makers publish them, enlarged by every method and held against what they were made of."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sr_ops.measures.metrics import luma

from .makers import SCALE, Crop, crops, drawn, make
from .matching import away_from, best_shift, detail_correlation, mixed, mover, psnr
from .pair_runs import DETAIL, HERE, INTERPOLATED, Methods, Nearness, enlarged, save
from .parts import Part
from .quality import Case, mean
from .results import table

ASKED = 25
"""Of the 30 on which the default is to be better than bicubic in dB."""

_BORDER = 2
"""LR pixels that are not compared."""


def compared(data: Path, methods: Methods) -> Part:
    """The small JPEGs: tables of means and of how often each method is better than interpolation."""
    truths = list(crops(data))
    cases = []
    for number, crop in enumerate(truths):
        lr = HERE / "small-jpegs" / f"{crop.name}.jpg"
        lr.parent.mkdir(parents=True, exist_ok=True)
        lr.write_bytes(make(crop.hr, drawn(number), number))
        cases.append(Case("small-jpegs", SCALE, crop.name, lr, lr))
    results = enlarged("small-jpegs", cases, methods)
    near = {
        method: [of_picture(of_method[case.id], crop.hr) for case, crop in zip(cases, truths, strict=True)]
        for method, of_method in results.items()
    }
    _leave(truths, near)
    every, unseen = [*range(len(truths))], [number for number, crop in enumerate(truths) if not crop.seen]
    part = Part(f"""{counted(near, every)}

For {len(unseen)} of them the prior has seen none of the pictures that they are from:

{counted(near, unseen)}""")
    better = _better(near, "default", every)[0] if "default" in near else ASKED
    if better < ASKED:
        part.missed.append(f"the default is better than bicubic in dB on {better} of {len(every)}, {ASKED} asked")
    return part


def _leave(truths: Sequence[Crop], near: Mapping[str, Sequence[Nearness]]) -> None:
    """Every picture beside its truth, and a table of all, for who looks for reasons."""
    for number, crop in enumerate(truths):
        panels = {f"{method}: {of[number].caption}": of[number].matched for method, of in near.items()}
        save(crop.name, panels | {"HR": crop.hr})
    (HERE / "small-jpegs.md").write_text(each_picture(truths, near) + "\n")


def counted(near: Mapping[str, Sequence[Nearness]], numbers: Sequence[int]) -> str:
    """Of some of the pictures: means, and on how many each method is better than interpolation."""
    rows = []
    for method, of in near.items():
        means = [f"{mean([of[n].psnr for n in numbers]):.2f}", f"{mean([of[n].detail for n in numbers]):.4f}"]
        better = ["", ""] if method == INTERPOLATED else map(str, _better(near, method, numbers))
        rows.append([method, *means, *better])
    return table(["", "dB", "detail", "better in dB on", "in detail on"], rows)


def _better(near: Mapping[str, Sequence[Nearness]], method: str, numbers: Sequence[int]) -> tuple[int, int]:
    """On how many a method is better than interpolation: in dB, in detail."""
    pairs = [(near[method][n], near[INTERPOLATED][n]) for n in numbers]
    return sum(one.psnr > plain.psnr for one, plain in pairs), sum(one.detail > plain.detail for one, plain in pairs)


def each_picture(truths: Sequence[Crop], near: Mapping[str, Sequence[Nearness]]) -> str:
    """What was done to each, interpolation's figures, and by how much each method differs from them."""
    rows = []
    for number, crop in enumerate(truths):
        maker, plain = drawn(number), near[INTERPOLATED][number]
        done = [f"{maker.sigmas[0]:.2f}", f"{maker.noise:.1f}", f"{maker.amount:.1f}", f"{maker.stretch:.1f}"]
        jpeg = f"{maker.quality} {'4:2:0' if maker.colours_halved else '4:4:4'}"
        gains = [
            f"{of[number].psnr - plain.psnr:+.2f}, {of[number].detail - plain.detail:+.3f}"
            for method, of in near.items()
            if method != INTERPOLATED
        ]
        rows.append([crop.name, *done, jpeg, plain.caption, *gains])
    return table(["", "sigma", "noise", "sharpened", "stretched", "JPEG", *near], rows)


def of_picture(sr: Tensor, hr: Tensor) -> Nearness:
    """Band by band in the truth's colours; the place and the figures are those of brightness."""
    known = away_from(torch.zeros(hr.shape[1:], dtype=torch.bool), _BORDER * SCALE)
    y = luma(hr)
    shift = best_shift(luma(sr)[None], y, known)
    moved = mover(sr)(shift)
    matched = torch.stack([mixed(band[None], truth, known) for band, truth in zip(moved, hr.double(), strict=True)])
    ours, sigma = luma(matched), DETAIL * SCALE
    return Nearness(psnr(ours, y, known, 255), detail_correlation(ours, y, known, sigma), shift, matched)
