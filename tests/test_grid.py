"""Sizes that are no whole multiples: what text means which, where pixels lie, and that a reduction is exact."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sr_ops import super_resolve
from sr_ops.enlarging.reduction import nearest_owned, places, reduced, reduced_within
from sr_ops.image.domain import Domain, nearest
from sr_ops.image.grid import Axis, Grid, grid_of, parse_gsd, parse_scale, parse_size, whole_scale
from sr_ops.image.resample import resize, resize_window, upscale
from sr_ops.image.tiles import cut, cut_enlarged, plan_tiles
from sr_ops.settings import Method, Settings

from .pictures import noise


@st.composite
def axes(draw: st.DrawFn, longest: int = 90) -> Axis:
    """As large as the image, up to eight times."""
    lr = draw(st.integers(1, longest))
    return Axis(lr, draw(st.integers(lr, 8 * lr)))


@given(axes(), st.integers(1, 20))
def test_tiles_share_out_an_axis(axis: Axis, side: int) -> None:
    """Every pixel of the result belongs to the tile in which its middle lies; no tile of the image has none."""
    cuts = [*range(0, axis.lr, side), axis.lr]
    assert (axis.edge(0), axis.edge(axis.lr)) == (0, axis.sr)
    for start, stop in pairwise(cuts):
        part = axis.part(start, stop)
        sources = [source - start for source in axis.sources(part)]
        assert len(sources) == part.stop - part.start > 0
        for index, source in enumerate(sources, part.start):
            middle = (index + 0.5) * axis.lr / axis.sr - start
            assert 0 <= source < stop - start
            assert source - 1e-9 <= middle <= source + 1 + 1e-9


@given(st.integers(1, 50), st.integers(2, 8))
def test_whole_scales_are_as_they_were(length: int, scale: int) -> None:
    """Edges are multiples of the scale, and each pixel of the image is there so many times."""
    axis = Axis(length, scale * length)
    assert [axis.edge(place) for place in range(length + 1)] == list(range(0, scale * length + 1, scale))
    assert axis.sources(slice(0, axis.sr)) == [index // scale for index in range(scale * length)]
    assert Grid(axis, axis, scale).is_whole
    assert Grid(axis, axis, scale).reach == 0


@pytest.mark.parametrize(
    ("text", "scale", "size"),
    [
        *(("2", 2, (14, 22)), ("2.0", 2, (14, 22)), ("3x3", 3, (21, 33)), ("8", 8, (56, 88)), ("2.5", 3, (18, 28))),
        *(("1.01", 2, (7, 11)), ("1.5X2", 2, (14, 17)), ("2x1", 2, (7, 22)), ("7.5x1.2", 8, (8, 83))),
        ("1.15", 2, (8, 13)),  # 12.65 across: the decimal's own half, not the binary one's
    ],
)
def test_scales(text: str, scale: int, size: tuple[int, int]) -> None:
    """One number or two, across and down; made at the next whole scale, with halves rounded up."""
    told, result_size = parse_scale(text)
    assert told == scale
    assert grid_of(Settings(scale=told, result_size=result_size), 7, 11).size == size


def test_a_half_is_rounded_up() -> None:
    """Of the decimal: 1.15 times 10 is 11.5, although its neighbour in binary is a hair less."""
    scale, size = parse_scale("1.15")
    assert grid_of(Settings(scale=scale, result_size=size), 10, 30).size == (12, 35)


@pytest.mark.parametrize(("text", "size"), [("20x9", (9, 20)), ("20x", (13, 20)), ("X13", (13, 20))])
def test_sizes(text: str, size: tuple[int, int]) -> None:
    """Across and down; where one is left out the picture keeps its shape."""
    grid = grid_of(Settings(result_size=parse_size(text)), 7, 11)
    assert grid.size == size
    assert whole_scale(grid) == 2


@pytest.mark.parametrize("text", ["", "x", "1024", "0x9", "-5x9", "1.5x9", "9x9x9", "99999999x9", "a x b"])
def test_what_is_no_size(text: str) -> None:
    """The sentence says how one is told."""
    with pytest.raises(ValueError, match="give WxH, as in 1024x768"):
        parse_size(text)


@pytest.mark.parametrize("text", ["", "0", "-2.5", "nan", "inf", "2.5m"])
def test_what_is_no_length(text: str) -> None:
    """So it does for lengths of pixels."""
    with pytest.raises(ValueError, match="give metres on the ground"):
        parse_gsd(text)


@settings(max_examples=25)
@given(axes(40), axes(40), st.integers(4, 30), st.integers(0, 9))
def test_a_reduction_is_the_same_in_every_tile(rows: Axis, columns: Axis, side: int, more: int) -> None:
    """Of windows with the halo that the grid names, or a wider one, the parts are those of the whole to the bit."""
    grid = Grid(rows, columns, 8)
    grid = replace(grid, scale=whole_scale(grid))
    scale = grid.scale
    sr = noise(2, rows.lr * scale, columns.lr * scale)
    (whole,) = plan_tiles(rows.lr, columns.lr, 1000, 0)
    made = reduced(sr, whole, grid)
    assert made.shape == (2, *grid.size)
    for tile in plan_tiles(rows.lr, columns.lr, side, grid.reach + more):
        top, bottom, left, right = (
            scale * place
            for place in (tile.rows.read_start, tile.rows.read_stop, tile.columns.read_start, tile.columns.read_stop)
        )
        part = reduced(sr[:, top:bottom, left:right], tile, grid)
        own = (rows.part(tile.rows.start, tile.rows.stop), columns.part(tile.columns.start, tile.columns.stop))
        assert torch.equal(part, made[:, own[0], own[1]])


def hard_edges(height: int, width: int) -> Tensor:
    """(1, height, width): black on white, so that a cubic would overshoot everywhere."""
    return (noise(1, height, width) > 0.85).float()


@pytest.mark.parametrize("text", ["1.05", "1.3", "1.5", "2.5", "4.7", "1.3x3.1", "1x2"])
def test_means_are_kept(text: str) -> None:
    """Within the range, and to 0.05 % where a third of the pixels is cut off; nothing of it is given to flat parts."""
    scale, size = parse_scale(text)
    settings = Settings(scale=scale, result_size=size, method=Method.BICUBIC)
    lr = hard_edges(60, 80)
    lr[:, 20:50, 30:60] = 0.5
    made = super_resolve(lr, settings)
    assert made.shape[1:] == grid_of(settings, 60, 80).size
    assert 0 == float(made.min()) < float(made.max()) <= 1
    assert float(made.double().mean()) == pytest.approx(float(lr.double().mean()), rel=5e-4)
    rows, columns = (axis.part(*span) for axis, span in zip(axes_of(settings), ((30, 40), (40, 50)), strict=True))
    assert float((made[:, rows, columns] - 0.5).abs().max()) < 1e-6


def axes_of(settings: Settings) -> tuple[Axis, Axis]:
    grid = grid_of(settings, 60, 80)
    return grid.rows, grid.columns


@pytest.mark.parametrize("size", [(70, 101), (61, 80), (150, 160), (333, 90)])
def test_what_is_shared_out_is_the_same_in_every_tile(size: tuple[int, int]) -> None:
    """To rounding, with unknown samples, of hard edges; the halo is as wide as what was cut off goes."""
    grid = Grid(Axis(60, size[0]), Axis(80, size[1]), 8)
    grid = replace(grid, scale=whole_scale(grid))
    lr, known = hard_edges(60, 80), noise(1, 60, 80, seed=3) > 0.05
    sr, domain = nearest(lr, grid.scale), Domain(known)
    (whole,) = plan_tiles(60, 80, 1000, 0)
    made = reduced_within(sr, whole, grid, domain, lr)
    assert float((made - reduced(sr, whole, grid).clamp(0, 1)).abs().max()) > 0.02
    for tile in plan_tiles(60, 80, 16, grid.reach):
        of_tile = domain.of(tile.rows.read, tile.columns.read)
        part = reduced_within(cut_enlarged(sr, tile, grid.scale), tile, grid, of_tile, cut(lr, tile))
        rows, columns = places(tile, grid)
        torch.testing.assert_close(part, made[:, rows, columns], rtol=0, atol=1e-5)


def positions(axis: Axis) -> Tensor:
    """Of the pixels of the result, in LR pixels from the middle of the first."""
    return (torch.arange(axis.sr, dtype=torch.float64) + 0.5) * axis.lr / axis.sr - 0.5


@given(axes())
def test_a_ramp_stays_where_it_is(axis: Axis) -> None:
    """Away from the borders, where it is mirrored, to rounding: the phase is exact, and so is the mean of the taps."""
    axis = Axis(axis.lr + 20, axis.sr + 20 * -(-axis.sr // axis.lr))
    scale = whole_scale(Grid(axis, axis, 2))
    fine = (torch.arange(axis.lr * scale, dtype=torch.float64) + 0.5) / scale - 0.5
    lengths, size = (len(fine), 3), (axis.sr, 3)
    ramp = resize_window(fine[:, None].expand(-1, 3), (0, 0), lengths, size, (slice(0, axis.sr), slice(0, 3)))
    where = positions(axis)
    inner = (where > 4) & (where < axis.lr - 5)
    assert float((ramp[:, 0] - where)[inner].abs().max()) < 1e-9


@given(axes())
def test_a_window_of_an_enlargement_is_that_of_bicubic(axis: Axis) -> None:
    """Where nothing shrinks no weight is moved: it is MATLAB's."""
    image = noise(1, axis.lr, 5, dtype=torch.float64)
    made = resize_window(image, (0, 0), (axis.lr, 5), (axis.sr, 5), (slice(0, axis.sr), slice(0, 5)))
    torch.testing.assert_close(made, resize(image, (axis.sr, 5)), rtol=0, atol=1e-12)


def test_nearest_takes_pixels_of_the_part_alone() -> None:
    """Put together, the parts of a picture are its pixels by where the middles lie."""
    grid = Grid(Axis(7, 17), Axis(11, 14), 3)
    image = torch.arange(77).reshape(1, 7, 11)
    rows, columns = (torch.tensor(axis.sources(slice(0, axis.sr))) for axis in (grid.rows, grid.columns))
    for tile in plan_tiles(7, 11, 4, 2):
        part = nearest_owned(cut(image, tile), tile, grid)
        own = grid.rows.part(tile.rows.start, tile.rows.stop), grid.columns.part(tile.columns.start, tile.columns.stop)
        assert torch.equal(part, image[:, rows][:, :, columns][:, own[0], own[1]])


def test_super_resolve_gives_the_size_asked_for() -> None:
    """Within the range; of an image without detail just it, larger."""
    scale, size = parse_scale("1.5x2.5")
    settings = Settings(scale=scale, result_size=size, method=Method.BICUBIC)
    made = super_resolve(noise(3, 12, 14), settings)
    assert made.shape == (3, 30, 21)
    assert 0 <= float(made.min()) < float(made.max()) <= 1
    smooth = upscale(noise(1, 3, 4), 8).clamp(0, 1)
    torch.testing.assert_close(super_resolve(smooth, settings), resize(smooth, (60, 48)).clamp(0, 1), rtol=0, atol=0.02)
