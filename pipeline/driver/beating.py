"""The heart of a run: a thread that writes OUT/progress.json every few seconds, and the last state at the end."""

import logging
import threading
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
"""Every request costs money, and a dashboard in another place is no film."""


def interval(output: str) -> float:
    """Seconds between two beats."""
    return _LOCAL_SECONDS if storage.scheme(output) == "file" else _S3_SECONDS


class Heart:
    """Beats in a thread from `begin` on. A heartbeat that cannot be written is told once, and fails nothing."""

    def __init__(self, output: str, progress: Progress, check: Callable[[], None]) -> None:
        """`check` raises when the output is no longer ours to write to."""
        self._output = output
        self._progress = progress
        self._check = check
        self._pool: Pool | None = None
        self._asking = threading.Lock()  # Ray would start anew for a question that comes after its end
        self._told = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)
        self.stopped_by: str | None = None
        """The limit that ended the run."""

    @contextmanager
    def watching(self, pool: Pool | None) -> Iterator[None]:
        """Begin to beat; for as long as the context lasts these workers are asked whether they live."""
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
        """No beat follows; nothing is written by a run that never began."""
        self._progress.end(state, reason)
        if self._thread.ident is not None:
            self._ended.set()
            self._thread.join()  # or what it is about to write would come after the last word
            self._write(self._progress.now())

    def _beat_on(self) -> None:
        while True:
            self._beat()
            if self._ended.wait(interval(self._output)):
                return

    def _beat(self) -> None:
        with self._asking:
            if self._pool is not None:
                self._progress.living_workers(self._pool.alive())
                self._pool.publish(self._progress.now())
        self._write(self._progress.now())

    def _write(self, heartbeat: Heartbeat) -> None:
        try:
            self._check()
            write_heartbeat(self._output, heartbeat)
        except LostLockError:  # progress.json is another run's now; this one is told by whoever looks next
            self._ended.set()
        except OSError as error:
            if not self._told:
                self._told = True
                _log.warning("cannot write the progress of %s: %s", self._output, storage.reason(error))


@contextmanager
def beating(output: str, progress: Progress, check: Callable[[], None]) -> Iterator[Heart]:
    """A heart that does not beat yet; it ends with the context, by an error as stopped."""
    heart = Heart(output, progress, check)
    try:
        yield heart
    except BaseException as error:
        heart.end(State.STOPPED, str(error) or type(error).__name__)
        raise
    heart.end(State.FINISHED if heart.stopped_by is None else State.STOPPED, heart.stopped_by)
