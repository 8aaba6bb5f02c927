"""What an image is fitted by: its pixels, and the camera that was told or that they tell."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from sr_ops.degradation import Degradation
from sr_ops.domain import Domain
from sr_ops.guess import Guess, with_kernel
from sr_ops.model import Fitted, Phase
from sr_ops.settings import Settings
from sr_ops.signs import Signs

from ..imagery import camera
from ..imagery.picture import Picture


@dataclass(frozen=True)
class ToFit:
    """An image that is to be fitted."""

    settings: Settings
    """With the kernel that was found, where none was told."""
    guess: Guess | None
    """Of the kernel that was found."""
    degradation: Degradation
    lr: Tensor
    domain: Domain
    signs: Signs
    """Of its pixels: what was looked for in them to find the kernel is not looked for again."""


@dataclass(frozen=True)
class ImageFit:
    """What was learned from an image, and by which kernel."""

    settings: Settings
    guess: Guess | None
    fitted: Fitted


def prepare(told: Settings, picture: Picture, device: torch.device, phase: Phase, of_camera: bool = False) -> ToFit:
    """What a fit needs of an image. To find its kernel counts as part of the fit.

    Args:
        of_camera: nobody told the kernel; it was found in other images of the same camera.

    Raises:
        ImageError: the kernel that was told is none for it.
    """
    lr, domain = picture.to_fit(device)
    with phase("fit"):
        signs = camera.signs_of(lr, domain, picture.header, picture.scaling)
        settings, guess = with_kernel(told, signs)
    if of_camera and camera.is_too_wide(settings, picture.header):
        settings, guess = replace(settings, kernel=camera.TOO_SMALL.kernel), camera.TOO_SMALL
    degradation = camera.degradation_of(settings, picture.header, picture.scaling)
    return ToFit(settings, guess, degradation, lr, domain, signs)
