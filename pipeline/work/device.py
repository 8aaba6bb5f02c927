"""The device of a process."""

import torch

from ..config import Device
from ..errors import UsageError


def inline_device(wanted: Device) -> str:
    """Return the device of a worker in this process. Raises UsageError if CUDA is wanted but missing."""
    if wanted is not Device.CPU and torch.cuda.is_available():
        return "cuda"
    if wanted is Device.CUDA:
        raise UsageError("--device cuda: there is no GPU here; use --device auto or cpu")
    return "cpu"
