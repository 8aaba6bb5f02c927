"""Blurs that are no Gaussian and have a transfer with zeros: a lens out of focus, and a camera that moved.

A disc of radius r lets 2 J1(2 pi r f) / (2 pi r f) of a wave of frequency f through, none where r f is 0.610, 1.117,
1.619, ... (Airy 1835); a line of length l sinc(l f) of one along it, none where l f is a whole number.
"""

import math
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor

_FINE = 16
"""Samples along a side of an HR pixel, from which its share of a disc or a line is computed."""


class ShapeKind(StrEnum):
    """Names of kernels in `kernel_spec`, too."""

    DISC = "disc"
    MOTION = "motion"


@dataclass(frozen=True)
class BlurShape:
    """The shape of a blur, in LR pixels."""

    kind: ShapeKind
    size: float
    """Radius of a disc, length of a motion."""
    degrees: float = 0.0
    """Direction of a motion, from the x axis towards y."""

    def transfer(self, x: Tensor, y: Tensor) -> Tensor:
        """Return the transfer at frequencies in cycles per LR pixel; negative where a wave is inverted."""
        if self.kind == ShapeKind.DISC:
            turns = (2 * math.pi * self.size * torch.hypot(x, y)).clamp_min(1e-9)
            airy: Tensor = 2 * torch.special.bessel_j1(turns) / turns
            return airy
        return torch.sinc(self.size * (x * self._cosine + y * self._sine))

    @property
    def covariance(self) -> tuple[float, float, float]:
        """xx, xy, yy in LR pixels squared."""
        if self.kind == ShapeKind.DISC:
            return self.size**2 / 4, 0.0, self.size**2 / 4
        along = self.size**2 / 12
        return along * self._cosine**2, along * self._cosine * self._sine, along * self._sine**2

    @property
    def _cosine(self) -> float:
        return math.cos(math.radians(self.degrees))

    @property
    def _sine(self) -> float:
        return math.sin(math.radians(self.degrees))


def disc_taps(radius: float, middle: float) -> Tensor:
    """Return (k, k) float64: the share of each HR pixel inside a disc.

    Args:
        middle: position of its centre, along each axis, in HR pixels from the middle tap.
    """
    x, y = _samples(radius, middle)
    return _shares(torch.hypot(x, y) <= radius)


def motion_taps(length: float, degrees: float, middle: float) -> Tensor:
    """Return (k, k) float64: the share of each HR pixel inside a line one HR pixel wide, centred like a disc.

    Args:
        degrees: direction of the line, from the x axis towards y.
    """
    x, y = _samples(math.hypot(length, 1) / 2, middle)
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    along, across = x * cosine + y * sine, y * cosine - x * sine
    return _shares((along.abs() <= length / 2) & (across.abs() <= 0.5))


def _samples(reach: float, middle: float) -> tuple[Tensor, Tensor]:
    """Return x and y relative to `middle`, (16 k, 16 k) each, for taps that cover `reach` around it."""
    side = 2 * math.ceil(reach + middle - 0.5) + 1
    line = (torch.arange(side * _FINE, dtype=torch.float64) + 0.5) / _FINE - 0.5 - side // 2 - middle
    y, x = torch.meshgrid(line, line, indexing="ij")
    return x, y


def _shares(inside: Tensor) -> Tensor:
    side = len(inside) // _FINE
    return inside.double().reshape(side, _FINE, side, _FINE).mean((1, 3))
