"""Opening an image: its source, work that is already done, and its pixels."""

from contextlib import ExitStack, suppress
from dataclasses import dataclass

import torch

from sr_ops.enlarging.model import Model
from sr_ops.image.grid import grid_of
from sr_ops.settings import Settings

from .. import storage
from ..codec import DamagedError, from_json
from ..config import RunConfig
from ..errors import ErrorType, ImageError
from ..imagery import world_files
from ..imagery.picture import Picture
from ..imagery.sizes import sized
from ..output.layout import Commit
from ..output.record import Record
from ..output.target import Target, make_target
from ..output.tidying import Tiling
from ..storage.patience import Patience
from . import scene
from .fetching import Fetcher
from .kept_scene import SceneKeeper
from .ledger import MOST_DEATHS, Ledger
from .stopwatch import Stopwatch
from .units import Answer, Division, Group, Row, Scene, divide
from .unreachable import unreadable

_CRASHED = "{} worker processes died at work on it, of its pixels or for want of memory; check the file, or cut it"

_LAST_WORDS = "{} worker processes died at work on it, the last of {}; check that GPU, then run again"


@dataclass(frozen=True)
class Image:
    """An image to be worked on, or tiles of it."""

    picture: Picture
    target: Target
    group: tuple[Group, Model] | None = None
    """The requested tiles and their model; None for the whole image."""

    def divided(self, settings: Settings, division: Division) -> tuple[tuple[int, int], ...]:
        """Return start and stop of the groups of its tiles; empty if it is no scene, as what becomes one file."""
        if self.target.one_file:
            return ()
        header = self.picture.header
        return divide(header.height, header.width, header.measured, settings, division)


@dataclass(frozen=True)
class Opened:
    """What was found where an image should be."""

    settings: Settings
    """As given, with the size of the image's result; for a scene's tiles also with the kernel that the fit estimated.
    """
    commit: Commit
    """The commit that will mark it as done."""
    found: Image | Answer
    """The answer if the work is done already."""
    watch: Stopwatch
    deaths: int
    """Number of processes that died working on it."""
    of_camera: bool = False
    """Its kernel was found in other images."""

    def close(self) -> None:
        """Close the picture; a scene's picture stays open for its next group."""
        if isinstance(self.found, Image) and self.found.group is None:
            self.found.picture.close()


class Opener:
    """Opens the images of one worker, one at a time, in a separate thread."""

    def __init__(
        self, config: RunConfig, device: torch.device, division: Division, ledger: Ledger, patiently: Patience
    ) -> None:
        self._config = config
        self._output = config.output
        self._division = division
        self._ledger = ledger
        self._patiently = patiently
        self._fetcher = Fetcher(config, patiently)
        self._keeper = SceneKeeper(config.output, device, self._fetcher, patiently)

    def open(self, row: Row) -> Opened:
        """Open the image of a row. Raises ImageError."""
        deaths = self._begin_work(row.key)
        watch = Stopwatch()
        settings = row.settings(self._config.settings)
        with watch("read"), ExitStack() as copy:
            source, path = self._fetcher.source(row.uri, copy)
            commit = row.commit(self._config, source.fingerprint)
            earlier = None if row.redo else self._earlier(commit)
            if earlier is not None:
                return Opened(settings, commit, earlier, watch, deaths)
            path = path or self._fetcher.on_disk(row.uri, copy)
            with ExitStack() as unneeded:
                picture = self._fetcher.picture(path, copy, settings, None)
                unneeded.callback(picture.close)
                with suppress(OSError):  # the folder may not be listed
                    picture.note(*world_files.notes(row.uri, picture.header))
                settings = sized(settings, picture.header)
                image = Image(picture, self._target(row, settings, picture))
                begun = None if row.redo else self._begun(row, settings, commit, image)
                if begun is not None:
                    return Opened(settings, commit, begun, watch, deaths)
                unneeded.pop_all()
            return Opened(settings, commit, image, watch, deaths, row.found is not None)

    def open_group(self, group: Group) -> Opened:
        """Open what a group of tiles needs. Raises ImageError."""
        deaths = self._begin_work(ledger_name(group))
        watch = Stopwatch()
        row = group.row
        settings = row.settings(self._config.settings)
        commit = row.commit(self._config, group.source)
        folder = scene.SceneFolder(self._output, commit)
        with watch("read"):
            try:
                with_map = self._config.disagreement
                earlier = self._patiently(lambda: scene.answered(folder, group, with_map))
            except OSError as error:
                raise unreadable(folder.uri, error) from error
            if earlier is not None:
                return Opened(settings, commit, earlier, watch, deaths)
            kept = self._keeper.scene_of(group, commit, settings)
            target = self._target(row, kept.settings, kept.picture)
            return Opened(kept.settings, commit, Image(kept.picture, target, (group, kept.model)), watch, deaths)

    def release(self) -> None:
        """Close the scene that is kept for its next group."""
        self._keeper.release()

    def _target(self, row: Row, settings: Settings, picture: Picture) -> Target:
        grid = grid_of(settings, picture.height, picture.width)
        return make_target(self._output, row.key, picture.header, self._config.form, grid)

    def _begin_work(self, key: str) -> int:
        """Return how many processes died of it before. Raises ImageError if they were too many."""
        deaths = self._ledger.begin(key)
        if deaths >= MOST_DEATHS:
            words = self._ledger.last_words(key)
            raise ImageError(ErrorType.CRASHED, (_LAST_WORDS if words else _CRASHED).format(deaths, words))
        return deaths

    def _begun(self, row: Row, settings: Settings, commit: Commit, image: Image) -> Scene | None:
        """Return the scene if the image is one and its networks are already stored."""
        groups = image.divided(settings, self._division)
        if not groups:
            return None
        folder = scene.SceneFolder(self._output, commit)
        tiling = Tiling(settings.tile_size, image.target.header, image.target.grid)
        try:
            return self._patiently(lambda: scene.resume(folder, row, groups, tiling))
        except OSError as error:
            raise unreadable(folder.fit, error) from error

    def _earlier(self, commit: Commit) -> Record | None:
        """Return the record of committed work: a unit is restarted if its worker died halfway."""
        uri = commit.uri(self._output)
        try:
            return from_json(Record, self._patiently(lambda: storage.read(uri)))
        except FileNotFoundError:
            return None
        except DamagedError:
            return None  # a damaged commit is ignored and the image done again
        except OSError as error:
            raise unreadable(uri, error) from error


def ledger_name(group: Group) -> str:
    """Return a group's name in the ledger; groups of a scene run at the same time, so each has its own."""
    return f"{group.row.key}[{group.start}:{group.stop}]"
