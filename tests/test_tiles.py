"""Tile geometry: owned pixels partition the image, windows read just enough, and cut, owned, paste fit together."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import avg_pool2d

from sr_ops.image.tiles import Span, Tile, cut, owned, parts_of, paste, plan_tiles

law = settings(max_examples=60, deadline=None, derandomize=True)
sides = st.integers(1, 40)
tile_sizes = st.integers(1, 45)
halos = st.integers(0, 20)


def enlarged_by_repetition(image: Tensor, scale: int) -> Tensor:
    return image.repeat_interleave(scale, -2).repeat_interleave(scale, -1)


def blurred_in_tiles(image: Tensor, tile_size: int, halo: int, reach: int) -> Tensor:
    canvas = torch.full_like(image, torch.nan)
    height, width = image.shape[-2:]
    for tile in plan_tiles(height, width, tile_size, halo):
        paste(canvas, tile, owned(box_blur(cut(image, tile), reach), tile, 1), 1)
    return canvas


def box_blur(image: Tensor, reach: int) -> Tensor:
    return avg_pool2d(image, 2 * reach + 1, stride=1, padding=reach, divisor_override=1)


@law
@given(height=sides, width=sides, tile_size=tile_sizes, halo=halos)
def test_every_pixel_is_owned_once(height: int, width: int, tile_size: int, halo: int) -> None:
    """The owned rectangles cover the image without overlap, and none is empty or larger than asked for."""
    owners = torch.zeros(height, width)
    for tile in plan_tiles(height, width, tile_size, halo):
        rows, columns = tile.rows, tile.columns
        owners[rows.start : rows.stop, columns.start : columns.stop] += 1
        assert 1 <= rows.stop - rows.start <= tile_size
        assert 1 <= columns.stop - columns.start <= tile_size
    assert bool((owners == 1).all())


@law
@given(height=sides, width=sides, tile_size=tile_sizes, halo=halos)
def test_windows_read_the_halo_and_stay_inside(height: int, width: int, tile_size: int, halo: int) -> None:
    """A window reaches exactly `halo` beyond what it owns, or to the border of the image where that is nearer."""
    for tile in plan_tiles(height, width, tile_size, halo):
        for span, length in ((tile.rows, height), (tile.columns, width)):
            assert span.start - span.read_start == min(halo, span.start)
            assert span.read_stop - span.stop == min(halo, length - span.stop)


@law
@given(height=sides, width=sides, tile_size=tile_sizes, halo=halos, scale=st.integers(1, 4))
def test_cut_enlarge_owned_paste_gives_the_whole(
    height: int, width: int, tile_size: int, halo: int, scale: int
) -> None:
    """An enlargement pixel by pixel, done in tiles, is the enlargement of the whole image at every scale."""
    image = torch.arange(2.0 * height * width).reshape(2, height, width)
    canvas = torch.full((2, height * scale, width * scale), torch.nan)
    for tile in plan_tiles(height, width, tile_size, halo):
        paste(canvas, tile, owned(enlarged_by_repetition(cut(image, tile), scale), tile, scale), scale)
    assert torch.equal(canvas, enlarged_by_repetition(image, scale))


@pytest.mark.parametrize("reach", [1, 3])
def test_a_halo_of_the_operators_reach_makes_tiles_exact(reach: int) -> None:
    """A blur done in tiles equals the blur of the whole with a halo of its reach, and does not with one pixel less."""
    image = torch.randint(0, 100, (1, 19, 23), generator=torch.Generator().manual_seed(0)).double()
    whole = box_blur(image, reach)
    assert torch.equal(blurred_in_tiles(image, 8, halo=reach, reach=reach), whole)
    assert not torch.equal(blurred_in_tiles(image, 8, halo=reach - 1, reach=reach), whole)


def test_tiles_by_hand() -> None:
    """4 x 7 pixels in tiles of 5 with a halo of 1 are two tiles, listed row by row."""
    rows = Span(0, 4, 0, 4)
    assert plan_tiles(4, 7, 5, 1) == (
        Tile(0, 0, rows, Span(0, 5, 0, 6)),
        Tile(0, 1, rows, Span(5, 7, 4, 7)),
    )
    assert [(tile.row, tile.column) for tile in plan_tiles(3, 3, 2, 0)] == [(0, 0), (0, 1), (1, 0), (1, 1)]


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 5), st.integers(1, 9), st.integers(0, 9))
def test_parts_are_the_tiles_of_a_finer_grid(height: int, width: int, times: int, tile_size: int, halo: int) -> None:
    """Each lies in one tile, and together they are all."""
    whole = plan_tiles(height, width, times * tile_size, halo)
    parts = [part for tile in whole for part in parts_of(tile, height, width, tile_size, halo)]
    assert set(parts) == set(plan_tiles(height, width, tile_size, halo))
    assert len(parts) == len(set(parts))


def test_cut_is_a_view() -> None:
    """Cutting a window copies nothing."""
    image = torch.zeros(1, 6, 6)
    tile = plan_tiles(6, 6, 2, 1)[4]
    cut(image, tile).fill_(1)
    assert float(image.sum()) == 16


@pytest.mark.parametrize(("tile_size", "halo"), [(0, 3), (4, -1)])
def test_impossible_sizes_are_errors(tile_size: int, halo: int) -> None:
    """A tile without pixels or a negative halo is an error that names both numbers."""
    with pytest.raises(ValueError, match=f"got {tile_size} and {halo}"):
        plan_tiles(8, 8, tile_size, halo)
