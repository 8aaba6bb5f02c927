"""Samples that are not known, and values outside [0, 1]: neither may touch what is known."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from sr_ops import super_resolve
from sr_ops.camera.back_projection import back_project
from sr_ops.enlarging.enlarge import enlarge
from sr_ops.enlarging.model import Model
from sr_ops.image.domain import FILL_REACH, Domain, fill, keep_flat, largest_near, nearest
from sr_ops.image.resample import downscale, upscale
from sr_ops.learning.fit import fit
from sr_ops.learning.held_out import hold_out
from sr_ops.learning.learn import fit_stages
from sr_ops.learning.observation import Observation
from sr_ops.learning.pairs import Lesson
from sr_ops.measures.consistency import ConsistencySums
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.settings import FitSettings, Method, Network, Settings

from .cameras import FROM_SCRATCH, camera_of, matlab
from .pictures import noise

SETTINGS = Settings(scale=2, method=Method.ZSSR, width=4, depth=3, fit=FitSettings(steps=3, crop=16, batch=2))


def image(bands: int = 3, height: int = 48, width: int = 56, seed: int = 0) -> Tensor:
    """Smooth waves with some noise, in [0.1, 0.9]."""
    rows, columns = torch.meshgrid(torch.arange(height) / 5, torch.arange(width) / 7, indexing="ij")
    waves = torch.stack([torch.sin(rows + band) * torch.cos(columns - band) for band in range(bands)])
    grain = torch.rand(bands, height, width, generator=Generator().manual_seed(seed))
    return 0.5 + 0.3 * waves + 0.1 * (grain - 0.5)


def slanted(bands: int, height: int, width: int) -> Tensor:
    """Known below a slanted line, as in a satellite's frame, less a hole; the last band lacks one sample more."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    known = (rows > 0.3 * columns) & ((rows - 30) ** 2 + (columns - 20) ** 2 > 16)
    known = known.expand(bands, -1, -1).clone()
    known[-1, height - 5, width - 5] = False
    return known


def test_fill_leaves_what_is_known() -> None:
    """Known samples stay to the bit, and no NaN remains."""
    lr, known = image(), slanted(3, 48, 56)
    filled = fill(lr.where(known, torch.nan), known)
    assert torch.equal(filled[known], lr[known])
    assert bool(filled.isfinite().all())


@given(st.floats(-1e4, 1e4, width=32), st.integers(0, 5))
def test_fill_goes_on_with_a_flat_image(value: float, seed: int) -> None:
    """Where all that is known has one value, the filling within its reach has it too."""
    known = torch.rand(1, 20, 20, generator=Generator().manual_seed(seed)) < 0.1
    known[0, 10, 10] = True
    filled = fill(torch.where(known, value, torch.nan), known)
    assert torch.allclose(filled, torch.full_like(filled, value), rtol=1e-4)


def test_fill_reaches_as_far_as_it_says() -> None:
    """The last ring of pixels that is filled lies FILL_REACH away from the known one; beyond is 0."""
    known = torch.zeros(1, 1, 60, dtype=torch.bool)
    known[..., 0] = True
    filled = fill(torch.ones(1, 1, 60), known)
    assert bool((filled[..., : FILL_REACH + 1] > 0.99).all())
    assert not filled[..., FILL_REACH + 1 :].any()


def test_fill_of_a_window_is_that_of_the_image() -> None:
    """Farther than FILL_REACH from a cut, the filling does not depend on what was cut off."""
    lr, known = image(1, 90, 90), torch.rand(1, 90, 90, generator=Generator().manual_seed(1)) < 0.02
    whole = fill(lr, known)
    window = fill(lr[:, :60], known[:, :60])
    assert torch.equal(window[:, : 60 - FILL_REACH], whole[:, : 60 - FILL_REACH])


def test_flat_parts_stay_flat() -> None:
    """What is equal 8 pixels around comes out as it is, and nothing else is touched."""
    lr = image(2, 40, 40)
    lr[0, 5:30, 5:30] = 0.25
    sr = upscale(lr, 2) + 0.01
    kept = keep_flat(sr, lr, 2)
    flat = torch.zeros(2, 80, 80, dtype=torch.bool)
    flat[0, 2 * 13 : 2 * 22, 2 * 13 : 2 * 22] = True
    assert bool((kept[flat] == 0.25).all())
    assert torch.equal(kept[~flat], sr[~flat])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_back_projection_where_known(scale: int) -> None:
    """The known samples agree with the image as well as if all were known, whatever lies in the others."""
    lr, known = image(), slanted(3, 48, 56)
    domain = Domain(known, -torch.inf, torch.inf)
    start = upscale(fill(lr, known), scale)
    sr = back_project(start, lr.where(known, 7.0), matlab(scale), 2, domain)
    residual = downscale(sr, scale) - lr
    assert float(residual[known].abs().max()) < 1e-5
    assert torch.equal(sr, back_project(start, lr.where(known, -3.0), matlab(scale), 2, domain))


def test_back_projection_in_another_range() -> None:
    """Samples far outside [0, 1] come out within their own bounds, which may differ from band to band."""
    lr = image(2) * torch.tensor([10.0, 0.01])[:, None, None] - 3
    low, high = lr.amin((1, 2), keepdim=True), lr.amax((1, 2), keepdim=True)
    sr = back_project(upscale(lr, 2), lr, matlab(2), 10, Domain(None, low, high))
    assert bool(((sr >= low) & (sr <= high)).all())
    assert float((downscale(sr, 2) - lr).abs().mean()) < 1e-3


def test_bounds_hold_where_nothing_is_known() -> None:
    """Far from what is known, too, where a fill reaches no more."""
    lr, known = 0.3 + 0.4 * image(), torch.ones(3, 48, 56, dtype=torch.bool)
    known[:, :, 10:] = False
    sr = super_resolve(lr, replace(SETTINGS, back_projections=0), domain=Domain(known, 0.2, 0.8))
    assert (float(sr.min()) >= 0.2, float(sr.max()) <= 0.8) == (True, True)


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf, -1e30, 0.7])
def test_unknown_samples_touch_nothing(garbage: float) -> None:
    """Fit, ensemble and back-projection give the same whatever stands where nothing is known."""
    lr, known = image(), slanted(3, 48, 56)
    domain = Domain(known)
    expected = super_resolve(lr.where(known, 0.0), SETTINGS, domain=domain)
    sr = super_resolve(lr.where(known, garbage), SETTINGS, domain=domain)
    assert bool(sr.isfinite().all())
    assert torch.equal(sr, expected)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("network", FROM_SCRATCH)
def test_tiles_are_exact_beside_unknown_samples(scale: int, network: Network) -> None:
    """In tiles or as a whole, known or not, in whatever range: the same pixels."""
    lr, known = 3 * image(2, 90, 130) - 1, slanted(2, 90, 130)
    domain = Domain(known, -torch.inf, torch.inf)
    settings = replace(SETTINGS, scale=scale, network=network, ensemble=scale == 2)
    fitted = fit_stages(Observation(lr, camera_of(settings), domain), settings, None)
    whole = enlarge(lr, fitted.model, settings, domain=domain)
    tiled = super_resolve(lr, replace(settings, tile_size=32), domain=domain)
    assert float((whole - tiled)[nearest(known, scale)].abs().max()) < 2e-5


def test_a_fit_learns_from_what_is_known_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pair may be looked at where a band of the image is unknown, in any stage."""
    known = slanted(3, 48, 56)
    seen = []

    def spy(network: ResidualNetwork, lesson: Lesson, *rest: Any) -> float:
        seen.append(lesson.pairs[0].taught)
        return fit(network, lesson, *rest)

    monkeypatch.setattr("sr_ops.learning.fits.fit", spy)
    settings = replace(SETTINGS, scale=4)
    fit_stages(Observation(image(), camera_of(settings), Domain(known)), settings, None)
    for taught, scale in zip(seen, (1, 2), strict=True):
        assert taught is not None
        assert not taught[0][nearest(~known.all(0)[None], scale)[0]].any()
        assert bool(taught.any())


def test_held_out_squares_are_known() -> None:
    """A square and its surroundings lie where all is known; with no such place nothing is held out."""
    lr = image(1, 120, 120)
    known = torch.ones(120, 120, dtype=torch.bool)
    known[:, 70:] = False
    parts = hold_out(lr.where(known, torch.nan), 2, 0, known)
    assert parts is not None
    assert bool(parts.windows.isfinite().all())
    assert not (parts.taught[0] == 0)[~known].any()
    known[::20] = False
    assert hold_out(lr, 2, 0, known) is None


def test_nothing_known_is_bicubic() -> None:
    """An image without a single known sample is not fitted."""
    nothing = torch.zeros(3, 48, 56, dtype=torch.bool)
    fitted = fit_stages(Observation(image() * torch.nan, matlab(2), Domain(nothing)), SETTINGS, None)
    assert fitted.model.method is Method.BICUBIC


def test_many_bands_are_enlarged_some_at_a_time() -> None:
    """With networks of one band, or none, a band comes out as it would alone, its own mask and bounds included."""
    lr, known = image(7, 30, 30), slanted(7, 30, 30)
    high = torch.linspace(0.6, 1.0, 7)[:, None, None]
    settings, bicubic = replace(SETTINGS, method=Method.BICUBIC), Model(Method.BICUBIC, matlab(2))
    sr = enlarge(lr, bicubic, settings, domain=Domain(known, 0.0, high))
    for band in range(7):
        span = slice(band, band + 1)
        alone = enlarge(lr[span], bicubic, settings, domain=Domain(known[span], 0.0, high[span]))
        assert torch.allclose(sr[span], alone, atol=1e-6)


def test_consistency_counts_what_is_known() -> None:
    """The error over known samples is that of a picture cut to them; without any there is none."""
    residual = image(2, 6, 8) - 0.5
    known = torch.zeros(2, 6, 8, dtype=torch.bool)
    known[:, 2:5, 1:7] = True
    error = ConsistencySums.of(residual.where(known, torch.nan), known).error()
    assert error == ConsistencySums.of(residual[:, 2:5, 1:7]).error()
    assert ConsistencySums.none(2).error() is None
    assert (ConsistencySums.of(residual) + ConsistencySums.none(2)).error() == ConsistencySums.of(residual).error()


@pytest.mark.parametrize("reach", [1, 2, 8])
@pytest.mark.parametrize("size", [(1, 1), (3, 20), (40, 33)])
def test_the_largest_nearby_is_that_of_the_square_around(reach: int, size: tuple[int, int]) -> None:
    """Negative samples, too: beyond the border there is nothing."""
    image = noise(2, *size) - 2
    rows, columns = size
    expected = torch.stack(
        [
            image[:, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1].amax((1, 2))
            for row in range(rows)
            for column in range(columns)
        ],
        1,
    ).reshape(2, rows, columns)
    assert torch.equal(largest_near(image, reach), expected)
