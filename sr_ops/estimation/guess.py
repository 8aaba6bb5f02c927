"""Which kernel is assumed of an image, or of a camera's images, when none was given.

Too wide a kernel costs far more than one that is too narrow (docs/results.md, "Wrong against right kernels"), so an
estimate is taken at its lower end, and what is not certain is bicubic.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..camera import kernel_spec
from ..camera.blur_shapes import BlurShape, ShapeKind
from ..camera.kernel_spec import KernelSpec
from ..settings import BICUBIC_KERNEL, KERNELS_TO_FIND, Settings
from .blur_search import ENOUGH
from .estimate import Estimate, pooled
from .signs import Signs

_NARROW, _NARROW_IF_SMALL, _NARROW_IF_SHARPENED = 0.3, 0.45, 0.6
"""Narrowest blur, in LR pixels squared, that is not taken for bicubic, which itself looks like 0.15 to 0.3. In a small
image a single object decides. Sharpening, usual in JPEGs, hides in the spectrum and undoes the blur: of 19 such images
the plain rule made 3 worse than interpolation, this one none. There the narrower axis must pass, since sharpening
narrows one axis."""

_SHARPENED = 0.35
"""Sharpening above which an image counts as processed. Of 48 pictures that a Gaussian blurred and nobody sharpened two
have more, of one video; of scans most."""

_CAUTION, _CAUTION_IF_SMALL = 1.0, 2.0
"""Deviations by which a blur is taken for narrower than it was estimated."""

_WIDEST = 1.6
"""Widest blur of a camera, in LR pixels squared: a wider one is that of an enlargement."""

_UNLIKE_A_SCENE = 1.1
"""Misfit above which an image is no scene: photographs and satellite images have 0.1 to 0.9, print and drawings 1 to
4."""

_TOO_UNCERTAIN = 0.4
"""Largest deviation of the variances of an estimate that is used, in LR pixels squared."""

_LEAST_SIGMA = 0.18
"""Smallest sigma of a guess, in LR pixels."""

_MOVED = "its images were moved, each in its own way"


@dataclass(frozen=True)
class Guess:
    """A kernel, and why."""

    kernel: str
    """The canonical text of `kernel_spec`."""
    confidence: float
    """0 to 1: how far the estimate is from where another would have been taken; 0 where bicubic stands for want of
    one."""
    reason: str
    """Why it is bicubic, as the end of a sentence; "" where it is not."""
    estimate: Estimate | None
    """None where nothing could be fitted."""


_KNOWS_BICUBIC_ALONE = Guess(BICUBIC_KERNEL, 0.0, "the network knows no other", None)


def with_kernel(settings: Settings, signs: Signs) -> tuple[Settings, Guess | None]:
    """Return the settings with the kernel guessed from the image, and the guess; unchanged, and None, if one is set."""
    if settings.kernel not in KERNELS_TO_FIND:
        return settings, None
    guessed = guess(signs.estimate, settings.scale) if settings.takes_any_kernel else _KNOWS_BICUBIC_ALONE
    return replace(settings, kernel=guessed.kernel), guessed


def guess(found: Estimate | None, scale: int) -> Guess:
    """Return the kernel to assume for an image with this estimate."""
    if found is None:
        return Guess(BICUBIC_KERNEL, 0.0, "too little of it is known, or goes on in it, to tell more", None)
    if found.shape is not None:
        confidence = 1 - math.exp(1 - found.evidence / ENOUGH)
        return Guess(_text_of(found.shape, scale), min(1.0, max(0.0, confidence)), "", found)
    doubt = _doubt(found)
    if doubt:
        return Guess(BICUBIC_KERNEL, 0.0, doubt, found)
    caution = _CAUTION_IF_SMALL if found.small else _CAUTION
    processed = found.lossy or found.sharpening > _SHARPENED
    narrow = _NARROW_IF_SHARPENED if processed else _NARROW_IF_SMALL if found.small else _NARROW
    low = [variance - caution * found.deviation for variance in found.variances]
    decisive = low[1] if processed else low[0]
    confidence = math.erf(abs(decisive - narrow) / (math.sqrt(2) * max(found.deviation, 1e-6)))
    if decisive < narrow:
        return Guess(BICUBIC_KERNEL, confidence, "its blur is not certain to be wider", found)
    widest = math.floor(100 * kernel_spec.widest(scale)) / 100  # rounded below, and not beyond
    first, second = (min(widest, scale * max(math.sqrt(max(0.0, each)), _LEAST_SIGMA)) for each in low)
    sigmas = (round(first, 2), round(second, 2))
    numbers = sigmas[:1] if sigmas[0] == sigmas[1] else (*sigmas, float(round(found.degrees) % 180))
    return Guess(KernelSpec("gaussian", numbers).text, confidence, "", found)


def _text_of(shape: BlurShape, scale: int) -> str:
    size = round(min(kernel_spec.longest(shape.kind, scale), scale * shape.size), 2)
    direction = () if shape.kind == ShapeKind.DISC else (float(round(shape.degrees) % 180),)
    return KernelSpec(shape.kind, (size, *direction)).text


def _doubt(found: Estimate) -> str:
    """Return why an estimate is not used, as the end of a sentence; "" if it is."""
    if not all(map(math.isfinite, (*found.covariance, found.deviation, found.misfit))):
        return "its spectrum tells nothing"
    if found.misfit > _UNLIKE_A_SCENE:
        return "its spectrum is not like that of a scene, as of print, drawings and patterns"
    if found.deviation > _TOO_UNCERTAIN:
        return "its detail tells too little"
    if found.variances[0] > _WIDEST:
        return "its finest detail is missing, as where an image was enlarged before"
    return ""


def guess_together(found: Sequence[Estimate | None], scale: int) -> Guess:
    """Return the kernel to assume for images of one camera."""
    usable = [each for each in found if each is not None and (each.shape is not None or not _doubt(each))]
    if len(found) == 1:
        return guess(usable[0] if usable else None, scale)
    # Only the image in which a motion was found moved so: it says nothing about the other images.
    still = [each for each in usable if each.shape is None or each.shape.kind != ShapeKind.MOTION]
    if usable and not still:
        return Guess(BICUBIC_KERNEL, 0.0, _MOVED, None)
    return guess(pooled(still) if still else None, scale)
