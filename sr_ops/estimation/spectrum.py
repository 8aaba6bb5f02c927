"""The power spectrum of an image's blocks, from which its camera is estimated.

Blocks are grouped by activity. For each group and frequency the *mean logarithm* of power is taken, so that one block
of print or stripes weighs no more than any other. Frequencies are binned by ring and sector.
"""

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

from . import jpeg

_BLOCK, _SMALL_BLOCK = 48, 32
_ENOUGH_FOR_BLOCKS = 96
"""Shortest side of an image that is cut into the larger blocks."""

_MOST_BLOCKS = 400
"""More blocks add no information and take longer."""

_END = 1e-6
"""Distance from an end of the range within which a sample is at that end: the weights of luma are rounded."""

_MOSTLY = 0.5
"""Largest share of a block's samples at the ends of the range; with a tenth the noise of a framed photograph is the
same."""

_GROUPS, _FEWEST_IN_GROUP = 4, 6

_RINGS = (0.07, 0.1, 0.14, 0.19, 0.24, 0.29, 0.34, 0.39, 0.44, 0.5, 0.72)
"""Limits of the rings in cycles per LR pixel, above the lowest frequency of a block."""

_SECTORS = 8
"""Sectors in half a turn; the spectrum of a real image is symmetric."""

_LOWEST = 2.5
"""Cycles per block; below, the window leaks from much stronger frequencies."""

_ACTIVITY = (0.06, 0.3)
"""Range of frequencies, in cycles per LR pixel, whose power is the activity of a block."""

_MEAN_LOG = 0.5772156649
"""Log of the mean minus mean of the log, for the power of noise at one frequency."""

_FLAT = 0.5
"""Least power of the most active blocks, as a share of the squared step between samples; below, the image is flat."""

_CUT_OFF = 0.01
"""Largest share of a block's pixels at an end of the range for which its noise counts as complete."""

_OVER_LOSS = math.log(2)
"""How far, in log power, a bin must be above the loss of JPEG to count."""


@dataclass(frozen=True)
class Frequencies:
    """The frequencies of blocks of one side: half of the plane, without the lowest, bin by bin."""

    side: int
    x: Tensor
    y: Tensor
    """x and y in cycles per LR pixel, (F,) each, float64."""
    places: Tensor
    """(F,): their positions in a transform, row by row."""
    count: Tensor
    """(B,) float64: number of frequencies in each bin."""

    @cached_property
    def radius(self) -> Tensor:
        """(F,): distance from the origin."""
        return torch.hypot(self.x, self.y)

    def means(self, values: Tensor) -> Tensor:
        """Return the means of (..., F) over each bin, (..., B)."""
        sums = values.cumsum(-1)[..., self._last]  # a product with a matrix of shares takes several times as long
        return sums.diff(dim=-1, prepend=torch.zeros_like(sums[..., :1])) / self.count

    @cached_property
    def _last(self) -> Tensor:
        """(B,): the last frequency of each bin."""
        return self.count.cumsum(0).long() - 1


@dataclass(frozen=True)
class Spectrum:
    """The spectrum of one image."""

    side: int
    """Side of its blocks, in LR pixels."""
    levels: Tensor
    """(G, B) float64: log power by group, least active first, and bin; 0 for white noise of 1, whatever the side."""
    counted: Tensor
    """(G, B) float64: 0 where JPEG may have removed or added the power, 1 elsewhere."""
    small: bool
    """Whether there are so few pixels that a single object decides."""
    rounding: float
    """Variance added by rounding samples, in units of the full range squared."""


@lru_cache(maxsize=2)
def frequencies(side: int) -> Frequencies:
    """Return the frequencies of blocks of the given side."""
    cycles = torch.fft.fftfreq(side, dtype=torch.float64)
    y, x = torch.meshgrid(cycles, cycles, indexing="ij")
    radius, lowest = torch.hypot(x, y), _LOWEST / side
    half = (y > 0) | ((y == 0) & (x > 0))
    used = half & (x > -0.5) & (y > -0.5) & (radius > lowest)
    places = used.flatten().nonzero()[:, 0]
    x, y, radius = (axis.flatten()[places] for axis in (x, y, radius))
    edges = torch.tensor([lowest, *(edge for edge in _RINGS if edge > lowest)], dtype=torch.float64)
    ring = torch.bucketize(radius, edges) - 1
    sector = ((torch.atan2(y, x) % math.pi) / math.pi * _SECTORS + 0.5).floor().long() % _SECTORS
    bins, order = (ring * _SECTORS + sector).sort(stable=True)
    _, count = torch.unique_consecutive(bins, return_counts=True)
    return Frequencies(side, x[order], y[order], places[order], count.double())


def spectrum_of(image: Tensor, known: Tensor | None, jpeg_steps: Tensor | None, rounding: float) -> Spectrum | None:
    """Return the luma spectrum of (C, H, W) float32; None if fewer than six blocks are wholly known, or it is flat.

    Args:
        known: (H, W) bool; None if all pixels are known.
        jpeg_steps: (8, 8) in grey levels, from `jpeg.find_steps`.
        rounding: step between two samples in the file, in units of the full range; 0 for floating point.
    """
    side = _side(image)
    if min(image.shape[-2:]) < side:
        return None
    return _of_blocks(_blocks(brightness(image), known, side), jpeg_steps, rounding)


def spectra_by_level(band: Tensor, known: Tensor | None, parts: int) -> list[tuple[float, Spectrum]]:
    """Return the mean level and the spectrum of each of `parts` groups of blocks of (H, W) in [0, 1], darkest first.

    There are fewer if there are too few blocks, or if a group is flat. Blocks that reach an end of the range are left
    out, because values are clipped there.
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
    """Return the side of the blocks for (..., H, W)."""
    return _BLOCK if min(image.shape[-2:]) >= _ENOUGH_FOR_BLOCKS else _SMALL_BLOCK


def _of_blocks(blocks: Tensor, jpeg_steps: Tensor | None, rounding: float) -> Spectrum | None:
    """Return `spectrum_of` for (N, side, side) blocks."""
    side = blocks.shape[-1]
    blocks = blocks[_telling(blocks)]
    if len(blocks) < _FEWEST_IN_GROUP:
        return None
    at = frequencies(side)
    logs = _power(blocks).flatten(1)[:, at.places].clamp_min(1e-12).log()
    active = (at.radius > _ACTIVITY[0]) & (at.radius < _ACTIVITY[1])
    order = logs[:, active].mean(1).argsort()
    groups = order.chunk(max(1, min(_GROUPS, len(blocks) // _FEWEST_IN_GROUP)))
    levels = torch.stack([at.means(logs[group].mean(0) + _MEAN_LOG) for group in groups])
    if float(levels[-1, at.means(at.radius) < _ACTIVITY[1]].mean()) < math.log(max(_FLAT * rounding**2, 1e-9)):
        return None
    counted = (
        torch.ones_like(levels) if jpeg_steps is None else (levels > _loss(jpeg_steps, side) + _OVER_LOSS).double()
    )
    return Spectrum(side, levels, counted, side == _SMALL_BLOCK, rounding**2 / 12)


def _telling(blocks: Tensor) -> Tensor:
    """Return (N,) bool: False for blocks that are black or white for the most part, as in a frame or an unnamed fill.

    Nothing of the camera or its noise is left there, while a flat block between the ends says that there is no noise.
    If too few others are left, as on a page of text, only blocks that are wholly black or wholly white are False.
    """
    ends = ((blocks <= _END) | (blocks >= 1 - _END)).double().mean((1, 2))
    telling = ends <= _MOSTLY
    enough = int(telling.sum()) >= _GROUPS * _FEWEST_IN_GROUP
    return telling if enough else (blocks.flatten(1).amax(1) > blocks.flatten(1).amin(1)) | (ends < 1)


def brightness(image: Tensor) -> Tensor:
    """Return (H, W) float64 for (C, H, W): the luma of three bands, else the mean of the bands."""
    weights = jpeg.LUMA if len(image) == len(jpeg.LUMA) else (1 / len(image),) * len(image)
    return torch.einsum(
        "chw,c->hw", image.double(), torch.tensor(weights, dtype=torch.float64, device=image.device)
    ).cpu()


def _blocks(plane: Tensor, known: Tensor | None, side: int) -> Tensor:
    """Return (N, side, side): overlapping blocks spread over the known part, at most _MOST_BLOCKS."""
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
    """Return the power spectra (N, side, side) of blocks minus their means, with a Hann window."""
    power: Tensor = torch.fft.fft2((blocks - _means(blocks)[:, None, None]) * _window(blocks.shape[-1])).abs().square()
    return power


def _means(blocks: Tensor) -> Tensor:
    """Return (N,): the means of the blocks, weighted by the squared window."""
    return (blocks * _window(blocks.shape[-1]).square()).sum((1, 2))


def _window(side: int) -> Tensor:
    line = torch.hann_window(side, dtype=torch.float64)
    window = line[:, None] * line
    return window / window.square().sum().sqrt()


def _loss(steps: Tensor, side: int) -> Tensor:
    """Return (B,): log of the largest power that JPEG's rounding removes or adds, in units of the full range."""
    at = frequencies(side)
    row, column = ((2 * jpeg.BLOCK * axis.abs()).round().long().clamp_max(jpeg.BLOCK - 1) for axis in (at.y, at.x))
    return at.means(((steps.double().cpu()[row, column] / 255).square() / 12).log())
