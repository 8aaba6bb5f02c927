"""Each interpolation against Pillow's own, without the data step."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model, degradation_of
from sr_ops.image.domain import UNIT
from sr_ops.registry import method_of
from sr_ops.settings import Settings

LEVELS = 255
PILLOW = {
    # method: Pillow's filter, and LR pixels from the border within which Pillow cuts a kernel off instead of mirroring
    "nearest": (Image.Resampling.NEAREST, 0),
    "bilinear": (Image.Resampling.BILINEAR, 0),
    "bicubic": (Image.Resampling.BICUBIC, 2),
    "lanczos": (Image.Resampling.LANCZOS, 3),
}


def noise(height: int, width: int) -> Tensor:
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize("name", PILLOW)
def test_it_is_pillows(name: str, scale: int) -> None:
    """To a hundredth of a grey level, of white noise, in floats; near the border where Pillow defines the same."""
    image, (theirs, border) = noise(17, 23), PILLOW[name]
    made = method_of(name).enlarge(image, degradation_of(Settings(scale=scale, method=name)), UNIT, {})
    pillow = Image.fromarray(image[0].numpy()).resize((23 * scale, 17 * scale), theirs)
    difference = LEVELS * (made[0] - torch.from_numpy(np.array(pillow))).abs()
    inside = slice(border * scale, None if border == 0 else -border * scale)
    assert float(difference[inside, inside].max()) < 0.01


@pytest.mark.parametrize("name", PILLOW)
def test_eight_bits_are_pillows(name: str) -> None:
    """Through all that enlarges, to one grey level: Pillow rounds after each axis."""
    levels = (64 + 127 * noise(17, 23)).round()  # nothing overshoots, which Pillow would cut off after each axis
    settings = Settings(scale=3, method=name, noise="0", back_projections=0)
    made = enlarge(levels / LEVELS, Model(name, degradation_of(settings)), settings)
    theirs, border = PILLOW[name]
    pillow = np.array(Image.fromarray(levels[0].byte().numpy()).resize((69, 51), theirs))
    difference = (LEVELS * made[0]).round() - torch.from_numpy(pillow)
    inside = slice(3 * border, None if border == 0 else -3 * border)
    assert float(difference[inside, inside].abs().max()) <= 1


@pytest.mark.parametrize("name", PILLOW)
def test_a_constant_stays_one(name: str) -> None:
    """Up to the border, where what lies beyond is mirrored."""
    made = method_of(name).enlarge(torch.full((2, 5, 4), 0.3), degradation_of(Settings(scale=4, method=name)), UNIT, {})
    assert torch.allclose(made, torch.tensor(0.3), atol=1e-6)
