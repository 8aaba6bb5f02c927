"""The decoder process: it decodes one file at a time for the process that started it.

Run as `python -m pipeline.imagery.reading.decoder FD`, where FD is a socket. Files are hostile and decoders are written
in C; in this process they can crash, hang or fill memory without harm to others. Messages are JSON and raw samples,
never pickle.
"""

import json
import resource
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from ...codec import from_plain, to_plain
from ...errors import ImageError
from ..header import FileLimits, OpenPicture, Pixels
from .routing import open_file

PIECE = 2**24
"""Bytes of samples in one message."""

LARGEST_REQUEST = 2**20

_OWN_MEMORY = 2 * 2**30
"""Address space, in bytes, for Python, libraries and GDAL's cache."""

_COPIES = 5
"""Copies of the largest picture decoded whole: Pillow's, with 4 bytes for 3; converted; as array; turned; sent."""

_GRACE = 10.0
"""Seconds past the time limit after which a decoder that was not killed, an orphan, ends by itself."""


def serve(connection: Connection) -> None:
    """Answer requests until the other end is closed."""
    file: OpenPicture | None = None
    seconds = 0.0
    while True:
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            request = json.loads(connection.recv_bytes(LARGEST_REQUEST))
        except (EOFError, OSError):  # the client is gone
            return
        seconds = request["limits"]["seconds"] if "limits" in request else seconds
        signal.setitimer(signal.ITIMER_REAL, seconds + _GRACE)  # ends this process, also within C
        try:
            match request:
                case {"do": "open", "path": path, "limits": values}:
                    limits = from_plain(FileLimits, values)
                    _confine(limits)
                    file = open_file(path, limits)
                    _reply(connection, {"header": to_plain(file.header)})
                case {"do": "window", "rows": rows, "columns": columns} if file is not None:
                    _send(connection, file.window(slice(*rows), slice(*columns)))
                case {"do": "close"}:
                    if file is not None:
                        file.close()
                    file = None
                    _reply(connection, {})
        except ImageError as error:
            _reply(connection, {"error_type": error.error_type, "message": str(error)})


def _confine(limits: FileLimits) -> None:
    """Limit memory to what the largest picture needs, if the system allows it: macOS refuses that limit."""
    wanted = _OWN_MEMORY + _COPIES * limits.bytes_at_once
    with suppress(OSError, ValueError):
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (wanted if most == resource.RLIM_INFINITY else min(wanted, most), most))


def _reply(connection: Connection, answer: Mapping[str, Any]) -> None:
    connection.send_bytes(json.dumps(answer).encode())


def _send(connection: Connection, pixels: Pixels) -> None:
    mask = pixels.mask
    answer = {"dtype": str(pixels.samples.dtype), "shape": pixels.samples.shape, "mask": mask is not None}
    _reply(connection, answer)
    for array in (pixels.samples,) if mask is None else (pixels.samples, mask):
        data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        for start in range(0, len(data), PIECE):
            connection.send_bytes(data[start : start + PIECE].data)


def _settle() -> None:
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in (signal.SIGINT, signal.SIGHUP):  # signals of a terminal are left to the process that started this one
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})


if __name__ == "__main__":
    _settle()
    serve(Connection(int(sys.argv[1])))
