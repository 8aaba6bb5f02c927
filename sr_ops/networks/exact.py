"""How torch computes here: the same image gives the same pixels again, whatever the process has set for itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.backends import cudnn

_DETERMINISTIC = True
"""Some of cuDNN's algorithms add up in any order."""

_ALLOW_TF32 = False
"""Its 10 bits would make data steps inexact."""


@contextmanager
def exactly() -> Iterator[None]:
    """Compute exactly, and with gradients even where the caller has switched them off; then all is as it was."""
    with (
        torch.inference_mode(False),
        cudnn.flags(cudnn.enabled, deterministic=_DETERMINISTIC, allow_tf32=_ALLOW_TF32),
    ):
        yield


def stay_exact() -> None:
    """Compute exactly from now on, in the whole process."""
    cudnn.deterministic = _DETERMINISTIC
    cudnn.allow_tf32 = _ALLOW_TF32
