"""Getting at the file of an image: its version, a copy of it on this machine's disk, and the picture in it.

What stands in the way becomes an ImageError, with a sentence that tells what to do.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from sr_ops.settings import Settings

from .. import storage
from ..config import RunConfig
from ..errors import ErrorType, ImageError
from ..imagery.header import FileLimits, Header
from ..imagery.picture import Picture
from ..imagery.reading.decoders import open_image
from ..imagery.samples import Scaling
from ..storage import Source
from ..storage.patience import Patience
from .unreachable import missing, unreadable

_LEAST_DECODING = 10.0
"""Seconds that a decoder is given at least: it may have to be started."""


class Fetcher:
    """Fetches for one worker."""

    def __init__(self, config: RunConfig, patiently: Patience) -> None:
        self._deep = config.deep
        self._patiently = patiently
        seconds = max(_LEAST_DECODING, min(FileLimits.seconds, config.max_seconds or FileLimits.seconds))
        self._limits = FileLimits(config.max_pixels, seconds=seconds)

    def source(self, uri: str, copy: ExitStack) -> tuple[Source, str | None]:
        """What tells the version of a file from another; with `--deep` its path on this disk, too, as by `on_disk`."""
        if not self._deep:
            return self._stat(uri), None
        path = self.on_disk(uri, copy)
        return storage.content_source(path), path

    def check_unchanged(self, uri: str, fingerprint: str) -> None:
        """Raises ImageError when a file is of another version; with `--deep`, which would read all of it, never."""
        if not self._deep:
            check_version(uri, self._stat(uri), fingerprint)

    def on_disk(self, uri: str, copy: ExitStack) -> str:
        """The path of a file with what is at `uri`, which is there as long as `copy`."""
        return copy.enter_context(self._on_disk(uri))

    def header(self, uri: str) -> Header:
        """What the file at `uri` says of its picture; pixels are not decoded. Raises ImageError."""
        with self._on_disk(uri) as path, open_image(path, self._limits) as opened:
            return opened.header

    def picture(self, path: str, copy: ExitStack, settings: Settings, scaling: Scaling | None) -> Picture:
        """The picture in a file that is there as long as `copy`: from now on as long as the picture."""
        opened, remove_copy = open_image(path, self._limits), copy.pop_all().close
        return Picture(opened, scaling, settings.seed, settings.nodata, settings.value_range, remove_copy)

    @contextmanager
    def _on_disk(self, uri: str) -> Iterator[str]:
        with ExitStack() as stack:
            try:
                path = self._patiently(lambda: stack.enter_context(storage.on_disk(uri)))
            except FileNotFoundError as error:
                raise missing(uri) from error
            except OSError as error:
                raise unreadable(uri, error) from error
            yield path

    def _stat(self, uri: str) -> Source:
        try:
            return self._patiently(lambda: storage.stat(uri))
        except FileNotFoundError as error:
            raise missing(uri) from error
        except OSError as error:
            raise unreadable(uri, error) from error


def check_version(uri: str, source: Source, fingerprint: str) -> None:
    """Raises ImageError when the source is not the one of that fingerprint."""
    if source.fingerprint != fingerprint:
        raise ImageError(ErrorType.READ, f"{uri} was changed while it was worked on; run again")
