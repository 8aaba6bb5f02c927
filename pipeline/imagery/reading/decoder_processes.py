"""Processes that decode: started when they are needed, kept for the next file, and ended when anything goes wrong."""

import atexit
import json
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import ErrorType, ImageError
from ..header import FileLimits
from .decoder import PIECE

_MOST_IDLE = 3
"""A worker has two files open at once; whoever scores has an image, its result and its truth."""

_LARGEST_REPLY = 2**28
"""Bytes of a header: colour profiles and XMP may be long."""

_FOREIGN_SETTINGS = ("GDAL_", "CPL_", "VSI_", "GTIFF_", "OGR_", "AWS_")
"""Of the environment: a decoder is to work alike everywhere, and needs no credentials."""

_KEPT_SETTINGS = ("GDAL_DATA", "GDAL_DRIVER_PATH")

_DYING = 5.0
"""Seconds that the system may take to bury a process that has closed its end of the line."""

_lock = threading.Lock()

_idle: list["Decoder"] = []

_alive: set["Decoder"] = set()


class NonsenseError(Exception):
    """The decoder's answer does not fit the request."""


class Decoder:
    """One process that decodes."""

    def __init__(self) -> None:
        """Raises OSError when no process can be started."""
        ours, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", f"{__package__}.decoder", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=_environment(),
            )
        self._connection = Connection(ours.detach())
        self._owner = os.getpid()
        self.is_lost = False

    @contextmanager
    def at_work(self, path: str, limits: FileLimits) -> Iterator[None]:
        """For one request: whatever goes wrong but an ImageError of the decoder's own ends it.

        Raises:
            ImageError: crashed, or deadline after limits.seconds.
        """
        if self._owner != os.getpid() or self.is_lost:
            raise RuntimeError(f"{path} was opened by another process, or is lost; open it again")
        self._wait_for(limits.seconds)
        try:
            yield
        except ImageError:
            raise
        except (EOFError, OSError, ValueError, NonsenseError) as error:
            if isinstance(error, EOFError | ConnectionError):
                with suppress(subprocess.TimeoutExpired):
                    self.process.wait(_DYING)  # of itself: how, is worth telling
            code = self.process.poll()
            self.end()
            raise _obituary(path, limits, code, isinstance(error, BlockingIOError)) from error
        except BaseException:
            self.end()
            raise

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Raises ImageError when that is the answer, and others when the decoder is no more or answers nonsense."""
        self._connection.send_bytes(json.dumps(request).encode())
        answer = json.loads(self._connection.recv_bytes(_LARGEST_REPLY))
        if not isinstance(answer, dict):
            raise NonsenseError
        if "error_type" in answer:
            raise ImageError(ErrorType(answer["error_type"]), str(answer.get("message")))
        return answer

    def receive(self, array: NDArray[Any]) -> None:
        """Fill it."""
        data = array.reshape(-1).view(np.uint8)
        for start in range(0, len(data), PIECE):
            part = data[start : start + PIECE]
            part[:] = np.frombuffer(self._connection.recv_bytes(len(part)), np.uint8)

    def _wait_for(self, seconds: float) -> None:
        """Reading from the decoder, and writing to it, is given up after so long, by a BlockingIOError.

        The system watches the time: a thread for it may be what memory does not suffice for, and Python then waits
        for its start without end.
        """
        line = socket.socket(fileno=self._connection.fileno())
        try:
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                line.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", int(seconds), int(seconds % 1 * 1e6)))
        finally:
            line.detach()

    def end(self) -> None:
        self.is_lost = True
        with _lock:
            _alive.discard(self)
        self.process.kill()
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our end of the line; the process, if it is there, ends when nobody holds that end any more."""
        self._connection.close()


def take() -> Decoder:
    with _lock:
        while _idle:
            decoder = _idle.pop()
            if not decoder.is_lost:
                return decoder
    return start()


def start() -> Decoder:
    try:
        decoder = Decoder()
    except OSError as error:
        message = f"no decoder can be started ({error}); free memory or raise the limit of processes"
        raise ImageError(ErrorType.MEMORY, message) from error
    with _lock:
        _alive.add(decoder)
    return decoder


def give_back(decoder: Decoder) -> None:
    with _lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(decoder)
            return
    decoder.end()


def end_all() -> None:
    for decoder in tuple(_alive):
        decoder.end()


def _forget_all() -> None:
    """In a forked process: its copies of the lines would keep decoders alive that nobody asks any more."""
    global _lock
    _lock = threading.Lock()
    for decoder in _alive:
        decoder.forget()
    _alive.clear()
    _idle.clear()


def _obituary(path: str, limits: FileLimits, code: int | None, late: bool) -> ImageError:
    """`code` is that of the process; None when it was alive, but what it said made no sense."""
    if late:
        message = f"the decoder gave no answer on {path} for {limits.seconds:g} seconds; convert it to a tiled TIFF"
        return ImageError(ErrorType.DEADLINE, message)
    if code is None:
        what = "gave an answer that makes no sense"
    else:
        what = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
    return ImageError(ErrorType.CRASHED, f"the decoder {what} at work on {path}; replace or convert the file")


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_SETTINGS or not name.startswith(_FOREIGN_SETTINGS)
    }
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {**kept, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


atexit.register(end_all)
os.register_at_fork(after_in_child=_forget_all)
