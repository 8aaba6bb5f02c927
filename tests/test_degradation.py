"""The forward model against plain loops, dense least squares and MATLAB's bicubic; its way back by tiles and turned."""

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import MAX_SIDE, NAMED, Kernel, bicubic, box, from_spec, gaussian, middle
from sr_ops.image import dihedral
from sr_ops.image.resample import downscale, upscale

from . import pictures
from .cameras import turned

noise = partial(pictures.noise, dtype=torch.float64)


def lopsided(side: int = 7) -> Kernel:
    """No symmetry at all, and a centre of mass that is no whole number."""
    taps = noise(side, side, seed=5)
    return Kernel(taps / taps.sum())


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_is_matlabs(scale: int) -> None:
    """Borders included, the kernel named bicubic is `resample.downscale`."""
    hr = noise(2, 9 * scale, 12 * scale)
    torch.testing.assert_close(
        Degradation((bicubic(scale),), scale).apply(hr), downscale(hr, scale), atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("scale", [2, 3])
def test_apply_is_correlation_sampled_at_the_first_pixel(scale: int) -> None:
    """lr[i, j] = sum of taps[u, v] hr[scale i + u - k // 2, scale j + v - k // 2], no flip: a plain loop inside."""
    kernel, hr = lopsided(), noise(8 * scale, 8 * scale)
    lr = Degradation((kernel,), scale).apply(hr)
    for i, j in ((3, 3), (4, 2), (3, 5)):
        top, left = scale * i - kernel.side // 2, scale * j - kernel.side // 2
        expected = (kernel.taps * hr[top : top + kernel.side, left : left + kernel.side]).sum()
        assert float(lr[i, j]) == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4, 5])
@pytest.mark.parametrize("name", NAMED)
def test_named_kernels_shift_nothing(name: str, scale: int) -> None:
    """They are centred on the LR pixel, and keep a flat image and, inside, a slope."""
    kernel = NAMED[name](scale)
    assert kernel.centre == pytest.approx((middle(scale), middle(scale)), abs=1e-9)
    slope = torch.arange(16.0 * scale, dtype=torch.float64).expand(16 * scale, -1)
    lr = Degradation((kernel,), scale).apply(slope)
    expected = scale * torch.arange(16.0, dtype=torch.float64) + middle(scale)
    torch.testing.assert_close(lr[8, 6:-6], expected[6:-6], atol=1e-9, rtol=0)


def test_gaussian_has_its_sigmas_along_its_angle() -> None:
    """Second moments of the taps: those of the ellipse that was asked for, y downwards."""
    kernel = gaussian(2.0, 1.0, 30, scale=2)
    x = torch.arange(kernel.side, dtype=torch.float64) - kernel.side // 2 - middle(2)
    variance_x, variance_y = (kernel.taps.sum(0) * x**2).sum(), (kernel.taps.sum(1) * x**2).sum()
    covariance = (kernel.taps * x[:, None] * x[None, :]).sum()
    cosine, sine = math.cos(math.pi / 6), math.sin(math.pi / 6)
    assert float(variance_x) == pytest.approx(4 * cosine**2 + sine**2, rel=1e-3)
    assert float(variance_y) == pytest.approx(4 * sine**2 + cosine**2, rel=1e-3)
    assert float(covariance) == pytest.approx((4 - 1) * cosine * sine, rel=1e-3)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("element", range(dihedral.ORDER))
def test_a_turned_camera_sees_the_turned_image(scale: int, element: int) -> None:
    """Shrinking a turned image with the turned kernel is turning the shrunk one."""
    kernel, hr = lopsided(), noise(6 * scale, 8 * scale)
    direct = Degradation((turned(kernel, element, scale),), scale).apply(dihedral.transform(hr, element).contiguous())
    expected = dihedral.transform(Degradation((kernel,), scale).apply(hr), element)
    torch.testing.assert_close(direct, expected, atol=1e-12, rtol=0)


def dense(kernel: Kernel, scale: int, side: int) -> Tensor:
    """D as a matrix: an LR grid of `side` squared, an HR grid with room for the kernel around it, zeros beyond."""
    reach = kernel.side // 2
    wide = side * scale + 2 * reach
    rows = torch.zeros(side, side, wide, wide, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            rows[i, j, scale * i : scale * i + kernel.side, scale * j : scale * j + kernel.side] = kernel.taps
    return rows.reshape(side * side, wide * wide)


@pytest.mark.parametrize(("scale", "kernel"), [(2, lopsided(5)), (3, lopsided(7)), (2, gaussian(0.8, 0.5, 20, 2, 7))])
def test_data_step_is_the_least_squares_solution(scale: int, kernel: Kernel) -> None:
    """Against normal equations in float64 over a grid wide enough that nothing of its end is felt."""
    margin, side, weight = 7, 4, 0.05
    start, lr = noise(side * scale, side * scale, seed=1), noise(side, side, seed=2)
    degradation = Degradation((kernel,), scale)
    missing = torch.zeros(side + 2 * margin, side + 2 * margin, dtype=torch.float64)
    missing[margin:-margin, margin:-margin] = lr - degradation.apply(start)
    matrix = dense(kernel, scale, len(missing))
    normal = matrix.T @ matrix + weight * torch.eye(matrix.shape[1], dtype=torch.float64)
    change = torch.linalg.solve(normal, matrix.T @ missing.flatten())
    wide = len(missing) * scale + 2 * (kernel.side // 2)
    first = margin * scale + kernel.side // 2
    inside = change.reshape(wide, wide)[first : first + side * scale, first : first + side * scale]
    got = degradation.data_step(lr, start, weight=weight)
    torch.testing.assert_close(got, start + inside, atol=2e-4, rtol=0)


@pytest.mark.parametrize("scale", [2, 3])
def test_spread_is_the_adjoint_of_apply_inside(scale: int) -> None:
    """<D x, y> = <x, D' y> where y keeps away from the border by more than the kernel reaches."""
    degradation = Degradation((lopsided(),), scale)
    x, y = noise(12 * scale, 12 * scale, seed=1), torch.zeros(12, 12, dtype=torch.float64)
    y[4:8, 4:8] = noise(4, 4, seed=2)
    rim = degradation._rim
    left = (degradation.apply(x) * y).sum()
    right = (x * degradation._spread(torch.nn.functional.pad(y, (rim,) * 4))).sum()
    assert float(left) == pytest.approx(float(right), abs=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("sigma", [0.7, 1.41, 2.4])
def test_the_way_back_agrees_with_the_data(scale: int, sigma: float) -> None:
    """Shrunk again the result is nearer to the LR image than the start was; an image that agrees stays as it is."""
    degradation, hr = Degradation((gaussian(sigma, sigma, 0, scale),), scale), noise(24 * scale, 24 * scale)
    lr = degradation.apply(hr)
    start = upscale(lr, scale)
    before = (degradation.apply(start) - lr).square().mean()
    after = (degradation.apply(degradation.data_step(lr, start)) - lr).square().mean()
    assert float(after) < 0.2 * float(before)
    torch.testing.assert_close(degradation.data_step(lr, hr), hr, atol=1e-12, rtol=0)


@pytest.mark.parametrize(
    ("kernel", "unseen"),
    [
        ("gaussian:0.7", 1e-3),
        ("gaussian:2.4", 1e-3),
        ("motion:20,0", 5e-3),
        ("motion:40,0", 5e-3),
        ("motion:40,90", 5e-3),
    ],
)
def test_tiles_are_as_the_whole(kernel: str, unseen: float) -> None:
    """A window with `reach` pixels around it gives what the whole image gives, to a small share of what is changed.

    A long motion along an axis would carry further than tiles have a halo; it is undone a little less.
    """
    scale, degradation = 2, Degradation(from_spec(kernel, 2), 2)
    reach = degradation.reach
    assert reach <= 96
    side = 2 * reach + 24
    lr, start = noise(side, side, seed=1), noise(side * scale, side * scale, seed=2)
    whole = degradation.data_step(lr, start)
    window = slice(2, 2 * reach + 14)
    larger = slice(2 * scale, (2 * reach + 14) * scale)
    part = degradation.data_step(lr[window, window], start[larger, larger])
    own = slice(reach * scale, (reach + 12) * scale)
    placed = slice((reach + 2) * scale, (reach + 14) * scale)
    scale_of_change = float((whole - start).abs().max())
    assert float((part[own, own] - whole[placed, placed]).abs().max()) < unseen * scale_of_change


def test_reach_grows_with_the_blur_and_shrinks_with_the_noise() -> None:
    """A wide kernel is harder to undo; noise makes the data worth less."""
    narrow, wide = (Degradation((gaussian(sigma, sigma, 0, 2),), 2).reach for sigma in (0.7, 2.4))
    noisy = Degradation((gaussian(2.4, 2.4, 0, 2),), 2, (0.1,)).reach
    assert narrow < wide
    assert noisy < wide


def test_unknown_samples_pull_at_nothing() -> None:
    """Whatever stands where nothing is known, the result is the same; and there it is the start."""
    degradation = Degradation((gaussian(1.2, 0.7, 40, 2),), 2)
    lr, start = noise(20, 20, seed=1), noise(40, 40, seed=2)
    known = torch.ones(20, 20, dtype=torch.bool)
    known[5:9, 6:14] = False
    spoiled = torch.where(known, lr, torch.full_like(lr, 1e6))
    torch.testing.assert_close(degradation.data_step(lr, start, known), degradation.data_step(spoiled, start, known))
    nothing = degradation.data_step(spoiled, start, torch.zeros_like(known))
    torch.testing.assert_close(nothing, start)


def test_no_kernel_is_refused_with_what_was_found() -> None:
    """Even sides, oblong ones, sums other than 1, nan, and more than 65 pixels."""
    flat = torch.full((3, 3), 1 / 9, dtype=torch.float64)
    too_wide = torch.full((MAX_SIDE + 2, MAX_SIDE + 2), 1 / (MAX_SIDE + 2) ** 2, dtype=torch.float64)
    for taps, said in (
        (flat[:2, :2], "2 x 2"),
        (flat[:, :2], "3 x 2"),
        (too_wide, f"{MAX_SIDE + 2} x"),
        (flat * 2, "sums to 1, not 2"),
        (flat * torch.nan, "finite"),
    ):
        with pytest.raises(ValueError, match=said):
            Kernel(taps)


def test_sides_that_are_no_multiples_are_refused() -> None:
    """The remedy is in the message."""
    with pytest.raises(ValueError, match="multiples of 3, got 7 x 9: crop first"):
        Degradation((bicubic(3),), 3).apply(noise(7, 9))


def test_the_weight_is_the_same_share_of_the_data_at_every_scale() -> None:
    """D D' of a box is 1 / scale^2: the weight keeps its ratio to it, and to noise."""
    for noise_level in (0.0, 0.03):
        shares = [Degradation((box(scale),), scale, (noise_level,)).weight.item() * scale**2 for scale in (2, 3, 4, 8)]
        assert shares == pytest.approx([shares[0]] * 4)
        for scale in (2, 3, 4):
            assert float(Degradation((box(scale),), scale)._gram((8, 8)).mean()) == pytest.approx(1 / scale**2)


@pytest.mark.parametrize("kernel", [bicubic(2), gaussian(1.2, 1.2, 0, 2), lopsided()])
def test_it_computes_where_the_image_lies(kernel: Kernel) -> None:
    """On a device without values, as on a GPU: what is known of the camera lies on the CPU, and is taken there."""
    degradation = Degradation((kernel,), 2, (0.01, 0.0, 0.02))
    lr, hr = torch.empty(3, 20, 22, device="meta"), torch.empty(3, 40, 44, device="meta")
    assert degradation.apply(hr).device == lr.device
    assert degradation.handed_back(lr).device == lr.device
    assert degradation.data_step(lr, hr, torch.empty_like(lr, dtype=torch.bool)).device == lr.device


def test_images_of_many_sizes_leave_little_behind() -> None:
    """A camera keeps spectra of the sizes that were asked for last; all are what a camera computes that has none."""
    kernel = lopsided()
    degradation = Degradation((kernel,), 2)
    used = degradation._gram((8, 9))
    for side in range(8, 48):
        assert torch.equal(degradation._gram((side, 12)), Degradation((kernel,), 2)._gram((side, 12)))
        assert degradation._gram((8, 9)) is used, "what is in use stays"
    assert len(degradation._grams) <= 4


# ---- kernels a band, and products of a column and a row --------------------------------------------------------------


def three_cameras(scale: int) -> Degradation:
    """Kernels of other sides, one without symmetry, and noise of other strengths."""
    kernels = (lopsided(), gaussian(1.3, 0.8, 20, scale), bicubic(scale))
    return Degradation(kernels, scale, (0.0, 0.01, 0.04))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_kernels_a_band_are_bands_done_one_by_one(scale: int) -> None:
    """The camera, its adjoint and the way back: each band by its own kernel and noise, and images side by side too."""
    degradation, hr = three_cameras(scale), noise(2, 3, 20 * scale, 24 * scale)
    lr, start = noise(2, 3, 20, 24, seed=1), noise(2, 3, 20 * scale, 24 * scale, seed=2)
    known = noise(2, 3, 20, 24, seed=3) > 0.1
    together = degradation.apply(hr), degradation.handed_back(lr), degradation.data_step(lr, start, known)
    for band in range(3):
        alone, here = degradation.of_bands(band, band + 1), (slice(None), slice(band, band + 1))
        assert (len(alone.kernels), len(alone.noise)) == (1, 1)
        torch.testing.assert_close(together[0][here], alone.apply(hr[here]), atol=1e-12, rtol=0)
        torch.testing.assert_close(together[1][here], alone.handed_back(lr[here]), atol=1e-4, rtol=0)
        stepped = alone.data_step(lr[here], start[here], known[here])
        torch.testing.assert_close(together[2][here], stepped, atol=2e-3, rtol=0)
    for whole, single in zip(together, (hr, lr, lr), strict=True):
        assert whole.shape[0] == single.shape[0] == 2
    torch.testing.assert_close(degradation.data_step(lr[1], start[1], known[1]), together[2][1], atol=1e-12, rtol=0)


def test_bands_share_what_is_told_once() -> None:
    """Of one kernel and one noise any bands have the same; of one of both as many as are asked for have the other."""
    kernels = (bicubic(2), box(2), lopsided())
    one = Degradation(kernels[:1], 2, (0.1,))
    assert one.of_bands(1, 3) is one
    assert Degradation(kernels, 2, (0.1,)).of_bands(1, 3).kernels == kernels[1:]
    assert Degradation(kernels, 2, (0.1,)).of_bands(1, 3).noise == (0.1,)
    noisy = Degradation(kernels[:1], 2, (0.1, 0.2, 0.3)).of_bands(2, 3)
    assert (noisy.kernels, noisy.noise) == (kernels[:1], (0.3,))


SEPARABLE = {
    "bicubic": bicubic,
    "lanczos": lambda scale: NAMED["lanczos"](scale),
    "gaussian": lambda scale: gaussian(1.3, 1.3, 0, scale),
    "oblong": lambda scale: gaussian(1.7, 0.6, 90, scale),
}


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("name", SEPARABLE)
def test_a_column_and_a_row_are_the_whole_kernel(name: str, scale: int) -> None:
    """Where taps are a product, two passes observe and spread what one pass over all taps does."""
    degradation = Degradation((SEPARABLE[name](scale),), scale)
    assert [min(taps.shape[-2:]) for taps in degradation._filters] == [1, 1]
    plain = Degradation(degradation.kernels, scale)
    plain.__dict__["_filters"] = (degradation._taps[:, None],)
    padded = noise(2, 30 + degradation.side, 37 + degradation.side)
    torch.testing.assert_close(degradation.observe(padded), plain.observe(padded), atol=1e-12, rtol=0)
    torch.testing.assert_close(degradation._spread(padded), plain._spread(padded), atol=1e-12, rtol=0)


@pytest.mark.parametrize("scale", [2, 3])
def test_a_kernel_of_one_tap_sees_single_pixels(scale: int) -> None:
    """It keeps the first pixel of each block, hands back to that alone, and the way back puts the data there."""
    degradation = Degradation((Kernel(torch.ones(1, 1, dtype=torch.float64)),), scale)
    hr, lr = noise(2, 6 * scale, 8 * scale), noise(2, 6, 8, seed=1)
    torch.testing.assert_close(degradation.apply(hr), hr[:, ::scale, ::scale], atol=1e-12, rtol=0)
    alone = torch.zeros_like(hr)
    alone[:, ::scale, ::scale] = scale**2 * lr
    torch.testing.assert_close(degradation.handed_back(lr), alone, atol=1e-12, rtol=0)
    weight = float(degradation.weight)
    alone = hr.clone()
    alone[:, ::scale, ::scale] = (lr + weight * alone[:, ::scale, ::scale]) / (1 + weight)
    torch.testing.assert_close(degradation.data_step(lr, hr), alone, atol=1e-12, rtol=0)


def test_what_is_no_product_is_observed_at_once() -> None:
    """A Gaussian aslant, or any band that is none, keeps all taps."""
    for kernels in ((gaussian(1.7, 0.6, 30, 2),), (lopsided(),), (bicubic(2), lopsided(), box(2))):
        assert len(Degradation(kernels, 2)._filters) == 1


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_bicubic_hands_back_what_upscale_makes(scale: int) -> None:
    """Its adjoint times scale squared is the enlargement: inside, too, by the taps."""
    degradation, lr = Degradation((bicubic(scale),), scale), noise(2, 14, 17)
    assert torch.equal(degradation.handed_back(lr), upscale(lr, scale))
    plain = Degradation((bicubic(scale), bicubic(scale)), scale)
    plain.__dict__["is_bicubic"] = False
    inner = slice(4 * scale, -4 * scale)
    torch.testing.assert_close(
        plain.handed_back(lr)[:, inner, inner], upscale(lr, scale)[:, inner, inner], atol=1e-12, rtol=0
    )


@pytest.mark.parametrize("scale", [2, 3])
def test_handed_back_is_the_adjoint_times_scale_squared(scale: int) -> None:
    """<D x, y> scale^2 = <x, handed_back(y)> where y keeps away from the border; 1 everywhere stays 1 on average."""
    degradation = Degradation((lopsided(),), scale)
    x, y = noise(14 * scale, 14 * scale, seed=1), torch.zeros(14, 14, dtype=torch.float64)
    y[5:9, 5:9] = noise(4, 4, seed=2)
    left, right = (degradation.apply(x) * y).sum() * scale**2, (x * degradation.handed_back(y)).sum()
    assert float(left) == pytest.approx(float(right), abs=1e-10)
    ones = degradation.handed_back(torch.ones(14, 14, dtype=torch.float64))
    means = torch.nn.functional.avg_pool2d(ones[None], scale)[0]
    torch.testing.assert_close(means, torch.ones_like(means), atol=1e-12, rtol=0)


def test_doubt_counts_as_noise() -> None:
    """`weight_at` is the weight of as many times the variance; without noise nothing is doubted."""
    noisy, clean = Degradation((box(2),), 2, (0.02, 0.05)), Degradation((box(2),), 2)
    more = Degradation((box(2),), 2, (0.02 * 3, 0.05 * 3))
    torch.testing.assert_close(noisy.weight_at(9.0), more.weight)
    assert torch.equal(clean.weight_at(1000.0), clean.weight)
