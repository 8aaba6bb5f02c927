"""How torch computes here: the same image gives the same pixels again, whatever the process has set for itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import backends
from torch.backends import cudnn

_BACKENDS: Any = backends  # torch's types lack what it sets there
_OPERATIONS = (
    _BACKENDS.cudnn.conv,
    _BACKENDS.cuda.matmul,
    _BACKENDS.mkldnn.conv,
    _BACKENDS.mkldnn.matmul,
)
_EXACT = "ieee"
"""Products of float32 with all of their bits. The 7 to 10 bits of others would make data steps inexact."""

_DETERMINISTIC = True
"""Some of cuDNN's algorithms add up in any order."""


@contextmanager
def exactly() -> Iterator[None]:
    """Compute exactly, and with gradients even where the caller has switched them off; then all is as it was."""
    deterministic = cudnn.deterministic
    precisions = [operation.fp32_precision for operation in _OPERATIONS]
    default = torch.get_default_dtype()
    _be_exact()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), _no_autocast("cpu"), _no_autocast("cuda"):
            yield
    finally:
        torch.set_default_dtype(default)
        cudnn.deterministic = deterministic
        for operation, precision in zip(_OPERATIONS, precisions, strict=True):
            operation.fp32_precision = "none"  # what it inherits, where the process said nothing of its own
            if operation.fp32_precision != precision:
                operation.fp32_precision = precision


def _no_autocast(kind: str) -> torch.autocast:
    return torch.autocast(kind, enabled=False)


def stay_exact() -> None:
    """Compute exactly from now on, in the whole process."""
    cudnn.allow_tf32 = False  # the earlier name: torch refuses to be asked by it where both names say different things
    _be_exact()


def _be_exact() -> None:
    cudnn.deterministic = _DETERMINISTIC
    for operation in _OPERATIONS:
        operation.fp32_precision = _EXACT
