"""The camera of an image, estimated without working on the image."""

from contextlib import ExitStack, closing
from dataclasses import dataclass

import torch

from sr_ops.estimation.estimate import Estimate
from sr_ops.settings import Settings

from ..imagery.camera import signs_of
from ..imagery.maker import maker_of
from ..imagery.samples import Scaling
from .fetching import Fetcher
from .units import Row


@dataclass(frozen=True)
class Look:
    """What one image tells."""

    estimate: Estimate | None
    """None if the pixels give none."""
    scaling: Scaling
    """Its units."""
    maker: str
    """From the file's metadata, `maker.maker_of`."""


def look_at(row: Row, settings: Settings, fetcher: Fetcher) -> Look:
    """Open an image and estimate its camera. Raises ImageError, MemoryError."""
    with ExitStack() as copy:
        path = fetcher.on_disk(row.uri, copy)
        picture = fetcher.picture(path, copy, row.settings(settings), None)
    with closing(picture):
        lr, domain = picture.to_fit(torch.device("cpu"))
        estimate = signs_of(lr, domain, picture.header, picture.scaling).estimate
        return Look(estimate, picture.scaling, maker_of(picture.header))
