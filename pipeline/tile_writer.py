"""Encoding and storing the tiles of one image in a thread of its own, while the next tile is computed."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from sr_ops.tiles import Tile

from . import storage
from .errors import ErrorType, ImageError
from .images import encode_png
from .layout import tile_name
from .patience import Patience
from .stopwatch import Stopwatch

_WAITING = 2
"""Tiles that may wait to be written: more would only be more memory."""


class TileWriter:
    """Use as a context; what is not yet written when it is left by an exception never will be."""

    def __init__(self, folder: str, icc_profile: bytes | None, watch: Stopwatch, patiently: Patience) -> None:
        """`watch` gets the time of encoding and storing as "write"."""
        self._folder = folder
        self._icc_profile = icc_profile
        self._watch = watch
        self._patiently = patiently
        self._sha256s: list[str] = []
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tile-writer")

    def add(self, tile: Tile, levels: Tensor) -> None:
        """Write (C, h, w) of whole grey levels as `tile`, soon. Raises the ImageError of an earlier tile."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._thread.submit(self._write, tile, levels.to("cpu", torch.uint8)))

    def finish(self) -> list[str]:
        """Wait until every tile is durable; the sha256 of each, in the order in which they were added.

        Raises:
            ImageError: a tile could not be written.
        """
        while self._waiting:
            self._waiting.popleft().result()
        return self._sha256s

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _write(self, tile: Tile, levels: Tensor) -> None:
        with self._watch("write"):
            data = encode_png(levels, self._icc_profile)
            store(storage.join(self._folder, tile_name(tile.row, tile.column)), data, self._patiently)
            self._sha256s.append(hashlib.sha256(data).hexdigest())


def store(uri: str, data: bytes, patiently: Patience) -> None:
    """Write one object of an image's results. Raises ImageError."""
    try:
        patiently(lambda: storage.write(uri, data))
    except OSError as error:
        message = f"cannot write {uri}: {storage.reason(error)}; check space and access, then run again"
        raise ImageError(ErrorType.WRITE, message) from error
