"""The power spectrum of an image, block by block, as the estimate of its camera reads it.

Blocks are put into groups by how much goes on in them. Of a group each frequency's *mean logarithm* counts, so that one
block of print, or of stripes, weighs no more than any other. Frequencies are gathered in bins of a ring and a sector.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from . import jpeg

_BLOCK, _SMALL_BLOCK = 48, 32
_ENOUGH_FOR_BLOCKS = 96
"""Shortest side of an image with larger blocks."""

_MOST_BLOCKS = 400
"""More tell no more, and take longer."""

_GROUPS, _FEWEST_IN_GROUP = 4, 6

_RINGS = (0.07, 0.1, 0.14, 0.19, 0.24, 0.29, 0.34, 0.39, 0.44, 0.5, 0.72)
"""Cycles per LR pixel, after the lowest that a block tells."""

_SECTORS = 8
"""Of half a turn: a real image's spectrum is the same in the other half."""

_LOWEST = 2.5
"""Cycles per block: below, the window smears what is much stronger yet."""

_ACTIVITY = (0.06, 0.3)
"""Cycles per LR pixel by which blocks are put into groups."""

_MEAN_LOG = 0.5772156649
"""The logarithm of the mean less the mean logarithm, for a frequency of noise."""

_FLAT = 0.5
"""Of the square of a step between samples: in the liveliest blocks at least so much power is to be seen."""

_CUT_OFF = 0.01
"""Share of a block's pixels at an end of the range by which its noise is still seen whole."""

_OVER_LOSS = math.log(2)
"""How far above the loss of JPEG, in logarithms of power, a bin has to be that counts."""


@dataclass(frozen=True)
class Frequencies:
    """Of blocks of one side: half of the plane, without the lowest."""

    x: Tensor
    y: Tensor
    """Cycles per LR pixel, (F,) each, float64."""
    used: Tensor
    """(side, side) bool: where they are in a transform."""
    bins: Tensor
    """(B, F): takes the mean over each bin."""
    count: Tensor
    """(B,): frequencies in a bin."""

    @property
    def radius(self) -> Tensor:
        """(F,)."""
        return torch.hypot(self.x, self.y)


@dataclass(frozen=True)
class Spectrum:
    """Of one image."""

    side: int
    """Of its blocks, in LR pixels."""
    levels: Tensor
    """(G, B) float64: logarithms of power by group, least first, and bin; white noise of 1 has 0, whatever the side."""
    counted: Tensor
    """(G, B) float64: 0 where JPEG may have taken, or put, what is there, else 1."""
    small: bool
    """Whether it is of so few pixels that one thing in them decides."""
    rounding: float
    """Variance of what rounding samples added, in units of the full range squared."""


@lru_cache(maxsize=2)
def frequencies(side: int) -> Frequencies:
    """Those of blocks of a side."""
    cycles = torch.fft.fftfreq(side, dtype=torch.float64)
    y, x = torch.meshgrid(cycles, cycles, indexing="ij")
    radius, lowest = torch.hypot(x, y), _LOWEST / side
    half = (y > 0) | ((y == 0) & (x > 0))
    used = half & (x > -0.5) & (y > -0.5) & (radius > lowest)
    x, y, radius = x[used], y[used], radius[used]
    edges = torch.tensor([lowest, *(edge for edge in _RINGS if edge > lowest)], dtype=torch.float64)
    ring = torch.bucketize(radius, edges) - 1
    sector = ((torch.atan2(y, x) % math.pi) / math.pi * _SECTORS + 0.5).floor().long() % _SECTORS
    _, which = torch.unique(ring * _SECTORS + sector, return_inverse=True)
    bins = torch.zeros(int(which.max()) + 1, len(which), dtype=torch.float64)
    bins[which, torch.arange(len(which))] = 1
    count = bins.sum(1)
    return Frequencies(x, y, used, bins / count[:, None], count)


def spectrum_of(image: Tensor, known: Tensor | None, jpeg_steps: Tensor | None, rounding: float) -> Spectrum | None:
    """The spectrum of the brightness of (C, H, W) float32; None where fewer than six blocks are wholly known,
    or where it is flat.

    Args:
        known: (H, W) bool; None for everywhere.
        jpeg_steps: (8, 8) in grey levels, `jpeg.find_steps`.
        rounding: step between two samples as the file has them, in units of the full range; 0 for floating point.
    """
    side = _side(image)
    if min(image.shape[-2:]) < side:
        return None
    return _of_blocks(_blocks(brightness(image), known, side), jpeg_steps, rounding)


def spectra_by_level(band: Tensor, known: Tensor | None, parts: int) -> list[tuple[float, Spectrum]]:
    """Of (H, W) in [0, 1] the mean level and the spectrum of each of so many parts of its blocks, darkest first.

    Fewer where there are too few blocks, or where a part is flat. Blocks that reach an end of the range are left out:
    there what lies beyond is cut off.
    """
    side = _side(band)
    if min(band.shape) < side:
        return []
    blocks = _blocks(brightness(band[None]), known, side)
    blocks = blocks[((blocks <= 0) | (blocks >= 1)).double().mean((1, 2)) <= _CUT_OFF]
    levels = _means(blocks)
    found = []
    for part in levels.argsort().chunk(max(1, min(parts, len(blocks) // _FEWEST_IN_GROUP))):
        spectrum = _of_blocks(blocks[part], None, 0)
        if spectrum is not None:
            found.append((float(levels[part].mean()), spectrum))
    return found


def _side(image: Tensor) -> int:
    """Of the blocks of (..., H, W)."""
    return _BLOCK if min(image.shape[-2:]) >= _ENOUGH_FOR_BLOCKS else _SMALL_BLOCK


def _of_blocks(blocks: Tensor, jpeg_steps: Tensor | None, rounding: float) -> Spectrum | None:
    """`spectrum_of` (N, side, side) blocks."""
    side = blocks.shape[-1]
    if len(blocks) < _FEWEST_IN_GROUP:
        return None
    at = frequencies(side)
    logs = _power(blocks)[:, at.used].clamp_min(1e-12).log()
    active = (at.radius > _ACTIVITY[0]) & (at.radius < _ACTIVITY[1])
    order = logs[:, active].mean(1).argsort()
    groups = order.chunk(max(1, min(_GROUPS, len(blocks) // _FEWEST_IN_GROUP)))
    levels = torch.stack([at.bins @ (logs[group].mean(0) + _MEAN_LOG) for group in groups])
    if float(levels[-1, at.bins @ at.radius < _ACTIVITY[1]].mean()) < math.log(max(_FLAT * rounding**2, 1e-9)):
        return None
    counted = (
        torch.ones_like(levels) if jpeg_steps is None else (levels > _loss(jpeg_steps, side) + _OVER_LOSS).double()
    )
    return Spectrum(side, levels, counted, side == _SMALL_BLOCK, rounding**2 / 12)


def brightness(image: Tensor) -> Tensor:
    """(H, W) float64 of (C, H, W): of three bands as eyes see it, else their mean."""
    weights = jpeg.LUMA if len(image) == len(jpeg.LUMA) else (1 / len(image),) * len(image)
    return torch.einsum(
        "chw,c->hw", image.double(), torch.tensor(weights, dtype=torch.float64, device=image.device)
    ).cpu()


def _blocks(plane: Tensor, known: Tensor | None, side: int) -> Tensor:
    """(N, side, side): overlapping blocks spread over what is known, as many as are worth it."""
    step = side // 4
    cut = plane.unfold(0, side, step).unfold(1, side, step)
    places = torch.ones(cut.shape[:2], dtype=torch.bool)
    if known is not None:
        places = known.cpu().unfold(0, side, step).unfold(1, side, step).all(-1).all(-1)
    chosen = places.nonzero()
    if len(chosen) > _MOST_BLOCKS:
        chosen = chosen[torch.linspace(0, len(chosen) - 1, _MOST_BLOCKS).long()]
    return cut[chosen[:, 0], chosen[:, 1]]


def _power(blocks: Tensor) -> Tensor:
    """(N, side, side): without their means, through a Hann window."""
    power: Tensor = torch.fft.fft2((blocks - _means(blocks)[:, None, None]) * _window(blocks.shape[-1])).abs().square()
    return power


def _means(blocks: Tensor) -> Tensor:
    """(N,): as the window of their power sees them."""
    return (blocks * _window(blocks.shape[-1]).square()).sum((1, 2))


def _window(side: int) -> Tensor:
    line = torch.hann_window(side, dtype=torch.float64)
    window = line[:, None] * line
    return window / window.square().sum().sqrt()


def _loss(steps: Tensor, side: int) -> Tensor:
    """(B,): logarithm of the power of what JPEG's rounding takes or puts, at most, in units of the full range."""
    at = frequencies(side)
    row, column = ((2 * jpeg.BLOCK * axis.abs()).round().long().clamp_max(jpeg.BLOCK - 1) for axis in (at.y, at.x))
    return at.bins @ ((steps.double().cpu()[row, column] / 255).square() / 12).log()
