"""`make bench-kernels DATA=...`: the heads for any camera as they are, without a fit, on Set5 shrunk by many kernels.

Every band on its own, eight members, their median; then the data step. Two tables: clean bicubic and the Gaussian of
variance 2 (MZSR's "g2.0 direct") at x2, x3 and x4 on Set5 and Set14, and the twelve kernels of USRNet's table, without
noise and with noise of 2.55 and 7.65 grey levels, on three pictures of Set5.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from PIL import Image
from torch import Generator, Tensor

from pipeline.priors import heads
from sr_ops import dihedral
from sr_ops.degradation import Degradation
from sr_ops.direct import DirectNetwork
from sr_ops.draws import BASE_RANGE, NOISE_UNIT
from sr_ops.kernels import Kernel, bicubic, gaussian
from sr_ops.metrics import psnr_y
from sr_ops.networks import fastest_dtype
from sr_ops.resample import downscale, upscale

from .results import machine, table, write_section

SCALES = (2, 3, 4)
NOISES = (0.0, 2.55, 7.65)
THREE = ("bird", "butterfly", "woman")
VARIANCE_2 = 2**0.5


@dataclass(frozen=True)
class Scores:
    """PSNR in dB of brightness."""

    upscaled: float
    base: float
    prior: float
    after_data_step: float


@torch.inference_mode()
def enlarge(lr: Tensor, degradation: Degradation, network: DirectNetwork) -> tuple[Tensor, Tensor, Tensor]:
    """(C, h, w) to base, the network's result, and that after a data step, each (C, h s, w s)."""
    base = degradation.data_step(lr, upscale(lr, degradation.scale)).clamp(*BASE_RANGE)
    planes = torch.tensor([degradation.noise / NOISE_UNIT, 0.0])[None, :, None, None].expand(len(lr), -1, -1, -1)
    members = []
    for element in range(dihedral.ORDER):
        seen, start = (dihedral.transform(image, element)[:, None].contiguous() for image in (lr, base))
        members.append(dihedral.inverse(network(seen, start, planes)[:, 0], element))
    result = torch.stack(members).median(0)[0]
    return base, result, degradation.data_step(lr, result)


def score(hr: Tensor, lr: Tensor, degradation: Degradation, network: DirectNetwork) -> Scores:
    """Of (C, H, W) uint8 and its LR image (C, h, w) float32 in [0, 1]."""
    scale = degradation.scale
    images = (upscale(lr, scale), *enlarge(lr, degradation, network))
    return Scores(*(psnr_y((image * 255).round().clamp(0, 255).byte(), hr, scale) for image in images))


def picture(path: Path, scale: int) -> Tensor:
    """(C, H, W) uint8 with sides cut to multiples of `scale`."""
    pixels = torch.from_numpy(np.atleast_3d(np.array(Image.open(path)))).permute(2, 0, 1)
    return pixels[:, : pixels.shape[1] // scale * scale, : pixels.shape[2] // scale * scale].contiguous()


def seen(hr: Tensor, degradation: Degradation, generator: Generator) -> Tensor:
    """What the camera makes of it, rounded to 8 bits."""
    lr = degradation.apply(hr.float() / 255)
    lr = lr + degradation.noise * torch.randn(lr.shape, generator=generator)
    return (lr * 255).round().clamp(0, 255) / 255


def mean(scores: Sequence[Scores]) -> list[str]:
    """A row of means."""
    kinds = zip(*((s.upscaled, s.base, s.prior, s.after_data_step) for s in scores), strict=True)
    return [f"{fmean(values):.2f}" for values in kinds]


def clean_rows(data: Path, networks: dict[heads.Head, DirectNetwork]) -> Iterator[list[str]]:
    """MATLAB's bicubic on both sets, the Gaussian of variance 2 on Set5."""
    for scale in SCALES:
        for folder in ("set5", "set14"):
            hrs = [picture(path, scale) for path in sorted((data / folder).glob("*.png"))]
            degradation = Degradation(bicubic(scale), scale)
            lrs = [downscale(hr, scale).float() / 255 for hr in hrs]
            scores = [score(hr, lr, degradation, networks[scale, 1]) for hr, lr in zip(hrs, lrs, strict=True)]
            yield [folder, f"x{scale}", "bicubic", *mean(scores)]
            if folder == "set5":
                degradation = Degradation(direct_gaussian(), scale)
                generator = Generator().manual_seed(0)
                scores = [score(hr, seen(hr, degradation, generator), degradation, networks[scale, 1]) for hr in hrs]
                yield [folder, f"x{scale}", "Gaussian, variance 2, at the first pixel", *mean(scores)]


def direct_gaussian() -> Kernel:
    """Variance 2, centred on the LR pixel's first HR pixel as MZSR has it, not on its middle."""
    taps = gaussian(VARIANCE_2, VARIANCE_2, 0, scale=1, side=25).taps
    return Kernel(taps / taps.sum())


def twelve_rows(data: Path, networks: dict[heads.Head, DirectNetwork]) -> Iterator[list[str]]:
    """The result after the network alone; the last data step is weighed in the first table."""
    kernels = np.load(data / "kernels" / "kernels_12.npy")
    for scale in SCALES:
        hrs = [picture(data / "set5" / f"{name}.png", scale) for name in THREE]
        for noise in NOISES:
            row = []
            for kernel in kernels:
                taps = torch.from_numpy(kernel.astype(np.float64))
                degradation = Degradation(Kernel(taps / taps.sum()), scale, noise / 255)
                generator = Generator().manual_seed(0)
                scores = [score(hr, seen(hr, degradation, generator), degradation, networks[scale, 1]) for hr in hrs]
                row.append(f"{fmean(s.prior for s in scores):.2f}")
            yield [f"x{scale}", f"{noise:g}", *row]


def main() -> None:
    """Read the arguments, measure, write docs/results.md."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels", description=__doc__)
    parser.add_argument("data", type=Path)
    data = parser.parse_args().data
    networks = heads.read(heads.SHIPPED, fastest_dtype(torch.device("cpu")))
    clean = table(
        ["set", "scale", "kernel", "bicubic", "base", "prior", "then data step"], list(clean_rows(data, networks))
    )
    twelve = table(["scale", "noise", *map(str, range(1, 13))], list(twelve_rows(data, networks)))
    write_section("kernels", f"## Any camera: the prior as it is\n{__doc__}\n{machine()}\n\n{clean}\n\n{twelve}")
    print(clean, twelve, sep="\n\n")


if __name__ == "__main__":
    main()
