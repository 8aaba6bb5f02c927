"""`make bench-no-harm DATA=FOLDER`: is the method that srpipe chooses by itself the better one on known truth?

Each case is an LR image made from a known HR image, clean or damaged in one way, enlarged x2 five times by
`srpipe run`: as it chooses by itself, and by each candidate. Right means within 0.05 dB of the best candidate.
DATA holds set5/, set14/ and satellite/; none of their images taught the shipped prior.
"""

import argparse
import io
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Generator, Tensor
from torch.nn.functional import conv2d, pad

from jobs.sample_pictures import printed_page
from sr_ops.image.resample import downscale
from sr_ops.settings import Preset, preset

from .kernel_shots import Camera, in_file, named, shoot
from .parts import Part, exit_code, measure
from .pictures import decode, encode_png
from .quality import OUT, Case, mean, run_and_score
from .results import table

SIDE = 192
SATELLITE = ("OSBS_029.tif", "RGB.byte.tif", "test_tiled.tif", "201404_13SED190110_201404_0x1500m_CL_1_nodata.tif")
NOISE = (2, 5, 10, 15, 25, 40)
JPEG_QUALITY = (10, 25, 50, 75, 90)
MOTION = ((5, 0.3), (9, 1.2), (15, 2.0))
"""Length in HR pixels and direction in radians."""
GAUSSIANS = ("gaussian:0.8", "gaussian:1.6")
"""Sigmas in HR pixels of kernels that srpipe is told of: narrower and wider than bicubic."""
DISC = 2.6
"""Radius in HR pixels of a lens out of focus, which is told, too, as are the motions: kernels that fits pay for."""
SMALL = (48, 64)
TOLERANCE = 0.05
ASKED = 0.95
LARGEST_LOSS = 0.3
"""dB, of any case."""

CHOICES = ("zssr", "prior", "bicubic")
"""What `--method auto` chooses from."""

FEWER_STEPS = preset(Preset.BALANCED, from_prior=True).fit.steps // 2

CANDIDATES = {
    **{method: ("--method", method) for method in CHOICES},
    "half": ("--method", "zssr", "--steps", str(FEWER_STEPS)),
}
"""What may be best of an image, and the options that give it: these, and a fit of half as many steps."""

NOT_COUNTED = "every second pixel"
"""LR made by dropping pixels: nothing in such an image tells that it was not made by a lens and a sensor."""


def pictures(data: Path) -> Iterator[tuple[str, Tensor]]:
    """Named crops (3, 192, 192) of 8-bit levels.

    What the rule is was decided on crops from the other corner, and on damages of the other pictures.
    """
    files = [*sorted((data / "set14").glob("*.png")), *sorted((data / "set5").glob("*.png"))]
    for file in (*files, *(data / "satellite" / name for name in SATELLITE)):
        levels = decode(file.read_bytes()).float()
        levels = levels.expand(3, -1, -1)
        height, width = (min(SIDE, side // 4 * 4) for side in levels.shape[-2:])
        top, left = 3 * (levels.shape[-2] - height) // 4, (levels.shape[-1] - width) // 4
        yield f"{file.parent.name}-{file.stem[:12]}", levels[:, top : top + height, left : left + width]


def damages() -> dict[str, Callable[[Tensor, Generator], Tensor]]:
    """Ways from an HR crop to an LR image that is not quite what `downscale` gives."""
    return {
        **{f"noise {sigma}": partial(_noisy, sigma) for sigma in NOISE},
        **{f"JPEG {quality}": partial(_compressed, quality) for quality in JPEG_QUALITY},
        **{f"motion {length}": partial(_moved, length, direction) for length, direction in MOTION},
        NOT_COUNTED: lambda hr, _: hr[:, ::2, ::2],
    }


def told_cameras(folder: Path) -> list[Camera]:
    """Those whose kernels srpipe is told: by their names, or by files written to `folder`."""
    motions = [in_file(f"told motion {motion[0]}", motion_kernel(*motion).numpy(), folder) for motion in MOTION]
    return [*(named(kernel, 2) for kernel in GAUSSIANS), in_file("told disc", disc(DISC).numpy(), folder), *motions]


def cases(data: Path, cameras: Sequence[Camera]) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """Kind, name, LR and HR in 8-bit levels; of a kind that is the name of a camera, srpipe is told its kernel."""
    sources = dict(pictures(data))
    some = list(sources.items())[1::2]
    for name, hr in sources.items():
        yield name.partition("-")[0], name, downscale(hr, 2), hr
    page = torch.from_numpy(np.asarray(printed_page(768))).float().reshape(768, 768, -1).permute(2, 0, 1)
    for index in range(6):
        hr = page[:, 60 + 100 * index :, 80:][:, :SIDE, :SIDE]
        yield "text", str(index), downscale(hr, 2), hr
    for level in (0, 100, 255):
        yield "flat", str(level), torch.full((3, 96, 96), float(level)), torch.full((3, SIDE, SIDE), float(level))
    for side in SMALL:
        for name, hr in some:
            yield f"small {side // 2}", name, downscale(hr[:, :side, :side], 2), hr[:, :side, :side]
    for camera in cameras:
        for name, hr in some:
            yield camera.name, name, shoot(hr, camera, 2), hr
    generator = Generator().manual_seed(0)
    for kind, damaged in damages().items():
        for name, hr in some:
            yield kind, name, damaged(hr, generator), hr


def _noisy(sigma: float, hr: Tensor, generator: Generator) -> Tensor:
    lr = downscale(hr, 2)
    return lr + sigma * torch.randn(lr.shape, generator=generator)


def _compressed(quality: int, hr: Tensor, _: Generator) -> Tensor:
    return as_jpeg(downscale(hr, 2), quality)


def _moved(length: int, direction: float, hr: Tensor, _: Generator) -> Tensor:
    return downscale(motion_blur(hr, length, direction), 2)


def as_jpeg(levels: Tensor, quality: int) -> Tensor:
    """What JPEG leaves of (3, H, W)."""
    buffer = io.BytesIO()
    pixels = levels.round().clamp(0, 255).byte().permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return decode(buffer.getvalue()).float()


def motion_blur(levels: Tensor, length: int, direction: float) -> Tensor:
    """(C, H, W) averaged along a line, centred: a camera that moved, or a scene that did."""
    kernel = motion_kernel(length, direction)
    padded = pad(levels[:, None], (length // 2,) * 4, mode="replicate")
    return conv2d(padded, kernel[None, None])[:, 0]


def motion_kernel(length: int, direction: float) -> Tensor:
    """(K, K) float32, K the length in pixels or one less, odd."""
    radius = length // 2
    offsets = torch.arange(-radius, radius + 1.0)
    rows, columns = offsets[:, None], offsets[None]
    along = columns * math.cos(direction) + rows * math.sin(direction)
    across = rows * math.cos(direction) - columns * math.sin(direction)
    kernel = (1 - across.abs()).clamp_min(0) * (along.abs() <= length / 2)
    return kernel / kernel.sum()


def disc(radius: float) -> Tensor:
    """(K, K) float32: of a point that is not in focus."""
    reach = math.ceil(radius)
    offsets = torch.arange(-reach, reach + 1.0)
    taps = (radius + 0.5 - torch.hypot(offsets[:, None], offsets)).clamp(0, 1)
    return taps / taps.sum()


def compare(data: Path, pictures: int | None, kinds: Sequence[str] | None) -> Part:
    """Make the cases, run them by each candidate, and tell what came of it."""
    folder = OUT / "no-harm"
    folder.mkdir(parents=True, exist_ok=True)
    cameras = {camera.name: camera for camera in told_cameras(folder)}
    taken = _some(cases(data, [*cameras.values()]), pictures, kinds)
    made = [_store(folder, cameras, *case) for case in taken]
    runs = {
        name: run_and_score(f"no-harm-{name}", [case for _, case in made], *forced)
        for name, forced in {"auto": (), **CANDIDATES}.items()
    }
    losses = [_loss(runs, case) for kind, case in made if kind != NOT_COUNTED]
    right = sum(loss <= TOLERANCE for loss in losses)
    part = Part(
        "## No harm\n\n"
        "Y-PSNR in dB at x2 on known truth: `--method auto` beside a fit, one of half as many steps, the prior as it is"
        f" and bicubic, all held to the data. Right: within {TOLERANCE} dB of the best. **{right} of {len(losses)}"
        f" cases are right ({right / len(losses):.1%}), and the largest loss is {max(losses):.2f} dB.** The last line"
        f" of the table is not counted: {NOT_COUNTED} was kept and the others dropped, which nothing in such an image"
        " tells. Gaussians, and kernels of kinds that say so, were told.\n\n"
        f"{_table(made, runs)}"
    )
    if right < ASKED * len(losses):
        part.missed.append(f"{right} of {len(losses)} cases are right, {ASKED:.0%} asked")
    if max(losses) > LARGEST_LOSS:
        part.missed.append(f"the largest loss is {max(losses):.2f} dB, at most {LARGEST_LOSS} asked")
    return part


def _some(
    every: Iterable[tuple[str, str, Tensor, Tensor]], count: int | None, kinds: Sequence[str] | None
) -> Iterator[tuple[str, str, Tensor, Tensor]]:
    """The first `count` of each kind; None for all."""
    taken: Counter[str] = Counter()
    for case in every:
        kind = case[0]
        taken[kind] += 1
        if (count is None or taken[kind] <= count) and (kinds is None or kind in kinds):
            yield case


def _store(
    folder: Path, cameras: Mapping[str, Camera], kind: str, name: str, lr: Tensor, hr: Tensor
) -> tuple[str, Case]:
    stem = f"{kind}-{name}".replace(" ", "").replace(":", "")
    lr_file, hr_file = folder / f"{stem}.png", folder / f"{stem}-hr.png"
    for file, levels in ((lr_file, lr), (hr_file, hr)):
        file.write_bytes(encode_png(levels.round().clamp(0, 255).byte()))
    return kind, Case("no-harm", 2, stem, lr_file, hr_file, kernel=cameras[kind].told if kind in cameras else "")


def _psnr(runs: dict[str, dict[str, dict[str, Any]]], method: str, case: Case) -> float:
    value = runs[method][case.id]["psnr_y"]
    return math.inf if value is None else float(value)  # equal to the truth: JSON knows no infinity


def _loss(runs: dict[str, dict[str, dict[str, Any]]], case: Case) -> float:
    auto, best = _psnr(runs, "auto", case), max(_psnr(runs, method, case) for method in CANDIDATES)
    return 0.0 if auto == best else best - auto


def _table(made: list[tuple[str, Case]], runs: dict[str, dict[str, dict[str, Any]]]) -> str:
    kinds: dict[str, list[Case]] = defaultdict(list)
    for kind, case in made:
        kinds[kind].append(case)
    records = pq.read_table(OUT / "no-harm-auto" / "manifest.parquet", columns=["key", "method_used"]).to_pylist()
    methods = {record["key"]: record["method_used"] for record in records}
    rows = []
    for kind, members in kinds.items():
        gains, halves = _gains(runs, members, "zssr", "prior"), _gains(runs, members, "half", "zssr")
        losses = [_loss(runs, case) for case in members]
        chosen = (str(sum(methods[case.id] == method for case in members)) for method in CHOICES)
        right = sum(loss <= TOLERANCE for loss in losses)
        figures = (f"{gain:+.2f}" for gain in (mean(gains), min(gains), max(gains), mean(halves), max(halves)))
        rows.append([kind, str(len(members)), *figures, *chosen, str(right), f"{max(losses):.2f}"])
    of_fits = ("fit - prior, mean", "least", "most", "half - fit, mean", "most")
    return table(["kind", "cases", *of_fits, *CHOICES, "right", "largest loss"], rows)


def _gains(runs: dict[str, dict[str, dict[str, Any]]], cases: Sequence[Case], one: str, other: str) -> list[float]:
    """Of each case the dB by which one candidate is nearer to the truth, unless one of them is the truth."""
    gains = [_psnr(runs, one, case) - _psnr(runs, other, case) for case in cases]
    return [gain for gain in gains if math.isfinite(gain)] or [0.0]


def main() -> int:
    """Read the arguments, measure, write docs/results.md; 1 where a bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.no_harm", description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, help="so many of a kind: for a look, writes nothing")
    parser.add_argument("--kinds", nargs="+", help="these only: for a look, writes nothing")
    options = parser.parse_args()
    parts = {"": partial(compare, options.data, options.pictures, options.kinds)}
    whole = options.pictures is None and options.kinds is None
    return exit_code(measure("make bench-no-harm DATA=...", "no-harm", parts, whole))


if __name__ == "__main__":
    sys.exit(main())
