"""OUT/progress.json: the state of a run for dashboards and `srpipe watch`, rewritten every few seconds.

docs/progress.md describes its fields. Unknown values are null. No decision of srpipe depends on it.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from .. import storage
from ..codec import DamagedError, from_json, to_json
from ..errors import UsageError
from . import layout

VERSION = 1
"""Version of the schema: raised if a field changes its meaning or is removed, not if one is added."""


class State(StrEnum):
    RUNNING = "running"
    STOPPED = "stopped"
    """Ended by a limit, a signal or an error before everything was attempted."""
    FINISHED = "finished"
    """Everything was attempted; some images may have failed."""


@dataclass(frozen=True)
class Images:
    """Numbers of rows. `total` is the sum of the others and of those still to be done."""

    total: int
    done: int = 0
    """By this run."""
    already_done: int = 0
    failed: int = 0
    skipped: int = 0
    """Not attempted by this run."""
    degraded: int = 0
    """Results, of this run and before, over a limit set by the user; counted when the run ends."""

    @property
    def left(self) -> int:
        return self.total - self.done - self.already_done - self.failed - self.skipped


@dataclass(frozen=True)
class Megapixels:
    """Result pixels of this run, in millions."""

    done: float = 0.0
    total: float = 0.0
    """`done` and what is left; estimated from file sizes until images are opened."""
    per_second: float = 0.0
    """Mean over the run so far."""


@dataclass(frozen=True)
class Living:
    """Worker processes."""

    alive: int | None = None
    """Processes with a sign of life in the last seconds; None if nobody asked yet."""
    planned: int = 0
    """Processes that there is room for."""
    why: str = ""
    """Why this number."""


@dataclass(frozen=True)
class Failure:
    """A failed image, from its record."""

    key: str | None
    error_type: str
    error_message: str


@dataclass(frozen=True)
class Heartbeat:
    """The state of a run at one moment. Times are UTC, as ISO 8601."""

    version: int
    run_id: str
    srpipe_version: str
    state: State
    started: datetime
    updated: datetime
    interval_seconds: float
    """Time until the next heartbeat of a running run; one several times as old is stale."""
    seconds: float
    """Since `started`."""
    images: Images
    failed_by: dict[str, int]
    """Failed rows by error type."""
    megapixels: Megapixels
    fraction: float
    """Share of the work that is done, from 0 to 1, in worker seconds as far as known."""
    eta_seconds: float | None
    """Estimated seconds until the end."""
    eta_is_measured: bool
    """False until the first image is done; `eta_seconds` is then a rule of thumb for any machine."""
    workers: Living
    host: str
    pid: int
    stopped_by: str | None = None
    """Why a stopped run stopped."""
    last_failures: list[Failure] = field(default_factory=list)
    """The last few, oldest first."""


def write_heartbeat(output: str, heartbeat: Heartbeat) -> None:
    """Write it atomically. Raises OSError."""
    storage.write(layout.progress(output), to_json(heartbeat))


def read_heartbeat(output: str) -> Heartbeat | None:
    """Return None if there is none. Raises OSError; UsageError if another program or version wrote it."""
    uri = layout.progress(output)
    try:
        held = from_json(dict[str, object], data := storage.read(uri))
        if isinstance(written := held.get("version"), int) and written > VERSION:
            raise UsageError(f"{uri} is of a later srpipe (version {written}, this one knows {VERSION}); use that one")
        return from_json(Heartbeat, data)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        raise UsageError(f"{uri} was not written by srpipe ({error}); name the output of a run") from error
