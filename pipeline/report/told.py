"""What an output says about its run, whether finished, in progress, stopped or killed."""

from dataclasses import dataclass
from enum import StrEnum

import pyarrow as pa

from .. import storage
from ..errors import UsageError
from ..output import layout, records
from ..output.heartbeat import Heartbeat, read_heartbeat
from ..output.lock import holder
from ..output.run_file import RunFile, last_run
from ..storage_options import StorageOptions, of_run


class Condition(StrEnum):
    """How far a run is, by what is in its output."""

    DONE = "done"
    """Every row is done."""
    RUNNING = "running"
    BUSY = "busy"
    """Another command works on the output: a run that has no run.json yet, or `srpipe eval`."""
    ENDED = "ended"
    """Not in progress, and not every row is done: some failed, or it was stopped."""


@dataclass(frozen=True)
class Told:
    """A run and its records."""

    output: str
    run: RunFile
    state: Condition
    table: pa.Table
    """The latest record of each key, in the order of the manifest."""
    heartbeat: Heartbeat | None
    """What the run says of itself; None if that was deleted, or is not of this run."""

    @property
    def storage(self) -> StorageOptions:
        """How the run accessed S3."""
        return of_run(self.run.config)


def read_told(output: str) -> Told:
    """Read the present content of OUT; writes nothing, and does not disturb a run in progress.

    Raises:
        UsageError: OUT holds no run, or one that is damaged or that this srpipe cannot read.
    """
    try:
        run = _read_run(output)
        table = records.current(output, run.run_id)
        return Told(output, run, _state(output, run), table, _read_heartbeat(output, run))
    except OSError as error:
        raise UsageError(f"cannot read the run in {output}: {storage.reason(error)}; check access") from error


def _read_run(output: str) -> RunFile:
    try:
        return last_run(output)
    except UsageError as error:
        lease = None if storage.exists(layout.run_json(output)) else holder(output)
        if lease is None:
            raise
        at_work = f"a run has just begun there ({lease.host}, process {lease.pid})"
        raise UsageError(f"{output} has nothing to report yet, {at_work}; make the report later") from error


def _state(output: str, run: RunFile) -> Condition:
    lease = holder(output)
    if lease is not None:
        return Condition.RUNNING if lease.run_id == run.run_id else Condition.BUSY
    return Condition.DONE if storage.exists(layout.success(output)) else Condition.ENDED


def _read_heartbeat(output: str, run: RunFile) -> Heartbeat | None:
    try:
        heartbeat = read_heartbeat(output)
    except UsageError:  # another program's, or a later version's: it is only a view, and the records are there
        return None
    return heartbeat if heartbeat is not None and heartbeat.run_id == run.run_id else None
