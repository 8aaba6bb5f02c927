"""What a record says of the kernel that was assumed."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sr_ops.kernel_spec import described
from sr_ops.settings import KERNELS_TO_FIND

from .record import Record

if TYPE_CHECKING:
    from sr_ops.guess import Guess


class KernelSource(StrEnum):
    TOLD = "told"
    """By option, manifest or job file; bicubic, too, where nobody says anything."""
    ESTIMATED = "estimated"
    """From the pixels."""
    DEFAULT = "default"
    """Bicubic, since the pixels do not tell another one with certainty."""


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of a kernel that was found in several images before any was worked on; as of `Guess`."""

    confidence: float
    reason: str


def told_kernel(kernel: str, found: Found | None = None) -> dict[str, Any]:
    """What a record says of a kernel before the pixels of its image are looked at, by column.

    Args:
        kernel: of `Settings`.
        found: how, where nobody told it.
    """
    if found is not None:
        return _found_kernel(kernel, found.confidence, found.reason)
    return {} if kernel in KERNELS_TO_FIND else {"kernel": described(kernel), "kernel_source": KernelSource.TOLD}


def with_kernel(record: Record, guess: "Guess | None") -> Record:
    """The record with the kernel that was found in the pixels; as it is where none was looked for."""
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
