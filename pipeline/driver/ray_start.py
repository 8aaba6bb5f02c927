"""Helpers for the start of Ray that do not import it: a silent stderr, a kept handler, a token, a reachable address."""

import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_CONNECT_SECONDS = 10


def check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at host:port; Ray itself would retry for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if separator and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()


def provide_token() -> None:
    """Give a local Ray a token of this process, unless the user has one.

    Ray would write one into the home directory, where others may read it, or which cannot be written.
    """
    given = os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH")
    if not given and not os.path.exists(os.path.expanduser("~/.ray/auth_token")):
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Restore our SIGTERM handler: Ray installs its own, which would end the process before records are flushed."""
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def stderr_discarded() -> Iterator[None]:
    """Discard file descriptor 2: Ray's C++ core writes a line to it when it starts, whatever the log level."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
