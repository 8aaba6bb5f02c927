"""The columns of a record about the kernel that was used."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sr_ops.camera.kernel_spec import described
from sr_ops.settings import KERNELS_TO_FIND

from .record import Record

if TYPE_CHECKING:
    from sr_ops.estimation.guess import Guess


class KernelSource(StrEnum):
    TOLD = "told"
    """Given by option, manifest or job file, or the default bicubic."""
    ESTIMATED = "estimated"
    """Estimated from the pixels."""
    DEFAULT = "default"
    """Bicubic, because the pixels give no other kernel with certainty."""


@dataclass(frozen=True, slots=True)
class Found:
    """How a kernel was found in several images before any was processed; fields as in `Guess`."""

    confidence: float
    reason: str


def told_kernel(kernel: str, found: Found | None = None) -> dict[str, Any]:
    """Return the columns about a kernel before the pixels of its image are examined.

    Args:
        kernel: from `Settings`.
        found: how it was found, if nobody gave it.
    """
    if found is not None:
        return _found_kernel(kernel, found.confidence, found.reason)
    return {} if kernel in KERNELS_TO_FIND else {"kernel": described(kernel), "kernel_source": KernelSource.TOLD}


def with_kernel(record: Record, guess: "Guess | None") -> Record:
    """Return the record with the kernel found in the pixels; unchanged if none was looked for."""
    if guess is None:
        return record
    return replace(record, **_found_kernel(guess.kernel, guess.confidence, guess.reason))


def _found_kernel(kernel: str, confidence: float, reason: str) -> dict[str, Any]:
    return {
        "kernel": described(kernel),
        "kernel_source": KernelSource.DEFAULT if reason else KernelSource.ESTIMATED,
        "kernel_confidence": confidence,
        "kernel_note": reason or None,
    }
