"""The measures of images in a report: a number for each record, and whether higher is better."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..output.status import WRITTEN

Numbers = NDArray[np.float64]
"""One per record, in the order of the table; NaN if it has none."""


@dataclass(frozen=True)
class Measure:
    """A measure of images that were done."""

    name: str
    """As used by the page's scripts."""
    title: str
    unit: str
    told: str
    """What it is, in a sentence."""
    values: Callable[[pa.Table], Numbers]
    higher_is_better: bool = False
    by_factors: bool = False
    """Whether its scale is logarithmic."""


def _column(name: str) -> Callable[[pa.Table], Numbers]:
    return lambda table: _numbers(table, name)


def _gain(table: pa.Table) -> Numbers:
    """Return the gain of the network that enlarged the image, fitted or prior; 0 if that was bicubic."""
    fitted, prior = _numbers(table, "reconstruction_psnr"), _numbers(table, "prior_reconstruction_psnr")
    method = np.array(table["method_used"].to_pylist(), object)
    bicubic = _numbers(table, "bicubic_reconstruction_psnr")
    network = np.where((method == "prior") | np.isnan(fitted), prior, fitted)
    return np.where(method == "bicubic", bicubic, network) - bicubic


GAIN = Measure(
    "gain",
    "Gain over bicubic",
    "dB",
    "PSNR on shrunk held-out parts of the image, minus that of bicubic on the same parts.",
    _gain,
    higher_is_better=True,
)

DISAGREEMENT = Measure(
    "disagreement",
    "Disagreement",
    "units of the file",
    "How far the members of the self-ensemble lie apart (median): what ranks images best by their true error.",
    _column("disagreement_p50"),
    by_factors=True,
)

CONSISTENCY = Measure(
    "consistency",
    "Consistency error",
    "units of the file",
    "RMS difference between the result, shrunk by the camera's kernel, and the input.",
    _column("consistency_rmse"),
    by_factors=True,
)

SECONDS = Measure("seconds", "Time", "s", "Seconds of work on one image.", _column("total_s"), by_factors=True)

TRUTH = Measure(
    "psnr",
    "PSNR against the truth",
    "dB",
    "On luma, against the reference that the manifest names, as srpipe eval measured it.",
    _column("psnr_y"),
    higher_is_better=True,
)

SHOWN = (GAIN, CONSISTENCY, SECONDS, DISAGREEMENT, TRUTH)
"""Shown as histograms, in this order."""

RANKING = (GAIN, DISAGREEMENT, CONSISTENCY)
"""Measures for ranking images: the first of these that any image has."""


def of_done(measure: Measure, table: pa.Table) -> Numbers:
    """Return the measure of each record, NaN for those that are not done or have none."""
    values = measure.values(table)
    written = pc.is_in(table["status"], pa.array([*WRITTEN]))
    return np.where(np.array(written.to_pylist(), bool), values, np.nan)


def _numbers(table: pa.Table, name: str) -> Numbers:
    if name not in table.column_names or not pa.types.is_floating(table[name].type):
        return np.full(len(table), np.nan)
    return np.array(table[name].to_pylist(), np.float64)
