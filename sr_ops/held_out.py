"""Parts of an image that its fit never learns from, to ask whether it may be trusted: is it better there than bicubic?

The network enlarges what `downscale` left of such a part, damaged as the image is (`damage`), and the part itself is
the truth. No other image, and no model of what images are like, is asked.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from .damage import Damage, find_damage
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

_FEWEST_SQUARES = 2
_MOST_SQUARES = 24
"""A large image has more to spare than the question needs: so it costs 0.02 s at most."""

_TRIES = 16
"""Places looked at for each square, where some of the image is not known."""


@dataclass(frozen=True)
class HeldOut:
    """Squares of one image."""

    windows: Tensor
    """(K, C, h, w) float32, even h and w: each square with what surrounds it."""
    centre: tuple[slice, slice]
    """Rows and columns of the square within its window."""
    taught: Tensor
    """(1, H, W) float32: 0 in the squares, else 1."""
    damage: Damage
    """Of the image."""
    seed: int
    """Of the noise in what the network is asked to enlarge."""


def hold_out(image: Tensor, seed: int, known: Tensor | None = None) -> HeldOut | None:
    """Squares spread evenly over (C, H, W) float32: a tenth of it, 24 at most, their places drawn by `seed`.

    None for an image with a side below MIN_SIDE, or with no place for two squares where all is known.

    Args:
        known: (H, W) bool; None for everywhere.
    """
    height, width = image.shape[-2:]
    if min(height, width) < MIN_SIDE:
        return None
    sides = [min(_SQUARE + 2 * _MARGIN, side // 2 * 2) for side in (height, width)]
    square = min(_SQUARE, *(side // 3 for side in sides))
    centre = (_middle(sides[0], square), _middle(sides[1], square))
    pixels = height * width if known is None else int(known.sum())
    count = max(_FEWEST_SQUARES, min(_MOST_SQUARES, round(_SHARE * pixels / square**2)))
    windows: list[Tensor] = []
    taught = torch.ones_like(image[:1])
    draws = count if known is None else _TRIES * count
    places = SobolEngine(2, scramble=True, seed=seed).draw(draws).tolist()  # type: ignore[no-untyped-call]
    for down, across in places:
        top, left = int(down * (height - sides[0] + 1)), int(across * (width - sides[1] + 1))
        rows, columns = slice(top, top + sides[0]), slice(left, left + sides[1])
        if len(windows) < count and (known is None or bool(known[rows, columns].all())):
            windows.append(image[:, rows, columns])
            taught[:, rows, columns][:, centre[0], centre[1]] = 0
    if len(windows) < _FEWEST_SQUARES:
        return None
    stacked = torch.stack(windows)
    return HeldOut(stacked, centre, taught, find_damage(image, stacked), seed)


def _middle(length: int, part: int) -> slice:
    return slice((length - part) // 2, (length - part) // 2 + part)


@dataclass(frozen=True)
class HeldOutScore:
    """How a fit does on the squares."""

    learned: float
    """PSNR in dB over the squares, all bands, of network(son) against the image."""
    bicubic: float
    """The same of bicubic(son)."""

    @property
    def fit_wins(self) -> bool:
        return self.learned > self.bicubic


@torch.inference_mode()
def score(network: ResidualNetwork, held_out: HeldOut) -> HeldOutScore:
    """How the network does on the squares, beside bicubic, without self-ensemble and back-projection.

    The sons are damaged as the image is: what sharpens its noise, or its JPEG blocks, must not win.
    """
    sons = downscale(held_out.windows, STAGE_SCALE)
    sons = held_out.damage.put_into(sons, Generator().manual_seed(held_out.seed))
    sons = sons.contiguous(memory_format=torch.channels_last)
    learned, bicubic = (_psnr(enlarged, held_out) for enlarged in (network(sons), upscale(sons, STAGE_SCALE)))
    return HeldOutScore(learned, bicubic)


def _psnr(enlarged: Tensor, held_out: HeldOut) -> float:
    rows, columns = held_out.centre
    error = (enlarged.clamp(0, 1) - held_out.windows)[..., rows, columns].square().mean()
    return float(-10 * torch.log10(error))
