"""OUT/progress.json: how a run goes, for dashboards and `srpipe watch`, written anew every few seconds.

docs/progress.md tells its fields. What is not known yet is null. Nothing that srpipe decides depends on it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .. import storage
from ..codec import DamagedError, from_json, to_json
from ..errors import UsageError
from . import layout

VERSION = 1
"""Of the schema: raised when a field changes its meaning or goes; one that is added raises nothing."""


class State(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    """By a limit, a signal or an error, before everything was attempted."""
    FINISHED = "finished"
    """Everything was attempted; some of it may have failed."""


@dataclass(frozen=True)
class Images:
    """Numbers of rows. `total` is the sum of all others and of those that are still to be done."""

    total: int
    done: int = 0
    """By this run."""
    already_done: int = 0
    failed: int = 0
    skipped: int = 0
    """Not to be attempted by this run."""
    degraded: int = 0
    """Of those that are done, now and before, over a limit that the user set; told as the run ends."""

    @property
    def left(self) -> int:
        return self.total - self.done - self.already_done - self.failed - self.skipped


@dataclass(frozen=True)
class Megapixels:
    """Of results, in millions of pixels of this run."""

    done: float = 0.0
    total: float = 0.0
    """`done` and what is left, which is guessed from sizes of files until images are opened."""
    per_second: float = 0.0
    """Mean over the run so far."""


@dataclass(frozen=True)
class Living:
    """Worker processes."""

    alive: int | None = None
    """That gave a sign of life in the last seconds; None where nobody asked yet."""
    planned: int = 0
    """That there is room for."""
    why: str = ""
    """So many."""


@dataclass(frozen=True)
class Failure:
    """An image that failed, as its record tells."""

    key: str | None
    error_type: str
    error_message: str


@dataclass(frozen=True)
class Heartbeat:
    """A run at one moment. Times are UTC, as ISO 8601."""

    version: int
    run_id: str
    srpipe_version: str
    state: State
    started: datetime
    updated: datetime
    interval_seconds: float
    """After which the next one is due while the run goes on: one that is several times as old is stale."""
    seconds: float
    """Since `started`."""
    images: Images
    failed_by: dict[str, int]
    """Failed rows by error type."""
    megapixels: Megapixels
    fraction: float
    """Of the work that is done, in seconds of a worker as far as these can be told, from 0 to 1."""
    eta_seconds: float | None
    """Until the end, as it looks now."""
    eta_is_measured: bool
    """False until the first image is done: then `eta_seconds` is a rule of thumb for any machine."""
    workers: Living
    host: str
    pid: int
    stopped_by: str | None = None
    """Why a stopped run stopped."""
    last_failures: list[Failure] = field(default_factory=list)
    """The latest few, oldest first."""


def write_heartbeat(output: str, heartbeat: Heartbeat) -> None:
    """Whole or not at all. Raises OSError."""
    storage.write(layout.progress(output), to_json(heartbeat))


def read_heartbeat(output: str) -> Heartbeat | None:
    """None where there is none. Raises OSError; UsageError for what another program or version has written there."""
    uri = layout.progress(output)
    try:
        held = from_json(dict[str, object], data := storage.read(uri))
        if isinstance(written := held.get("version"), int) and written > VERSION:
            raise UsageError(f"{uri} is of a later srpipe (version {written}, this one knows {VERSION}); use that one")
        return from_json(Heartbeat, data)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise UsageError(f"{uri} is none that srpipe wrote ({error}); name the output of a run") from error
