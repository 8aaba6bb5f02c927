"""Damage that an image brings along, noise and the loss of JPEG, to be put into its sons as well.

A son has less of both than its father: shrinking averages them away. A network fitted to clean sons therefore sharpens
what it should leave alone. Given sons as damaged as the image is, while damage in the fathers is another and averages
out over the steps, it learns to leave it alone (as Shocher et al. 2018, section 4, do with noise in the sons).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from .degradation import Degradation
from .direct import JPEG_NOISE, planes
from .jpeg import round_to_steps
from .noise_line import NoiseLine
from .signs import Signs

_BLOCK = 8
"""Side of the blocks in which noise is measured."""

_VISIBLE, _VISIBLE_TO_ANY_KERNEL = 3 / 255, 0.7 / 255
"""Noise that counts. Undoing a kernel that is wider than bicubic amplifies it: by a Gaussian of 1.4 HR pixels at x2,
noise of 2.55 levels of which nothing is told costs 2.6 dB. By bicubic heads for clean images are as good up to 3 levels
at x2 and 4 at x4, and fine texture is taken for 2 to 3."""

_VISIBLE_IN_JPEG = 10 / 255
"""There only the smoothest blocks tell, of which JPEG took what noise they had, and whose texture counts as some."""

_MIN_SIDE = 96
"""Of a JPEG whose noise is believed: a smaller one may be texture all over."""

_SMOOTHEST = 0.1

_SMOOTHEST_BIAS = 0.79
"""What the smoothest tenth of the blocks say of white noise of 1, since some have less by chance."""


@dataclass(frozen=True)
class Damage:
    """What an image suffered before it came to us."""

    noise: Tensor | None = None
    """Standard deviation (C,) of the noise in each band, in units of the full range; None for none that is visible."""
    jpeg_steps: Tensor | None = None
    """(8, 8): `jpeg.find_steps`."""
    looked: bool = True
    """Whether the noise is known, or was looked for."""
    lines: tuple[NoiseLine | None, ...] = ()
    """How noise that was measured grows with the level, in each band; none where JPEG changed it."""

    def put_into(self, sons: Tensor, generator: Generator) -> Tensor:
        """(..., C, h, w) float32 in [0, 1] damaged alike, noise drawn from `generator`; it may leave the range."""
        if self.noise is not None:
            drawn = torch.randn(sons.shape, generator=generator).to(sons)
            sons = sons + drawn * self.noise.to(sons)[:, None, None]
        return sons if self.jpeg_steps is None else round_to_steps(sons, self.jpeg_steps)

    def with_noise(self, sigma: float) -> "Damage":
        """With white noise of this standard deviation, in units of the full range, beside its own."""
        if not sigma:
            return self
        own = torch.zeros(1) if self.noise is None else self.noise
        return replace(self, noise=torch.hypot(own, torch.full_like(own, sigma)))

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The noise, for all bands or for each."""
        return (0.0,) if self.noise is None else tuple(self.noise.tolist())

    def as_noise_of(self, degradation: Degradation) -> Degradation:
        """The degradation with this damage for its noise; what JPEG lost counts as noise, too."""
        step = 0.0 if self.jpeg_steps is None else float(self.jpeg_steps.mean())
        noise = tuple(math.hypot(sigma, step * JPEG_NOISE) for sigma in self.sigmas)
        return degradation if noise == degradation.noise else replace(degradation, noise=noise)

    def told(self, bands: int) -> Tensor:
        """(C, 2): what a network is told of an image of so many bands."""
        noise = torch.zeros(bands) if self.noise is None else self.noise.cpu().float().expand(bands)
        step = 0.0 if self.jpeg_steps is None else float(self.jpeg_steps.mean())
        return planes(noise, torch.full((bands,), step))


CLEAN = Damage()


def find_damage(signs: Signs, windows: Tensor | None, noise: Tensor | None = None, by_bicubic: bool = True) -> Damage:
    """What an image suffered, its noise by (K, C, h, w) of it, h and w at least 10.

    Args:
        windows: None where no part can be spared: what is not given is then not looked for.
        noise: as it is known, standard deviation (1,) or (C,); None to be measured.
        by_bicubic: whether bicubic is what is to be undone.
    """
    steps = None if windows is None else signs.jpeg_steps
    if noise is not None:
        return Damage(noise if float(noise.max()) > 0 else None, steps)
    if windows is None or (steps is not None and min(signs.image.shape[-2:]) < _MIN_SIDE):
        return Damage(None, steps, looked=False)
    noise, visible = noise_sigma(windows), _VISIBLE_IN_JPEG
    if steps is None:
        visible = _VISIBLE if by_bicubic else _VISIBLE_TO_ANY_KERNEL
        if float(noise.max()) > visible:  # only then the spectrum has a say
            told = signs.noise
            noise = torch.zeros_like(noise) if told is None else torch.minimum(noise, told)
    if float(noise.max()) <= visible:
        return Damage(None, steps)
    return Damage(noise, steps, lines=signs.noise_lines if steps is None else ())


def noise_sigma(windows: Tensor) -> Tensor:
    """Standard deviation (C,) of the noise in (K, C, h, w), h and w at least 10; 0 for a band of black or white.

    Immerkaer's Laplacian difference ("Fast noise variance estimation", 1996), which flat and evenly sloping parts
    answer with their noise alone, over blocks of 8 x 8 of which the smoothest tenth counts: texture is no noise. Blocks
    with a pixel at the end of the range are left out, where noise is cut off.
    """
    bands = windows.transpose(0, 1)
    within = torch.as_tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]).to(windows) / 6
    differences = _blocks(torch.nn.functional.conv2d(bands.flatten(0, 1)[:, None], within[None, None]), len(bands))
    inner = bands[..., 1:-1, 1:-1]
    clipped = _blocks(((inner <= 0) | (inner >= 1)).float().flatten(0, 1)[:, None], len(bands))
    sigmas = []
    for difference, ends in zip(differences, clipped, strict=True):
        usable = difference[ends.sum(1) == 0]
        sigmas.append(usable.square().mean(1).sqrt().quantile(_SMOOTHEST) / _SMOOTHEST_BIAS if len(usable) else 0.0)
    return torch.as_tensor(sigmas)


def _blocks(images: Tensor, bands: int) -> Tensor:
    """(bands K, 1, h, w) to the whole blocks in it, (bands, blocks, pixels)."""
    blocks = images.unfold(2, _BLOCK, _BLOCK).unfold(3, _BLOCK, _BLOCK)
    return blocks.reshape(bands, -1, _BLOCK**2)
