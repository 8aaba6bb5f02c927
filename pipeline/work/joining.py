"""What a process finds out before it takes part in a run: whether its GPU works, and whether the output is shared."""

import socket
from contextlib import suppress

import torch

from ..config import Device
from ..errors import UsageError
from ..output.run_file import read_run_file
from ..storage.patience import Patience
from .assignment import Assignment
from .recording import first_line


def usable_device(given: str, wanted: Device) -> str:
    """Return the device for a process to which "cuda" or "cpu" was given: the CPU if its GPU does not work.

    Raises UsageError if only a GPU is wanted.
    """
    if given == "cpu":
        return given
    try:
        torch.zeros(1, device=given)
    except (RuntimeError, AssertionError) as error:  # an AssertionError says that this torch has no CUDA
        if wanted is not Device.CUDA:
            return "cpu"
        raise UsageError(
            f"--device cuda: the GPU of node {socket.gethostname()} cannot be used: {first_line(error)}; take the"
            " node out of the cluster, or use --device auto"
        ) from error
    return given


def check_shared_output(assignment: Assignment) -> None:
    """Raise UsageError if this process sees another output than the run's: each node may have its own disk.

    An output that cannot be read is told by the images that are to be written there.
    """
    output, run_id, patiently = assignment.config.output, assignment.run_id, Patience(assignment.config.retries)
    with suppress(OSError):
        try:
            there = patiently(lambda: read_run_file(output)).run_id
        except (FileNotFoundError, UsageError):
            there = None
        if there != run_id:
            raise UsageError(
                f"the output {output} on node {socket.gethostname()} is not that of this run; give one that all nodes"
                " share, such as s3://BUCKET/x4"
            )
