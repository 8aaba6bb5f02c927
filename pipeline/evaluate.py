"""Scores of a finished run against the ground truth in the manifest's column `reference`."""

import math
import secrets
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from torch import Tensor

from sr_ops.image.domain import fill
from sr_ops.image.resample import resize_window
from sr_ops.measures.metrics import REACH, Likeness, Part, inner

from . import storage
from .errors import ErrorType, ImageError, UsageError
from .imagery.header import FileLimits
from .imagery.scored import OpenLevels, from_levels, open_scored, to_levels
from .output import records
from .output.clock import now
from .output.layout import Commit, list_commits, moved
from .output.layout import table as table_uri
from .output.lock import SCORING, locked
from .output.results import open_result
from .output.run_file import last_run
from .output.status import WRITTEN
from .storage_options import NOTHING_GIVEN, StorageOptions, of_run

_NAN = float("nan")

_PART = 256
"""Side in pixels of what is scored at once: the same pixels take 1.4 times as long in parts of 512, which leave the
cache."""

_PARTS_TOGETHER = 2048
"""Side of a square whose parts are scored in a row, so that a tile is read once or twice, not once per part."""

_LR_REACH = 4
"""LR pixels around the window to enlarge: bicubic reads 2 of them, and their fill depends on 2 more."""


@dataclass(frozen=True)
class Score:
    """The scores of one image of a run against its ground truth, where both are known.

    Computed on luma of 8-bit output, without a border of `scale` pixels, rounded up.
    """

    key: str
    scale: float
    """The larger of the scales across and down."""
    status: str
    problem: str = ""
    """Why there are no scores; "" if there are."""
    psnr_y: float = _NAN
    ssim_y: float = _NAN
    bicubic_psnr_y: float = _NAN
    """Of bicubic alone, rounded to 8 bits; unknown input samples are filled first, as for a network."""
    bicubic_ssim_y: float = _NAN
    seconds: float = _NAN
    consistency_mae: float = _NAN
    consistency_max: float = _NAN


def evaluate(output: str, options: StorageOptions = NOTHING_GIVEN) -> tuple[Score, ...]:
    """Score every row of OUT that has a reference, and set psnr_y and ssim_y in its records.

    Holds the output's lock, so that no run changes what is scored or writes the same part of the table.

    Args:
        options: access to S3; what they do not say is as in the run.

    Raises:
        UsageError: OUT holds no finished run, no row of it has a reference, or a run is working on it.
        LostLockError: a run took over the output; no record was changed.
    """
    output = storage.absolute(output)
    storage.use(options, output)
    storage.check_service(output)
    storage.use(options.over(of_run(last_run(output).config)), output)  # a lock is not created if there is no run
    with locked(output, f"{SCORING}{now():%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}") as lock:
        run = last_run(output)
        table = _table_of_run(output, run.run_id)
        rows = _with_reference(output, table)
        commits = list_commits(output)
        scores = tuple(_score(moved(output, row), run.folder, commits.get(row["key"], ())) for row in rows)
        lock.check()
        _store_scores(output, run.run_id, table, scores)
    return scores


def _table_of_run(output: str, run_id: str) -> pa.Table:
    """Return the records of a run that has ended. Raises UsageError if there are none, or they cannot be read."""
    try:
        storage.stat(table_uri(output))  # only a run that has ended has merged one
        return records.current(output, run_id)
    except FileNotFoundError as error:
        raise UsageError(f"{output} holds no finished run; give the --output of one") from error
    except OSError as error:
        raise UsageError(f"cannot read the run in {output}: {storage.reason(error)}; check access") from error


def _with_reference(output: str, table: pa.Table) -> list[dict[str, Any]]:
    """Return the rows of the table that have a reference. Raises UsageError if there are none."""
    if "reference" not in table.column_names:
        raise UsageError(
            f"the manifest of {output} has no column 'reference'; name the true images in one, and run again"
        )
    rows = [row for row in table.to_pylist() if row["reference"]]
    if not rows:
        raise UsageError(f"no row of {output} has a reference; fill the column and run again")
    return rows


def _score(row: dict[str, Any], folder: str, commits: Collection[Commit]) -> Score:
    """Score one row. `commits` are those of its key."""
    blank = Score(row["key"] or row["source_uri"], row["scale"] or 0, row["status"])
    if row["status"] not in WRITTEN:
        return replace(blank, problem=f"{row['status']}: {row['error_message']}")
    if Commit(row["config_fingerprint"], row["key"], row["source_fingerprint"]) not in commits:
        return replace(blank, problem="a run has begun to do it again and did not end; run again, then eval")
    try:
        ours, bicubic = _likenesses(row, storage.absolute(str(row["reference"]), folder))
    except (ImageError, UsageError, ValueError) as error:
        return replace(blank, problem=str(error))
    except OSError as error:
        return replace(blank, problem=f"cannot read its reference or result: {storage.reason(error)}; try again")
    if not ours.pixels:
        return replace(blank, problem="nothing is known both of it and of its reference")
    return replace(
        blank,
        psnr_y=ours.psnr,
        ssim_y=ours.ssim,
        bicubic_psnr_y=bicubic.psnr,
        bicubic_ssim_y=bicubic.ssim,
        seconds=row["total_s"],
        consistency_mae=row["consistency_mae"],
        consistency_max=row["consistency_max"],
    )


def _likenesses(row: dict[str, Any], reference: str) -> tuple[Likeness, Likeness]:
    """Compare the result and bicubic with the truth. Raises ImageError, UsageError, ValueError or OSError."""
    pixels = 2 * row["sr_width"] * row["sr_height"]  # it was processed, so it may be read
    limits = FileLimits(max(FileLimits.pixels, pixels))
    with ExitStack() as stack:
        with _told_of(f"the image {row['source_uri']}", "put it back"):
            lr = stack.enter_context(open_scored(row["source_uri"], limits, row["nodata"]))
        with _told_of(f"the result {row['output_uri']}", "remove its commit below OUT/_commit and run again"):
            sr = stack.enter_context(open_result(row["output_uri"], limits, row["nodata"], lr.white))
        with _told_of(f"the reference {reference}", "put it back, or correct the column `reference`"):
            truth = stack.enter_context(open_scored(reference, limits, alike=lr.white))
        _check_sizes(row, reference, sr, truth, lr)
        ours, bicubic = Likeness(), Likeness()
        whole = inner(sr.height, sr.width, math.ceil(row["scale"]))
        for part in _parts(whole):
            of_sr, of_bicubic = _part_likenesses(part, whole, sr, truth, lr)
            ours, bicubic = ours + of_sr, bicubic + of_bicubic
    return ours, bicubic


@contextmanager
def _told_of(what: str, remedy: str) -> Iterator[None]:
    """Turn an error while a file is opened into an ImageError that names the file and the remedy."""
    try:
        yield
    except ImageError as error:
        raise ImageError(error.error_type, f"{what}: {error}") from error
    except OSError as error:
        message = f"{what} cannot be read: {storage.reason(error)}; {remedy}"
        raise ImageError(ErrorType.READ, message) from error


def _check_sizes(row: dict[str, Any], reference: str, sr: OpenLevels, truth: OpenLevels, lr: OpenLevels) -> None:
    """Check that the three sizes match; a reference may be larger at the right and bottom, where it is cropped.

    The field crops to multiples of the scale in the same way. What is larger than that has another scale. Raises
    ImageError.
    """
    made, cropped = (sr.bands, sr.height, sr.width), math.ceil(row["scale"])
    beyond = (truth.height - sr.height, truth.width - sr.width)
    if truth.bands != sr.bands or not all(0 <= more <= cropped for more in beyond):
        of_truth, of_result = (
            f"{shown.width} x {shown.height} pixels of {shown.bands} band{'s' if shown.bands > 1 else ''}"
            for shown in (truth, sr)
        )
        remedy = f"give the true image at this scale, of at most {cropped} pixels more"
        message = f"the reference {reference} has {of_truth}, the result {of_result}; {remedy}"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    of_image = (lr.bands, lr.height, lr.width, row["sr_height"], row["sr_width"])
    if of_image != (made[0], row["height"], row["width"], *made[1:]):
        message = f"{row['source_uri']} has changed since it was done; run again, then eval"
        raise ImageError(ErrorType.UNSUPPORTED, message)


def _parts(whole: Part) -> Iterator[Part]:
    for square in _cut(whole, _PARTS_TOGETHER):
        yield from _cut(square, _PART)


def _cut(whole: Part, side: int) -> Iterator[Part]:
    rows, columns = whole
    for top in range(rows.start, rows.stop, side):
        for left in range(columns.start, columns.stop, side):
            yield slice(top, min(top + side, rows.stop)), slice(left, min(left + side, columns.stop))


def _part_likenesses(
    part: Part, whole: Part, sr: OpenLevels, truth: OpenLevels, lr: OpenLevels
) -> tuple[Likeness, Likeness]:
    """Like `_likenesses`, for the pixels of a part and the SSIM windows around them, limited to `whole`."""
    rows, columns = (
        slice(max(own.start - REACH, edge.start), min(own.stop + REACH, edge.stop))
        for own, edge in zip(part, whole, strict=True)
    )
    levels, known = sr.window(rows, columns)
    true, true_known = truth.window(rows, columns)
    known = known & true_known
    if not bool(known.any()):
        return Likeness(), Likeness()
    own = _within(part[0], rows.start), _within(part[1], columns.start)
    bicubic = _bicubic(lr, sr, rows, columns)
    return Likeness.of(levels, true, known, own), Likeness.of(bicubic, true, known, own)


def _within(part: slice, first: int) -> slice:
    """Return the part relative to `first`."""
    return slice(part.start - first, part.stop - first)


def _bicubic(lr: OpenLevels, sr: OpenLevels, rows: slice, columns: slice) -> Tensor:
    """Return a window of the bicubic enlargement of an image to the size of its result, as rounded levels."""
    near_rows, near_columns = (
        slice(max(0, part.start * own // made - _LR_REACH), min(own, -(-part.stop * own // made) + _LR_REACH))
        for part, own, made in ((rows, lr.height, sr.height), (columns, lr.width, sr.width))
    )
    levels, known = lr.window(near_rows, near_columns)
    filled, first = fill(from_levels(levels), known.expand(levels.shape)), (near_rows.start, near_columns.start)
    return to_levels(resize_window(filled, first, (lr.height, lr.width), (sr.height, sr.width), (rows, columns)))


def _store_scores(output: str, run_id: str, table: pa.Table, scores: tuple[Score, ...]) -> None:
    """Append the records whose scores change, with the new scores: the latest record of a key counts."""
    by_key = {score.key: score for score in scores if not score.problem}
    scored = []
    for row in table.to_pylist():
        # what has no score now keeps none of before, which was against another reference
        score, before = by_key.get(row["key"]), {row.get(name) for name in ("psnr_y", "ssim_y")} - {None}
        if row["status"] in WRITTEN and (score or before):
            row["psnr_y"] = score.psnr_y if score and math.isfinite(score.psnr_y) else None
            row["ssim_y"] = score.ssim_y if score and math.isfinite(score.ssim_y) else None
            scored.append(row)
    if scored:
        records.append_part(output, run_id, pa.Table.from_pylist(scored, schema=table.schema))
        records.merge(output, run_id, records.told_by(table, table))
