"""Decoder processes: started when needed, reused for the next file, and killed if anything goes wrong."""

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

MOST_IDLE = 3
"""A worker has two files open at once; scoring needs an image, its result and its ground truth."""

_LARGEST_REPLY = 2**28
"""Bytes of a header; colour profiles and XMP may be long."""

_FOREIGN_SETTINGS = ("GDAL_", "CPL_", "VSI_", "GTIFF_", "OGR_", "AWS_")
"""Prefixes of environment variables that are removed: a decoder must work the same everywhere, and needs no
credentials."""

_KEPT_SETTINGS = ("GDAL_DATA", "GDAL_DRIVER_PATH")

_DYING = 5.0
"""Seconds to wait for the exit code of a process that has closed its connection."""

_lock = threading.Lock()

_idle: list["Decoder"] = []

_alive: set["Decoder"] = set()


class NonsenseError(Exception):
    """The answer of the decoder does not match the request."""


class Decoder:
    """One decoder process."""

    def __init__(self) -> None:
        """Raises OSError if no process can be started."""
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
        """Guard one request: any error other than the decoder's own ImageError ends the decoder.

        Raises:
            ImageError: crashed; or deadline after limits.seconds.
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
                    self.process.wait(_DYING)  # it ended by itself; its exit code goes into the message
            code = self.process.poll()
            self.end()
            raise _failure(path, limits, code, isinstance(error, BlockingIOError)) from error
        except BaseException:
            self.end()
            raise

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer. Raises ImageError if that is the answer, another error if the decoder is gone."""
        self._connection.send_bytes(json.dumps(request).encode())
        answer = json.loads(self._connection.recv_bytes(_LARGEST_REPLY))
        if not isinstance(answer, dict):
            raise NonsenseError
        if "error_type" in answer:
            raise ImageError(ErrorType(answer["error_type"]), str(answer.get("message")))
        return answer

    def receive(self, array: NDArray[Any]) -> None:
        """Fill the array with samples from the decoder."""
        data = array.reshape(-1).view(np.uint8)
        for start in range(0, len(data), PIECE):
            part = data[start : start + PIECE]
            part[:] = np.frombuffer(self._connection.recv_bytes(len(part)), np.uint8)

    def _wait_for(self, seconds: float) -> None:
        """Set a time limit for reading from and writing to the decoder, after which a BlockingIOError is raised.

        The system watches the time. A thread for it might not start for lack of memory, and Python would then wait for
        its start for ever.
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
        """Close our end of the connection; the process ends once nobody else holds that end."""
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
        if len(_idle) < MOST_IDLE:
            _idle.append(decoder)
            return
    decoder.end()


def end_all() -> None:
    for decoder in tuple(_alive):
        decoder.end()


def _forget_all() -> None:
    """In a forked process, close the copies of the connections, which would keep unused decoders alive."""
    global _lock
    _lock = threading.Lock()
    for decoder in _alive:
        decoder.forget()
    _alive.clear()
    _idle.clear()


def _failure(path: str, limits: FileLimits, code: int | None, late: bool) -> ImageError:
    """Return the error for a failed decoder. `code` is its exit code; None if it lived but its answer made no sense."""
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
