"""The images of a manifest as a prior is trained on them."""

import math
from dataclasses import replace

import pyarrow as pa

from sr_ops.settings import STAGE_SCALE, Settings

from .. import storage
from ..errors import UsageError
from ..option_values import parse_kernel
from ..priors.pictures import TrainingImages
from .checking import check_row
from .manifest import read_manifest
from .table import as_text

WEIGHT = "weight"
"""The user's column that says how much an image counts: 1 where it is empty or absent."""


def read_training_images(manifest: str) -> TrainingImages:
    """What a manifest, as `read_manifest` takes it, offers to a training. Raises UsageError as that does."""
    held = read_manifest(manifest)
    said = _weights(held.user_columns)
    weights: dict[str, float] = {}
    left_out: list[tuple[str, str]] = []
    for index, cells in enumerate(held.rows):
        try:
            # a training writes nothing under a key, and does not undo what the camera did
            plain = replace(cells, id=f"{index}", kernel="", noise="")
            row = check_row(index, plain, Settings(scale=STAGE_SCALE), held.folder, held.root, parse_kernel)
            weights[row.uri] = max(_weight(said[index] if said else ""), weights.get(row.uri, 0.0))
        except (ValueError, UsageError) as error:
            left_out.append((f"line {cells.line}", storage.without_secrets(str(error))))
    return TrainingImages(manifest, weights, tuple(left_out))


def _weights(columns: pa.Table) -> list[str]:
    """The cells of the column; none where there is no such column."""
    name = next((name for name in columns.column_names if name.lower() == WEIGHT), None)
    return [] if name is None else [as_text(value) for value in columns[name].to_pylist()]


def _weight(text: str) -> float:
    try:
        weight = float(text or "1")
    except ValueError:
        weight = math.nan
    if not (weight > 0 and math.isfinite(weight)):
        raise ValueError(f"the weight {text!r} is no number above 0; mend it")
    return weight
