"""The loss of JPEG, against the encoder itself."""

import io
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from jobs.sample_pictures import photograph, satellite_view
from sr_ops.estimation.jpeg import find_steps, round_to_steps, steps_of_quality

from .pictures import noise

QUALITIES = [5, 10, 30, 50, 75, 90, 95]
SCENES = {"photograph": photograph, "satellite": satellite_view}


@cache
def picture(name: str, side: int = 160) -> Image.Image:
    return Image.fromarray(SCENES[name](side))


def encoded(image: Image.Image, quality: int, **options: object) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality, **options)
    return Image.open(buffer)


def as_tensor(image: Image.Image) -> Tensor:
    levels = torch.from_numpy(np.array(image)).float() / 255
    return levels[None] if levels.ndim == 2 else levels.permute(2, 0, 1)


@pytest.mark.parametrize("quality", [1, *QUALITIES, 100])
def test_steps_are_the_encoders(quality: int) -> None:
    """For every quality the table is the one that Pillow's libjpeg writes into the file."""
    written = encoded(picture("photograph", 16), quality).quantization[0]  # type: ignore[attr-defined]
    assert steps_of_quality(quality).flatten().tolist() == written


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("subsampling", [0, 2])
@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", SCENES)
def test_the_steps_of_a_jpeg_are_found(name: str, quality: int, subsampling: int, mode: str) -> None:
    """From its pixels alone, in gray and colour: a table whose steps are the encoder's to one level."""
    found = find_steps(as_tensor(encoded(picture(name).convert(mode), quality, subsampling=subsampling)))
    assert found is not None
    assert float((found - steps_of_quality(quality)).abs().max()) <= max(1, 0.03 * float(found.max()))


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("quality", [30, 75, 92])
def test_the_steps_of_a_turned_jpeg_are_turned(quality: int, turns: int) -> None:
    """As of a photograph that was taken upright: its table lies on its side, too."""
    turned = as_tensor(encoded(picture("photograph"), quality)).rot90(turns, (1, 2))
    found = find_steps(turned)
    assert found is not None
    upright = found.T if turns % 2 else found
    assert float((upright - steps_of_quality(quality)).abs().max()) <= max(1, 0.03 * float(found.max()))


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("side", [8, 24, 100, 300])
def test_what_was_never_compressed_has_none(name: str, side: int) -> None:
    """Nor has a JPEG cut off its grid."""
    assert find_steps(as_tensor(picture(name, side))) is None
    assert find_steps(as_tensor(encoded(picture(name, side + 8), 50))[:, 3:, 5:]) is None


def test_a_pattern_is_no_comb() -> None:
    """Equal blocks have equal frequencies, many times over, which may fit some table by chance."""
    slope = 0.2 + 0.6 * (torch.arange(96)[:, None] + 0.5 * torch.arange(96))[None] / 144
    cells = torch.arange(96) // 4
    board = 0.2 + 0.6 * ((cells[:, None] + cells) % 2).float()[None]
    assert find_steps(slope) is None
    assert find_steps(board) is None


@pytest.mark.parametrize("shape", [(3, 7, 100), (3, 100, 7), (4, 64, 64), (2, 64, 64)])
def test_where_there_can_be_no_jpeg(shape: tuple[int, ...]) -> None:
    """Smaller than a block, or of other bands than one or three."""
    assert find_steps(noise(*shape)) is None


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_a_flat_image_tells_nothing(level: float) -> None:
    """It has no frequency to look at."""
    assert find_steps(torch.full((3, 64, 64), level)) is None


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("name", SCENES)
def test_rounding_is_what_the_encoder_does(name: str, quality: int) -> None:
    """A gray image rounded to the steps is the decoded JPEG, but for the rounding of pixels and of whole numbers."""
    before = as_tensor(picture(name).convert("L"))
    after = as_tensor(encoded(picture(name).convert("L"), quality))
    rounded = round_to_steps(before, steps_of_quality(quality)).clamp(0, 1)
    assert float((rounded - after).std()) < max(0.15 * float((before - after).std()), 0.8 / 255)


def test_rounding_keeps_colour_and_what_is_no_whole_block() -> None:
    """All bands move alike, and the last rows and columns of a side that is not a multiple of 8 not at all."""
    image = noise(2, 3, 21, 34)
    moved = round_to_steps(image, steps_of_quality(10)) - image
    torch.testing.assert_close(moved[:, 0], moved[:, 1])
    torch.testing.assert_close(moved[:, 0], moved[:, 2])
    assert moved[..., :16, :32].abs().max() > 0.05
    assert not moved[..., 16:, :].any()
    assert not moved[..., 32:].any()


@pytest.mark.parametrize("shape", [(3, 7, 20), (1, 20, 7), (2, 3, 4, 4)])
def test_what_holds_no_block_is_left_alone(shape: tuple[int, ...]) -> None:
    """The smallest sons of a small JPEG."""
    image = noise(*shape)
    assert torch.equal(round_to_steps(image, steps_of_quality(10)), image)


def test_rounding_again_changes_nothing() -> None:
    """It is a projection."""
    steps = steps_of_quality(25)
    once = round_to_steps(noise(3, 64, 64), steps)
    torch.testing.assert_close(round_to_steps(once, steps), once, rtol=0, atol=1e-5)
