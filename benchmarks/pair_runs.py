"""Pairs through `srpipe run`, plain interpolation beside it, and both drawn beside their truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import rasterio
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .quality import OUT, Case, run_cases

HERE = OUT / "real-pairs"

INTERPOLATED = "bicubic"
"""Pillow's, and nothing else: what every method is held against."""

DETAIL = 2
"""LR pixels, the sigma of the Gaussian beyond which detail is counted."""

Methods = Mapping[str, Sequence[str]]
"""Options of `srpipe run` by the names that tables have for them."""

_GAP, _LINE = 4, 18


@dataclass(frozen=True)
class Nearness:
    """Of an enlargement to its truth."""

    psnr: float
    detail: float
    """Correlation."""
    shift: tuple[float, float]
    matched: Tensor
    """(C, H, W): moved, and in the truth's colours."""

    @property
    def caption(self) -> str:
        return f"{self.psnr:.2f} dB, {self.detail:.3f}"


def enlarged(part: str, cases: list[Case], methods: Methods) -> dict[str, dict[str, Tensor]]:
    """(C, H, W) by method and the case's id; plain interpolation among them."""
    results = {INTERPOLATED: {case.id: interpolated(read(case.lr), case.scale) for case in cases}}
    for number, (method, options) in enumerate(methods.items()):
        output = run_cases(f"real-pairs-{part}-{number}", cases, "--single", *options)
        records = pq.read_table(output / "manifest.parquet", columns=["key", "output_uri"]).to_pylist()
        results[method] = {record["key"]: read(Path(record["output_uri"])) for record in records}
    return results


def interpolated(lr: Tensor, scale: int) -> Tensor:
    """(C, h, w) by Pillow's bicubic, in whole numbers as files hold them."""
    size = (lr.shape[2] * scale, lr.shape[1] * scale)
    bands = [np.asarray(Image.fromarray(band.float().numpy()).resize(size, Image.Resampling.BICUBIC)) for band in lr]
    top = 255 if lr.max() < 256 else 2**16 - 1
    return torch.from_numpy(np.stack(bands)).round().clamp(0, top).double()


def read(path: Path) -> Tensor:
    with rasterio.open(path) as raster:
        return torch.from_numpy(raster.read().astype(np.float64))


def save(name: str, panels: Mapping[str, Tensor], peak: float = 0) -> None:
    """Pixel by pixel, side by side, each under its caption; those of a scene by the levels of the last one."""
    *_, truth = panels.values()
    low, high = (0.0, 255.0) if not peak else np.percentile(truth.numpy(), (0.5, 99.5))
    _, height, width = truth.shape
    sheet = Image.new("RGB", (len(panels) * (width + _GAP) - _GAP, height + _LINE), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=12)
    for number, (caption, picture) in enumerate(panels.items()):
        levels = ((picture.double() - low) / (high - low) * 255).round().clamp(0, 255).byte()
        pixels = levels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
        sheet.paste(Image.fromarray(pixels), (number * (width + _GAP), _LINE))
        pen.text((number * (width + _GAP), 0), caption, "black", font)
    HERE.mkdir(parents=True, exist_ok=True)
    sheet.save(HERE / f"{name}.png")
