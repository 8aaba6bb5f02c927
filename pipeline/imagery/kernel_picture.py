"""A picture of kernels: their taps and their transfer functions."""

from collections.abc import Sequence

import torch
from PIL import Image, ImageDraw

from sr_ops.camera.kernels import Kernel, transfer

_SIDE = 320
_GAP = 24
_BLACK, _WHITE, _GREY, _RED, _BLUE = (20, 20, 20), (255, 255, 255), (170, 170, 170), (200, 60, 50), (40, 90, 190)


def draw(kernels: Sequence[Kernel], scale: int) -> Image.Image:
    """Draw a row per kernel.

    On the left are its taps, black for the largest and red where negative, with a frame around the LR pixel. On the
    right is its transfer along x (blue) and y (red), from 0 to the HR Nyquist frequency, with a line at that of the LR
    grid.
    """
    picture = Image.new("RGB", (2 * _SIDE + 3 * _GAP, len(kernels) * (_SIDE + _GAP) + _GAP), _WHITE)
    for index, kernel in enumerate(kernels):
        top = _GAP + index * (_SIDE + _GAP)
        picture.paste(_taps(kernel, scale), (_GAP, top))
        picture.paste(_transfers(kernel, scale), (_SIDE + 2 * _GAP, top))
    return picture


def _taps(kernel: Kernel, scale: int) -> Image.Image:
    strength = (kernel.taps / kernel.taps.abs().max()).clamp(-1, 1)
    dark = (255 * (1 - strength.abs())).byte()
    red = torch.where(strength < 0, torch.full_like(dark, 255), dark)
    pixels = torch.stack([red, dark, dark], -1).numpy()
    picture = Image.fromarray(pixels, "RGB").resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
    step = _SIDE / kernel.side
    first = kernel.side // 2 * step
    frame = (first, first, min(_SIDE - 1, first + scale * step), min(_SIDE - 1, first + scale * step))
    canvas = ImageDraw.Draw(picture)
    canvas.rectangle(frame, outline=_BLUE, width=2)
    canvas.rectangle((0, 0, _SIDE - 1, _SIDE - 1), outline=_GREY)
    return picture


def _transfers(kernel: Kernel, scale: int) -> Image.Image:
    picture = Image.new("RGB", (_SIDE, _SIDE), _WHITE)
    canvas = ImageDraw.Draw(picture)
    top, bottom = 16, _SIDE - 24
    canvas.rectangle((0, top, _SIDE - 1, bottom), outline=_GREY)
    nyquist = round((_SIDE - 1) / scale)
    canvas.line((nyquist, top, nyquist, bottom), fill=_GREY)
    canvas.text((4, 2), "transfer, 0 to 1", fill=_BLACK)
    canvas.text((4, bottom + 6), f"0 to half a cycle per HR pixel; line: per LR pixel, x{scale}", fill=_BLACK)
    cycles = torch.linspace(0, 0.5, _SIDE, dtype=torch.float64)
    for axis, colour in ((0, _RED), (1, _BLUE)):
        heights = bottom - (bottom - top) * transfer(kernel, axis, cycles).clamp(0, 1)
        canvas.line([(x, float(y)) for x, y in enumerate(heights)], fill=colour, width=2)
    return picture
