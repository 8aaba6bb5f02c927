"""LR images that known cameras made of known HR images, what srpipe is told of each, and how near its results come."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, from_spec
from sr_ops.image.resample import upscale
from sr_ops.measures.metrics import psnr_y

from .pictures import decode, encode_png
from .quality import Case, mean, run_cases

VARIANCE_2 = 2.0
"""HR pixels squared, of MZSR's kernel "g2.0"."""

_MZSR_SIDE = 21


@dataclass(frozen=True)
class Camera:
    """What made an image, and what srpipe is told of it."""

    name: str
    """In ids of rows and names of files: by it cameras differ."""
    kernel: Kernel
    told: str
    """The manifest's cell `kernel`."""
    noise: float = 0.0
    """Standard deviation in grey levels."""
    told_noise: str = ""
    """The manifest's cell `noise`."""


def named(spec: str, scale: int) -> Camera:
    """One that has a name, told by it."""
    return Camera(spec.replace(":", ""), from_spec(spec, scale)[0], spec)


def in_file(name: str, taps: np.ndarray, folder: Path, noise: float | None = None) -> Camera:
    """One that is told by a file, written here; `noise` in grey levels is told, too, None is not."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npy"
    np.save(path, taps)
    kernel = torch.from_numpy(np.asarray(taps, np.float64))
    if noise is None:
        return Camera(name, Kernel(kernel / kernel.sum()), str(path.resolve()))
    told = (str(path.resolve()), noise, f"{noise:g}")
    return Camera(f"{name}-noise{noise:g}", Kernel(kernel / kernel.sum()), *told)


def mzsr_taps() -> np.ndarray:
    """MZSR's "g2.0": a Gaussian of variance 2 about the first HR pixel of an LR pixel, not about its middle."""
    offsets = np.arange(_MZSR_SIDE) - _MZSR_SIDE // 2
    row = np.exp(-0.5 * offsets**2 / VARIANCE_2)
    taps: np.ndarray = row[:, None] * row / row.sum() ** 2
    return taps


def shots(name: str, hrs: Iterable[Path], scale: int, cameras: Iterable[Camera], folder: Path) -> Iterator[Case]:
    """Every picture by every camera, as PNG in `folder`; noise is drawn from the same seed for each."""
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {hr: decode(hr.read_bytes()) for hr in hrs}
    for camera in cameras:
        for hr, levels in pictures.items():
            stem = f"{camera.name}-{hr.stem}"
            lr = folder / f"x{scale}-{stem}.png"
            lr.write_bytes(encode_png(shoot(levels, camera, scale)))
            yield Case(name, scale, stem, lr, hr, camera.told, camera.told_noise)


def shoot(hr: Tensor, camera: Camera, scale: int) -> Tensor:
    """(C, H, W) of 8-bit levels, cut to multiples of `scale`, as the camera sees it: (C, h, w) uint8."""
    height, width = (side // scale * scale for side in hr.shape[-2:])
    lr = Degradation((camera.kernel,), scale).apply(hr[:, :height, :width].float())
    noise = camera.noise * torch.randn(lr.shape, generator=Generator().manual_seed(0))
    return (lr + noise).round().clamp(0, 255).byte()


@dataclass(frozen=True)
class Figures:
    """Y-PSNR in dB of a result, and of plain bicubic interpolation."""

    psnr: float
    interpolated: float


def run_and_measure(name: str, cases: list[Case], *options: str) -> dict[str, Figures]:
    """One `srpipe run` over images of a tile each; figures by the case's id.

    As `srpipe eval`, which would take most of its time for SSIM.
    """
    tiles = run_cases(name, cases, *options) / "tiles"
    return {case.id: _measured(case, tiles / case.id / "r0000_c0000.png") for case in cases}


def mean_psnr(scores: Mapping[str, Figures], cases: Sequence[Case]) -> float:
    """Of the results."""
    return mean([scores[case.id].psnr for case in cases])


def mean_interpolated(scores: Mapping[str, Figures], cases: Sequence[Case]) -> float:
    """Of plain bicubic interpolation."""
    return mean([scores[case.id].interpolated for case in cases])


def _measured(case: Case, tile: Path) -> Figures:
    lr, hr, sr = (decode(path.read_bytes()) for path in (case.lr, case.hr, tile))
    assert [side * case.scale for side in lr.shape[1:]] == [*sr.shape[1:]], "more than a tile"
    interpolated = (upscale(lr.float() / 255, case.scale) * 255).round().clamp(0, 255)
    hr = hr[:, : sr.shape[1], : sr.shape[2]]
    return Figures(*(psnr_y(image, hr, case.scale) for image in (sr, interpolated)))
