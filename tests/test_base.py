"""What an enlargement starts from: the data step from bicubic, equal to the bit in every tile."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from sr_ops.camera.base import base_reach, make_base
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, bicubic, box, gaussian, lanczos
from sr_ops.image.resample import upscale

from .cameras import blur, matlab, motion, scrambled
from .pictures import noise


def shifted(kernel: Kernel, rows: int, columns: int) -> Kernel:
    """The same with a phase: its centre of mass is so many HR pixels away."""
    taps = torch.nn.functional.pad(kernel.taps, (4,) * 4)
    return Kernel(taps.roll((rows, columns), (0, 1)))


CAMERAS = {
    "bicubic": matlab(2),
    "bicubic, x3": matlab(3),
    "bicubic, x4": matlab(4),
    "gaussian 0.7": blur(0.7, 2),
    "gaussian 2.4": blur(2.4, 2),
    "gaussian 2.4, x3": blur(2.4, 3),
    "gaussian 2.4, x4, noise": blur(2.4, 4, 0.02),
    "gaussian aslant": Degradation((gaussian(2.0, 0.8, 30, 2),), 2),
    "gaussian with a phase": Degradation((shifted(gaussian(1.2, 1.2, 0, 2), 2, -1),), 2),
    "motion": Degradation((motion(4),), 2),
    "motion, noise": Degradation((motion(1),), 2, (0.02,)),
    "motion, x3, noise": Degradation((motion(2),), 3, (0.02,)),
    "scrambled, x4": Degradation((scrambled(9),), 4),
    "box, x3": Degradation((box(3),), 3),
    "a camera a band": Degradation((lanczos(2), gaussian(1.5, 1, 20, 2), scrambled(7)), 2, (0.0, 0.02, 0.01)),
}
cameras = pytest.mark.parametrize("name", CAMERAS)


def picture(*shape: int, seed: int = 0) -> Tensor:
    """Noise, half of it smooth; some of it beyond [0, 1]."""
    return 1.2 * noise(*shape, seed=seed) - 0.1


@cameras
def test_it_is_the_data_step_from_bicubic(name: str) -> None:
    """To 1e-3 of the range, and where it goes no farther beyond it than 0.2."""
    degradation, lr = CAMERAS[name], noise(3, 30, 37)
    expected = degradation.data_step(lr.double(), upscale(lr.double(), degradation.scale)).clamp(-0.2, 1.2)
    got = make_base(degradation, lr)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected.float(), atol=1e-3, rtol=0)


ON_TWO_THREADS = ("bicubic, x3", "gaussian 2.4", "a camera a band")


@pytest.mark.parametrize(("name", "threads"), [(name, 1) for name in CAMERAS] + [(name, 2) for name in ON_TWO_THREADS])
def test_a_window_has_it_to_the_bit(name: str, threads: int) -> None:
    """With `base_reach` around, wherever it begins, of odd sizes, beside what is not known, on one thread and two."""
    degradation = CAMERAS[name]
    scale, reach = degradation.scale, base_reach(degradation)
    height, width = min(2 * reach + 35, 120), min(2 * reach + 28, 113)
    lr, known = picture(3, height, width), noise(3, height, width, seed=1) > 0.2
    torch.set_num_threads(threads)
    try:
        for mask in (None, known):
            whole = make_base(degradation, lr, mask)
            for top, left, side in ((1, 3, 9), (12, 7, 16), (height - 13, width - 11, 7)):
                rows = slice(max(0, top - reach), min(height, top + side + reach))
                columns = slice(max(0, left - reach), min(width, left + side + reach))
                part = make_base(degradation, lr[:, rows, columns], None if mask is None else mask[:, rows, columns])
                first_row, first_column = (top - rows.start) * scale, (left - columns.start) * scale
                own = part[:, first_row : first_row + side * scale, first_column : first_column + side * scale]
                there = whole[:, top * scale : (top + side) * scale, left * scale : (left + side) * scale]
                assert torch.equal(own, there)
    finally:
        torch.set_num_threads(1)


@cameras
def test_unknown_samples_pull_at_nothing(name: str) -> None:
    """A missing sample leaves what bicubic makes of it; others are as if the data there were those of bicubic."""
    degradation, lr = CAMERAS[name], noise(3, 24, 30)
    scale = degradation.scale
    nothing, start = torch.zeros(3, 24, 30, dtype=torch.bool), upscale(lr.double(), scale)
    unchanged = start.clamp(-0.2, 1.2).float()
    torch.testing.assert_close(make_base(degradation, lr, nothing), unchanged, atol=1e-5, rtol=0)
    assert torch.equal(make_base(degradation, lr, ~nothing), make_base(degradation, lr))
    known = ~nothing
    known[:, 8:13, 10:20] = False
    expected = degradation.data_step(lr.double(), start, known).clamp(-0.2, 1.2).float()
    torch.testing.assert_close(make_base(degradation, lr, known), expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_samples_out_of_range_keep_their_range(scale: int) -> None:
    """No farther than 0.2 beyond [0, 1], or beyond the least and largest sample within a pixel where that is more."""
    degradation, lr = blur(1.5, scale), noise(1, 30, 30)
    lr[:, 5:12, 5:12] += 3
    lr[:, 20:25, 8:15] -= 2
    base = make_base(degradation, lr)
    raw = degradation.data_step(lr, upscale(lr, scale))
    assert float((raw - base).abs().max()) > 0.1
    for row, column in ((8, 8), (5, 8), (4, 8), (3, 8), (22, 10), (19, 10), (26, 26), (0, 0), (29, 14)):
        around = lr[0, max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
        low, high = min(0.0, float(around.min())) - 0.2, max(1.0, float(around.max())) + 0.2
        here = slice(row * scale, (row + 1) * scale), slice(column * scale, (column + 1) * scale)
        torch.testing.assert_close(base[0][here], raw[0][here].clamp(low, high), atol=5e-3, rtol=0)


@pytest.mark.parametrize("scale", [2, 4])
def test_bands_are_on_their_own(scale: int) -> None:
    """Kernels and noise a band: each as if alone; and the same for images side by side."""
    kernels = (bicubic(scale), gaussian(1.5, 1, 20, scale), motion(3))
    degradation, lr = Degradation(kernels, scale, (0.0, 0.01, 0.03)), noise(2, 3, 40, 33)
    base = make_base(degradation, lr)
    for band in range(3):
        alone = make_base(degradation.of_bands(band, band + 1), lr[:, [band]])
        torch.testing.assert_close(base[:, [band]], alone, atol=1e-3, rtol=0)
        shared = make_base(replace(degradation, kernels=kernels[band : band + 1]), lr)
        torch.testing.assert_close(base[:, [band]], shared[:, [band]], atol=1e-3, rtol=0)
    assert torch.equal(make_base(degradation, lr[1]), base[1])
