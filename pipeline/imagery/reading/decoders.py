"""Open pictures, decoded in processes of their own: one file at a time each, kept for the next file when done.

What a hostile file does to its decoder - crash it, hang it, fill its memory - comes back as an ImageError. The answers
of a decoder are not trusted, either: they are checked against what was asked.
"""

import atexit
import json
import math
import os
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ...errors import ErrorType, ImageError
from ..header import DTYPES, Header, Limits, Pixels
from .decoder import PIECE

_MOST_IDLE = 2

_LARGEST_REPLY = 2**28
"""Bytes of a header: colour profiles and XMP may be long."""

_FOREIGN_SETTINGS = ("GDAL_", "CPL_", "VSI_", "GTIFF_", "OGR_", "AWS_")
"""Of the environment: a decoder is to work alike everywhere, and needs no credentials."""

_KEPT_SETTINGS = ("GDAL_DATA", "GDAL_DRIVER_PATH")

_DYING = 5.0
"""Seconds that the system may take to bury a process that has closed its end of the line."""

_lock = threading.Lock()
_idle: list["_Decoder"] = []
_alive: set["_Decoder"] = set()


class OpenImage:
    """An open picture, for one thread at a time and the process that opened it. Use as a context."""

    def __init__(self, decoder: "_Decoder", header: Header, path: str, limits: Limits) -> None:
        self.header = header
        self._decoder = decoder
        self._path = path
        self._limits = limits
        self._is_closed = False

    def window(self, rows: slice, columns: slice) -> Pixels:
        """The pixels of rows.start <= row < rows.stop, and of columns likewise, within the picture.

        Raises:
            ImageError: corrupt, too large, crashed, or over the time of an answer; the picture is of no use then.
            MemoryError: not enough for the window; a smaller one may be asked for.
        """
        if self._is_closed:
            raise ValueError(f"{self._path} is closed; open it again")
        header = self.header
        height, width = _extent(rows, header.height), _extent(columns, header.width)
        size = height * width * len(header.bands) * np.dtype(header.dtype).itemsize
        if size > self._limits.bytes_at_once:
            message = f"{height} x {width} pixels at once take {size} bytes, more than {self._limits.bytes_at_once}"
            raise ImageError(ErrorType.TOO_LARGE, f"{message}; read smaller windows of it")
        shape = (len(header.bands), height, width)
        samples = np.empty(shape, header.dtype)  # before it is asked for: without memory for it the picture stays open
        mask = np.empty((height, width), np.uint8) if header.mask else None
        with self._decoder.at_work(self._path, self._limits):
            request = {"do": "window", "rows": [rows.start, rows.stop], "columns": [columns.start, columns.stop]}
            answer = self._decoder.ask(request)
            if answer != {"dtype": header.dtype, "shape": list(shape), "mask": header.mask}:
                raise _NonsenseError
            for array in (samples,) if mask is None else (samples, mask):
                self._decoder.receive(array)
        return Pixels(samples, None if mask is None else mask != 0)

    def whole(self) -> Pixels:
        """Raises ImageError, as `window` does."""
        return self.window(slice(0, self.header.height), slice(0, self.header.width))

    def close(self) -> None:
        """Its decoder is free for another file then. Does nothing the second time."""
        if self._is_closed or self._decoder.is_lost:
            return
        self._is_closed = True
        try:
            with self._decoder.at_work(self._path, self._limits):
                self._decoder.ask({"do": "close"})
        except ImageError:  # of no interest any more
            self._decoder.end()
        else:
            _give_back(self._decoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_image(path: str, limits: Limits) -> OpenImage:
    """Open the picture in a local file, given by its absolute path. A decoder that dies is replaced once.

    Raises:
        ImageError: nothing to read, no picture, one of a kind that is not done, too large; or it takes longer than
            limits.seconds (deadline), or the decoder dies at it, twice (crashed).
    """
    try:
        return _open(_take(), path, limits)
    except ImageError as error:
        if error.error_type is not ErrorType.CRASHED:
            raise
    return _open(_start(), path, limits)


def _open(decoder: "_Decoder", path: str, limits: Limits) -> OpenImage:
    with decoder.at_work(path, limits):
        try:
            answer = decoder.ask({"do": "open", "path": path, "limits": asdict(limits)})
        except ImageError:
            _give_back(decoder)
            raise
        return OpenImage(decoder, _checked(answer, limits), path, limits)


def _checked(answer: Mapping[str, Any], limits: Limits) -> Header:
    try:
        header = Header.from_json(answer["header"])
    except (KeyError, TypeError, ValueError) as error:
        raise _NonsenseError from error
    sizes = (header.height, header.width)
    sensible = all(isinstance(size, int) and size > 0 for size in sizes) and math.prod(sizes) <= limits.pixels
    if not sensible or header.dtype not in DTYPES or not 0 < len(header.bands) <= limits.bands:
        raise _NonsenseError
    return header


def _extent(part: slice, size: int) -> int:
    if not (isinstance(part.start, int) and isinstance(part.stop, int) and part.step in (None, 1)):
        raise ValueError(f"{part} is no range of whole pixels; give a start and a stop")
    if not 0 <= part.start < part.stop <= size:
        raise ValueError(f"{part} is empty or beyond the {size} pixels of the picture; give a part of it")
    return part.stop - part.start


class _NonsenseError(Exception):
    """The decoder's answer does not fit the request."""


class _Decoder:
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
    def at_work(self, path: str, limits: Limits) -> Iterator[None]:
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
        except (EOFError, OSError, ValueError, _NonsenseError) as error:
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
            raise _NonsenseError
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


def _obituary(path: str, limits: Limits, code: int | None, late: bool) -> ImageError:
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


def _take() -> _Decoder:
    with _lock:
        while _idle:
            decoder = _idle.pop()
            if not decoder.is_lost:
                return decoder
    return _start()


def _start() -> _Decoder:
    try:
        decoder = _Decoder()
    except OSError as error:
        message = f"no decoder can be started ({error}); free memory or raise the limit of processes"
        raise ImageError(ErrorType.MEMORY, message) from error
    with _lock:
        _alive.add(decoder)
    return decoder


def _give_back(decoder: _Decoder) -> None:
    with _lock:
        if len(_idle) < _MOST_IDLE:
            _idle.append(decoder)
            return
    decoder.end()


def _end_all() -> None:
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


atexit.register(_end_all)
os.register_at_fork(after_in_child=_forget_all)
