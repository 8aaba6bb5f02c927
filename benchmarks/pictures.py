"""8-bit pictures in memory, as the benchmarks make and compare them."""

import io
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

GAP, LINE = 8, 20
"""Pixels between the panels of a sheet, and for a line of its text."""


def decode(data: bytes) -> Tensor:
    """An 8-bit gray or RGB picture as (C, H, W) uint8."""
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.array(image)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())


def encode_png(levels: Tensor) -> bytes:
    """(C, H, W) of whole grey levels, C = 1 or 3, as a PNG."""
    pixels = levels.to("cpu", torch.uint8).permute(1, 2, 0).numpy()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels[..., 0] if len(levels) == 1 else pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def captioned(
    subjects: Sequence[tuple[str, Sequence[tuple[str, Image.Image]]]], across: int, letters: int
) -> Image.Image:
    """Squares of one size in a row for each subject, under its title, each under its caption.

    Args:
        across: subjects beside each other.
        letters: their size in pixels.
    """
    font, side = ImageFont.load_default(size=letters), subjects[0][1][0][1].width
    width = max(len(panels) for _, panels in subjects) * (side + GAP) + GAP
    height = side + 2 * LINE + 2 * GAP
    sheet = Image.new("RGB", (across * width, -(-len(subjects) // across) * height + GAP), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (title, panels) in enumerate(subjects):
        left, top = number % across * width + GAP, number // across * height + GAP
        pen.text((left, top), title, "black", font)
        for column, (caption, panel) in enumerate(panels):
            pen.text((left + column * (side + GAP), top + LINE), caption, "black", font)
            sheet.paste(panel, (left + column * (side + GAP), top + 2 * LINE))
    return sheet
