"""Finding an image and what is known of it: its source, what is done of it already, and its pixels."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from sr_ops.networks import ResidualNetwork
from sr_ops.settings import Settings

from .. import storage
from ..config import RunConfig, fingerprint, for_scale
from ..errors import ErrorType, ImageError
from ..imagery.header import Limits
from ..imagery.picture import Picture
from ..imagery.reading.decoders import open_image
from ..imagery.samples import Scaling
from ..output.layout import Commit
from ..output.records import Record
from ..storage import Source
from ..storage.patience import Patience
from . import scene
from .ledger import MOST_DEATHS, Ledger
from .scene_weights import networks_from_bytes
from .stopwatch import Stopwatch
from .units import Answer, Division, Group, Row, Scene, divide

Parsed = TypeVar("Parsed")

_CRASHED = "{} worker processes died at work on it, of its pixels or for want of memory; check the file, or cut it"


_LEAST_DECODING = 10.0
"""Seconds that a decoder is given at least: it may have to be started."""


@dataclass(frozen=True)
class Opened:
    """An image as it was found."""

    settings: Settings
    commit: Commit
    """What will say that it is done."""
    earlier: Answer | None
    """The answer, when the work is done already."""
    picture: Picture | None
    """None when it is done already."""
    watch: Stopwatch
    deaths: int
    """Of processes that were at work on it before."""
    group: tuple[Group, tuple[ResidualNetwork, ...]] | None = None
    """The tiles that are asked for and the networks for them, when it is not the whole image."""

    def close(self) -> None:
        """A scene's picture stays open for the next group of it."""
        if self.picture is not None and self.group is None:
            self.picture.close()


@dataclass(frozen=True)
class _Held:
    """The scene that a worker keeps for its next group."""

    commit: Commit
    picture: Picture
    networks: tuple[ResidualNetwork, ...]


class Opener:
    """Opens the images of one worker, one at a time, in a thread of its own."""

    def __init__(
        self, config: RunConfig, device: torch.device, division: Division, ledger: Ledger, patiently: Patience
    ) -> None:
        self._config = config
        self._output = config.output
        self._device = device
        self._division = division
        self._ledger = ledger
        self._patiently = patiently
        seconds = max(_LEAST_DECODING, min(Limits.seconds, config.max_seconds or Limits.seconds))
        self._limits = Limits(config.max_pixels, seconds=seconds)
        self._held: _Held | None = None

    def open(self, row: Row) -> Opened:
        """The image of a row. Raises ImageError."""
        deaths = self._begin_work(row.key)
        watch = Stopwatch()
        settings = for_scale(self._config.settings, row.scale)
        with watch("read"), ExitStack() as stack:
            path = stack.enter_context(self._on_disk(row.uri)) if self._config.deep else None
            source = self._stat(row.uri) if path is None else storage.content_source(path)
            commit = self._commit(settings, row.key, source.fingerprint)
            earlier = None if row.redo else self._earlier(commit)
            if earlier is not None:
                return Opened(settings, commit, earlier, None, watch, deaths)
            picture = self._picture(path or stack.enter_context(self._on_disk(row.uri)), None)
            with ExitStack() as unneeded:
                unneeded.callback(picture.close)
                begun = None if row.redo else self._begun(row, settings, commit, picture)
                if begun is None:
                    unneeded.pop_all()
            return Opened(settings, commit, begun, None if begun is not None else picture, watch, deaths)

    def open_group(self, group: Group) -> Opened:
        """What a group of tiles needs. Raises ImageError."""
        deaths = self._begin_work(place(group))
        watch = Stopwatch()
        row, settings = group.row, for_scale(self._config.settings, group.row.scale)
        commit = self._commit(settings, row.key, group.source)
        with watch("read"):
            try:
                earlier = self._patiently(lambda: scene.answered(self._output, commit, group))
            except OSError as error:
                raise unreadable(commit.scene_folder(self._output), error) from error
            if earlier is not None:
                return Opened(settings, commit, earlier, None, watch, deaths)
            if self._held is None or self._held.commit != commit:
                self.release()  # never two in memory
                self._held = self._hold(group, commit, settings)
            elif not self._config.deep:
                _check_unchanged(row.uri, self._stat(row.uri), group)
            return Opened(settings, commit, None, self._held.picture, watch, deaths, (group, self._held.networks))

    def release(self) -> None:
        """Let go of the scene that is kept for its next group."""
        if self._held is not None:
            self._held.picture.close()
        self._held = None

    def _commit(self, settings: Settings, key: str, source: str) -> Commit:
        return Commit(fingerprint(settings, self._config.threads, self._config.form), key, source)

    def _begin_work(self, key: str) -> int:
        """The number of processes that died of it before. Raises ImageError when they were too many."""
        deaths = self._ledger.begin(key)
        if deaths >= MOST_DEATHS:
            raise ImageError(ErrorType.CRASHED, _CRASHED.format(deaths))
        return deaths

    def _begun(self, row: Row, settings: Settings, commit: Commit, picture: Picture) -> Scene | None:
        """The scene that a picture is, when its networks are stored already."""
        if self._config.form.one_file or not divide(picture.height, picture.width, settings, self._division):
            return None
        try:
            return self._patiently(lambda: scene.resume(self._output, commit, row, settings, self._division))
        except OSError as error:
            raise unreadable(scene.fit_uri(self._output, commit), error) from error

    def _hold(self, group: Group, commit: Commit, settings: Settings) -> _Held:
        row = group.row
        with self._on_disk(row.uri) as path:
            deep = self._config.deep
            _check_unchanged(row.uri, storage.content_source(path) if deep else self._stat(row.uri), group)
            scaling = self._stored(commit, scene.scaling_uri(self._output, commit), Scaling.from_json)
            uri = scene.weights_uri(self._output, commit)
            networks = self._stored(commit, uri, lambda data: networks_from_bytes(data, settings, self._device))
            return _Held(commit, self._picture(path, scaling), networks)  # last: it is open from now on

    def _stored(self, commit: Commit, uri: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        """What the fit of a scene left for its groups."""
        try:
            try:
                return parse(self._patiently(lambda: storage.read(uri)))
            except (FileNotFoundError, ValueError) as error:
                storage.remove(scene.fit_uri(self._output, commit))  # the next run fits again
                message = f"{uri} is gone or damaged ({error}); run again"
                raise ImageError(ErrorType.READ, message) from error
        except OSError as error:
            raise unreadable(uri, error) from error

    def _picture(self, path: str, scaling: Scaling | None) -> Picture:
        return Picture(open_image(path, self._limits), scaling, self._config.settings.seed)

    @contextmanager
    def _on_disk(self, uri: str) -> Iterator[str]:
        with ExitStack() as stack:
            try:
                path = self._patiently(lambda: stack.enter_context(storage.on_disk(uri)))
            except FileNotFoundError as error:
                raise _missing(uri) from error
            except OSError as error:
                raise unreadable(uri, error) from error
            yield path

    def _stat(self, uri: str) -> Source:
        try:
            return self._patiently(lambda: storage.stat(uri))
        except FileNotFoundError as error:
            raise _missing(uri) from error
        except OSError as error:
            raise unreadable(uri, error) from error

    def _earlier(self, commit: Commit) -> Record | None:
        """The record of work that is committed: a unit is begun again when its worker died in the middle of it."""
        uri = commit.uri(self._output)
        try:
            return Record.from_json(self._patiently(lambda: storage.read(uri)))
        except FileNotFoundError:
            return None
        except ValueError:
            return None  # a damaged commit tells nothing: the image is done again
        except OSError as error:
            raise unreadable(uri, error) from error


def place(group: Group) -> str:
    """What stands in the ledger for a group: those of one scene are done at once."""
    return f"{group.row.key}[{group.start}:{group.stop}]"


def unreadable(uri: str, error: OSError) -> ImageError:
    message = f"cannot read {uri}: {storage.reason(error)}; check access, then run again"
    return ImageError(ErrorType.READ, message)


def _missing(uri: str) -> ImageError:
    return ImageError(ErrorType.MISSING, f"nothing is at {uri}; correct the uri or put the file back")


def _check_unchanged(uri: str, source: Source, group: Group) -> None:
    if source.fingerprint != group.source:
        raise ImageError(ErrorType.READ, f"{uri} was changed while it was worked on; run again")
