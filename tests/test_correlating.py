"""Correlation in float64 on a CPU, by shifted parts: what torch's convolutions give, in little memory."""

import pytest
import torch
from torch.nn.functional import conv2d, conv_transpose2d
from torch.profiler import profile

from sr_ops.camera.correlating import correlate, spread

from .pictures import noise


@pytest.mark.parametrize("shape", [(3, 3), (5, 8), (9, 1), (1, 7), (1, 1)])
@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_it_is_what_torch_computes(scale: int, shape: tuple[int, int]) -> None:
    """For one kernel of all bands or one a band, with taps of 0 among them, and for sizes that are no multiples."""
    taps = noise(3, 1, *shape, dtype=torch.float64)
    taps[:, :, shape[0] // 2] *= taps[:, :, shape[0] // 2] > 0.5
    steps = tuple(scale if length > 1 else 1 for length in shape)
    image = noise(2, 3, 26, 31, dtype=torch.float64)
    torch.testing.assert_close(correlate(image, taps, scale), conv2d(image, taps, stride=steps, groups=3))
    torch.testing.assert_close(spread(image, taps, scale), conv_transpose2d(image, taps, stride=steps, groups=3))
    for band in range(3):
        alone, its = image[:, band : band + 1], taps[band : band + 1]
        torch.testing.assert_close(correlate(alone, its, scale), conv2d(alone, its, stride=steps))


@pytest.mark.parametrize("do", [correlate, spread])
def test_no_window_is_laid_out(do: object) -> None:
    """torch's own convolution in float64 takes as many times the image as the kernel has taps."""
    assert callable(do)
    image, taps = noise(1, 1, 99, 97, dtype=torch.float64), noise(1, 1, 23, 23, dtype=torch.float64)
    with profile(profile_memory=True) as seen:
        made = do(image, taps, 2)
    largest = max(image.nbytes, made.nbytes)
    assert max(event.self_cpu_memory_usage for event in seen.events()) < 2 * largest
