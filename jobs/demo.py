"""`srpipe demo`: a small collection made by code, upscaled by the ordinary run, scored against the known truth."""

import csv
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from pipeline.config import RunConfig
from pipeline.driver.run import Summary
from pipeline.evaluate import evaluate
from pipeline.imagery.images import from_levels, read_levels, to_levels
from pipeline.output.results import stitch
from sr_ops.resample import downscale, upscale
from sr_ops.settings import Settings

from .progress import run_with_progress
from .report import print_scores
from .sample_pictures import photograph, printed_page, satellite_view

_SCALE = 2

_PICTURES = {"satellite.tif": satellite_view, "page.png": printed_page, "photograph.jpg": photograph}


def demo(folder: Path) -> Summary:
    """Write the collection to `folder`, run it, print the table of results and where the pictures are."""
    manifest = make_collection(folder)
    output = folder / "results"
    config = RunConfig(manifest=str(manifest), output=str(output.absolute()), settings=Settings(scale=_SCALE))
    summary = run_with_progress(config)
    scores = evaluate(str(output))
    print_scores(scores)
    for name in _PICTURES:
        _compare(folder, name)
    print(f"input:   {folder}/lr   truth: {folder}/hr")  # noqa: T201 - the result
    print(f"results: {output}/tiles   table: {output}/manifest.parquet")  # noqa: T201
    print(f"bicubic, srpipe and truth side by side: {folder}/compare")  # noqa: T201
    return summary


def make_collection(folder: Path) -> Path:
    """hr/ with the truth, lr/ with its `downscale` as TIFF, PNG and JPEG, and the manifest; returns its path."""
    rows = []
    for name, draw in _PICTURES.items():
        hr = torch.from_numpy(draw())
        hr = hr[None] if hr.ndim == 2 else hr.permute(2, 0, 1)
        truth = Path("hr") / Path(name).with_suffix(".png")
        lr = Path("lr") / name
        _save(hr, folder / truth)
        _save(downscale(hr, _SCALE), folder / lr)
        rows.append({"uri": str(lr), "id": name, "reference": str(truth)})
    manifest = folder / "manifest.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["uri", "id", "reference"])
        writer.writeheader()
        writer.writerows(rows)
    return manifest


def _compare(folder: Path, name: str) -> None:
    """Bicubic, result and truth in one picture, left to right."""
    lr = from_levels(read_levels(str((folder / "lr" / name).absolute())))
    truth = read_levels(str((folder / "hr" / name).with_suffix(".png").absolute()))
    result = stitch(str((folder / "results" / "tiles" / name).absolute()))
    row = torch.cat([to_levels(upscale(lr, _SCALE)).byte(), result, truth], -1)
    _save(row, (folder / "compare" / name).with_suffix(".png"))


def _save(levels: Tensor, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = levels.permute(1, 2, 0).numpy()
    # For JPEG, and without effect elsewhere: as an archive keeps a photograph, with all its colour.
    Image.fromarray(pixels[..., 0] if len(levels) == 1 else pixels).save(path, quality=95, subsampling=0)
