"""The record of an image: while work goes on, when it ends, and when it fails."""

import os
import resource
import socket
import sys
import traceback
from dataclasses import replace
from datetime import datetime

import torch

from ..config import RunConfig
from ..errors import ErrorType
from ..output.clock import now
from ..output.record import Record
from ..output.status import Status
from .stopwatch import Stopwatch
from .units import Row

_PLACES = 3
"""Calls of a bug's traceback that its record names: the traceback itself stays on the node."""


class Recorder:
    """Fills in what records say about the worker."""

    def __init__(self, config: RunConfig, device: torch.device) -> None:
        self._config = config
        self._device = device
        self._device_name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"

    def begun(self, row: Row, started_at: datetime) -> Record:
        """Return the initial record, with status failed."""
        return replace(
            row.record(Status.FAILED),
            device=self._device_name,
            threads=self._config.threads,
            worker=f"{socket.gethostname()}:{os.getpid()}",
            seed=self._config.settings.seed,
            prior=self._config.settings.prior,
            weights=self._config.settings.weights or None,
            started_at=started_at,
        )

    def timed(self, record: Record, watch: Stopwatch) -> Record:
        """Return the record of work that ends now."""
        finished = now()
        assert record.started_at is not None
        return replace(
            record,
            read_s=watch["read"],
            infer_s=watch["infer"],
            back_project_s=watch["back_project"],
            write_s=watch["write"],
            total_s=(finished - record.started_at).total_seconds(),
            peak_memory_bytes=_peak_memory(self._device),
            finished_at=finished,
        )


def failed(begun: Record, error_type: ErrorType, message: str) -> Record:
    finished = now()
    assert begun.started_at is not None
    seconds = (finished - begun.started_at).total_seconds()
    return replace(begun, error_type=error_type, error_message=message, finished_at=finished, total_s=seconds)


def failed_by_bug(begun: Record, error: Exception) -> Record:
    """Return a failed record; the traceback goes to stderr, its last places into the message."""
    traceback.print_exception(error, file=sys.stderr)
    what = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)[-_PLACES:]
    where = ", ".join(f"{os.path.basename(frame.filename)}:{frame.lineno}" for frame in frames)
    message = f"a bug in srpipe, please report it: {type(error).__name__}: {what} (at {where})"
    return failed(begun, ErrorType.INTERNAL, message)


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, without a full stop; its name if it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _peak_memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
