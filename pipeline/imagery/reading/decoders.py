"""Open pictures, each decoded by a process of its own, which is reused for the next file.

Whatever a hostile file does to its decoder (crash it, hang it, fill its memory) becomes an ImageError. The answers of a
decoder are not trusted, either: they are checked against the request.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np

from ...codec import DamagedError, from_plain, to_plain
from ...errors import ErrorType, ImageError
from ..header import DTYPES, FileLimits, Header, Pixels
from .decoder_processes import Decoder, NonsenseError, give_back, start, take


class OpenImage:
    """An open picture, for one thread at a time, in the process that opened it. Use it as a context manager."""

    def __init__(self, decoder: Decoder, header: Header, path: str, limits: FileLimits) -> None:
        self.header = header
        self._decoder = decoder
        self._path = path
        self._limits = limits
        self._is_closed = False
        self._lacked_memory = False

    def window(self, rows: slice, columns: slice) -> Pixels:
        """Return the pixels with rows.start <= row < rows.stop and likewise for columns, inside the picture.

        Raises:
            ImageError: corrupt, too large, crashed or deadline; the picture cannot be used any more.
            MemoryError: not enough for this window; a smaller one may succeed.
        """
        if self._is_closed:
            raise ValueError(f"{self._path} is closed; open it again")
        if self._lacked_memory:
            self._open_again()
        header = self.header
        height, width = _extent(rows, header.height), _extent(columns, header.width)
        size = height * width * len(header.bands) * np.dtype(header.dtype).itemsize
        if size > self._limits.bytes_at_once:
            message = f"{height} x {width} pixels at once take {size} bytes, more than {self._limits.bytes_at_once}"
            raise ImageError(ErrorType.TOO_LARGE, f"{message}; read smaller windows of it")
        shape = (len(header.bands), height, width)
        # allocated before the request: if memory is short the picture stays open
        samples = np.empty(shape, header.dtype)
        mask = np.empty((height, width), np.uint8) if header.mask else None
        try:
            with self._decoder.at_work(self._path, self._limits):
                request = {"do": "window", "rows": [rows.start, rows.stop], "columns": [columns.start, columns.stop]}
                answer = self._decoder.ask(request)
                if answer != {"dtype": header.dtype, "shape": list(shape), "mask": header.mask}:
                    raise NonsenseError
                for array in (samples,) if mask is None else (samples, mask):
                    self._decoder.receive(array)
        except MemoryError:  # which ended the decoder, in the middle of its answer
            self._lacked_memory = True
            raise
        return Pixels(samples, None if mask is None else mask != 0)

    def _open_again(self) -> None:
        """Open the file with another decoder. Raises ImageError, also if another picture is there now."""
        again = open_image(self._path, self._limits)
        if again.header != self.header:
            again.close()
            raise ImageError(ErrorType.READ, f"{self._path} was changed while it was worked on; run again")
        self._decoder, self._lacked_memory = again._decoder, False

    def whole(self) -> Pixels:
        """Return the whole picture. Raises ImageError, as `window` does."""
        return self.window(slice(0, self.header.height), slice(0, self.header.width))

    def close(self) -> None:
        """Free the decoder for another file. Does nothing the second time."""
        if self._is_closed or self._decoder.is_lost:
            return
        self._is_closed = True
        try:
            with self._decoder.at_work(self._path, self._limits):
                self._decoder.ask({"do": "close"})
        except ImageError:  # no longer relevant
            self._decoder.end()
        else:
            give_back(self._decoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_image(path: str, limits: FileLimits) -> OpenImage:
    """Open the picture in a local file, given by its absolute path. A decoder that dies is replaced once.

    Raises:
        ImageError: missing or unreadable; not a picture; an unsupported kind; too large; deadline after limits.seconds;
            or crashed, if the decoder died twice.
    """
    try:
        return _open(take(), path, limits)
    except ImageError as error:
        if error.error_type is not ErrorType.CRASHED:
            raise
    return _open(start(), path, limits)


def _open(decoder: Decoder, path: str, limits: FileLimits) -> OpenImage:
    with decoder.at_work(path, limits):
        try:
            answer = decoder.ask({"do": "open", "path": path, "limits": to_plain(limits)})
        except ImageError:
            give_back(decoder)
            raise
        return OpenImage(decoder, _checked(answer, limits), path, limits)


def _checked(answer: Mapping[str, Any], limits: FileLimits) -> Header:
    try:
        header = from_plain(Header, answer["header"])
    except (KeyError, DamagedError) as error:
        raise NonsenseError from error
    sensible = min(header.height, header.width) > 0 and header.height * header.width <= limits.pixels
    if not sensible or header.dtype not in DTYPES or not 0 < len(header.bands) <= limits.bands:
        raise NonsenseError
    return header


def _extent(part: slice, size: int) -> int:
    if not (isinstance(part.start, int) and isinstance(part.stop, int) and part.step in (None, 1)):
        raise ValueError(f"{part} is not a range of whole pixels; give a start and a stop")
    if not 0 <= part.start < part.stop <= size:
        raise ValueError(f"{part} is empty or beyond the {size} pixels of the picture; give a part of it")
    return part.stop - part.start
