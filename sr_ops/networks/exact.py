"""How torch computes here: the same image gives the same pixels again, whatever the process has set for itself."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import backends
from torch.backends import cudnn

_BACKENDS: Any = backends  # torch's types lack what it sets there
_OPERATIONS = (
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
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
    """Compute exactly, and with gradients even where the caller has switched them off; then all is as it was.

    Tensors that name no device are made on the CPU, and within, `stay_exact` lasts no longer than this.
    """
    deterministic, tf32 = cudnn.deterministic, _allows_tf32()
    precisions = [operation.fp32_precision for operation in _OPERATIONS]
    default = torch.get_default_dtype()
    _be_exact()
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), _no_autocast("cpu"), _no_autocast("cuda"), _on_cpu():
            yield
    finally:
        torch.set_default_dtype(default)
        cudnn.deterministic = deterministic
        if tf32 is not None:
            cudnn.allow_tf32 = tf32
        for operation, precision in zip(_OPERATIONS, precisions, strict=True):
            operation.fp32_precision = "none"  # what it inherits, where the process said nothing of its own
            if operation.fp32_precision != precision:
                operation.fp32_precision = precision


def _no_autocast(kind: str) -> torch.autocast:
    return torch.autocast(kind, enabled=False)


def _on_cpu() -> ExitStack:
    """Return what makes the CPU the default device, and nothing if it is: it would slow every operation down."""
    stack = ExitStack()
    if torch.get_default_device().type != "cpu":
        stack.enter_context(torch.device("cpu"))
    return stack


def _allows_tf32() -> bool | None:
    """Return what `cudnn.allow_tf32` says, the earlier name; None where the names that came after it differ."""
    try:
        return bool(cudnn.allow_tf32)
    except RuntimeError:  # torch refuses to be asked then
        return None


def stay_exact() -> None:
    """Compute exactly from now on, in the whole process."""
    cudnn.allow_tf32 = False  # nobody can ask by this name where the others say different things
    _be_exact()


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Compute with as many threads, which decide the order of sums; then with as many as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _be_exact() -> None:
    cudnn.deterministic = _DETERMINISTIC
    for operation in _OPERATIONS:
        operation.fp32_precision = _EXACT
