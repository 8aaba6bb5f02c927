"""Comparison of several methods on the same images: a run of each in its own folder, one table, contact sheets."""

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import storage
from .config import RunConfig
from .contact_sheet import Cell, crop_of, enlarged, scaled, sheet
from .driver.completing import completed
from .driver.preflight import check_options
from .driver.run import Summary
from .errors import ImageError, UsageError
from .evaluate import evaluate
from .imagery.display import open_display
from .imagery.header import FileLimits
from .imagery.scored import OpenLevels
from .manifest.carried import PREFIX
from .output import layout, records
from .output.mixed_columns import concatenated
from .output.results import open_displayed
from .output.run_file import read_run_file
from .output.status import WRITTEN, Status
from .storage_options import StorageOptions

COLUMN = "compared"
"""Column of the common table with the requested name of the method."""

Run = Callable[[RunConfig], Summary]

_MEANS = ("psnr_y", "ssim_y", "consistency_mae", "total_s")
"""Columns of which the table has means."""

_COUNTED = ["key", "status", "peak_memory_bytes", *_MEANS]

_DRAWN = (
    *("key", "status", "source_uri", "output_uri", "reference", "nodata", "sr_width", "sr_height"),
    *("psnr_y", "ssim_y", "total_s", COLUMN),
)
"""Columns that a contact sheet needs; there may be no `reference`."""


@dataclass(frozen=True)
class Line:
    """The figures of one method.

    Means are over the images for which every method has the figure. A method that has it for no image does not count
    for this, and its mean is nan.
    """

    name: str
    done: int
    degraded: int
    """Written, but over a limit that the user set."""
    failed: int
    psnr_y: float
    """In dB."""
    ssim_y: float
    consistency_mae: float
    """In native units."""
    seconds: float
    """Per image."""
    peak_memory_bytes: int
    """The most of any worker."""


@dataclass(frozen=True)
class Comparison:
    """The outcome of a comparison."""

    table: str
    """Uri of the Parquet file with all records, and COLUMN; "" if no run ended."""
    lines: tuple[Line, ...]
    sheets: tuple[str, ...]
    """Uris of the contact sheets."""
    problems: tuple[str, ...]
    """A sentence for each image without a score or a contact sheet."""
    stopped: bool
    """A limit ended a run, and later ones were not begun."""
    compared: int = 0
    """Images that all methods finished."""
    scored: int = 0
    """Images that the means of PSNR are over: those with a reference that no method hits exactly."""


def compare(config: RunConfig, ways: Mapping[str, RunConfig], run: Run) -> Comparison:
    """Run each of `ways` into its own folder below the output, resume where it stopped, and combine the results.

    Args:
        config: its output receives compare.parquet and sheets/.
        ways: by name, in the order of the table.
        run: executes one.

    Raises:
        UsageError: a run could not begin; those before it are done. For options, kernels, priors and models none is.
    """
    storage.use(config.storage, storage.absolute(config.output))
    for name, way in ways.items():
        _check(name, way)
    tables, problems, stopped = {}, [], False
    for name, way in ways.items():
        output = output_of(config.output, name)
        summary = run(replace(way, output=output))
        stopped = summary.stopped is not None
        if stopped:
            break
        problems += [f"{name}: {problem}" for problem in _scored(output, config.storage)]
        tables[name] = records.read_table(layout.table(output))
    storage.use(config.storage, storage.absolute(config.output))  # a run was told of its own folder alone
    if not tables:
        return Comparison("", (), (), (), stopped)
    tables = _of_the_same_images(tables)
    together = concatenated([_named(name, table) for name, table in tables.items()])
    table = storage.join(config.output, "compare.parquet")
    records.write_table(table, together)
    sheets, without = _sheets(config.output, together)
    lines, counts = means(tables)
    both = counts["total_s"], counts["psnr_y"]
    return Comparison(table, lines, tuple(sheets), (*problems, *without), stopped, *both)


def output_of(output: str, name: str) -> str:
    """Return the folder for the run of one method."""
    return storage.join(output, name.replace(":", "-"))


def _check(name: str, way: RunConfig) -> None:
    """Raise UsageError, with the name of the method, for what would end its run at its beginning."""
    try:
        check_options(way)
        completed(way)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _of_the_same_images(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """Return the records of images that were asked of every method: earlier commands may have asked more of some."""
    asked = [
        {
            key
            for key, status in zip(table["key"].to_pylist(), table["status"].to_pylist(), strict=True)
            if status != Status.SKIPPED
        }
        for table in tables.values()
    ]
    keys = pa.array(set.intersection(*asked), pa.string())
    return {name: table.filter(pc.is_in(table["key"], keys)) for name, table in tables.items()}


def _named(name: str, table: pa.Table) -> pa.Table:
    """Return the table with COLUMN; a user's column of that name gets the prefix of those that clash in a run."""
    names = [f"{PREFIX}{COLUMN}" if column == COLUMN else column for column in table.column_names]
    return table.rename_columns(names).append_column(COLUMN, pa.array([name] * table.num_rows, pa.string()))


def _scored(output: str, options: StorageOptions) -> list[str]:
    """Score a run against its references, if it has any; return why images have no score."""
    table = records.read_table(layout.table(output))
    if "reference" not in table.column_names or not any(table["reference"].to_pylist()):
        return []
    scores = evaluate(output, options)
    return [f"{score.key}: {score.problem}" for score in scores if score.problem and score.status in WRITTEN]


def means(tables: Mapping[str, pa.Table]) -> tuple[tuple[Line, ...], dict[str, int]]:
    """Return the line of each method, and how many images the means are over, by column."""
    common = {figure: _common(tables.values(), figure) for figure in _MEANS}
    lines = tuple(_line(name, table, common) for name, table in tables.items())
    return lines, {figure: len(keys) for figure, keys in common.items()}


def _common(tables: Iterable[pa.Table], figure: str) -> set[str]:
    """Return the keys of written images of which every table has the figure, but for tables that have it of none."""
    having = [{row["key"] for row in _written(table) if row[figure] is not None} for table in tables]
    return set.intersection(*filter(None, having)) if any(having) else set()


def _written(table: pa.Table) -> list[dict[str, Any]]:
    return [row for row in table.select(_COUNTED).to_pylist() if row["status"] in WRITTEN]


def _line(name: str, table: pa.Table, common: Mapping[str, Set[str]]) -> Line:
    """`common` has the keys that the means are over, by column."""
    numbers = Counter(table["status"].to_pylist())
    written = _written(table)
    means = {figure: _mean([row for row in written if row["key"] in keys], figure) for figure, keys in common.items()}
    return Line(
        name=name,
        done=numbers[Status.DONE],
        degraded=numbers[Status.DEGRADED],
        failed=numbers[Status.FAILED],
        psnr_y=means["psnr_y"],
        ssim_y=means["ssim_y"],
        consistency_mae=means["consistency_mae"],
        seconds=means["total_s"],
        peak_memory_bytes=max((row["peak_memory_bytes"] or 0 for row in written), default=0),
    )


def _mean(rows: Sequence[Mapping[str, Any]], column: str) -> float:
    values = [row[column] for row in rows if row[column] is not None]
    return sum(values) / len(values) if values else math.nan


def _sheets(output: str, together: pa.Table) -> tuple[list[str], list[str]]:
    """Draw a contact sheet for each image with a result; return their uris, and why others have none."""
    folder = _folder_of_manifest(output, together)
    by_key: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in together.select([name for name in together.column_names if name in _DRAWN]).to_pylist():
        if row["status"] in WRITTEN:
            by_key[row["key"]].append(layout.moved(output_of(output, row[COLUMN]), row))
    uris, problems = [], []
    for key, rows in by_key.items():
        uri = storage.join(output, "sheets", f"{key}.png")
        try:
            storage.write(uri, _drawn(key, rows, folder))
            uris.append(uri)
        except (ImageError, UsageError, ValueError, OSError) as error:
            problems.append(f"{key} has no contact sheet: {error}")
    return uris, problems


def _folder_of_manifest(output: str, together: pa.Table) -> str:
    """Return the base of relative references."""
    names = together[COLUMN].to_pylist()
    return read_run_file(output_of(output, names[0])).folder


def _drawn(key: str, rows: Sequence[Mapping[str, Any]], folder: str) -> bytes:
    """Draw the contact sheet of one image; bands and numbers that are no picture are shown as in a report.

    A reference that gave no score is left out, and `_scored` has told why.

    Args:
        folder: base of relative references.

    Raises ImageError, UsageError, ValueError or OSError: something cannot be read, or is no picture that can be shown.
    """
    first = rows[0]
    limits = FileLimits(max(FileLimits.pixels, 2 * first["sr_width"] * first["sr_height"]))
    with ExitStack() as stack:
        lr = stack.enter_context(open_display(first["source_uri"], limits, first["nodata"]))
        alike = lr.stretch
        made = [stack.enter_context(open_displayed(row["output_uri"], limits, row["nodata"], alike)) for row in rows]
        crop = crop_of(lr, max(made[0].height / lr.height, made[0].width / lr.width))
        shown = [_crop(each, scaled(crop, lr, each)) for each in made]
        height, width = shown[0].shape[1:]
        cells = [Cell(enlarged(_crop(lr, crop), height, width), "input", "each pixel a square")]
        if any(row[score] is not None for row in rows for score in ("psnr_y", "ssim_y")):
            reference = storage.absolute(str(first["reference"]), folder)
            truth = stack.enter_context(open_display(reference, limits, stretch=alike))
            cells.append(Cell(_crop(truth, scaled(crop, lr, made[0])), "reference", "the true image"))
        cells += [Cell(pixels, row[COLUMN], _figures(row)) for pixels, row in zip(shown, rows, strict=True)]
    return sheet(f"{key}: rows {crop[0].start} to {crop[0].stop}, columns {crop[1].start} to {crop[1].stop}", cells)


def _crop(shown: OpenLevels, crop: tuple[slice, slice]) -> Any:
    return shown.window(*crop)[0]


def _figures(row: Mapping[str, Any]) -> str:
    psnr = "" if row["psnr_y"] is None else f"{row['psnr_y']:.2f} dB, "
    return f"{psnr}{row['total_s']:.1f} s"
