"""The heartbeat of a run: a thread that writes OUT/progress.json every few seconds, and a last state at the end."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .. import storage
from ..errors import LostLockError
from ..output.heartbeat import Heartbeat, State, write_heartbeat
from .pool import Pool
from .progress import Progress

_log = logging.getLogger(__name__)

_LOCAL_SECONDS = 3.0

_S3_SECONDS = 15.0
"""Every request costs money, and a remote dashboard does not need more."""


def interval(output: str) -> float:
    """Return the seconds between two heartbeats."""
    return _LOCAL_SECONDS if storage.scheme(output) == "file" else _S3_SECONDS


_WAIT_SECONDS = 60.0
"""Time without a living worker after which the log says so, and then again and again."""


class Heart:
    """Writes heartbeats in a thread. One that cannot be written is logged once, and fails nothing."""

    def __init__(self, output: str, progress: Progress, check: Callable[[], None]) -> None:
        """`check` raises if the output no longer belongs to this run."""
        self._output = output
        self._progress = progress
        self._check = check
        self._pool: Pool | None = None
        self._asking = threading.Lock()  # a question after Ray's end would start it again
        self._has_warned = False
        self._waiting_since = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        self.stopped_by: str | None = None
        """The limit that ended the run; None so far."""

    @contextmanager
    def watching(self, pool: Pool | None) -> Iterator[None]:
        """Start the heartbeat; for the duration of the context, ask these workers whether they live."""
        self._pool = pool
        if pool is not None:
            self._progress.begin(pool.workers)
        self._thread.start()
        try:
            yield
        finally:
            with self._asking:
                self._pool = None

    def end(self, state: State, reason: str | None) -> None:
        """Write the last heartbeat; nothing is written if the run never began."""
        self._progress.end(state, reason)
        if self._thread.ident is not None:
            self._ended.set()
            self._thread.join()  # otherwise its write could come after the last one
            self._write(self._progress.now())

    def _beat_on(self) -> None:
        while True:
            self._beat()
            if self._ended.wait(interval(self._output)):
                return

    def _beat(self) -> None:
        with self._asking:
            if self._pool is not None:
                alive = self._pool.alive()
                self._progress.living_workers(alive)
                self._tell_of_waiting(alive, self._pool.workers.count)
                self._pool.publish(self._progress.now())
        self._write(self._progress.now())

    def _tell_of_waiting(self, alive: int | None, planned: int) -> None:
        moment = time.monotonic()
        if alive != 0:
            self._waiting_since = moment
        elif moment - self._waiting_since >= _WAIT_SECONDS:
            self._waiting_since = moment
            _log.warning("0 of %d workers alive; waiting for the cluster", planned)

    def _write(self, heartbeat: Heartbeat) -> None:
        try:
            self._check()
            write_heartbeat(self._output, heartbeat)
        except LostLockError:  # progress.json now belongs to another run; this one is told by its next check
            self._ended.set()
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                _log.warning("cannot write the progress of %s: %s", self._output, storage.reason(error))


@contextmanager
def beating(output: str, progress: Progress, check: Callable[[], None]) -> Iterator[Heart]:
    """Yield a heart that does not beat yet. It ends with the context, with state stopped on an error."""
    heart = Heart(output, progress, check)
    try:
        yield heart
    except BaseException as error:
        told = " ".join(storage.without_secrets(str(error)).split())
        heart.end(State.STOPPED, told or type(error).__name__)
        raise
    heart.end(State.FINISHED if heart.stopped_by is None else State.STOPPED, heart.stopped_by)
