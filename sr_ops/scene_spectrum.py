"""What the spectrum of a scene looks like that a camera saw: the model that `estimate` fits, with its slopes.

Of group g, at frequency f in cycles per LR pixel, power is

    (exp(level_g + directions . (cos 2t, sin 2t, cos 4t, sin 4t)) sum over aliases of |f|^-exponent exp(-4 pi^2 f'Sf)
     + noise) (1 + sharpening (1 - exp(-2 pi^2 |f|^2)))^2

with t the angle of f, S the blur's covariance in LR pixels squared, and an unsharp mask of one LR pixel.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .spectrum import Frequencies

EXPONENT, LOG_NOISE, DIRECTIONS, XX, XY, YY, SHARPENING = 0, 1, slice(2, 6), 6, 7, 8, 9
"""Places of parameters after the levels of the groups."""

PARAMETERS = 10

_ALIASES = tuple((i, j) for i in (-1, 0, 1) for j in (-1, 0, 1))
"""Cycles per LR pixel that sampling cannot tell from none."""

_BLUR = 4 * math.pi**2


@dataclass(frozen=True)
class SceneSpectrum:
    """The model for one set of frequencies."""

    at: Frequencies

    def __call__(self, values: Tensor, groups: int) -> tuple[Tensor, Tensor]:
        """Logarithms of power, (G, B), and their slopes by each parameter, (G, B, G + 10); float64 all."""
        levels, rest = values[:groups], values[groups:]
        scene, slopes = self._blurred(rest)
        angle = torch.atan2(self.at.y, self.at.x)
        waves = torch.stack([(2 * angle).cos(), (2 * angle).sin(), (4 * angle).cos(), (4 * angle).sin()])
        signal = (levels[:, None] + rest[DIRECTIONS] @ waves).exp() * scene
        noise = rest[LOG_NOISE].exp()
        lifted = 1 - torch.exp(-_BLUR / 2 * self.at.radius.square())
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

    def _blurred(self, rest: Tensor) -> tuple[Tensor, Tensor]:
        """(F,): the sum over aliases; and (4, F): slopes of its logarithm by the exponent, xx, xy and yy."""
        total = torch.zeros_like(self.at.x)
        slopes = torch.zeros(4, len(total), dtype=torch.float64)
        for i, j in _ALIASES:
            x, y = self.at.x + i, self.at.y + j
            log_radius = (x.square() + y.square()).log() / 2
            squares = torch.stack([x.square(), 2 * x * y, y.square()])
            power = torch.exp(-rest[EXPONENT] * log_radius - _BLUR * (rest[XX : YY + 1] @ squares))
            total += power
            slopes -= power * torch.cat([log_radius[None], _BLUR * squares])
        return total, slopes / total
