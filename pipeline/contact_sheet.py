"""A contact sheet of several methods on one image: the same crop of each at pixel size, with its name below."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from math import ceil, sqrt

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from .imagery.densest import densest
from .imagery.scored import OpenLevels, from_levels

CROP = 256
"""Longest side, in pixels, of the crop of a result."""

_GAP, _LINE, _TEXT = 12, 34, 13
"""In pixels: between cells, below each cell for two lines of text, and the height of letters."""

_LOOKED_AT = 2048
"""Longest side, in LR pixels, of the middle part of an image in which a crop is chosen."""

_PAPER, _INK, _FAINT = (250, 250, 248), (30, 30, 30), (110, 110, 110)

Crop = tuple[slice, slice]
"""Rows and columns of LR pixels."""


@dataclass(frozen=True)
class Cell:
    """The result of one method."""

    pixels: Tensor
    """(1 or 3, h, w) uint8."""
    name: str
    figures: str
    """Figures below the name."""


def crop_of(lr: OpenLevels, ratio: float) -> Crop:
    """Return the LR pixels with most detail whose result is at most CROP a side.

    Args:
        ratio: of result to image.
    """
    side = max(1, int(CROP / ratio))
    height, width = min(side, lr.height), min(side, lr.width)
    middle_rows, middle_columns = _middle(lr.height), _middle(lr.width)
    levels, known = lr.window(middle_rows, middle_columns)
    grey = from_levels(levels).mean(0)
    steps = torch.zeros_like(grey)
    steps[1:] += (grey[1:] - grey[:-1]).abs()
    steps[:, 1:] += (grey[:, 1:] - grey[:, :-1]).abs()
    # Square roots, so that one hard edge counts less than texture. Unknown pixels count against a place.
    detail = steps.sqrt().where(known, torch.tensor(-1.0))
    top, left = densest(detail.numpy(), height, width)
    top, left = top + middle_rows.start, left + middle_columns.start
    return slice(top, top + height), slice(left, left + width)


def scaled(crop: Crop, lr: OpenLevels, made: OpenLevels) -> Crop:
    """Return the same place in a result."""
    rows, columns = (
        slice(round(part.start * new / old), round(part.stop * new / old))
        for part, old, new in zip(crop, (lr.height, lr.width), (made.height, made.width), strict=True)
    )
    return rows, columns


def enlarged(pixels: Tensor, height: int, width: int) -> Tensor:
    """Enlarge (C, h, w) uint8 to (C, height, width), each pixel as a square."""
    image = _as_image(pixels).resize((width, height), Image.Resampling.NEAREST)
    return (
        torch.frombuffer(bytearray(image.convert("RGB").tobytes()), dtype=torch.uint8)
        .reshape(height, width, 3)
        .permute(2, 0, 1)
    )


def sheet(title: str, cells: Sequence[Cell]) -> bytes:
    """Return a PNG with all cells in a roughly square arrangement."""
    columns = ceil(sqrt(len(cells)))
    rows = ceil(len(cells) / columns)
    height, width = (max(cell.pixels.shape[axis] for cell in cells) for axis in (1, 2))
    font = ImageFont.load_default(_TEXT)
    width = max(width, *(ceil(font.getlength(text)) for cell in cells for text in (cell.name, cell.figures)))
    across = max(columns * (width + _GAP), ceil(font.getlength(title)) + _GAP)
    size = (_GAP + across, 2 * _GAP + _TEXT + rows * (height + _LINE + _GAP))
    page = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_GAP, _GAP // 2), title, _FAINT, font)
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (width + _GAP), 2 * _GAP + _TEXT + row * (height + _LINE + _GAP)
        page.paste(_as_image(cell.pixels), (left, top))
        below = top + cell.pixels.shape[1] + 2
        draw.text((left, below), cell.name, _INK, font)
        draw.text((left, below + _LINE // 2 - 1), cell.figures, _FAINT, font)
    png = BytesIO()
    page.save(png, "PNG", optimize=True)
    return png.getvalue()


def _middle(length: int) -> slice:
    start = max(0, (length - _LOOKED_AT) // 2)
    return slice(start, min(length, start + _LOOKED_AT))


def _as_image(pixels: Tensor) -> Image.Image:
    channels = pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous()
    return Image.fromarray(channels.numpy(), "RGB")
