"""`make bench-bodies DATA=FOLDER [OPTIONS=...]`: bodies of the direct network, trained alike at x4 and measured.

All learn from the same crops in the same order, about as many multiplications a pixel each, in turns of some steps, so
that their seconds of a CPU compare. DATA holds kodak/, photos_cc0/, aerial_drone/, set5/ and set14/. Stopped, the same
command goes on: where each is lies in bench-out/bodies/.
"""

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean, median
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from pipeline.imagery.scored import from_levels, read_levels, to_levels
from sr_ops.camera.back_projection import back_project
from sr_ops.camera.base import make_base
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.measures.metrics import psnr_y
from sr_ops.networks.direct import DirectNetwork
from sr_ops.priors.training import Schedule, Training

from .body_candidates import BANDS, CANDIDATES, SCALE, Candidate, fold
from .clean_pairs import CleanPairs, pictures_of
from .parts import Part, measure
from .quality import OUT, Case, find_cases
from .results import table

FOLDERS = ("kodak", "photos_cc0", "aerial_drone")
CROP, BATCH = 32, 8
STEPS, TURN = 2000, 50
RATE = 1e-3
PIECE = 128
"""LR pixels a side that a network enlarges at once on a CPU."""
SETS = ("set5", "set14")

_DEGRADATION = Degradation((bicubic(SCALE),), SCALE)


@dataclass
class Course:
    """A candidate on its way."""

    candidate: Candidate
    network: DirectNetwork
    training: Training
    place: Path
    """Where it is stored."""
    seconds: list[float] = field(default_factory=list)
    """Of a CPU for a step, of every turn."""

    @classmethod
    def begin(cls, candidate: Candidate, pairs: CleanPairs, steps: int, folder: Path) -> "Course":
        """Where it was stopped, if it was."""
        network = candidate.network()
        place = folder / f"{candidate.name.replace(' ', '_').replace(',', '')}-{steps}.pt"
        course = cls(candidate, network, Training(network, pairs.again(1), Schedule(steps, BATCH, RATE)), place)
        if place.exists():
            held: dict[str, Any] = torch.load(place, weights_only=True)
            course.training.load(held["training"])
            course.seconds = held["seconds"]
        return course

    def turn(self, until: int) -> None:
        """Go on to a step, unless it is there."""
        steps, started = until - self.training.steps, time.process_time()
        if steps <= 0:
            return
        loss = self.training.run(until)
        self.seconds.append((time.process_time() - started) / steps)
        torch.save({"training": self.training.state(), "seconds": self.seconds}, self.place)
        print(f"{time.strftime('%H:%M:%S')} {until} {self.candidate.name}: {loss:.5f}", flush=True)

    def learned(self) -> DirectNetwork:
        """As it enlarges, with the average of its weights."""
        network = self.candidate.network()
        network.load_state_dict(self.training.averaged())
        return fold(network)


@torch.inference_mode()
def enlarged(network: DirectNetwork, lr: Tensor) -> Tensor:
    """Grey levels by one member and a data step, of (3, h, w) uint8."""
    image = from_levels(lr)
    sr = network(image[None], make_base(_DEGRADATION, image)[None], torch.zeros(1, 1, 2))[0]
    return to_levels(back_project(sr, image, _DEGRADATION, 10))


def psnr(network: DirectNetwork, cases: list[Case]) -> float:
    """Mean Y-PSNR in dB."""
    return mean(
        psnr_y(enlarged(network, read_levels(str(case.lr))), truth(read_levels(str(case.hr))), SCALE) for case in cases
    )


def truth(hr: Tensor) -> Tensor:
    """As much of it as whole LR pixels cover."""
    height, width = (side // SCALE * SCALE for side in hr.shape[1:])
    return hr[:, :height, :width]


def in_colour(cases: list[Case]) -> list[Case]:
    """`bridge` of Set14 is grey, and these networks are of three bands."""
    return [case for case in cases if case.scale == SCALE and len(read_levels(str(case.lr))) == BANDS]


@torch.inference_mode()
def inference_seconds(networks: list[DirectNetwork], side: int = PIECE, rounds: int = 7) -> list[list[float]]:
    """Seconds of a CPU that each takes for `side` x `side` LR pixels, in several rounds of all."""
    image, told = torch.rand(1, BANDS, side, side), torch.zeros(1, 1, 2)
    base = torch.rand(1, BANDS, SCALE * side, SCALE * side)
    seconds: list[list[float]] = [[] for _ in networks]
    for number in range(rounds + 1):
        for network, its in zip(networks, seconds, strict=True):
            started = time.process_time()
            network(image, base, told)
            if number:  # the first of each pays for what libraries set up
                its.append(time.process_time() - started)
    return seconds


def multiplications(network: DirectNetwork, side: int = 32) -> float:
    """For an LR pixel."""
    with torch.inference_mode(), FlopCounterMode(display=False) as counted:
        network(torch.rand(1, BANDS, side, side), torch.rand(1, BANDS, *2 * (SCALE * side,)), torch.zeros(1, 1, 2))
    return int(counted.get_total_flops()) / 2 / side**2


def ratio(seconds: list[float], of_first: list[float]) -> float:
    """The median over turns of what one takes, in what the first one took in the same turn."""
    return median(own / first for own, first in zip(seconds, of_first, strict=True))


def compare(data: Path, steps: int, candidates: tuple[Candidate, ...] = CANDIDATES) -> Part:
    """Train all, and the table."""
    folder = OUT / "bodies"
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    pictures = pictures_of([data / name for name in FOLDERS], CROP * SCALE)
    pairs = CleanPairs(pictures, SCALE, CROP, seed=1)
    print(f"{len(pictures)} pictures", flush=True)
    courses = [Course.begin(candidate, pairs, steps, folder) for candidate in candidates]
    for until in [*range(TURN, steps, TURN), steps]:
        for course in courses:
            course.turn(until)
    networks = [course.learned() for course in courses]
    return Part(_told(courses, networks, in_colour(find_cases(data)), steps))


def _told(courses: list[Course], networks: list[DirectNetwork], cases: list[Case], steps: int) -> str:
    inferences = inference_seconds(networks)
    rows = []
    for course, network, inference in zip(courses, networks, inferences, strict=True):
        once = ratio(inference, inferences[0])
        halo, of_first = (1 + 2 * each.candidate.reach / PIECE for each in (course, courses[0]))
        rows.append(
            [
                course.candidate.name,
                f"{multiplications(network) / 1e3:.0f}",
                f"{sum(parameter.numel() for parameter in network.parameters()) / 1e3:.0f}",
                f"{ratio(course.seconds, courses[0].seconds):.2f}",
                f"{once:.2f}",
                f"{course.candidate.reach}",
                f"{once * (halo / of_first) ** 2:.2f}",
                *(f"{psnr(network, [case for case in cases if case.set == name]):.2f}" for name in SETS),
            ]
        )
    step, piece = median(courses[0].seconds), median(inferences[0])
    header = ["body", "multiplications", "weights", "step", "inference", "reach", "with halo", "Set5", "Set14"]
    pixels = steps * BATCH * CROP**2 / 1e6
    return f"""## Bodies of the direct network

{steps} steps of {BATCH} crops of {CROP} x {CROP} LR pixels ({pixels:.1f} million), x{SCALE}, clean bicubic, the same
crops in the same order; rate {RATE:g} down a cosine, the average of the weights. Multiplications for an LR pixel and
weights are in thousands; seconds of a CPU in those of the first body ({step:.3f} s a step, {1e3 * piece:.0f} ms for
{PIECE} x {PIECE} LR pixels), "with halo" where pieces of {PIECE} have the reach of the body around them. Y-PSNR in dB
of one member and a data step, Set14 without its grey picture.

{table(header, rows)}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("--steps", type=int, default=STEPS, help="of each body; others than by default write nothing")
    options = parser.parse_args()
    parts = {"x4": lambda: compare(options.data, options.steps)}
    measure("make bench-bodies DATA=...", "bodies", parts, options.steps == STEPS)


if __name__ == "__main__":
    main()
