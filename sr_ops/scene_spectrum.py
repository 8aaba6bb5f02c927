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

from .blur_shapes import BlurShape
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
class SceneSpectrum:
    """The model on one set of frequencies."""

    at: Frequencies
    shape: BlurShape | None = None
    """Of the blur, beside the Gaussian."""

    def __call__(self, values: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Return log power, (G, B), and its derivatives by each parameter, (G, B, G + 10); all float64."""
        levels, rest = values[:groups], values[groups:]
        scene, slopes = self._blurred(rest)
        waves, lifted = self._waves, self._lifted
        signal = (levels[:, None] + rest[DIRECTIONS] @ waves).exp() * scene
        noise = rest[LOG_NOISE].exp()
        gain = 1 + rest[SHARPENING] * lifted
        share = signal / (signal + noise)
        bins = self.at.bins
        model = ((signal + noise).log() + 2 * gain.log()) @ bins.T
        by = torch.zeros(groups, len(bins), groups + PARAMETERS, dtype=torch.float64)
        for group in range(groups):
            by[group, :, group] = bins @ share[group]
        others = by[..., groups:]
        others[..., EXPONENT] = (share * slopes[0]) @ bins.T
        others[..., LOG_NOISE] = (noise / (signal + noise)) @ bins.T
        others[..., DIRECTIONS] = ((share[:, None] * waves) @ bins.T).transpose(1, 2)
        others[..., XX : YY + 1] = ((share[:, None] * slopes[1:]) @ bins.T).transpose(1, 2)
        others[..., SHARPENING] = bins @ (2 * lifted / gain)
        return model, by

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
        side = len(self.at.used)
        rows = []
        for i, j in _ALIASES:
            power = torch.zeros_like(self.at.x)
            for (right, share_x), (down, share_y) in itertools.product(_WINDOW, _WINDOW):
                seen = self.shape.transfer(self.at.x + i + right / side, self.at.y + j + down / side)
                power += share_x * share_y * seen.square()
            rows.append(power.clamp_min(_LEAST_TRANSFER).log())
        return torch.stack(rows)

    def _blurred(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sum over aliases (F,), and the derivatives of its logarithm by exponent, xx, xy and yy (4, F)."""
        by = rest[[EXPONENT, XX, XY, YY]]
        logs = torch.einsum("p,apf->af", by, self._aliases)
        power = (logs if self.shape is None else logs + self._let_through).exp()
        total = power.sum(0)
        return total, (power[:, None] * self._aliases).sum(0) / total


@lru_cache(maxsize=2)
def _slopes_of_aliases(at: Frequencies) -> Tensor:
    """(9, 4, F): for each alias, the factors of exponent, xx, xy and yy in the logarithm of its power."""
    shifted = [(at.x + i, at.y + j) for i, j in _ALIASES]
    rows = [
        [(x.square() + y.square()).log() / 2, _BLUR * x.square(), 2 * _BLUR * x * y, _BLUR * y.square()]
        for x, y in shifted
    ]
    return -torch.stack([torch.stack(row) for row in rows])


@lru_cache(maxsize=128)
def scene_spectrum(side: int, shape: BlurShape | None = None) -> SceneSpectrum:
    """Return the model for blocks of the given side, and for a blur with this shape."""
    return SceneSpectrum(frequencies(side), shape)
