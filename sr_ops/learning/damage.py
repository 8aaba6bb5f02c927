"""Damage of an image, noise and JPEG losses, measured so that it can be put into its sons.

Shrinking averages damage away, so a son has less of it than its father. A network fitted to clean sons would sharpen
noise that it should leave alone. Fitted to sons as damaged as the image it learns to leave noise alone, since the
fathers' damage is independent and averages out over the steps (as for noise in Shocher et al. 2018, section 4).
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor
from torch.nn.functional import conv2d, max_pool2d

from ..camera.degradation import Degradation
from ..estimation.jpeg import round_to_steps
from ..estimation.noise_line import NoiseLine
from ..estimation.signs import Signs
from ..networks.direct import JPEG_NOISE, planes

_BLOCK = 8
"""Side of the blocks in which noise is measured."""

_VISIBLE, _VISIBLE_TO_ANY_KERNEL = 3 / 255, 0.7 / 255
"""Noise above these is visible. For bicubic, heads trained on clean images are as good up to 3 levels at x2 and 4 at
x4, and fine texture is mistaken for 2 to 3. Undoing a wider kernel amplifies noise: with a Gaussian of 1.4 HR pixels at
x2, 2.55 levels of noise that the network does not know of cost 2.6 dB."""

_VISIBLE_IN_JPEG = 10 / 255
"""The same in JPEGs, where only the smoothest blocks tell. JPEG removed their noise, and their texture passes for some.
"""

_MIN_SIDE = 96
"""Shortest side of a JPEG whose measured noise is trusted; a smaller one may be texture all over."""

_SMOOTHEST = 0.05

_SMOOTHEST_BIAS = 0.745
"""What the smoothest twentieth of the blocks measures for white noise of 1: some blocks have less by chance."""

_LEAST_SIDE = _BLOCK + 2
"""Shortest side of an image in which noise can be measured: a block, and the pixels around it."""


@dataclass(frozen=True)
class Damage:
    """The noise and JPEG losses of an image."""

    noise: Tensor | None = None
    """Standard deviation (C,) of the noise in each band, in units of the full range; None if no noise is visible."""
    jpeg_steps: Tensor | None = None
    """(8, 8), as `jpeg.find_steps` returns them."""
    looked: bool = True
    """Whether the noise is known: given, or measured."""
    lines: tuple[NoiseLine | None, ...] = ()
    """How measured noise grows with the level, one per band; empty where JPEG changed the noise."""

    def put_into(self, sons: Tensor, generator: Generator) -> Tensor:
        """Damage (..., C, h, w) float32 in [0, 1] alike, with noise drawn from `generator`; may leave [0, 1]."""
        if self.noise is not None:
            drawn = torch.randn(sons.shape, generator=generator).to(sons)
            sons = sons + drawn * self.noise.to(sons)[:, None, None]
        return sons if self.jpeg_steps is None else round_to_steps(sons, self.jpeg_steps)

    def with_noise(self, sigma: float) -> "Damage":
        """Return this damage with additional white noise of standard deviation `sigma`, in units of the full range."""
        if not sigma:
            return self
        own = torch.zeros(1) if self.noise is None else self.noise
        return replace(self, noise=torch.hypot(own, torch.full_like(own, sigma)))

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The noise: one value for all bands, or one per band."""
        return (0.0,) if self.noise is None else tuple(self.noise.tolist())

    def as_noise_of(self, degradation: Degradation) -> Degradation:
        """Return `degradation` with this damage as its noise; JPEG losses are counted as noise, too."""
        step = 0.0 if self.jpeg_steps is None else float(self.jpeg_steps.mean())
        noise = tuple(math.hypot(sigma, step * JPEG_NOISE) for sigma in self.sigmas)
        return degradation if noise == degradation.noise else replace(degradation, noise=noise)

    def told(self, bands: int) -> Tensor:
        """Return (C, 2), what a network is told of the damage of an image of `bands` bands (`direct.planes`)."""
        noise = torch.zeros(bands) if self.noise is None else self.noise.cpu().float().expand(bands)
        step = 0.0 if self.jpeg_steps is None else float(self.jpeg_steps.mean())
        return planes(noise, torch.full((bands,), step))


CLEAN = Damage()


def find_damage(signs: Signs, noise: Tensor | None = None, by_bicubic: bool = True) -> Damage:
    """Find the damage of an image.

    Args:
        noise: standard deviation (1,) or (C,), if known; None to measure it, which takes an image of about 48 x 48.
        by_bicubic: whether the kernel to undo is bicubic.
    """
    steps = signs.jpeg_steps
    if noise is not None:
        return Damage(noise if float(noise.max()) > 0 else None, steps)
    if min(signs.image.shape[-2:]) < (_LEAST_SIDE if steps is None else _MIN_SIDE):
        return Damage(None, steps, looked=False)
    noise, visible = noise_sigma(signs.image, signs.known), _VISIBLE_IN_JPEG
    if steps is None:
        visible = _VISIBLE if by_bicubic else _VISIBLE_TO_ANY_KERNEL
        if float(noise.max()) > visible:  # the spectrum is consulted only then
            if signs.estimate is None:
                return Damage(None, looked=False)
            told = signs.noise
            noise = torch.zeros_like(noise) if told is None else torch.minimum(noise, told)
    if float(noise.max()) <= visible:
        return Damage(None, steps)
    return Damage(noise, steps, lines=signs.noise_lines if steps is None else ())


def noise_sigma(image: Tensor, known: Tensor | None = None) -> Tensor:
    """Return the standard deviation (C,) of the noise in (C, H, W), H and W at least 10; 0 for an all-black band.

    A band that is all white has 0, too. Uses Immerkaer's Laplacian difference ("Fast noise variance estimation", 1996),
    which responds to noise alone where the image is flat or a ramp. It is taken over blocks of 8 x 8, of which the
    smoothest twentieth counts, since texture is not noise. Blocks with a pixel at an end of the range are left out,
    since noise is clipped there, and so are blocks that see an unknown one.

    Args:
        known: (H, W) bool; None for everywhere.
    """
    within = torch.as_tensor([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]]).to(image) / 6
    differences = _blocks(conv2d(image[:, None], within[None, None])[:, 0])
    unusable = ((image <= 0) | (image >= 1))[:, 1:-1, 1:-1]
    if known is not None:
        unusable = unusable | (max_pool2d((~known)[None].float(), 3, 1) > 0)
    usable = ~_blocks(unusable).any(-1)
    sigmas = []
    for difference, counted in zip(differences, usable, strict=True):
        blocks = difference[counted].square().mean(1).sqrt()
        sigmas.append(blocks.quantile(_SMOOTHEST) / _SMOOTHEST_BIAS if len(blocks) else 0.0)
    return torch.as_tensor(sigmas)


def _blocks(bands: Tensor) -> Tensor:
    """Cut (C, h, w) into its whole blocks: (C, blocks, pixels)."""
    blocks = bands.unfold(1, _BLOCK, _BLOCK).unfold(2, _BLOCK, _BLOCK)
    return blocks.reshape(len(bands), -1, _BLOCK**2)
