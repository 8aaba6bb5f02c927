"""The columns of a record about the kernel that was used."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sr_ops.camera.kernel_spec import described
from sr_ops.settings import KERNELS_TO_FIND

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


def kernel_columns(kernel: str, found: "Found | Guess | None") -> dict[str, Any]:
    """Return the columns about a kernel; none while it is still to be looked for in the pixels.

    Args:
        kernel: from `Settings`, or of the guess.
        found: how it was found, if nobody gave it.
    """
    if found is None:
        return {} if kernel in KERNELS_TO_FIND else {"kernel": described(kernel), "kernel_source": KernelSource.TOLD}
    return {
        "kernel": described(kernel),
        "kernel_source": KernelSource.DEFAULT if found.reason else KernelSource.ESTIMATED,
        "kernel_confidence": found.confidence,
        "kernel_note": found.reason or None,
    }
