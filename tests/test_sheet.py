"""Contact sheets of large images: which windows, and how they lie side by side."""

from itertools import islice

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sr_ops.image import sheet
from sr_ops.image.domain import Domain
from sr_ops.learning.held_out import hold_out
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.settings import FitSettings, Method, Settings

from .cameras import matlab


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(0, 5), st.sampled_from([1, 2, 4]))
def test_windows_cover_the_image(height: int, width: int, seed: int, scale: int) -> None:
    """All are of one size; those of a grid come first and do not overlap; the same seed draws the same."""
    windows = list(sheet.places(height, width, seed, scale))
    assert windows == list(sheet.places(height, width, seed, scale))
    sizes = {(rows.stop - rows.start, columns.stop - columns.start) for rows, columns in windows}
    side = 256 // scale
    cut_to_blocks = tuple(length if length < 8 else length // 8 * 8 for length in (height, width))
    assert sizes == {tuple(min(length, side) for length in cut_to_blocks)}
    assert len({(rows.start, columns.start) for rows, columns in windows}) == len(windows)
    grid = windows[: max(1, height // side) * max(1, width // side)]
    assert all(rows.start % side == columns.start % side == 0 for rows, columns in grid)
    covered = torch.zeros(cut_to_blocks, dtype=torch.bool)
    for rows, columns in windows:
        covered[rows, columns] = True
    assert bool(covered.all())
    assert all(rows.stop <= height and columns.stop <= width for rows, columns in windows)


@given(st.lists(st.floats(0, 1)), st.integers(1, 5))
def test_what_is_picked(shares: list[float], number: int) -> None:
    """The first of which half is known, and nothing is looked at after them; too few: the best of all."""
    candidates = iter(enumerate(shares))
    picked = sheet.pick(((share, index) for index, share in candidates), number)
    good = [index for index, share in enumerate(shares) if share >= 0.5]
    if len(good) >= number:
        assert sorted(picked) == good[:number]
        assert next(candidates, (len(shares),))[0] == good[number - 1] + 1
    else:
        assert set(picked) >= set(good)
        left_out = [share for index, share in enumerate(shares) if index not in picked]
        assert len(picked) == min(number, len(shares))
        assert max(left_out, default=0.0) <= min((shares[index] for index in picked), default=0.0)


@pytest.mark.parametrize(
    ("bands", "height", "width", "whole"),
    [(1, 1024, 1024, True), (3, 1024, 1024, True), (3, 512, 2049, False), (4, 1024, 1024, False), (12, 512, 512, True)],
)
def test_what_is_fitted_whole(bands: int, height: int, width: int, whole: bool) -> None:
    """What is no larger than a sheet can be."""
    assert sheet.is_fitted_whole(bands, height, width) is whole


def test_seeds_draw_others() -> None:
    """Another seed begins elsewhere."""
    first = [tuple(map(str, islice(sheet.places(30000, 30000, seed), 16))) for seed in range(5)]
    assert len(set(first)) == 5


@pytest.mark.parametrize(("bands", "number"), [(1, 16), (3, 16), (4, 12), (12, 4), (64, 1)])
def test_more_bands_fewer_windows(bands: int, number: int) -> None:
    """A sheet is as large in memory whatever the bands."""
    assert sheet.windows_on(bands) == number


@pytest.mark.parametrize("number", [1, 2, 5, 16])
def test_side_by_side(number: int) -> None:
    """Every window is there once, known but for its frame and for what is not known in itself; the rest is unknown."""
    windows = [(torch.full((2, 20, 30), float(index + 1)), None) for index in range(number)]
    hole = torch.ones(2, 20, 30, dtype=torch.bool)
    hole[1, 10, 10] = False
    windows[0] = (windows[0][0], hole)
    lr, known = sheet.lay_out(windows)
    for index in range(number):
        assert int(((lr == index + 1) & known).sum()) == 2 * 12 * 22 - (index == 0)
    assert int(known.sum()) == number * 2 * 12 * 22 - 1
    assert bool((lr[known] > 0).all())


@pytest.mark.parametrize(("height", "width"), [(8, 40), (40, 6), (1, 30), (2, 2), (9, 10)])
def test_of_a_strip_something_stays_known(height: int, width: int) -> None:
    """Where the frame would be all of it: else nothing could be learned, and what was asked for would not be done."""
    _, known = sheet.lay_out([(torch.zeros(1, height, width), None)] * 3)
    assert int(known.sum()) == 3 * max(height - 8, 2 - height % 2) * max(width - 8, 2 - width % 2)


def test_a_fit_learns_across_no_joint() -> None:
    """Squares that are held out lie within one window, and a sheet is fitted like an image."""
    windows = [(torch.rand(1, 64, 64, generator=torch.Generator().manual_seed(index)), None) for index in range(4)]
    lr, known = sheet.lay_out(windows)
    parts = hold_out(lr, 2, 0, known.all(0))
    assert parts is not None
    joints = torch.zeros_like(known)
    joints[:, 60:68], joints[:, :, 60:68] = True, True
    assert not (parts.taught == 0)[joints].any()
    settings = Settings(scale=2, method=Method.ZSSR, width=4, depth=3, fit=FitSettings(2, 16, 2))
    assert fit_stages(Observation(lr, matlab(2), Domain(known)), settings, None).model.method is Method.ZSSR
