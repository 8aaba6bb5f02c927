"""Resampling against MATLAB imresize's rules written out in NumPy, hand-computed numbers, and the laws they imply."""

from math import ceil, floor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sr_ops.image.resample import add_upscaled, axis_matrix, downscale, resize, upscale

from .pictures import noise

law = settings(max_examples=40, deadline=None, derandomize=True)
lengths = st.one_of(st.integers(1, 12), st.integers(1, 300))
seeds = st.integers(0, 2**31)

IMPULSE_X2 = [-3, -9, 29, 111, 111, 29, -9, -3]
"""128 times Keys' cubic at 1.75, 1.25, 0.75, 0.25 and back: the x2 enlargement of one bright sample."""


def keys_cubic(x: np.ndarray, a: float = -0.5) -> np.ndarray:
    x = np.abs(x)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def mirrored(position: int, length: int) -> int:
    while not 0 <= position < length:
        position = -1 - position if position < 0 else 2 * length - 1 - position
    return position


def reference_rows(image: np.ndarray, out_length: int) -> np.ndarray:
    """imresize along the first axis, one output sample after the other."""
    length = len(image)
    stretch = max(length / out_length, 1)
    out = np.zeros((out_length, *image.shape[1:]))
    for sample in range(out_length):
        centre = (sample + 0.5) * length / out_length - 0.5
        reach = np.arange(floor(centre - 2 * stretch) - 1, ceil(centre + 2 * stretch) + 2)
        weights = keys_cubic((reach - centre) / stretch)
        for position, weight in zip(reach, weights / weights.sum(), strict=True):
            out[sample] += weight * image[mirrored(int(position), length)]
    return out


def reference_columns(image: np.ndarray, out_length: int) -> np.ndarray:
    return reference_rows(image.T, out_length).T


def to_8_bits(image: np.ndarray) -> np.ndarray:
    return np.clip(np.floor(image + 0.5), 0, 255)


@law
@given(in_length=lengths, out_length=lengths, seed=seeds)
def test_one_axis_matches_the_sample_by_sample_reference(in_length: int, out_length: int, seed: int) -> None:
    """Any axis length to any other, past the internal run of 128 too, gives imresize's numbers."""
    image = noise(in_length, 2, seed=seed, dtype=torch.float64)
    expected = torch.from_numpy(reference_rows(image.numpy(), out_length))
    torch.testing.assert_close(resize(image, (out_length, 2)), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(resize(image.T, (2, out_length)), expected.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4, 8])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 2e-6), (torch.float64, 1e-12)])
def test_whole_scales_match_the_reference(scale: int, dtype: torch.dtype, atol: float) -> None:
    """`downscale` and `upscale` give imresize's numbers on both axes, in the dtype they were given."""
    small = noise(9, 7, dtype=dtype)
    large = noise(9 * scale, 7 * scale, dtype=dtype)
    enlarged = reference_columns(reference_rows(small.double().numpy(), 9 * scale), 7 * scale)
    reduced = reference_columns(reference_rows(large.double().numpy(), 9), 7)
    torch.testing.assert_close(upscale(small, scale), torch.from_numpy(enlarged).to(dtype), rtol=0, atol=atol)
    torch.testing.assert_close(downscale(large, scale), torch.from_numpy(reduced).to(dtype), rtol=0, atol=atol)


@pytest.mark.parametrize("size", [(24, 32), (60, 80), (6, 8), (3, 4), (144, 192)])
def test_8_bit_images_are_rounded_after_each_axis_rows_first(size: tuple[int, int]) -> None:
    """uint8 is rounded half up and clipped after the rows and again after the columns, as MATLAB stores it."""
    image = noise(12, 16, dtype=torch.uint8)
    rows_first = to_8_bits(reference_columns(to_8_bits(reference_rows(image.numpy(), size[0])), size[1]))
    columns_first = to_8_bits(reference_rows(to_8_bits(reference_columns(image.numpy(), size[1])), size[0]))
    assert (rows_first != columns_first).any(), "an image on which the order shows"
    resized = resize(image, size)
    assert resized.dtype == torch.uint8
    np.testing.assert_array_equal(resized.numpy(), rows_first)


def test_8_bit_halves_round_up() -> None:
    """The mean of 0 and 1, and of 2 and 3, is rounded upwards."""
    assert downscale(torch.tensor([[0, 1], [0, 1]], dtype=torch.uint8), 2).tolist() == [[1]]
    assert downscale(torch.tensor([[2, 3], [2, 3]], dtype=torch.uint8), 2).tolist() == [[3]]


def test_8_bit_overshoot_is_clipped() -> None:
    """Ringing beside an edge stays at 0 and 255 instead of wrapping around."""
    edge = torch.tensor([[0, 0, 0, 255, 255, 255]], dtype=torch.uint8).expand(4, 6)
    enlarged = upscale(edge, 2)[0]
    assert enlarged[:5].max() == 0
    assert enlarged[7:].min() == 255


def test_impulse_x2_by_hand() -> None:
    """One bright sample spreads over 8 samples of the x2 enlargement with Keys' weights."""
    impulse = torch.zeros(1, 10, dtype=torch.float64)
    impulse[0, 4] = 128
    assert upscale(impulse, 2)[0].tolist() == [0] * 5 + IMPULSE_X2 + [0] * 7


def test_impulse_halved_by_hand() -> None:
    """Shrunk by 2 each output sample weighs the 8 inputs around it with the same cubic, twice as wide."""
    weights = axis_matrix(20, 10)[4] * 256
    assert weights.tolist() == [0] * 5 + IMPULSE_X2 + [0] * 7


def test_border_repeats_the_edge_sample_by_hand() -> None:
    """The taps outside fall on the mirrored samples, the edge sample first: -9 on the edge itself, -3 on the next."""
    weights = axis_matrix(6, 12)[0] * 128  # centre -0.25: samples -2, -1, 0, 1 weigh -9, 29, 111, -3
    assert weights.tolist() == [111 + 29, -3 - 9, 0, 0, 0, 0]


def test_ramp_stays_a_ramp() -> None:
    """Away from the border a straight ramp is resampled exactly, up and down, at the centres of the new samples."""
    ramp = torch.arange(24, dtype=torch.float64).expand(2, 24)
    torch.testing.assert_close(upscale(ramp, 2)[0, 4:-4], (torch.arange(48).double() / 2 - 0.25)[4:-4])
    torch.testing.assert_close(downscale(ramp, 2)[0, 2:-2], (torch.arange(12).double() * 2 + 0.5)[2:-2])


@law
@given(size=st.tuples(lengths, lengths), new_size=st.tuples(lengths, lengths))
def test_constants_stay_constant(size: tuple[int, int], new_size: tuple[int, int]) -> None:
    """The weights of every output sample sum to 1, whatever the lengths, 1 pixel included."""
    resized = resize(torch.full(size, 0.625, dtype=torch.float64), new_size)
    assert resized.shape == new_size
    torch.testing.assert_close(resized, torch.full(new_size, 0.625, dtype=torch.float64), rtol=0, atol=1e-12)


@law
@given(size=st.tuples(lengths, lengths), new_size=st.tuples(lengths, lengths), seed=seeds)
def test_resampling_commutes_with_flips(size: tuple[int, int], new_size: tuple[int, int], seed: int) -> None:
    """A mirrored image gives the mirrored result along both axes."""
    image = noise(*size, seed=seed, dtype=torch.float64)
    for axis in (0, 1):
        torch.testing.assert_close(
            resize(image.flip(axis), new_size), resize(image, new_size).flip(axis), rtol=0, atol=1e-12
        )


@law
@given(size=st.tuples(lengths, lengths), new_size=st.tuples(lengths, lengths), seed=seeds)
def test_axes_are_independent(size: tuple[int, int], new_size: tuple[int, int], seed: int) -> None:
    """The result is one matrix per axis, and so the order of the axes does not matter."""
    image = noise(*size, seed=seed, dtype=torch.float64)
    separate = axis_matrix(size[0], new_size[0]) @ image @ axis_matrix(size[1], new_size[1]).T
    torch.testing.assert_close(resize(image, new_size), separate, rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("length", [1, 2, 7, 130])
def test_downscale_is_the_adjoint_of_upscale(scale: int, length: int) -> None:
    """Every LR sample is read with the weights it is spread by, divided by the scale; so both keep the mean."""
    shrink, enlarge = axis_matrix(length * scale, length), axis_matrix(length, length * scale)
    torch.testing.assert_close(shrink * scale, enlarge.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(5, 4), (1, 5, 4), (2, 3, 5, 4)])
def test_leading_axes_are_a_batch(shape: tuple[int, ...]) -> None:
    """Every image of a stack is resampled by itself, and the argument is left as it was."""
    stack = noise(*shape, dtype=torch.float64)
    before = stack.clone()
    enlarged = upscale(stack, 3)
    assert enlarged.shape == (*shape[:-2], 15, 12)
    assert torch.equal(stack, before)
    alone = torch.stack([upscale(image, 3) for image in stack.reshape(-1, 5, 4)])
    torch.testing.assert_close(enlarged, alone.reshape(enlarged.shape), rtol=0, atol=1e-14)


@pytest.mark.parametrize(("bands", "size", "scale"), [(1, (3, 5), 2), (3, (40, 33), 3), (2, (70, 20), 4)])
def test_an_enlargement_is_added_in_place(bands: int, size: tuple[int, int], scale: int) -> None:
    image, total = noise(bands, *size), noise(bands, *(scale * side for side in size), seed=1)
    expected = total + upscale(image, scale)
    assert add_upscaled(total, image, scale) is total
    torch.testing.assert_close(total, expected, atol=1e-6, rtol=0)


def test_downscale_needs_multiples() -> None:
    """A side that is not a multiple of the scale is an error that names the scale and the size."""
    with pytest.raises(ValueError, match=r"multiples of 3, got 6 x 7"):
        downscale(torch.zeros(1, 6, 7), 3)


def test_an_empty_size_is_an_error() -> None:
    """Nothing can be resized to a side of 0."""
    with pytest.raises(ValueError, match="at least 1"):
        resize(torch.zeros(4, 4), (2, 0))
