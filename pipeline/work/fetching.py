"""Access to the file of an image: its version, a copy on the local disk, and the picture in it.

Any failure becomes an ImageError, with a sentence that says what to do.
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
from .unreachable import as_image_errors

_LEAST_DECODING = 10.0
"""Fewest seconds given to a decoder, which may have to be started."""


class Fetcher:
    """Fetches files for one worker."""

    def __init__(self, config: RunConfig, patiently: Patience) -> None:
        self._deep = config.deep
        self._patiently = patiently
        seconds = max(_LEAST_DECODING, min(FileLimits.seconds, config.max_seconds or FileLimits.seconds))
        self._limits = FileLimits(config.max_pixels, seconds=seconds)

    def source(self, uri: str, copy: ExitStack) -> tuple[Source, str | None]:
        """Return the version of a file; with `--deep` also its path on the local disk, as from `on_disk`."""
        if not self._deep:
            return self._stat(uri), None
        path = self.on_disk(uri, copy)
        with as_image_errors(uri):
            return self._patiently(lambda: storage.content_source(path)), path

    def check_unchanged(self, uri: str, fingerprint: str) -> None:
        """Raise ImageError if a file has another version; never with `--deep`, which would read it all."""
        if not self._deep:
            check_version(uri, self._stat(uri), fingerprint)

    def on_disk(self, uri: str, copy: ExitStack) -> str:
        """Return the path of a local file with the content of `uri`, which exists as long as `copy`."""
        return copy.enter_context(self._on_disk(uri))

    def header(self, uri: str) -> Header:
        """Return the header of the file at `uri` without decoding pixels. Raises ImageError."""
        with self._on_disk(uri) as path, open_image(path, self._limits) as opened:
            return opened.header

    def picture(self, path: str, copy: ExitStack, settings: Settings, scaling: Scaling | None) -> Picture:
        """Open the picture in a file that exists as long as `copy`; from now on the picture owns it."""
        opened, remove_copy = open_image(path, self._limits), copy.pop_all().close
        return Picture(opened, scaling, settings.seed, settings.nodata, settings.value_range, remove_copy)

    @contextmanager
    def _on_disk(self, uri: str) -> Iterator[str]:
        with ExitStack() as stack:
            with as_image_errors(uri):
                path = self._patiently(lambda: stack.enter_context(storage.on_disk(uri)))
            yield path

    def _stat(self, uri: str) -> Source:
        with as_image_errors(uri):
            return self._patiently(lambda: storage.stat(uri))


def check_version(uri: str, source: Source, fingerprint: str) -> None:
    """Raise ImageError if the source has another fingerprint."""
    if source.fingerprint != fingerprint:
        raise ImageError(ErrorType.READ, f"{uri} was changed while it was worked on; run again")
