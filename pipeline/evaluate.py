"""Scoring a finished run against the true images that its manifest's `reference` column names."""

import json
import math
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from sr_ops.metrics import psnr_y, ssim_y
from sr_ops.resample import upscale

from . import storage
from .errors import ErrorType, ImageError, UsageError
from .imagery.images import from_levels, read_levels, to_levels
from .output import records
from .output.layout import run_json, tile_position
from .output.layout import table as table_uri
from .output.records import Status

_NAN = float("nan")


@dataclass(frozen=True)
class Score:
    """One image of a run against its truth, on luma of 8-bit output, without a border of `scale` pixels."""

    key: str
    scale: int
    status: str
    problem: str = ""
    """Why it has no figures; "" when it has."""
    psnr_y: float = _NAN
    ssim_y: float = _NAN
    bicubic_psnr_y: float = _NAN
    """Of `upscale` alone, rounded to 8 bits."""
    bicubic_ssim_y: float = _NAN
    seconds: float = _NAN
    consistency_mae: float = _NAN
    consistency_max: float = _NAN


def evaluate(output: str) -> tuple[Score, ...]:
    """Score every row of OUT that has a reference, and fill psnr_y and ssim_y of its records.

    Raises:
        UsageError: OUT holds no finished run, or no row of it has a reference.
    """
    output = storage.absolute(output)
    storage.check_service(output)
    try:
        table = records.read_table(table_uri(output))
        run = json.loads(storage.read(run_json(output)))
    except FileNotFoundError as error:
        raise UsageError(f"{output} holds no finished run; give the --output of one") from error
    except OSError as error:
        raise UsageError(f"cannot read the run in {output}: {storage.reason(error)}; check access") from error
    if "reference" not in table.column_names:
        raise UsageError(
            f"the manifest of {output} has no column 'reference'; name the true images in one and run again"
        )
    rows = [row for row in table.to_pylist() if row["reference"]]
    if not rows:
        raise UsageError(f"no row of {output} has a reference; fill the column and run again")
    scores = tuple(_score(row, run["folder"]) for row in rows)
    _fill(output, run["run_id"], table, scores)
    return scores


def stitch(place: str) -> Tensor:
    """A result, (C, H, W) uint8: the tiles in a folder put together, or what is in one file."""
    if not storage.is_folder(place):
        return read_levels(place)
    grid: dict[int, dict[int, Tensor]] = defaultdict(dict)
    for uri in storage.list_folder(place):
        position = tile_position(uri.rpartition("/")[2])
        if position is not None:
            grid[position[0]][position[1]] = read_levels(uri)
    if not grid:
        raise FileNotFoundError(None, f"no tiles are in {place}")
    return torch.cat([torch.cat([row[column] for column in sorted(row)], -1) for _, row in sorted(grid.items())], -2)


def _score(row: dict[str, Any], folder: str) -> Score:
    blank = Score(row["key"] or row["source_uri"], row["scale"] or 0, row["status"])
    if row["status"] != Status.DONE:
        return _with_problem(blank, f"{row['status']}: {row['error_message']}")
    try:
        sr = stitch(row["output_uri"])
        truth = _truth(storage.absolute(str(row["reference"]), folder), sr)
        lr = _source(row["source_uri"], sr, row["scale"])
        return _figures(row, blank, sr, truth, lr)
    except (ImageError, UsageError, ValueError) as error:
        return _with_problem(blank, str(error))
    except OSError as error:
        return _with_problem(blank, f"cannot read its reference or result: {storage.reason(error)}")


def _figures(row: dict[str, Any], blank: Score, sr: Tensor, truth: Tensor, lr: Tensor) -> Score:
    scale = blank.scale
    bicubic = to_levels(upscale(lr, scale))
    return replace(
        blank,
        psnr_y=psnr_y(sr, truth, scale),
        ssim_y=ssim_y(sr, truth, scale),
        bicubic_psnr_y=psnr_y(bicubic, truth, scale),
        bicubic_ssim_y=ssim_y(bicubic, truth, scale),
        seconds=row["total_s"],
        consistency_mae=row["consistency_mae"],
        consistency_max=row["consistency_max"],
    )


def _with_problem(score: Score, problem: str) -> Score:
    return replace(score, problem=problem)


def _truth(uri: str, sr: Tensor) -> Tensor:
    """The reference cut to the result's size at the right and bottom, as the field crops to multiples of the scale."""
    levels = read_levels(uri)
    bands, height, width = sr.shape
    if levels.shape[0] != bands or levels.shape[1] < height or levels.shape[2] < width:
        message = f"the reference {uri} is {tuple(levels.shape)}, the result {tuple(sr.shape)}; give the true image"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    return levels[:, :height, :width]


def _source(uri: str, sr: Tensor, scale: int) -> Tensor:
    lr = from_levels(read_levels(uri))
    if tuple(sr.shape) != (lr.shape[0], lr.shape[1] * scale, lr.shape[2] * scale):
        raise ImageError(ErrorType.UNSUPPORTED, f"{uri} has changed since it was done; run again, then eval")
    return lr


def _fill(output: str, run_id: str, table: pa.Table, scores: tuple[Score, ...]) -> None:
    """Add the scored records once more, with their figures: the latest record of a key is the one that counts."""
    by_key = {score.key: score for score in scores if not score.problem}
    scored = [row for row in table.to_pylist() if row["key"] in by_key and row["status"] == Status.DONE]
    for row in scored:
        score = by_key[row["key"]]
        row["psnr_y"] = score.psnr_y if math.isfinite(score.psnr_y) else None
        row["ssim_y"] = score.ssim_y if math.isfinite(score.ssim_y) else None
    if scored:
        records.append_part(output, run_id, pa.Table.from_pylist(scored, schema=table.schema))
        records.merge(output, run_id, {}, table.slice(0, 0).select([]))
