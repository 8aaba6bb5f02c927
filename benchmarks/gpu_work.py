"""What a GPU is measured at: fits of one image or of many at once, and whole enlargements, phase by phase.

It is what the worker does to an image less the storage; benchmarks/gpu.py makes tables of it.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from unittest.mock import patch

import torch
from torch import Tensor

from jobs.sample_pictures import photograph, satellite_view
from pipeline.imagery.scored import from_levels, to_levels
from pipeline.work.stopwatch import Stopwatch
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model, build_network, degradation_of
from sr_ops.enlarging.stages import halo, stages_of
from sr_ops.image.dihedral import ORDER
from sr_ops.image.tiles import cut, owned, plan_tiles
from sr_ops.learning.fit import fit
from sr_ops.learning.pairs import Lesson, father_son_pyramid, son_side
from sr_ops.learning.stack import STEPS_BEFORE_CAPTURE, fit_stack
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.settings import Method, Settings

from .pictures import decode, encode_png

SCALE = 2
BANDS = 3

FIT_FLOP, MEMBER_FLOP = 1.43e6, 0.476e6
"""For each pixel of a son in a training step, and for each LR pixel in a member of the ensemble; direct 64 x 8."""


@dataclass(frozen=True)
class Way:
    """How the fits of many images are given to the device."""

    stack: int
    """Images fitted as one; 0 for `fit`, image by image."""
    threads: int = 1
    """Stacks at work at once, each in a CUDA stream of its own."""
    graph: bool = True
    """Whether a CUDA graph replays the steps."""

    @property
    def size(self) -> int:
        return max(1, self.stack)


@dataclass(frozen=True)
class Bench:
    """What every measurement shares."""

    device: torch.device
    settings: Settings
    peak_tflops: float
    pngs: tuple[bytes, ...]

    def wait(self) -> None:
        """Until the device has done everything it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def forget_peak(self) -> None:
        """Let `peak_gib` begin anew."""
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self.device)

    def peak_gib(self) -> float:
        """Most memory of the device that was in use at once; 0 on a CPU."""
        return torch.cuda.max_memory_allocated(self.device) / 2**30 if self.device.type == "cuda" else 0.0

    @contextmanager
    def timed(self, watch: Stopwatch, phase: str) -> Iterator[None]:
        """Time a phase to the end of its work on the device."""
        self.wait()
        with watch(phase):
            yield
            self.wait()

    def lrs(self) -> list[Tensor]:
        return [from_levels(decode(png)).to(self.device) for png in self.pngs]


def draw_pngs(count: int, side: int) -> tuple[bytes, ...]:
    """Pictures of side x side pixels, all different."""
    scenes = [torch.from_numpy(draw(side)).permute(2, 0, 1) for draw in (satellite_view, photograph)]
    return tuple(encode_png(scenes[number % 2].roll(number // 2, -1)) for number in range(count))


def lesson_of(lr: Tensor, settings: Settings) -> Lesson:
    """What a network learns of a clean image of MATLAB's bicubic."""
    (stage,) = stages_of(settings, degradation_of(settings))
    return Lesson(father_son_pyramid(lr, stage), lr.new_zeros(len(lr), 2))


def fit_flop(lessons: Sequence[Lesson], settings: Settings) -> float:
    """Of all fits; the crops of small images are smaller than what the settings ask for."""
    pixels = sum(settings.fit.batch * son_side(lesson.pairs, settings.fit.crop) ** 2 for lesson in lessons)
    return FIT_FLOP * settings.fit.steps * pixels


def infer_flop(lrs: Sequence[Tensor]) -> float:
    return MEMBER_FLOP * ORDER * sum(lr[0].numel() for lr in lrs)


def fit_group(lessons: Sequence[Lesson], way: Way, bench: Bench) -> list[ResidualNetwork]:
    """One stack."""
    settings = bench.settings
    networks = [build_network(BANDS, SCALE, settings, bench.device) for _ in lessons]
    if way.stack == 0:
        stream = torch.cuda.Stream(bench.device) if bench.device.type == "cuda" else None  # type: ignore[no-untyped-call]
        with torch.cuda.stream(stream):  # as `fit_stack` does; None changes nothing
            for network, lesson in zip(networks, lessons, strict=True):
                fit(network, lesson, settings.fit, settings.seed)
    else:
        fit_stack(networks, lessons, settings.fit, settings.seed)
    return networks


def fits_seconds(lessons: Sequence[Lesson], way: Way, bench: Bench) -> float:
    """From the first fit's start to the last one's end, everything being ready."""
    groups = [lessons[first : first + way.size] for first in range(0, len(lessons), way.size)]
    captured_from = STEPS_BEFORE_CAPTURE if way.graph else bench.settings.fit.steps
    with (
        patch("sr_ops.learning.stack.STEPS_BEFORE_CAPTURE", captured_from),
        ThreadPoolExecutor(way.threads) as pool,
    ):
        bench.wait()
        started = time.perf_counter()
        for _ in pool.map(lambda group: fit_group(group, way, bench), groups):
            pass
        bench.wait()
        return time.perf_counter() - started


def enlarge_all(pngs: Sequence[bytes], way: Way, bench: Bench) -> Stopwatch:
    """PNG to PNG, phase by phase."""
    watch, settings = Stopwatch(), bench.settings
    degradation = degradation_of(settings)
    for first in range(0, len(pngs), way.size):
        with bench.timed(watch, "read"):
            lrs = [from_levels(decode(png)).to(bench.device) for png in pngs[first : first + way.size]]
        with bench.timed(watch, "pairs"):
            lessons = [lesson_of(lr, settings) for lr in lrs]
        with bench.timed(watch, "fit"):
            networks = fit_group(lessons, way, bench)
        for lr, network in zip(lrs, networks, strict=True):
            model = Model(Method.ZSSR, degradation, (network,))
            for tile in plan_tiles(lr.shape[-2], lr.shape[-1], settings.tile_size, halo(settings, degradation)):
                sr = enlarge(cut(lr, tile), model, settings, lambda phase: bench.timed(watch, phase))
                with bench.timed(watch, "encode"):
                    encode_png(to_levels(owned(sr, tile, SCALE)))
    return watch
