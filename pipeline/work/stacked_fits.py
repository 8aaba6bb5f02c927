"""The fits of several images as one computation, where they can be."""

import sys
import traceback
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress

import torch

from sr_ops.degradation import Degradation
from sr_ops.learning import fit_stages_together
from sr_ops.model import Fitted
from sr_ops.prior import Prior

from ..errors import ImageError
from ..imagery.camera import degradation_of
from ..imagery.picture import Picture
from .opening import Image, Opened
from .stopwatch import DeadlineError

Members = list[tuple[str, Opened, Picture, Degradation]]


def stacked_fits(
    images: Sequence[tuple[str, Opened]], prior: Prior | None, device: torch.device, max_seconds: float | None
) -> dict[str, Fitted]:
    """The fits by key. Whatever cannot be done together is left out, and done or told in its turn.

    Args:
        images: with their keys.
        max_seconds: for the work on each image.
    """
    stacks: defaultdict[int, Members] = defaultdict(list)
    for key, opened in images:
        if isinstance(opened.found, Image):
            picture = opened.found.picture
            with suppress(ImageError):  # its kernel is none for it: told in its turn
                degradation = degradation_of(opened.settings, picture.header, picture.scaling)
                stacks[opened.settings.scale].append((key, opened, picture, degradation))
    fits: dict[str, Fitted] = {}
    for members in stacks.values():
        try:
            fitted = _fit_together(members, prior, device, max_seconds)
        except DeadlineError:
            pass  # each is done alone, in its turn: of many together the time of one may be too little
        except Exception as error:  # noqa: BLE001 - each is fitted alone then, and told if that fails too
            traceback.print_exception(error, file=sys.stderr)
        else:
            fits.update(zip((key for key, *_ in members), fitted, strict=True))
    return fits


def _fit_together(
    members: Members, prior: Prior | None, device: torch.device, max_seconds: float | None
) -> list[Fitted]:
    lrs, domains = zip(*(picture.to_fit(device) for _, _, picture, _ in members), strict=True)
    watches = [opened.watch for _, opened, _, _ in members]
    for watch in watches:
        watch.limit(max_seconds)
    check = watches[0].check  # all have the same limit
    degradations = [degradation for *_, degradation in members]
    return fit_stages_together(lrs, members[0][1].settings, prior, degradations, watches, check, domains)
