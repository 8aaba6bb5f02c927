"""`python -m benchmarks.gpu`: how near a GPU comes to the floor of the work, by how many fits it is given at once.

The pictures are drawn by code and the fits start from no prior: neither matters to the speed. What is measured is what
the worker does to an image less the storage, with the settings of the balanced preset from a prior, at x2.
`--device cpu` runs the same lines where there is no GPU, for the test, and leaves docs/results.md alone.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from jobs.sample_pictures import photograph, satellite_view
from pipeline.imagery.images import from_levels, to_levels
from pipeline.work.stopwatch import Stopwatch
from sr_ops.dihedral import ORDER
from sr_ops.enlarging import enlarge
from sr_ops.fit import fit
from sr_ops.model import Model, build_network, degradation_of
from sr_ops.networks import ResidualNetwork
from sr_ops.pairs import Lesson, father_son_pyramid, son_side
from sr_ops.settings import Method, Preset, Settings, preset
from sr_ops.stack import STEPS_BEFORE_CAPTURE, fit_stack
from sr_ops.stages import halo, stages_of
from sr_ops.tiles import cut, owned, plan_tiles

from .pictures import decode, encode_png
from .results import machine, table, write_section

SCALE = 2
BANDS = 3

FIT_FLOP, MEMBER_FLOP = 1.43e6, 0.476e6
"""For each pixel of a son in a training step, and for each LR pixel in a member of the ensemble; direct 64 x 8."""

PEAK_TFLOPS = 790.0
"""Dense bfloat16 of an H200."""

THREADS = (1, 2, 4)

PHASES = ("read", "pairs", "fit", "infer", "back_project", "encode")

KERNELS = 15


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
        patch("sr_ops.stack.STEPS_BEFORE_CAPTURE", captured_from),
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


def phases_table(stacks: Sequence[int], bench: Bench) -> str:
    """A row for each size of a stack: throughput, milliseconds of an image in each phase, and how near the floor."""
    lrs = bench.lrs()
    lessons = [lesson_of(lr, bench.settings) for lr in lrs]
    learning, inferring = fit_flop(lessons, bench.settings) / 1e12, infer_flop(lrs) / 1e12
    megapixels = SCALE**2 * sum(lr[0].numel() for lr in lrs) / 1e6
    del lrs, lessons
    rows = []
    for stack in (0, *stacks):
        way = Way(stack)
        enlarge_all(bench.pngs[: way.size], way, bench)  # libraries choose their kernels
        bench.forget_peak()
        watch = enlarge_all(bench.pngs, way, bench)
        seconds = sum(watch[phase] for phase in PHASES)
        floor = (learning + inferring) / bench.peak_tflops
        rows.append(
            [
                str(stack) if stack else "`fit`",
                f"{len(bench.pngs) / seconds:.2f}",
                f"{megapixels / seconds:.3f}",
                *(f"{1000 * watch[phase] / len(bench.pngs):.2f}" for phase in PHASES),
                f"{learning / watch['fit']:.3f}",
                f"{inferring / watch['infer']:.3f}",
                f"{100 * floor / seconds:.3g} %",
                f"{bench.peak_gib():.1f}",
            ]
        )
    names = [f"{phase.replace('_', '-')} ms" for phase in PHASES]
    rates = ["fit TFLOP/s", "infer TFLOP/s", "of the floor", "GiB"]
    return table(["stack", "images/s", "Mpixel/s", *names, *rates], rows)


def ways_table(stacks: Sequence[int], bench: Bench) -> str:
    """Fits alone: every size of a stack, with and without CUDA graphs, from one thread and from several."""
    lessons = [lesson_of(lr, bench.settings) for lr in bench.lrs()]
    work = fit_flop(lessons, bench.settings) / 1e12
    ways = [
        Way(stack, threads, graph)
        for stack in (0, *stacks)
        for threads in THREADS
        for graph in ((True, False) if stack else (False,))
        if threads * Way(stack).size <= len(lessons)
    ]
    rows = []
    for way in sorted(ways, key=lambda way: way.threads):  # what a GPU may refuse, several at once, comes last
        names = [str(way.stack) if way.stack else "`fit`", str(way.threads), "yes" if way.graph else "no"]
        try:
            fits_seconds(lessons[: way.size * way.threads], way, bench)
            seconds = fits_seconds(lessons, way, bench)
        except RuntimeError as error:
            rows.append([*names, "failed", str(error).splitlines()[0][:80].replace("|", "/")])
            if "out of memory" not in str(error):
                break  # an error of the device outlasts what caused it
        else:
            rows.append([*names, f"{len(lessons) / seconds:.2f}", f"{work / seconds:.3f}"])
    return table(["stack", "streams", "CUDA graph", "fits/s", "TFLOP/s"], rows)


def kernels_table(stack: int, bench: Bench) -> str:
    """What the device spends its time on, for one stack from PNG to PNG."""
    pngs, cuda = bench.pngs[:stack], bench.device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if cuda else [])]
    with profile(activities=activities) as profiler:
        enlarge_all(pngs, Way(len(pngs)), bench)
    spent = [
        (event.self_device_time_total if cuda else event.self_cpu_time_total, event.count, event.key)
        for event in profiler.key_averages()
        if event.device_type.name == bench.device.type.upper()
    ]
    total = sum(microseconds for microseconds, _, _ in spent)
    rows = [
        [
            f"`{key[:80].replace('|', '/')}`",
            str(count),
            f"{microseconds / 1000:.2f}",
            f"{100 * microseconds / total:.1f} %",
        ]
        for microseconds, count, key in sorted(spent, reverse=True)[:KERNELS]
    ]
    return table(["kernel", "calls", "ms", "share"], rows)


def report(options: argparse.Namespace) -> Iterator[str]:
    """The section of docs/results.md, in parts as they are measured."""
    settings = preset(Preset.BALANCED, from_prior=True)
    settings = replace(settings, scale=SCALE, fit=replace(settings.fit, steps=options.steps))
    pngs = draw_pngs(options.images, options.size)
    bench = Bench(torch.device(options.device), settings, options.peak_tflops, pngs)
    stacks = [stack for stack in options.stacks if stack <= options.images]
    yield f"""## One GPU

`python -m benchmarks.gpu --images {options.images} --size {options.size} --steps {options.steps}`. {machine()}

{options.images} RGB images of {options.size} x {options.size} at x{SCALE}, {options.steps} steps; the device is waited
for after every phase. `fit` is one fit after the other, a stack that many as one. The floor: {FIT_FLOP / 1e6:.2f} MFLOP
for a pixel of a son and step, {MEMBER_FLOP / 1e6:.2f} MFLOP for an LR pixel and member of the ensemble, done at
{options.peak_tflops:.0f} TFLOP/s.
"""
    yield f"{phases_table(stacks, bench)}\n"
    stack = stacks[-1]
    yield f"Where the device's time goes, for one stack of {stack} from PNG to PNG:\n\n{kernels_table(stack, bench)}\n"
    yield f"The fits alone:\n\n{ways_table(stacks, bench)}\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 when all was measured, 2 when there is no GPU."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=64, help="images for every row; larger stacks are left out")
    parser.add_argument("--size", type=int, default=256, help="their side in LR pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--stacks", type=_numbers, default=(1, 4, 16, 64), help="numbers of fits at once, by commas")
    parser.add_argument("--peak-tflops", type=float, default=PEAK_TFLOPS, help="of the GPU, in bfloat16")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        print("benchmarks.gpu measures a GPU and torch sees none here; run it where there is one", file=sys.stderr)
        return 2
    if min(options.stacks) > options.images or min(options.stacks) < 1:
        parser.error(f"--stacks {options.stacks}: numbers from 1 on, and one at least within --images {options.images}")
    torch.backends.cudnn.deterministic = True  # as the worker has it
    torch.backends.cudnn.allow_tf32 = False
    parts = []
    for part in report(options):
        print(part, flush=True)
        parts.append(part)
        if options.device == "cuda":
            write_section("gpu", "\n".join(parts))
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(number) for number in text.split(",")))


if __name__ == "__main__":
    sys.exit(main())
