"""The spectrum of a scene seen by a camera: the model that `estimate` fits, with its derivatives.

The power of group g, at frequency f in cycles per LR pixel, is

    (exp(level_g + directions . (cos 2t, sin 2t, cos 4t, sin 4t)) sum over aliases of |f|^-exponent exp(-4 pi^2 f'Sf)
     + noise) (1 + sharpening (1 - exp(-2 pi^2 |f|^2)))^2

with t the angle of f, S the blur's covariance in LR pixels squared, and an unsharp mask of one LR pixel. Of a blur that
is no Gaussian each alias is multiplied by the square of its transfer, too, as the window of a block sees it.
"""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from ..camera.blur_shapes import BlurShape
from .spectrum import Frequencies, frequencies

EXPONENT, LOG_NOISE, DIRECTIONS, XX, XY, YY, SHARPENING = 0, 1, slice(2, 6), 6, 7, 8, 9
"""Indices of parameters after the levels of the groups."""

PARAMETERS = 10

_ALIASES = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
"""Offsets, in cycles per LR pixel, of frequencies that alias to the same one."""

_BLUR = 4 * math.pi**2

_WINDOW = ((-1, 1 / 6), (0, 2 / 3), (1, 1 / 6))
"""Power of Hann's window at its whole frequencies: between them the zeros of a transfer are filled."""

_LEAST_TRANSFER = 1e-12


@dataclass(frozen=True)
class Parts:
    """What the power consists of, at each frequency; float64."""

    signal: Tensor
    """(G, F): power of the scene, as the camera blurs it."""
    noise: Tensor
    """(): power of the noise."""
    gain: Tensor
    """(F,): by how much sharpening multiplies amplitudes."""
    aliases: Tensor
    """(9, F): of the signal, the power of each alias, up to a factor for each frequency."""


@dataclass(frozen=True)
class SceneSpectrum:
    """The model on one set of frequencies."""

    at: Frequencies
    shape: BlurShape | None = None
    """Of the blur, beside the Gaussian."""

    def __call__(self, values: Tensor, groups: int) -> Parts:
        """Return the parts of the power at these values, from which its logarithm and its slopes are made."""
        levels, rest = values[:groups], values[groups:]
        logs = (rest[[EXPONENT, XX, XY, YY]] @ self._aliases.flatten(1)).reshape(len(_ALIASES), -1)
        aliases = (logs if self.shape is None else logs + self._let_through).exp()
        signal = (levels[:, None] + rest[DIRECTIONS] @ self._waves).exp() * aliases.sum(0)
        return Parts(signal, rest[LOG_NOISE].exp(), 1 + rest[SHARPENING] * self._lifted, aliases)

    def log_power(self, parts: Parts) -> Tensor:
        """Return (G, B) float64."""
        return self.at.means((parts.signal + parts.noise).log() + 2 * parts.gain.log())

    def slopes(self, parts: Parts) -> Tensor:
        """Return the derivatives of log power by each value, (G, B, G + 10) float64."""
        # By the logarithm of the sum over aliases: exponent, xx, xy and yy.
        by_sum = (parts.aliases * self._aliases).sum(1) / parts.aliases.sum(0)
        by_signal = torch.cat([torch.ones_like(by_sum[:1]), by_sum[:1], self._waves, by_sum[1:]])
        share = parts.signal / (parts.signal + parts.noise)
        means = self.at.means(share[:, None] * by_signal).transpose(1, 2)
        groups = len(means)
        slopes = means.new_zeros(*means.shape[:2], groups + PARAMETERS)
        for group in range(groups):
            slopes[group, :, group] = means[group, :, 0]
        others = slopes[..., groups:]
        others[..., EXPONENT] = means[..., 1]
        others[..., LOG_NOISE] = 1 - means[..., 0]
        others[..., DIRECTIONS] = means[..., 2:6]
        others[..., XX : YY + 1] = means[..., 6:]
        others[..., SHARPENING] = self.at.means(2 * self._lifted / parts.gain)
        return slopes

    @cached_property
    def _waves(self) -> Tensor:
        """(4, F): the terms with two and four maxima per turn."""
        angle = torch.atan2(self.at.y, self.at.x)
        return torch.stack([(2 * angle).cos(), (2 * angle).sin(), (4 * angle).cos(), (4 * angle).sin()])

    @cached_property
    def _lifted(self) -> Tensor:
        """(F,): what an unsharp mask adds."""
        return 1 - torch.exp(-_BLUR / 2 * self.at.radius.square())

    @cached_property
    def _aliases(self) -> Tensor:
        """`_slopes_of_aliases`."""
        return _slopes_of_aliases(self.at)

    @cached_property
    def _let_through(self) -> Tensor:
        """(9, F): logarithm of what the shape lets through of the power of each alias."""
        assert self.shape is not None
        rows = []
        for i, j in _ALIASES:
            power = torch.zeros_like(self.at.x)
            for (right, share_x), (down, share_y) in itertools.product(_WINDOW, _WINDOW):
                seen = self.shape.transfer(self.at.x + i + right / self.at.side, self.at.y + j + down / self.at.side)
                power += share_x * share_y * seen.square()
            rows.append(power.clamp_min(_LEAST_TRANSFER).log())
        return torch.stack(rows)


@lru_cache(maxsize=2)
def _slopes_of_aliases(at: Frequencies) -> Tensor:
    """Return (4, 9, F): the factors of exponent, xx, xy and yy in the logarithm of each alias's power."""
    shifted = [(at.x + i, at.y + j) for i, j in _ALIASES]
    rows = [
        [(x.square() + y.square()).log() / 2, _BLUR * x.square(), 2 * _BLUR * x * y, _BLUR * y.square()]
        for x, y in shifted
    ]
    return -torch.stack([torch.stack(row) for row in rows], 1)


@lru_cache(maxsize=128)
def scene_spectrum(side: int, shape: BlurShape | None = None) -> SceneSpectrum:
    """Return the model for blocks of the given side, and for a blur with this shape."""
    return SceneSpectrum(frequencies(side), shape)
