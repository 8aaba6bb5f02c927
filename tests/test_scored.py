"""Pictures as screens show them, for scores."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import ErrorType, ImageError
from pipeline.imagery.scored import from_levels, read_levels, to_levels

from .rasters import write_raster

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


@pytest.mark.parametrize("bands", [1, 2, 3, 4])
def test_eight_bits_are_read_exactly(tmp_path: Path, bands: int) -> None:
    """Gray and RGB come as they are, and alpha is left out."""
    levels = np.random.default_rng(bands).integers(0, 256, (5, 7, bands), dtype=np.uint8)
    Image.fromarray(levels[..., 0] if bands == 1 else levels).save(tmp_path / "a.png")
    colours = levels[..., : 1 if bands < 3 else 3]
    assert torch.equal(read_levels(str(tmp_path / "a.png")), torch.from_numpy(colours).permute(2, 0, 1))


def test_sixteen_bits_are_brought_down(tmp_path: Path) -> None:
    """Each 8-bit level is nearest to the 257 of 65,536 around it."""
    deep = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(deep).save(tmp_path / "a.png")
    expected = np.floor(deep / 257 + 0.5).astype(np.uint8)
    np.testing.assert_array_equal(read_levels(str(tmp_path / "a.png"))[0].numpy(), expected)


@pytest.mark.parametrize(("dtype", "bands"), [("float32", 1), ("uint16", 2), ("uint8", 5)])
def test_what_no_screen_shows(tmp_path: Path, dtype: str, bands: int) -> None:
    """Other numbers and other bands have no score, and the sentence names them."""
    write_raster(tmp_path / "a.tif", np.zeros((bands, 6, 6), dtype))
    with pytest.raises(ImageError, match=f"has {bands} bands .* of {dtype}; scores are of gray and RGB") as caught:
        read_levels(str(tmp_path / "a.tif"))
    assert caught.value.error_type is ErrorType.UNSUPPORTED


@given(st.integers(0, 255), st.floats(-0.499, 0.499))
def test_levels_round_to_the_nearest(level: int, off: float) -> None:
    """A value is the level nearest to it, within black and white."""
    assert to_levels((from_levels(torch.tensor([level])).double() + off / 255).clamp(0, 1)) == level
    assert to_levels(torch.tensor([-3.0, 0.5 / 255, 7.0])).tolist() == [0, 1, 255]
