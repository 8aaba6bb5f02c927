"""The scene that a worker keeps open for its next group, with decoder and model."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch

from sr_ops.enlarging.model import Model
from sr_ops.settings import Settings

from .. import storage
from ..codec import from_json
from ..errors import ErrorType, ImageError
from ..imagery import camera
from ..imagery.picture import Picture
from ..imagery.samples import Scaling
from ..imagery.sizes import sized
from ..output.layout import Commit
from ..storage.patience import Patience
from .fetching import Fetcher, check_version
from .scene import SceneFolder
from .scene_weights import model_from_bytes
from .units import Group
from .unreachable import unreadable

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class KeptScene:
    """An open scene."""

    commit: Commit
    picture: Picture
    model: Model
    settings: Settings
    """With the kernel that the fit estimated, if it did."""


class SceneKeeper:
    """Opens scenes for the groups of one worker, one at a time."""

    def __init__(self, output: str, device: torch.device, fetcher: Fetcher, patiently: Patience) -> None:
        self._output = output
        self._device = device
        self._fetcher = fetcher
        self._patiently = patiently
        self._kept: KeptScene | None = None

    def scene_of(self, group: Group, commit: Commit, settings: Settings) -> KeptScene:
        """Return the scene of a group. Raises ImageError, also if its file changed since the fit."""
        if self._kept is None or self._kept.commit != commit:
            self.release()
            self._kept = self._open(group, commit, settings)
        else:
            self._fetcher.check_unchanged(group.row.uri, group.source)
        return self._kept

    def release(self) -> None:
        """Close the scene."""
        if self._kept is not None:
            self._kept.picture.close()
        self._kept = None

    def _open(self, group: Group, commit: Commit, settings: Settings) -> KeptScene:
        uri = group.row.uri
        with ExitStack() as copy:
            source, path = self._fetcher.source(uri, copy)
            check_version(uri, source, group.source)
            path = path or self._fetcher.on_disk(uri, copy)
            folder = SceneFolder(self._output, commit)
            scaling = self._stored(folder, folder.scaling, partial(from_json, Scaling))
            picture = self._fetcher.picture(path, copy, settings, scaling)
            with ExitStack() as unneeded:
                unneeded.callback(picture.close)
                settings = sized(settings, picture.header)
                parse = partial(model_from_bytes, settings=settings, device=self._device)
                model, settings = self._stored(folder, folder.weights, parse)
                degradation = camera.degradation_of(settings, picture.header, scaling)
                unneeded.pop_all()
            noisy = replace(degradation, noise=model.degradation.noise)
            return KeptScene(commit, picture, replace(model, degradation=noisy), settings)

    def _stored(self, folder: SceneFolder, uri: str, parse: Callable[[bytes], Parsed]) -> Parsed:
        """Return what the fit of a scene stored for its groups."""
        try:
            try:
                return parse(self._patiently(lambda: storage.read(uri)))
            except (FileNotFoundError, ValueError) as error:
                storage.remove(folder.fit)  # the next run fits again
                message = f"{uri} is gone or damaged ({error}); run again"
                raise ImageError(ErrorType.READ, message) from error
        except OSError as error:
            raise unreadable(uri, error) from error
