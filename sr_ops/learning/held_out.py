"""Held-out parts of an image, which its fit never learns from: is the fit better there than the base?

A held-out part is shrunk by the forward model and damaged as the image is (`damage`). The network enlarges that, and
the part itself is the ground truth. No other image and no image statistics are involved.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from ..enlarging.stages import Stage
from ..image.domain import UNIT, Domain
from ..networks.residual_network import ResidualNetwork
from .damage import Damage

_SHORTEST = 12
"""Shortest side, in son pixels, of an image that can spare a part."""

_SQUARE = 16
_MARGIN = 8
"""Margin around a square, in son pixels: almost the reach of the default network."""

_SHARE = 0.1
"""Share of the pixels to hold out: with less the comparison is a matter of luck, with more small images teach too
little."""

_FEWEST_SQUARES = 2
_MOST_SQUARES = 24
"""A large image has more pixels than the comparison needs; this limits its time to 0.02 s."""

_TRIES = 16
"""Places tried per square where parts of the image are unknown."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out squares of one image."""

    windows: Tensor
    """(K, C, h, w) float32, h and w multiples of the ratio: each square with its surroundings."""
    counted: Tensor
    """(K, 1, h, w) bool: True in the square within each window."""
    taught: Tensor
    """(1, H, W) float32: 0 in the squares, 1 elsewhere."""


def hold_out(image: Tensor, ratio: int, seed: int, known: Tensor | None = None) -> HeldOut | None:
    """Hold out squares spread evenly over (C, H, W) float32: a tenth of its pixels, at most 24, placed by `seed`.

    Returns None for an image with a side below 12 `ratio`, or without two places for squares where all is known.

    Args:
        ratio: of the network to be tested.
        known: (H, W) bool; None if all pixels are known.
    """
    height, width = image.shape[-2:]
    if min(height, width) < _SHORTEST * ratio:
        return None
    sides = [min(_SQUARE + 2 * _MARGIN * ratio, side) // ratio * ratio for side in (height, width)]
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
    counted = torch.zeros(len(windows), 1, *sides, dtype=torch.bool, device=image.device)
    counted[..., centre[0], centre[1]] = True
    return HeldOut(torch.stack(windows), counted, taught)


def whole(image: Tensor, ratio: int, known: Tensor | None = None) -> HeldOut | None:
    """Return all known pixels as held out, to test weights that learned from none of them; None if too small."""
    height, width = (side // ratio * ratio for side in image.shape[-2:])
    if min(image.shape[-2:]) < _SHORTEST * ratio:
        return None
    counted = torch.ones_like(image[:1], dtype=torch.bool) if known is None else known[None]
    return HeldOut(image[None, :, :height, :width], counted[None, :, :height, :width], torch.ones_like(image[:1]))


def _middle(length: int, part: int) -> slice:
    return slice((length - part) // 2, (length - part) // 2 + part)


class Examination:
    """A test on held-out parts: PSNR in dB over all bands of the held-out pixels.

    There is no self-ensemble and no back-projection. The sons are damaged as the image is, so that a network that
    sharpens noise or JPEG blocks does not win. What is enlarged is cut off at the bounds of `domain`, as a result is.
    """

    def __init__(self, held_out: HeldOut, stage: Stage, damage: Damage, seed: int, domain: Domain = UNIT) -> None:
        self._held_out = held_out
        self._bounds = domain.bounds(held_out.windows)
        sons = damage.put_into(stage.undone.apply(held_out.windows), Generator().manual_seed(seed))
        self._sons = sons.contiguous(memory_format=torch.channels_last)
        self._bases = stage.base(self._sons)

    def of_base(self) -> float:
        """Return the PSNR of the base."""
        return self._psnr(self._bases)

    @torch.inference_mode()
    def of(self, network: ResidualNetwork, told: Tensor) -> float:
        """Return the PSNR of a network, which is given `told` (C, 2) about the image."""
        return self._psnr(network(self._sons, self._bases, told.expand(len(self._sons), -1, -1)))

    def _psnr(self, enlarged: Tensor) -> float:
        errors = (enlarged.clamp(*self._bounds) - self._held_out.windows).square()
        counted = self._held_out.counted
        return float(-10 * torch.log10((errors * counted).sum() / (counted.sum() * errors.shape[1])))
