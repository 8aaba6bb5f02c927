"""The checkpoint of a training, beside its output file, from which the same command resumes bit for bit."""

import io
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sr_ops.priors.prior import Head
from sr_ops.settings import BodyKind

from .. import storage
from ..errors import UsageError

SUFFIX = ".checkpoint"

_FORMAT = 1

_OF_EARLIER_VERSIONS = {"--body": BodyKind.ADDITIVE.value}
"""Options that earlier versions did not have, with their only value."""

Command = Mapping[str, str | int | float]
"""All that decides the weights, by option; "images" for their pixels."""


@dataclass
class Progress:
    """The progress of the heads."""

    done: dict[Head, dict[str, Tensor]] = field(default_factory=dict)
    begun: dict[Head, Mapping[str, Any]] = field(default_factory=dict)
    """States from `sr_ops.priors.training.Training`."""


def load(uri: str, command: Command) -> Progress:
    """Return the progress in a checkpoint; nothing done if there is none.

    Raises:
        UsageError: it is of another command, or cannot be read.
    """
    try:
        data = storage.read(uri)
    except FileNotFoundError:
        return Progress()
    except OSError as error:
        raise UsageError(f"cannot read {uri}: {storage.reason(error)}; check access") from error
    try:
        held = _load(data)
        differing = _differing(_OF_EARLIER_VERSIONS | held["command"], command)
        progress = Progress(held["done"], held["begun"])
    except (KeyError, TypeError, ValueError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise UsageError(
            f"{uri} is not a complete checkpoint of srpipe prior ({type(error).__name__}); remove it to start over"
        ) from error
    if differing:
        raise UsageError(
            f"{uri} is of another training: {', '.join(differing)}; give the options that it was begun with, or remove"
            " it to start over"
        )
    return progress


def save(uri: str, command: Command, progress: Progress) -> None:
    """Store it atomically. Raises OSError."""
    file = io.BytesIO()
    held = {"format": _FORMAT, "command": dict(command), "done": progress.done, "begun": progress.begun}
    torch.save(held, file)
    storage.write(uri, file.getvalue())


def _load(data: bytes) -> dict[str, Any]:
    """Load numbers and plain values only: anything else in a pickle is refused."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if archive.testzip() is not None:
            raise ValueError("damaged")
    held: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if held["format"] != _FORMAT:
        raise ValueError("another format")
    return held


def _differing(held: Command, given: Command) -> list[str]:
    """Return what differs, in words."""
    words = []
    for name in {**given, **held}:
        if held.get(name) != given.get(name):
            plain = name.startswith("--")
            words.append(f"{name} was {held.get(name)}, not {given.get(name)}" if plain else f"its {name} are others")
    return words
