"""`python -m benchmarks.gpu`: how near a GPU comes to the floor of the work, by how many fits it is given at once.

The pictures are drawn by code and the fits start from no prior: neither matters to the speed. What is measured is what
the worker does to an image less the storage, with the settings of the balanced preset from a prior, at x2.
`--device cpu` runs the same lines where there is no GPU, for the test, and leaves docs/results.md alone.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch.profiler import ProfilerActivity, profile

from sr_ops.networks.exact import stay_exact
from sr_ops.settings import Preset, preset

from .gpu_work import (
    FIT_FLOP,
    MEMBER_FLOP,
    SCALE,
    Bench,
    Way,
    draw_pngs,
    enlarge_all,
    fit_flop,
    fits_seconds,
    infer_flop,
    lesson_of,
)
from .results import machine, table, write_section

PEAK_TFLOPS = 790.0
"""Dense bfloat16 of an H200."""

THREADS = (1, 2, 4)

PHASES = ("read", "pairs", "fit", "infer", "back_project", "encode")

KERNELS = 15


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
    stay_exact()  # as the worker does
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
