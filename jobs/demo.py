"""`srpipe demo`: a small generated collection, upscaled as by `srpipe run`, and scored against its ground truth."""

import csv
import io
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pipeline import storage
from pipeline.config import RunConfig
from pipeline.driver.run import Summary
from pipeline.errors import UsageError
from pipeline.evaluate import evaluate
from pipeline.imagery.scored import from_levels, read_levels, to_levels
from pipeline.output.results import stitch
from pipeline.quality import Quality
from pipeline.storage.folders import check_writable
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import from_spec
from sr_ops.image.resample import downscale, upscale

from .answers import print_result
from .progress import run_with_progress
from .sample_pictures import photograph, printed_page, satellite_view
from .score_table import print_scores

_SCALE = 2

_PICTURES = {"satellite.tif": satellite_view, "page.png": printed_page, "photograph.jpg": photograph}

_KERNELS = {"satellite.tif": "gaussian:1.4"}
"""Kernels that blurred a picture, given in its row; other pictures are made by `downscale` and have none."""

_MANIFEST = "manifest.csv"


def demo(folder: Path) -> Summary:
    """Write the collection to `folder`, run it, print the table of results and where the pictures are.

    Raises:
        UsageError: `folder` cannot be written, or holds another manifest.
    """
    manifest = folder / _MANIFEST
    if manifest.exists() and manifest.read_bytes() != _listed().encode():
        raise UsageError(f"{manifest} is not the demo's, which would replace it; give another folder with --output")
    check_writable(storage.absolute(str(folder)))
    make_collection(folder)
    output = folder / "results"
    default = Quality(scale=str(_SCALE))
    config = RunConfig(manifest=str(manifest), output=str(output.absolute()), **default.of_run())
    summary = run_with_progress(config)
    scores = evaluate(str(output))
    print_scores(scores)
    for name in _PICTURES:
        _compare(folder, name)
    print_result(f"input:   {folder}/lr   truth: {folder}/hr")
    print_result(f"results: {output}/tiles   table: {output}/manifest.parquet")
    print_result(f"bicubic, srpipe and truth side by side: {folder}/compare")
    return summary


def make_collection(folder: Path) -> Path:
    """Create hr/ with the truth, lr/ with its LR images as TIFF, PNG and JPEG, and the manifest; return its path.

    The column `kernel` has the kernel of pictures that were not shrunk by MATLAB's bicubic.
    """
    for name, draw in _PICTURES.items():
        hr = torch.from_numpy(draw())
        hr = hr[None] if hr.ndim == 2 else hr.permute(2, 0, 1)
        _save(hr, folder / _truth(name))
        _save(_seen(hr, _KERNELS.get(name, "")), folder / _lr(name))
    manifest = folder / _MANIFEST
    manifest.write_text(_listed(), newline="")
    return manifest


def _truth(name: str) -> Path:
    return Path("hr") / Path(name).with_suffix(".png")


def _lr(name: str) -> Path:
    return Path("lr") / name


def _listed() -> str:
    """Return the content of the manifest."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["uri", "id", "kernel", "reference"])
    writer.writerows([_lr(name), name, _KERNELS.get(name, ""), _truth(name)] for name in _PICTURES)
    return text.getvalue()


def _seen(hr: Tensor, kernel: str) -> Tensor:
    """Return the LR image of (C, H, W) uint8, rounded to 8 bits."""
    if not kernel:
        return downscale(hr, _SCALE)
    return to_levels(Degradation(from_spec(kernel, _SCALE), _SCALE).apply(from_levels(hr))).byte()


def _compare(folder: Path, name: str) -> None:
    """Draw bicubic, result and truth side by side."""
    lr = from_levels(read_levels(str((folder / "lr" / name).absolute())))
    truth = read_levels(str((folder / "hr" / name).with_suffix(".png").absolute()))
    result = stitch(str((folder / "results" / "tiles" / name).absolute()))
    row = torch.cat([to_levels(upscale(lr, _SCALE)).byte(), result, truth], -1)
    _save(row, (folder / "compare" / name).with_suffix(".png"))


def _save(levels: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = levels.permute(1, 2, 0).numpy()
    # For JPEG only: as an archive keeps a photograph, without chroma subsampling.
    Image.fromarray(pixels[..., 0] if len(levels) == 1 else pixels).save(path, quality=95, subsampling=0)
