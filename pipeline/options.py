"""The options of `srpipe run` as Python keyword arguments: `--tile-size 256` is `tile_size=256`."""

import os
from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, get_type_hints

import numpy as np

from .codec import DamagedError, from_plain
from .config import Form, RunConfig
from .errors import UsageError, not_taken
from .imagery.kernel_files import to_text
from .option_values import PARSERS
from .quality import Quality

_CALLED = {
    "self_ensemble": "ensemble",
    "back_projection": "back_projections",
    "range": "value_range",
    "threads_per_worker": "threads",
    "max_seconds_per_image": "max_seconds",
}
"""Options whose field has another name."""

_OF_RUN = (
    *("root", "limit", "strict", "deep", "existing", "disagreement"),
    *("device", "workers", "threads_per_worker", "gpus_per_worker", "executor", "address"),
    *("retries", "max_pixels", "max_seconds_per_image", "max_consistency_error", "max_failure_rate", "max_hours"),
)
"""Fields of RunConfig that are options."""

BOUNDS: Mapping[str, tuple[float, float]] = {
    "model_halo": (0, 1024),
    "steps": (0, np.inf),
    "width": (1, np.inf),
    "depth": (2, np.inf),
    "dropout": (0.0, 0.9),
    "crop": (8, np.inf),
    "batch": (1, np.inf),
    "learning_rate": (1e-6, 1.0),
    "adversarial": (0.0, 100.0),
    "seed": (0, 2**63 - 1),
    "back_projection": (0, np.inf),
    "tile_size": (16, np.inf),
    "stack": (1, np.inf),
    "limit": (1, np.inf),
    "workers": (1, np.inf),
    "threads_per_worker": (1, np.inf),
    "retries": (0, np.inf),
    "max_pixels": (1, np.inf),
    "max_seconds_per_image": (0.001, np.inf),
    "max_consistency_error": (0.0, np.inf),
    "max_failure_rate": (0.0, 1.0),
    "max_hours": (0.0, np.inf),
}
"""Smallest and largest allowed number, both included."""


def names_of_quality() -> tuple[str, ...]:
    """Return the names of the options that decide pixels."""
    called = {field: name for name, field in _CALLED.items()}
    return tuple(called.get(field.name, field.name) for field in fields(Quality))


def names_of_run() -> tuple[str, ...]:
    """Return the names of all other options, except those of the storage."""
    return (*_OF_RUN, *(field.name for field in fields(Form)))


def check_names(function: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Raise TypeError, as Python itself does, for an unknown option."""
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=2)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise TypeError(f"{function}() has no option {name!r}{hint}")


def quality_of(options: Mapping[str, Any]) -> Quality:
    """Return the options that decide pixels; others are ignored. Raises UsageError for an invalid value."""
    return Quality(**_fields(Quality, {name: options[name] for name in names_of_quality() if name in options}))


def config_of(manifest: str, output: str, options: Mapping[str, Any], **further: Any) -> RunConfig:
    """Return the run with these options.

    Args:
        further: other fields of RunConfig.

    Raises:
        UsageError: a value is invalid, or options exclude each other.
    """
    quality = quality_of(options)
    form = Form(**_fields(Form, {field.name: options[field.name] for field in fields(Form) if field.name in options}))
    of_run = _fields(RunConfig, {name: options[name] for name in _OF_RUN if name in options})
    return RunConfig(manifest=manifest, output=output, form=form, **quality.of_run(), **of_run, **further)


def _fields(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a dataclass from the options, parsed and checked. Raises UsageError."""
    hints = get_type_hints(kind)
    return {
        (field := _CALLED.get(name, name)): _checked(name, value, hints[field])
        for name, value in given.items()
        if value is not None
    }


def _checked(name: str, value: Any, kind: Any) -> Any:
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if isinstance(value, np.generic):
        value = value.item()
    if name in PARSERS:
        try:
            return _parsed(name, value)
        except ValueError as error:
            raise UsageError(f"{name}: {error}") from error
    bounds = BOUNDS.get(name, (-np.inf, np.inf))
    try:
        checked = from_plain(kind, value)
    except DamagedError as error:
        raise UsageError(f"{name}: {not_taken(name, value, kind, *bounds)}") from error
    if name in BOUNDS and not bounds[0] <= checked <= bounds[1]:
        raise UsageError(f"{name}: {not_taken(name, value, kind, *bounds)}")
    return checked


def _parsed(name: str, value: Any) -> Any:
    """Return the value of one of PARSERS. Numbers are taken, too, and arrays as kernels. Raises ValueError."""
    return _text_of_taps(value) if name == "kernel" and not isinstance(value, str) else PARSERS[name](str(value))


def _text_of_taps(value: Any) -> str:
    """Return an array or a tensor of taps as text. Raises ValueError."""
    if hasattr(value, "detach"):  # numpy takes no tensor with gradients, on a GPU or of bfloat16
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() else value
    table = np.asarray(value)
    if table.dtype.kind not in "fiu":
        raise ValueError(f"{value!r} is not a kernel; give its name, a file's, or an array of taps")
    try:
        return to_text(table)
    except ValueError as error:
        raise ValueError(f"the array {error}") from error
