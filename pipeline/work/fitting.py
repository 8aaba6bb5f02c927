"""What a fit needs of an image: its pixels, and its camera, given or estimated."""

from dataclasses import dataclass, replace

import torch

from sr_ops.enlarging.model import Fitted, Phase
from sr_ops.estimation.guess import Guess, with_kernel
from sr_ops.learning.observation import Observation
from sr_ops.settings import Settings

from ..imagery import camera
from ..imagery.picture import Picture


@dataclass(frozen=True)
class ToFit:
    """An image ready to be fitted."""

    settings: Settings
    """With the estimated kernel if none was given."""
    guess: Guess | None
    """The estimated kernel."""
    observation: Observation
    """With the signs that the kernel was estimated from."""


@dataclass(frozen=True)
class ImageFit:
    """What was learned from an image, and the kernel used."""

    settings: Settings
    guess: Guess | None
    fitted: Fitted


def prepare(told: Settings, picture: Picture, device: torch.device, phase: Phase, of_camera: bool = False) -> ToFit:
    """Return what a fit needs of an image. Estimating the kernel counts as part of the fit.

    Args:
        of_camera: nobody gave the kernel; it was found in other images of the same camera.

    Raises:
        ImageError: the given kernel does not suit the image.
    """
    lr, domain = picture.to_fit(device)
    with phase("fit"):
        signs = camera.signs_of(lr, domain, picture.header, picture.scaling)
        settings, guess = with_kernel(told, signs)
    if of_camera and camera.is_too_wide(settings, picture.header):
        settings, guess = replace(settings, kernel=camera.TOO_SMALL.kernel), camera.TOO_SMALL
    degradation = camera.degradation_of(settings, picture.header, picture.scaling)
    return ToFit(settings, guess, Observation(lr, degradation, domain, signs))
