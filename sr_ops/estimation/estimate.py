"""The camera estimated from the pixels alone: blur, sharpening and noise, by the shape of the spectrum.

`scene_spectrum` is fitted to `spectrum.Spectrum` by least squares with priors: on the exponent, since scenes differ
little in it; on the scene's directions, so that stripes are not taken for a blur across them; and on the sharpening.
What lies far off a fit, as print does, pulls with a constant force (Huber 1964).
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..camera.blur_shapes import BlurShape, ShapeKind
from .scene_spectrum import DIRECTIONS, EXPONENT, LOG_NOISE, PARAMETERS, SHARPENING, XX, XY, YY, Parts, scene_spectrum
from .spectrum import Spectrum, frequencies, spectrum_of

_EXPONENT, _EXPONENT_SPREAD = 2.2, 0.3
"""Mean and standard deviation of the exponent over photographed scenes (Field 1987: about 2)."""

_DIRECTION_SPREADS = (0.4, 0.4, 0.2, 0.2)
"""Standard deviations, in logarithms of power, of the terms with two and with four maxima per turn."""

_SHARPENING_SPREAD = 0.5

_NOISE_SPREAD = 10.0
"""Standard deviation of the logarithm of its power, around that of rounding: next to nothing is presumed."""

_BLUR, _BLUR_SPREAD = 0.25, 2.0
"""Mean and standard deviation of a blur's variances, in LR pixels squared: next to nothing is presumed."""

_ALIKE = 0.02
"""Standard deviation of all these, but the noise, between the bands of an image."""

_MISFIT, _BINS = 0.35, 80
"""Standard deviation of scenes around the model, in logarithms of power; a spectrum counts as so many bins."""

_UNROUNDED = 1e-10
"""Variance, in units of the full range squared, that stands for rounding where samples are floating point."""

_LARGEST_VARIANCE = 4.0
_EXPONENTS = (1.0, 4.0)
_MOST_SHARPENING = 3.0

_FEW = 4
"""This many small images together tell as much as a large one."""

_NO_NOISE = 0.35 / 255
"""Noise in the brightness below which no band of up to four has noise that counts; bands are then not fitted one by
one."""

_BANDS_OF_BRIGHTNESS = 2.0
"""Root of the four bands of `_NO_NOISE`."""

_LIKE_A_NOISY_SCENE = 0.6
"""Largest misfit with which noise is told: scenes with noise fit better, at 0.2 to 0.5, than those without."""

_STEPS, _SETTLED, _MOST_DAMPING = 40, 1e-6, 1e6


@dataclass(frozen=True)
class Estimate:
    """What pixels tell of their camera."""

    covariance: tuple[float, float, float]
    """Of a Gaussian blur, in LR pixels squared: xx, xy, yy; with a shape, of what is blurred besides."""
    deviation: float
    """Standard deviation of its variances, as the fit has it."""
    exponent: float
    sharpening: float
    """Amount of an unsharp mask of one LR pixel, 0 and more."""
    noise: float
    """Standard deviation in brightness before it was sharpened, in units of the full range; rounding counts."""
    misfit: float
    """Root mean square of what the model leaves, in logarithms of power."""
    lossy: bool = False
    """Whether some of the spectrum did not count, since JPEG spoiled it."""
    small: bool = False
    """Whether it is of an image below 96 pixels: of `butterfly` of Set5 at 64 x 64 two wings are most of the detail."""
    shape: BlurShape | None = None
    """Of a blur that is no Gaussian, `blur_search`."""
    evidence: float = 0.0
    """For the shape against a Gaussian: the logarithm of how much likelier the spectrum is."""

    @property
    def variances(self) -> tuple[float, float]:
        """Of the blur along its axes, the larger one first; LR pixels squared."""
        xx, xy, yy = self.covariance
        mean, apart = (xx + yy) / 2, math.hypot((xx - yy) / 2, xy)
        return mean + apart, mean - apart

    @property
    def degrees(self) -> float:
        """Of the axis of the larger one, from the x axis towards y."""
        xx, xy, yy = self.covariance
        return math.degrees(math.atan2(2 * xy, xx - yy) / 2) % 180


def estimate(spectrum: Spectrum, like: Estimate | None = None, shape: BlurShape | None = None) -> Estimate:
    """Return the camera that explains a spectrum best: damped Gauss-Newton steps (Levenberg, Marquardt), reweighted.

    Args:
        like: estimate of the same scene and camera, of which only the noise may differ, as in one band of an image.
        shape: of the blur beside a Gaussian; None for that of `like`, or for none.
    """
    fit = SceneFit(spectrum, like, shape)
    return fit.estimate_at(fit.minimised(fit.start())[0])


def noise_of_bands(
    image: Tensor, known: Tensor | None = None, whole: Spectrum | None = None, shape: BlurShape | None = None
) -> Tensor | None:
    """Return the standard deviation (C,) of the noise in each band of (C, H, W) float32.

    It is None for an image that is too small, flat, or not like a scene. Noise is told from fine texture by the shape
    of the spectrum: texture falls towards high frequencies.

    Args:
        known: (H, W) bool; None for everywhere.
        whole: the spectrum of all bands together, where it is at hand.
        shape: of the blur, where it is known to be no Gaussian.
    """
    whole = whole or spectrum_of(image, known, None, 0)
    if whole is None:
        return None
    found = estimate(replace(whole, rounding=0.0), shape=shape)  # the noise is told with what rounding added
    if not found.misfit < _LIKE_A_NOISY_SCENE:
        return None
    averaged = min(1.0, _BANDS_OF_BRIGHTNESS / math.sqrt(len(image)))  # of many bands it has less noise than each
    if len(image) == 1 or found.noise < averaged * _NO_NOISE:
        return torch.full((len(image),), found.noise)
    bands = [spectrum_of(band[None], known, None, 0) for band in image]
    return torch.tensor([0.0 if band is None else estimate(band, found).noise for band in bands])


_BLUR_OF_SHARPENING = 1.0
"""LR pixels squared by which a blur is in doubt for each 1 of sharpening. Of ten Kodak pictures by three Gaussians: the
error of all together is 0.026, 0.046 and 0.059 with 0, 0.015, 0.037 and 0.049 with 1, 0.014, 0.039 and 0.048 with 2."""


def pooled(estimates: Sequence[Estimate]) -> Estimate:
    """Return the estimate from several images of one camera: the mean blur, weighted by certainty; the median noise.

    Exponent, sharpening and misfit are medians, too. Scenes mislead by more than each fit knows, so the differences
    between the estimates beyond their deviations count as uncertainty of each. A camera sharpens all its images alike:
    where one seems to be sharpened more or less than the others, its scene is mistaken for it, and its blur is as far
    off. If most estimates have a disc, these alone count, else those without one.

    Args:
        estimates: at least one, none with a motion.
    """
    discs = [each for each in estimates if each.shape is not None]
    estimates = discs if 2 * len(discs) > len(estimates) else [each for each in estimates if each.shape is None]
    sharpenings = torch.tensor([each.sharpening for each in estimates], dtype=torch.float64)
    deviations = torch.tensor([each.deviation for each in estimates], dtype=torch.float64)
    own = deviations.square() + (_BLUR_OF_SHARPENING * (sharpenings - sharpenings.median())).square()
    covariances = torch.tensor([each.covariance for each in estimates], dtype=torch.float64)
    middle = covariances.median(0).values
    between = ((covariances - middle)[:, [0, 2]].square().mean(1) - own).clamp_min(0).median()
    # Huber: a scene far off the others pulls as one that is as far off as is usual.
    spread = (own + between).sqrt()
    far = ((covariances - middle)[:, [0, 2]].abs().amax(1) / spread).clamp_min(2) / 2
    weights = 1 / (own + between) / far
    mean = (weights[:, None] * covariances).sum(0) / weights.sum()
    others = ("exponent", "sharpening", "noise", "misfit")
    exponent, sharpening, noise, misfit = (
        float(torch.tensor([getattr(each, name) for each in estimates]).median()) for name in others
    )
    xx, xy, yy = mean.tolist()
    lossy = 2 * sum(each.lossy for each in estimates) >= len(estimates)
    small = len(estimates) < _FEW and all(each.small for each in estimates)
    deviation = float(weights.sum().rsqrt())
    together = Estimate((xx, xy, yy), deviation, exponent, sharpening, noise, misfit, lossy, small)
    sizes = [each.shape.size for each in estimates if each.shape is not None]
    if not sizes:
        return together
    disc = BlurShape(ShapeKind.DISC, statistics.median(sizes))
    return replace(together, shape=disc, evidence=sum(each.evidence for each in estimates))


class SceneFit:
    """One least-squares problem. Its values are one tensor: the groups' levels, then those of `scene_spectrum`."""

    def __init__(self, spectrum: Spectrum, like: Estimate | None = None, shape: BlurShape | None = None) -> None:
        self.shape = like.shape if shape is None and like is not None else shape
        at, self._small = frequencies(spectrum.side), spectrum.small
        self._levels, self._groups = spectrum.levels, len(spectrum.levels)
        self._model = scene_spectrum(spectrum.side, self.shape)
        self._last: tuple[Tensor, Parts] | None = None
        self._radius = at.means(at.radius)
        self._weights = spectrum.counted * (at.count / at.count.sum()) * _BINS / self._groups
        self._floor = math.log(max(spectrum.rounding, _UNROUNDED))
        spreads = torch.full((self._groups + PARAMETERS,), math.inf, dtype=torch.float64)
        centre = torch.zeros_like(spreads)
        of_rest, centre_of_rest = spreads[self._groups :], centre[self._groups :]
        of_rest[EXPONENT], centre_of_rest[EXPONENT] = _EXPONENT_SPREAD, _EXPONENT
        of_rest[LOG_NOISE], centre_of_rest[LOG_NOISE] = _NOISE_SPREAD, self._floor
        of_rest[DIRECTIONS] = torch.tensor(_DIRECTION_SPREADS, dtype=torch.float64)
        for place in (XX, YY):
            of_rest[place], centre_of_rest[place] = _BLUR_SPREAD, _BLUR
        of_rest[SHARPENING] = _SHARPENING_SPREAD
        if like is not None:
            alike = [EXPONENT, XX, XY, YY, SHARPENING]
            told = [like.exponent, *like.covariance, like.sharpening]
            centre_of_rest[alike] = torch.tensor(told, dtype=torch.float64)
            of_rest[alike] = _ALIKE
        self._precision, self._centre = spreads.square().reciprocal(), centre

    def minimised(self, values: Tensor, steps: int = _STEPS) -> tuple[Tensor, float]:
        """Return the values that damped steps from these lead to, and their cost."""
        damping, cost = 1e-2, self.cost(values)
        for _ in range(steps):
            normal, gradient = self.normal_equations(values)
            new, new_cost = values, math.inf
            while new_cost > cost and damping < _MOST_DAMPING:
                damped = normal + damping * (normal.diag() + 1e-9).diag()
                new = self.within(values + torch.linalg.solve(damped, gradient))
                new_cost = self.cost(new)
                damping *= 4
            if new_cost > cost:
                break
            done = cost - new_cost < _SETTLED * cost
            values, cost, damping = new, new_cost, max(damping / 16, 1e-8)
            if done:
                break
        return values, cost

    def widened(self, values: Tensor, by: tuple[float, float, float]) -> Tensor:
        """Return the values with this much more covariance of the Gaussian."""
        wider = values.clone()
        wider[self._groups + torch.tensor([XX, XY, YY])] += torch.tensor(by, dtype=torch.float64)
        return self.within(wider)

    def start(self) -> Tensor:
        """Return the values from which a fit starts."""
        values = self._centre.clone()
        low = self._radius.argsort()[: len(self._radius) // 3]
        values[: self._groups] = (self._levels + _EXPONENT * self._radius.log())[:, low].mean(1)
        values[self._groups + LOG_NOISE] = max(self._floor, float(self._levels.min()))
        return values

    def within(self, values: Tensor) -> Tensor:
        """Move values in place to the nearest that a camera can have, and return them."""
        rest = values[self._groups :]
        rest[EXPONENT] = rest[EXPONENT].clamp(*_EXPONENTS)
        rest[LOG_NOISE] = rest[LOG_NOISE].clamp_min(self._floor)
        rest[XX], rest[YY] = (rest[place].clamp(0, _LARGEST_VARIANCE) for place in (XX, YY))
        most = float((rest[XX] * rest[YY]).sqrt())
        rest[XY] = rest[XY].clamp(-most, most)
        rest[SHARPENING] = rest[SHARPENING].clamp(0, _MOST_SHARPENING)
        return values

    def cost(self, values: Tensor) -> float:
        off = ((self._levels - self._model.log_power(self._at(values))) / _MISFIT).abs()
        huber = torch.where(off <= 1, off.square() / 2, off - 0.5)
        return float((huber * self._weights).sum() + (self._precision * (values - self._centre).square()).sum() / 2)

    def normal_equations(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Return the matrix and the right side of these equations at the values."""
        off = (self._levels - self._model.log_power(self._at(values))) / _MISFIT
        slopes = (self._model.slopes(self._at(values)) / _MISFIT).flatten(0, 1)
        weighted = (self._weights / off.abs().clamp_min(1)).flatten()[:, None] * slopes
        matrix = weighted.T @ slopes + self._precision.diag()
        return matrix, weighted.T @ off.flatten() - self._precision * (values - self._centre)

    def _at(self, values: Tensor) -> Parts:
        """Return the model's parts; those of the values that were asked for last are at hand."""
        if self._last is None or self._last[0] is not values:
            self._last = values, self._model(values, self._groups)
        return self._last[1]

    def estimate_at(self, values: Tensor) -> Estimate:
        """Return what these values say of the camera, and how certain they are."""
        matrix, _ = self.normal_equations(values)
        steady = matrix + 1e-6 * torch.eye(len(matrix), dtype=matrix.dtype)
        variances = torch.linalg.inv(steady).diag()[self._groups :]
        off = (self._levels - self._model.log_power(self._at(values))).square()
        rest = values[self._groups :].tolist()
        return Estimate(
            covariance=(rest[XX], rest[XY], rest[YY]),
            deviation=float((variances[XX] + variances[YY]).clamp_min(0).div(2).sqrt()),
            exponent=rest[EXPONENT],
            sharpening=rest[SHARPENING],
            noise=math.exp(rest[LOG_NOISE] / 2),
            misfit=float((off * self._weights).sum().div(self._weights.sum().clamp_min(1e-9)).sqrt()),
            lossy=bool((self._weights == 0).any()),
            small=self._small,
            shape=self.shape,
        )
