"""What an image tells of its camera, opened as for work but not worked on."""

from contextlib import ExitStack, closing

import torch

from sr_ops.estimate import Estimate
from sr_ops.settings import Settings

from ..imagery.camera import signs_of
from ..imagery.samples import Scaling
from .fetching import Fetcher
from .units import Row


def look_at(row: Row, settings: Settings, fetcher: Fetcher) -> tuple[Estimate | None, Scaling]:
    """The estimate, None where the pixels tell nothing, and what its units are. Raises ImageError, MemoryError."""
    with ExitStack() as copy:
        path = fetcher.on_disk(row.uri, copy)
        picture = fetcher.picture(path, copy, row.settings(settings), None)
    with closing(picture):
        lr, domain = picture.to_fit(torch.device("cpu"))
        return signs_of(lr, domain, picture.header, picture.scaling).estimate, picture.scaling
