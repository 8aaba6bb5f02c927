"""Fits of several images as one computation, where possible."""

import sys
import traceback
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import torch

from sr_ops.learning.learn import fit_stages_together
from sr_ops.priors.prior import Prior
from sr_ops.settings import AUTO

from ..errors import ImageError
from ..imagery.picture import Picture
from .fitting import ImageFit, ToFit, prepare
from .opening import Image, Opened
from .stopwatch import DeadlineError, Stopwatch


def stacked_fits(
    images: Sequence[tuple[str, Opened]], prior: Prior | None, device: torch.device, max_seconds: float | None
) -> dict[str, ImageFit]:
    """Return the fits by key. Images that cannot be fitted together are left out, and handled in their turn.

    Args:
        images: with their keys.
        max_seconds: time limit for each image.
    """
    stacks: defaultdict[tuple[int, bool], list[tuple[str, Opened, Picture]]] = defaultdict(list)
    for key, opened in images:
        if isinstance(opened.found, Image):
            alike = opened.settings.scale, opened.settings.noise == AUTO
            stacks[alike].append((key, opened, opened.found.picture))
    fits: dict[str, ImageFit] = {}
    for members in stacks.values():
        try:
            fits.update(_fit_together(members, prior, device, max_seconds))
        except DeadlineError:
            pass  # each is done alone in its turn: the time of one image may be too little for many
        except Exception as error:  # noqa: BLE001 - each is then fitted alone, and reported if that fails, too
            traceback.print_exception(error, file=sys.stderr)
    return fits


def _fit_together(
    members: Sequence[tuple[str, Opened, Picture]],
    prior: Prior | None,
    device: torch.device,
    max_seconds: float | None,
) -> dict[str, ImageFit]:
    ready: dict[str, tuple[ToFit, Stopwatch]] = {}
    for key, opened, picture in members:
        opened.watch.limit(max_seconds)
        with suppress(ImageError):  # its kernel does not suit it: reported in its turn
            ready[key] = prepare(opened.settings, picture, device, opened.watch, opened.of_camera), opened.watch
    if not ready:
        return {}
    images, watches = zip(*ready.values(), strict=True)
    settings = images[0].settings  # what differs in those of others is in their observations
    observations = [image.observation for image in images]
    fits = fit_stages_together(observations, settings, prior, watches, watches[0].check)  # all have the same limit
    of_images = zip(ready, images, fits, strict=True)
    return {key: ImageFit(image.settings, image.guess, fitted) for key, image, fitted in of_images}
