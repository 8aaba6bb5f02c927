"""Comparison of several methods on the same images: a run of each in its own folder, one table, contact sheets."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from . import storage
from .compared_means import Line, means
from .config import RunConfig
from .contact_sheet import Cell, crop_of, enlarged, scaled, sheet
from .driver.completing import completed
from .driver.preflight import check_options, refuse_own_places
from .driver.run import Summary
from .errors import ImageError, UsageError
from .evaluate import evaluate
from .imagery.display import open_display
from .imagery.header import FileLimits
from .imagery.scored import OpenLevels
from .manifest.carried import PREFIX
from .manifest.checking import key_of
from .manifest.manifest import read_manifest
from .output import layout, records
from .output.mixed_columns import concatenated
from .output.results import open_displayed
from .output.run_file import read_run_file
from .output.status import WRITTEN, Status
from .storage_options import StorageOptions

COLUMN = "compared"
"""Column of the common table with the requested name of the method."""

Run = Callable[[RunConfig], Summary]

_DRAWN = (
    *("key", "status", "source_uri", "output_uri", "reference", "nodata", "sr_width", "sr_height"),
    *("psnr_y", "ssim_y", "total_s", COLUMN),
)
"""Columns that a contact sheet needs; there may be no `reference`."""


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
    config = replace(config, output=storage.absolute(config.output))
    storage.use(config.storage, config.output)
    asked_for = _asked_for(config)
    for name, way in ways.items():
        _check(name, way)
    tables, problems, stopped = {}, [], False
    for name, way in ways.items():
        output = output_of(config.output, name)
        summary = run(replace(way, output=output))
        stopped = summary.stopped is not None
        if stopped:
            break
        tables[name], without = _scored(output, config.storage)
        problems += [f"{name}: {problem}" for key, problem in without if key in asked_for]
    storage.use(config.storage, config.output)  # a run was told of its own folder alone
    if not tables:
        return Comparison("", (), (), (), stopped)
    tables = _of_the_same_images(tables, asked_for)
    together = concatenated([_named(name, table) for name, table in tables.items()])
    table, sheets_folder = _own_places(config.output)
    records.write_table(table, together)
    sheets, not_drawn = _sheets(config.output, sheets_folder, together)
    lines, counts = means(tables)
    both = counts["total_s"], counts["psnr_y"]
    return Comparison(table, lines, tuple(sheets), (*problems, *not_drawn), stopped, *both)


def output_of(output: str, name: str) -> str:
    """Return the folder for the run of one method."""
    return storage.join(output, name.replace(":", "-"))


def _own_places(output: str) -> tuple[str, str]:
    """Return the common table and the folder of contact sheets."""
    return storage.join(output, "compare.parquet"), storage.join(output, "sheets")


def _asked_for(config: RunConfig) -> set[str | None]:
    """Return the keys that the manifest asks for, and None, the key of bad rows: an output may hold more of earlier on.

    Raises UsageError if the table or the sheets would replace the manifest or an image.
    """
    manifest = read_manifest(config.manifest)
    refuse_own_places(manifest, config.output, _own_places(config.output))
    root = config.root or manifest.root
    keys: set[str | None] = {None}
    for cells in manifest.rows[: config.limit]:
        with suppress(ValueError, UsageError):
            keys.add(key_of(cells, storage.absolute(cells.uri, manifest.folder), root))
    return keys


def _check(name: str, way: RunConfig) -> None:
    """Raise UsageError, with the name of the method, for what would end its run at its beginning."""
    try:
        check_options(way)
        completed(way)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _of_the_same_images(tables: Mapping[str, pa.Table], asked_for: set[str | None]) -> dict[str, pa.Table]:
    """Return the records of images that are asked for now, and were asked of every method."""
    asked = [
        {
            key
            for key, status in zip(table["key"].to_pylist(), table["status"].to_pylist(), strict=True)
            if status != Status.SKIPPED
        }
        for table in tables.values()
    ]
    keys = pa.array(asked_for.intersection(*asked), pa.string())
    return {name: table.filter(pc.is_in(table["key"], keys)) for name, table in tables.items()}


def _named(name: str, table: pa.Table) -> pa.Table:
    """Return the table with COLUMN; a user's column of that name gets the prefix of those that clash in a run."""
    others = COLUMN
    while others in table.column_names:
        others = PREFIX + others
    names = [others if column == COLUMN else column for column in table.column_names]
    return table.rename_columns(names).append_column(COLUMN, pa.array([name] * table.num_rows, pa.string()))


def _scored(output: str, options: StorageOptions) -> tuple[pa.Table, list[tuple[str, str]]]:
    """Score a run against its references, if it has any.

    Returns its records, and the keys of images without a score with the reason.
    """
    table = records.read_table(layout.table(output))
    if "reference" not in table.column_names or not any(table["reference"].to_pylist()):
        return _without_scores(table), []
    scores = evaluate(output, options)
    failed = [score for score in scores if score.problem and score.status in WRITTEN]
    return records.read_table(layout.table(output)), [(one.key, f"{one.key}: {one.problem}") for one in failed]


def _without_scores(table: pa.Table) -> pa.Table:
    """Return the table without the scores that earlier references gave."""
    for name in ("psnr_y", "ssim_y"):
        place = table.schema.get_field_index(name)
        table = table.set_column(place, table.field(place), pa.nulls(len(table), table.field(place).type))
    return table


def _sheets(output: str, sheets: str, together: pa.Table) -> tuple[list[str], list[str]]:
    """Draw a contact sheet into `sheets` for each image with a result; return their uris, and why others have none."""
    folder = _folder_of_manifest(output, together)
    by_key: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in together.select([name for name in together.column_names if name in _DRAWN]).to_pylist():
        if row["status"] in WRITTEN:
            by_key[row["key"]].append(layout.moved(output_of(output, row[COLUMN]), row))
    uris, problems = [], []
    for key, rows in by_key.items():
        uri = storage.join(sheets, f"{key}.png")
        try:
            storage.write(uri, _drawn(key, rows, folder))
            uris.append(uri)
        except (ImageError, UsageError, ValueError, OSError) as error:
            why = storage.place_and_reason(error) if isinstance(error, OSError) else error
            problems.append(f"{key} has no contact sheet: {why}")
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
