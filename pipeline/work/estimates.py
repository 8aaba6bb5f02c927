"""How long work will take, roughly: the order of the rows and the size of units and groups hang on it, nothing else."""

from sr_ops.settings import Settings

_FLOP_PER_PIXEL = 0.46e6
"""Of the default network for one LR pixel once through; a training step costs three times that."""
_FLOP_PER_SECOND = 0.2e12
"""One CPU core."""
_SECONDS_PER_WRITTEN_PIXEL = 0.8e-6
"""Back-projection, PNG and disk: 1.5 s a tile of 512 at x2 without self-ensemble, of which the network takes 0.6."""


def fitting_seconds(settings: Settings) -> float:
    """A guess at the time that fitting the networks of one image takes on one CPU core."""
    pixels = 3 * settings.fit.steps * settings.fit.batch * (settings.fit.crop / 2) ** 2 * len(settings.stage_scales)
    return pixels * _FLOP_PER_PIXEL / _FLOP_PER_SECOND


def enlarging_seconds(pixels: float, settings: Settings) -> float:
    """A guess at the time that enlarging so many LR pixels by fitted networks takes on one CPU core."""
    members = 8 if settings.ensemble else 1
    seen = members * pixels * sum((scale / 2) ** 2 for scale in settings.stage_scales)
    written = pixels * settings.scale**2 * _SECONDS_PER_WRITTEN_PIXEL
    return seen * _FLOP_PER_PIXEL / _FLOP_PER_SECOND + written
