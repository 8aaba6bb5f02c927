"""Rough estimates of computing time: for the order of rows, the size of units and groups, and the time a run takes.

No pixel depends on them.
"""

import os

from sr_ops.networks.body_shapes import PLANES
from sr_ops.settings import LARGEST_DIRECT, STAGE_SCALE, Method, Network, Settings

_FLOP_PER_SECOND = 0.2e12
"""For one CPU core."""

_SECONDS_PER_WRITTEN_PIXEL = 0.8e-6
"""Back-projection, PNG and disk: 1.5 s per tile of 512 at x2 without self-ensemble, of which 0.6 s for the network."""

_TRAINING = 3
"""Cost of a pixel in a training step, relative to inference: forward, and backward for weights and for inputs."""

_FLOP_OF_MODELS = 1e7
"""For a third party's model, per LR pixel in colour, roughly: light ones take 1e6, the largest 1e8."""

_AT_HR_SIZE = (Network.ZSSR, Network.SUPERRESNET)
"""Networks whose layers all work at the size of the result. They are listed, because their classes load torch."""

_PIXELS_PER_BYTE = {"jpg": 4.0, "jpeg": 4.0, "webp": 8.0, "avif": 10.0, "jp2": 2.0, "tif": 0.5, "tiff": 0.5}
"""Of files by ending, roughly; 1 for others."""


def ending(uri: str) -> str:
    """Return what tells of a file's kind before it is opened: its ending in lower case, without the dot."""
    return os.path.splitext(uri)[1].lower().lstrip(".")


def pixels_per_byte(ending: str) -> float:
    """Estimate the LR pixels that a byte of a file stands for, by the file's `ending`."""
    return _PIXELS_PER_BYTE.get(ending, 1.0)


def fitting_seconds(settings: Settings) -> float:
    """Estimate the seconds to fit the networks of one colour image on one CPU core."""
    direct = settings.network == Network.DIRECT
    unfitted = settings.method == Method.AUTO and direct and not _worth_a_fit(settings)
    if unfitted or settings.method == Method.PRIOR or not settings.by_networks:
        return 0.0
    ratio = min(settings.scale, LARGEST_DIRECT) if direct else STAGE_SCALE
    fits = 1 if direct else len(settings.stage_scales)  # later stages of a prior are not fitted
    pixels = settings.fit.steps * settings.fit.batch * (settings.fit.crop / ratio) ** 2
    return _TRAINING * fits * pixels * _flop(settings, ratio, 3) / _FLOP_PER_SECOND


def _worth_a_fit(settings: Settings) -> bool:
    """Whether `learning` may fit from a prior, as it does if the kernel is unlike a Gaussian.

    This goes by the kernel's text: one from a file may be unlike, a box is above x2.
    """
    box = settings.kernel.startswith("box") and settings.scale > STAGE_SCALE
    return box or settings.kernel.startswith(("taps:", "motion:", "disc:"))


def enlarging_seconds(pixels: float, settings: Settings, bands: int = 3) -> float:
    """Estimate the seconds to enlarge so many LR pixels by fitted networks on one CPU core.

    Args:
        bands: of the image, without alpha; colour if unknown.
    """
    written = pixels * settings.scale**2 * _SECONDS_PER_WRITTEN_PIXEL
    if settings.method == Method.MODEL:
        return pixels * bands / 3 * _FLOP_OF_MODELS / _FLOP_PER_SECOND + written
    if not settings.by_networks:
        return written
    return pixels * _flop_per_pixel(settings, bands) / _FLOP_PER_SECOND + written


def _flop_per_pixel(settings: Settings, bands: int) -> float:
    """Return the operations of all members of all stages per LR pixel; a stage works at the previous one's size."""
    scales = settings.stage_scales
    if settings.network != Network.DIRECT:
        return (settings.members if settings.ensemble else 1) * sum(
            (scale / STAGE_SCALE) ** 2 * _flop(settings, STAGE_SCALE, bands) for scale in scales
        )
    first = (settings.members if settings.ensemble else 1) * _flop(settings, scales[0], bands)
    return first if len(scales) == 1 else first + scales[0] ** 2 * _flop(settings, STAGE_SCALE, bands)


def _flop(settings: Settings, ratio: int, bands: int) -> float:
    """Return a network's operations per LR pixel: two for each weight, at each pixel of the size that it works at.

    Three bands go through together, any other number one by one. All layers are taken for 3 x 3 convolutions of the
    settings' width, which is three times too much for `srcnn`, and eight times for `deconv`.
    """
    together = 3 if bands == 3 else 1
    if settings.network in _AT_HR_SIZE:
        weights = 9 * settings.width * (together + (settings.depth - 2) * settings.width + together)
        return 2.0 * ratio**2 * weights * bands / together
    seen = together * (1 + ratio**2) + PLANES if settings.network == Network.DIRECT else together
    made = together * ratio**2
    weights = 9 * settings.width * (seen + (settings.depth - 2) * settings.width + made)
    return 2.0 * weights * bands / together
