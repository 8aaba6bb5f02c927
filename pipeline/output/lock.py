"""A lock that allows one run at a time on an output: a lease that its holder renews and that expires otherwise.

A lease is a small numbered object, `OUT/_lock/<number>.json`; the highest number counts. It is created by a create-only
put, so only one of two competitors gets it. An expired lease is never overwritten: the next holder takes the next
number, so a holder that was merely slow sees that it is no longer the last, and stops.
"""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Self

from .. import storage
from ..codec import DamagedError, from_json, to_json
from ..errors import LostLockError, UsageError
from ..storage import processes
from . import layout
from .clock import now

LEASE = timedelta(seconds=60)
"""Clocks of machines should agree to well within it."""

_RENEWALS = 4
"""Renewals per lease."""


SCORING = "eval-"
"""How the name of `srpipe eval` begins where a run has its id."""


@dataclass(frozen=True)
class Lease:
    """Who holds an output, and until when."""

    run_id: str
    host: str
    pid: int
    machine: str
    """From `processes.machine`."""
    process_started: str
    """From `processes.started`."""
    expires_at: str

    @property
    def is_of_run(self) -> bool:
        """Whether a run holds it, not a command that scores one."""
        return not self.run_id.startswith(SCORING)

    @property
    def holds(self) -> bool:
        """Whether the run still goes on, as far as known: a dead process of this machine holds nothing."""
        if self.is_over:
            return False
        elsewhere = not self.machine or self.machine != processes.machine()
        return elsewhere or not processes.is_gone(self.pid, self.process_started)

    @property
    def is_over(self) -> bool:
        return datetime.fromisoformat(self.expires_at) <= now()


class Lock:
    """The lease of one run; use it as a context manager. A thread renews it."""

    def __init__(self, output: str, run_id: str, term: timedelta = LEASE) -> None:
        """Take the lease. Raises UsageError if another run holds it, OSError if that cannot be determined.

        Args:
            term: time until a lease expires unless it is renewed.
        """
        self._output = output
        self._term = term
        self._number = _refuse_held(output) + 1
        self._made = storage.missing_folders(layout.locks_folder(output))
        pid = os.getpid()
        lease = Lease(run_id, socket.gethostname(), pid, processes.machine(), processes.started(pid), expires_at="")
        self._lease = _prolonged(lease, term)
        if not storage.create(self._uri, to_json(self._lease)) and _read(self._uri) != self._lease:
            raise UsageError(f"another run has just begun on {output}; wait for it, then run again")
        try:
            _refuse_held(output, but=self._number)  # two runs may have found it free and created different numbers
        except UsageError:
            storage.remove(self._uri)
            raise
        self._lost: str | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lock", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Raise LostLockError if this run no longer holds the output."""
        if self._lost is None and self._lease.is_over:
            self._lost = f"the lock {self._uri} could not be renewed in time; run again"
        if self._lost is not None:
            raise LostLockError(self._lost)

    def __enter__(self) -> Self:
        return self

    def renew(self) -> None:
        """Renew the lease, as its thread does in time; if another run took over, `check` raises. Raises OSError."""
        later = any(number > self._number for number in _numbers(self._output))
        if later or not self._is_mine():
            self._lost = f"another run has taken {self._output} over; let it work, or run again when it has ended"
            return
        renewed = _prolonged(self._lease, self._term)
        storage.write(self._uri, to_json(renewed))
        self._lease = renewed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lease back; if that fails, it expires."""
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            self._give_back()
        storage.remove_empty(self._made)

    def _give_back(self) -> None:
        """Remove our lease, and before it the expired ones that it followed.

        After a long sleep, another run's lease may have our number; then nothing here is ours to remove. While our
        lease exists, nobody starts at a lower number.
        """
        if not self._is_mine():
            return
        for number in _numbers(self._output):
            if number < self._number and not _holds(_read(layout.lock(self._output, number))):
                storage.remove(layout.lock(self._output, number))
        if self._is_mine():
            storage.remove(self._uri)

    def _is_mine(self) -> bool:
        """Return whether the lease with our number is still ours; it is not if a run took over while we slept."""
        found = _read(self._uri)
        return found is not None and found.run_id == self._lease.run_id

    @property
    def _uri(self) -> str:
        return layout.lock(self._output, self._number)

    def _renew(self) -> None:
        while not self._ended.wait(self._term.total_seconds() / _RENEWALS):
            try:
                self.renew()
            except OSError as error:
                if self._lease.is_over:
                    self._lost = f"the lock {self._uri} could not be renewed ({storage.reason(error)}); run again"
            if self._lost is not None:
                return


def _prolonged(lease: Lease, term: timedelta) -> Lease:
    return replace(lease, expires_at=(now() + term).isoformat())


def _holds(lease: Lease | None) -> bool:
    return lease is not None and lease.holds


@contextmanager
def locked(output: str, run_id: str) -> Iterator[Lock]:
    """Hold the lock for the duration of the context. Raises UsageError if another run holds it, or on failure."""
    try:
        lock = Lock(output, run_id)
    except OSError as error:
        raise UsageError(f"cannot lock the output {output}: {storage.reason(error)}; check access") from error
    with lock:
        yield lock


def holder(output: str) -> Lease | None:
    """Return the lease of the run that works on an output, as far as known; None if there is none. Raises OSError."""
    leases = (_read(layout.lock(output, number)) for number in reversed(_numbers(output)))
    return next((lease for lease in leases if lease is not None and lease.holds), None)


def _refuse_held(output: str, but: int = 0) -> int:
    """Return the highest number, 0 for none. Raises UsageError if a lease other than number `but` is held."""
    numbers = _numbers(output)
    for number in numbers:
        lease = None if number == but else _read(layout.lock(output, number))
        if lease is not None and lease.holds:
            raise UsageError(
                f"the run {lease.run_id} ({lease.host}, process {lease.pid}) is at work on {output}; wait for it, or,"
                f" if it is gone, wait until {lease.expires_at[:19]} UTC; then run again"
            )
    return max(numbers, default=0)


def _numbers(output: str) -> list[int]:
    return [layout.lock_number(uri) for uri in storage.find(layout.locks_folder(output))]


def _read(uri: str) -> Lease | None:
    """Return None for a lease that was given back meanwhile, or is invalid."""
    try:
        return from_json(Lease, storage.read(uri))
    except (FileNotFoundError, DamagedError):
        return None
