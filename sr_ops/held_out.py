"""Parts of an image that its fit never learns from, to ask what may be trusted: is it better there than the base?

The network enlarges what the camera would have seen of such a part, damaged as the image is (`damage`), and the part
itself is the truth. No other image, and no model of what images are like, is asked.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.quasirandom import SobolEngine

from .damage import Damage
from .residual_network import ResidualNetwork
from .stages import Stage

_SHORTEST = 12
"""Side, in pixels of the son, of an image that can spare a part."""

_SQUARE = 16
_MARGIN = 8
"""Around a square, in pixels of the son: nearly as far as the default network looks."""

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
    """(K, C, h, w) float32, h and w multiples of the ratio: each square with what surrounds it."""
    counted: Tensor
    """(K, 1, h, w) bool: the square within its window."""
    taught: Tensor
    """(1, H, W) float32: 0 in the squares, else 1."""


def hold_out(image: Tensor, ratio: int, seed: int, known: Tensor | None = None) -> HeldOut | None:
    """Squares spread evenly over (C, H, W) float32: a tenth of it, 24 at most, their places drawn by `seed`.

    None for an image with a side below 12 `ratio`, or with no place for two squares where all is known.

    Args:
        ratio: of the network that is to be asked.
        known: (H, W) bool; None for everywhere.
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
    """All that is known of the image, for what learned from none of it; None for a size that can spare no part."""
    height, width = (side // ratio * ratio for side in image.shape[-2:])
    if min(image.shape[-2:]) < _SHORTEST * ratio:
        return None
    counted = torch.ones_like(image[:1], dtype=torch.bool) if known is None else known[None]
    return HeldOut(image[None, :, :height, :width], counted[None, :, :height, :width], torch.ones_like(image[:1]))


def _middle(length: int, part: int) -> slice:
    return slice((length - part) // 2, (length - part) // 2 + part)


class Examination:
    """The squares as a network is asked for them: PSNR in dB over the squares, all bands, against the image.

    Without self-ensemble and back-projection. What is to be enlarged is damaged as the image is: what sharpens its
    noise, or its JPEG blocks, must not win.
    """

    def __init__(self, held_out: HeldOut, stage: Stage, damage: Damage, seed: int) -> None:
        self._held_out = held_out
        sons = damage.put_into(stage.learned.apply(held_out.windows), Generator().manual_seed(seed))
        self._sons = sons.contiguous(memory_format=torch.channels_last)
        self._bases = stage.base(self._sons)

    def of_base(self) -> float:
        """Of what the data alone say."""
        return self._psnr(self._bases)

    @torch.inference_mode()
    def of(self, network: ResidualNetwork, told: Tensor) -> float:
        """Of a network that is told (C, 2) of the image."""
        return self._psnr(network(self._sons, self._bases, told.expand(len(self._sons), -1, -1)))

    def _psnr(self, enlarged: Tensor) -> float:
        errors = (enlarged.clamp(0, 1) - self._held_out.windows).square()
        counted = self._held_out.counted
        return float(-10 * torch.log10((errors * counted).sum() / (counted.sum() * errors.shape[1])))
