"""`make bench-fits DATA=FOLDER`: what of a prior's network is best fitted to an image, at equal seconds of a CPU.

Pictures are the truth; their LR images are MATLAB's bicubic, in 8 bits. Every fit begins at the shipped prior. DATA
holds set14/, satellite/, satellite_train/ and archive/; of archive/ the prior has learned.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from pipeline import load_prior
from pipeline.imagery.scored import from_levels, read_levels, to_levels
from pipeline.manifest.manifest import IMAGE_SUFFIXES
from sr_ops.enlarging.enlarge import enlarge_tiled
from sr_ops.enlarging.model import degradation_of, network_of, no_phase
from sr_ops.image.domain import UNIT
from sr_ops.image.resample import downscale
from sr_ops.learning.fit import fit
from sr_ops.learning.observation import Observation
from sr_ops.learning.subject import Subject
from sr_ops.measures.metrics import psnr_y
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.priors.prior import Prior
from sr_ops.settings import Method, Preset, Settings, preset

from .fit_variants import VARIANTS, Variant, fold, learned
from .parts import Part, measure
from .quality import mean
from .results import table
from .satellite import TESTED, prepare

SCALES = (2, 4)
STEPS = (10, 20, 50)
SIDE = 256
"""Most of a picture that is looked at, in HR pixels: its middle."""
SHORTEST = 192
"""Side of a picture that is looked at: below, an image at x4 can spare no part."""
GROUPS = ("set14", "satellite", "archive")


@dataclass(frozen=True)
class Result:
    """Of one fit, or of the prior as it is."""

    psnr: float
    """Y-PSNR in dB of the enlargement."""
    held_out: float
    """PSNR in dB on the parts of the image that its fit does not learn from."""
    seconds: float = 0.0
    """Of the CPU, for the steps alone."""


Results = dict[tuple[str, int], list[Result]]
"""By the variant's name and its steps, a result for each picture."""


class Tested:
    """One LR image with its truth, to be learned from as `learning` does it."""

    def __init__(self, hr: Tensor, scale: int, prior: Prior) -> None:
        """Take the heads of `prior` for any camera alone: it has to be without clean ones."""
        self._hr, settings = hr, settings_of(prior, scale)
        observation = Observation(from_levels(downscale(hr, scale)), degradation_of(settings))
        self._subject = Subject.of(observation, settings, prior)
        assert self._subject.parts is not None
        self._examination = self._subject.examination(self._subject.parts)
        self._lesson = self._subject.first_lesson()

    def of_prior(self) -> Result:
        """What the prior comes to as it is."""
        return self._measured(self._subject.network(0))

    def fitted(self, variant: Variant, steps: int) -> Result:
        """What a fit comes to."""
        network, settings = self._subject.network(0), self._subject.settings
        variant.prepare(network)
        started = time.process_time()
        fit(network, self._lesson, replace(settings.fit, steps=steps, learning_rate=variant.rate), settings.seed)
        seconds = time.process_time() - started
        fold(network)
        return replace(self._measured(network), seconds=seconds)

    def _measured(self, network: ResidualNetwork) -> Result:
        """By the whole way that the worker takes."""
        subject, model = self._subject, self._subject.by_networks(Method.ZSSR, (network,))
        sr = to_levels(enlarge_tiled(subject.lr, model, subject.settings, no_phase, UNIT))
        return Result(psnr_y(sr, self._hr, subject.settings.scale), self._examination.of(network, subject.told))


def settings_of(prior: Prior, scale: int) -> Settings:
    """By which a prior is fitted and enlarges."""
    return replace(preset(Preset.BALANCED, from_prior=True), scale=scale).with_body(prior.largest)


def pictures(data: Path, group: str) -> Iterator[Path]:
    """Of a group; satellites' are those that the prior has not seen."""
    if group == "satellite":
        yield from (case.hr for case in prepare(data, TESTED, {}))
    else:
        yield from (path for path in sorted((data / group).iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES)


def middle(levels: Tensor, side: int, scale: int) -> Tensor:
    """(C, h, w) of a picture without alpha, whole LR pixels of it."""
    bands = levels[:3] if len(levels) > 2 else levels[:1]
    height, width = (min(side, length) // scale * scale for length in levels.shape[-2:])
    top, left = (levels.shape[-2] - height) // 2, (levels.shape[-1] - width) // 2
    return bands[:, top : top + height, left : left + width].contiguous()


def spread(pictures: list[Tensor], count: int | None) -> list[Tensor]:
    """So many of them, from the first one on evenly spaced; None for all."""
    if count is None or count >= len(pictures):
        return pictures
    return [pictures[number * len(pictures) // count] for number in range(count)]


def results_of(images: Iterator[Tested], steps: Sequence[int]) -> Results:
    """Every variant at every number of steps; ("", 0) is the prior."""
    found: Results = {("", 0): []}
    for number, image in enumerate(images):
        if number == 0:
            image.fitted(VARIANTS[0], 1)  # the first of a process pays for what libraries set up
        found["", 0].append(image.of_prior())
        for variant in VARIANTS:
            for count in steps:
                found.setdefault((variant.name, count), []).append(image.fitted(variant, count))
    return found


def compare(data: Path, scale: int, options: argparse.Namespace) -> Part:
    """One scale, all groups."""
    prior, groups = replace(load_prior(), clean={}), {}
    for group in options.groups:
        levels = (middle(read_levels(str(path.resolve())), options.side, scale) for path in pictures(data, group))
        hrs = spread([hr for hr in levels if min(hr.shape[-2:]) >= SHORTEST], options.pictures)
        groups[group] = results_of((Tested(hr, scale, prior) for hr in hrs), options.steps)
    counts = ", ".join(f"{len(of['', 0])} of {group}" for group, of in groups.items())
    return Part(f"""## What to fit at x{scale}

Mean gain in dB over the prior as it is, on Y; behind it the gain where each image keeps the prior unless the fit is
better on parts held out of it, and on how many the fit was better in truth. Pictures: the middle {options.side} HR
pixels of {counts}, made small by MATLAB's bicubic. Seconds are of the CPU, one thread, mean of a fit's steps alone.

{gains_table(groups, prior, scale)}""")


def gains_table(groups: dict[str, Results], prior: Prior, scale: int) -> str:
    """A row for each way to fit, a first one for the prior."""
    first = next(iter(groups.values()))
    plain = [f"{mean([result.psnr for result in of['', 0]]):.2f} dB" for of in groups.values()]
    rows = [["prior as it is", "0", "0", "0.00", *plain]]
    for variant in VARIANTS:
        network = network_of(prior.heads[scale, 3], 3, scale, settings_of(prior, scale), torch.device("cpu"))
        variant.prepare(network)
        for count in (count for name, count in first if name == variant.name):
            fits = [result for of in groups.values() for result in of[variant.name, count]]
            cells = [_gain(of["", 0], of[variant.name, count]) for of in groups.values()]
            seconds = mean([result.seconds for result in fits])
            rows.append([variant.name, f"{learned(network):,}", str(count), f"{seconds:.2f}", *cells])
    return table(["fitted", "numbers", "steps", "s", *groups], rows)


def _gain(before: list[Result], after: list[Result]) -> str:
    gains = [fitted.psnr - prior.psnr for prior, fitted in zip(before, after, strict=True)]
    kept = [
        gain if fitted.held_out > prior.held_out else 0.0
        for gain, prior, fitted in zip(gains, before, after, strict=True)
    ]
    return f"{mean(gains):+.3f}; {mean(kept):+.3f}; {sum(gain > 0 for gain in gains)} of {len(gains)}"


def main() -> None:
    """Read the arguments, measure, write docs/results.md."""
    names = {f"x{scale}": scale for scale in SCALES}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fits", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", choices=names, default=[*names], help="do these only")
    parser.add_argument("--steps", nargs="+", type=int, default=[*STEPS])
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=[*GROUPS])
    parser.add_argument("--side", type=int, default=SIDE, help="HR pixels of a picture")
    parser.add_argument("--pictures", type=int, help="so many of a group: for a look, writes nothing")
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {name: partial(compare, options.data, names[name], options) for name in options.parts}
    measure("make bench-fits DATA=...", "fits", parts, whole=options.pictures is None)


if __name__ == "__main__":
    main()
