"""Parts of an image that its fit never learns from, to ask whether it may be trusted: is it better there than bicubic?

The network enlarges what `downscale` left of such a part, and the part itself is the truth. Nothing is invented for
the question: neither another image nor a model of what images are like.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.quasirandom import SobolEngine

from .damage import blocking, noise_sigma
from .networks import ResidualNetwork
from .resample import downscale, upscale
from .settings import STAGE_SCALE

MIN_SIDE = 24
"""Shortest side, in pixels, of an image that can spare a part."""

_SQUARE = 16
_MARGIN = 16
"""Around a square, in pixels of the image: as far as the default network looks."""

_SHARE = 0.1
"""Of the pixels: less makes the answer a matter of luck, more takes lessons from small images."""

# The rule's numbers are the roundest ones near the fewest wrong answers on half of the pictures of
# benchmarks/no_harm.py; docs/results.md tells how they do on the other half.

_VISIBLE_NOISE = 8 / 255
"""Below, the fit gains more than noise takes; and texture may be taken for noise."""

_NOISE_SHARE = 0.2
"""Of the noise's power, that a fit must take away of bicubic's squared error."""

_VISIBLE_BLOCKING = 1 / 255

_BLOCKING_SHARE = 3.0

_LEAST_GAIN_ON_BLOCKS = 1.3
"""In dB."""

_MOST_SQUARES = 24
"""A large image has more to spare than the question needs: so it costs 0.02 s at most."""


@dataclass(frozen=True)
class HeldOut:
    """Squares of one image."""

    windows: Tensor
    """(K, C, h, w) float32, even h and w: each square with what surrounds it."""
    centre: tuple[slice, slice]
    """Rows and columns of the square within its window."""
    taught: Tensor
    """(1, H, W) float32: 0 in the squares, else 1."""
    blocking: float
    """Of the whole image: `damage.blocking`."""


def hold_out(image: Tensor, seed: int) -> HeldOut | None:
    """Squares spread evenly over (C, H, W) float32: a tenth of it, 24 at most, their places drawn by `seed`.

    None for an image with a side below MIN_SIDE.
    """
    height, width = image.shape[-2:]
    if min(height, width) < MIN_SIDE:
        return None
    sides = [min(_SQUARE + 2 * _MARGIN, side // 2 * 2) for side in (height, width)]
    square = min(_SQUARE, *(side // 3 for side in sides))
    centre = (_middle(sides[0], square), _middle(sides[1], square))
    count = max(2, min(_MOST_SQUARES, round(_SHARE * height * width / square**2)))
    windows = []
    taught = torch.ones_like(image[:1])
    places = SobolEngine(2, scramble=True, seed=seed).draw(count).tolist()  # type: ignore[no-untyped-call]
    for down, across in places:
        top, left = int(down * (height - sides[0] + 1)), int(across * (width - sides[1] + 1))
        rows, columns = slice(top, top + sides[0]), slice(left, left + sides[1])
        windows.append(image[:, rows, columns])
        taught[:, rows, columns][:, centre[0], centre[1]] = 0
    return HeldOut(torch.stack(windows), centre, taught, blocking(image))


def _middle(length: int, part: int) -> slice:
    return slice((length - part) // 2, (length - part) // 2 + part)


@dataclass(frozen=True)
class Score:
    """How a fit does on the squares, and what of the image it might sharpen by mistake."""

    learned: float
    """PSNR in dB over the squares, all bands, of network(son) against the image."""
    bicubic: float
    """The same of bicubic(son)."""
    noise: float
    """Standard deviation, of the band that has most, in units of the full range."""
    blocking: float
    """Of JPEG: `damage.blocking` of the image."""

    @property
    def fit_wins(self) -> bool:
        """Whether the network is better, by more than the damage in the image makes doubtful.

        A shrunken image has less noise than the image, and no blocks where the image has them: a network that is right
        about the son may still sharpen both.
        """
        error_taken_away = 10 ** (-self.bicubic / 10) - 10 ** (-self.learned / 10)
        noisy = self.noise > _VISIBLE_NOISE and error_taken_away < _NOISE_SHARE * self.noise**2
        blocky = self.blocking > _VISIBLE_BLOCKING and (
            error_taken_away < _BLOCKING_SHARE * self.blocking**2 or self.learned - self.bicubic < _LEAST_GAIN_ON_BLOCKS
        )
        return error_taken_away > 0 and not noisy and not blocky


@torch.inference_mode()
def score(network: ResidualNetwork, held_out: HeldOut) -> Score:
    """How the network does on the squares, beside bicubic, without self-ensemble and back-projection."""
    sons = downscale(held_out.windows, STAGE_SCALE).contiguous(memory_format=torch.channels_last)
    noise = float(noise_sigma(held_out.windows).max())
    learned, bicubic = (_psnr(enlarged, held_out) for enlarged in (network(sons), upscale(sons, STAGE_SCALE)))
    return Score(learned, bicubic, noise, held_out.blocking)


def _psnr(enlarged: Tensor, held_out: HeldOut) -> float:
    rows, columns = held_out.centre
    error = (enlarged.clamp(0, 1) - held_out.windows)[..., rows, columns].square().mean()
    return float(-10 * torch.log10(error))
