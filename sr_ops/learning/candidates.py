"""Which of base, prior and fit enlarges an image: the rules, each with what was measured (docs/decisions.md).

Scores are reconstruction PSNR in dB: what a candidate makes of the image shrunk again, beside the image.
"""

from ..camera.degradation import Degradation
from .damage import Damage

_CLEARLY = 0.5
"""dB: of 72 pictures whose truth is known, shrunk again by 4, the prior lost by more on one and was better on 71."""

_CLEARLY_SPOILED = 1.5
"""The same for other kernels than bicubic and for JPEGs, whose sons are blurred twice or show blocks as detail. The
prior was worse than the base on such sons of 20 in 101 pictures, by up to 1.04, and better in truth on all 20, by up to
2.4 dB."""

_ASTRAY = 1.0
"""dB: of 18 fits by motion and a lens out of focus four were up to 0.9 worse than the prior on parts held out, and all
four better in truth."""


def fit_pays(camera: Degradation, damage: Damage) -> bool:
    """Whether a fit is likely to be better than the prior where it starts; parts held out do not tell.

    Of a JPEG they are spoiled as well. Of a Gaussian, or of what is narrower, the prior knows more than a blurred image
    can teach: its sons are blurred twice, as no image is that will be enlarged. Of 18 fits by motion and a
    lens out of focus 16 gained, 0.39 dB on average, and none lost more than 0.16; of 12 by Gaussians and bicubic 9
    lost, up to 0.64.

    Args:
        camera: what the first stage undoes.
    """
    return damage.jpeg_steps is None and camera.is_unlike_gaussian


def prior_serves(prior: float, base: float, damage: Damage, by_bicubic: bool) -> bool:
    """Whether the prior as it is is not clearly worse than the base, by all of the image: it learned from none."""
    spoiled = damage.jpeg_steps is not None or not by_bicubic
    return prior > base - (_CLEARLY_SPOILED if spoiled else _CLEARLY)


def fit_serves(fit: float, base: float, prior: float | None) -> bool:
    """Whether a fit is kept, by parts that it did not learn from. Nan, of a fit that went astray, is not.

    Args:
        prior: the score of the prior if the prior would be taken otherwise; None if the base would.
    """
    return fit > (base if prior is None else prior - _ASTRAY)
