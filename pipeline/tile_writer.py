"""Encoding and storing the tiles of one image in a thread of its own, while the next tile is computed."""

import hashlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self

import torch
from torch import Tensor

from sr_ops.tiles import Tile

from . import storage
from .errors import ErrorType, ImageError
from .images import encode_png
from .layout import tile_name, tile_position
from .patience import Patience
from .stopwatch import Stopwatch

_WAITING = 2
"""Tiles that may wait to be written: more would only be more memory."""


class TileWriter:
    """Use as a context; what is not yet written when it is left by an exception never will be."""

    def __init__(self, folder: str, icc_profile: bytes | None, watch: Stopwatch, patiently: Patience) -> None:
        """`watch` gets the time of encoding and storing as "write"."""
        self.count = 0
        self._folder = folder
        self._icc_profile = icc_profile
        self._watch = watch
        self._patiently = patiently
        self._sha256 = hashlib.sha256()
        self._uris: set[str] = set()
        self._waiting: deque[Future[None]] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tile-writer")

    def add(self, tile: Tile, levels: Tensor) -> None:
        """Write (C, h, w) of whole grey levels as `tile`, soon. Raises the ImageError of an earlier tile."""
        while len(self._waiting) >= _WAITING:
            self._waiting.popleft().result()
        self.count += 1
        self._waiting.append(self._thread.submit(self._write, tile, levels.to("cpu", torch.uint8)))

    def finish(self) -> str:
        """Wait until every tile is durable, delete those an earlier run with smaller tiles left; sha256 over all bytes.

        Raises:
            ImageError: a tile could not be written, or an old one not be removed.
        """
        while self._waiting:
            self._waiting.popleft().result()
        with self._watch("write"):
            self._remove_others()
        return self._sha256.hexdigest()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def _write(self, tile: Tile, levels: Tensor) -> None:
        with self._watch("write"):
            data = encode_png(levels, self._icc_profile)
            uri = storage.join(self._folder, tile_name(tile.row, tile.column))
            store(uri, data, self._patiently)
            self._sha256.update(data)
            self._uris.add(uri)

    def _remove_others(self) -> None:
        try:
            for uri in self._patiently(lambda: storage.list_folder(self._folder)):
                if uri not in self._uris and tile_position(uri.rpartition("/")[2]):
                    self._patiently(partial(storage.remove, uri))
        except OSError as error:
            message = f"cannot remove old tiles from {self._folder}: {storage.reason(error)}; run again"
            raise ImageError(ErrorType.WRITE, message) from error


def store(uri: str, data: bytes, patiently: Patience) -> None:
    """Write one object of an image's results. Raises ImageError."""
    try:
        patiently(lambda: storage.write(uri, data))
    except OSError as error:
        message = f"cannot write {uri}: {storage.reason(error)}; check space and access, then run again"
        raise ImageError(ErrorType.WRITE, message) from error
