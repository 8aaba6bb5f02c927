"""MATLAB-exact antialiased bicubic: `downscale` is the forward model, `upscale` its counterpart.

Every output sample is a weighted sum of a few input samples along one axis (Keys 1981, a = -1/2). When an axis shrinks,
the cubic is stretched by the ratio, so that it also removes what the coarser grid cannot carry ("antialiasing").
Borders are mirrored with the edge sample repeated. The two axes are independent.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import add

import torch
from torch import Tensor

# Outputs are computed in runs of this many samples. Each run is one small dense product over the few inputs it
# needs. That is several times faster than gathering taps, and the matrix of a whole long axis is never built.
_RUN = 64


@dataclass(frozen=True)
class Interpolant:
    """Weights of the input samples around an output sample; they are normalised to sum to 1."""

    weight: Callable[[Tensor], Tensor]
    """Weight by distance along an axis, in input samples (output samples if the axis shrinks); 0 from `radius` on."""
    radius: int


def cubic(x: Tensor) -> Tensor:
    """Return Keys' cubic convolution kernel, a = -1/2: support [-2, 2], 1 at 0, 0 at the other whole numbers."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x <= 1, near, torch.where(x < 2, far, torch.zeros_like(x)))


def triangle(x: Tensor) -> Tensor:
    """Return the triangle kernel: 1 at 0, falling to 0 at -1 and 1."""
    return (1 - x.abs()).clamp_min(0)


def lanczos_3(x: Tensor) -> Tensor:
    """Return sinc(x) under the window sinc(x / 3): support [-3, 3], 1 at 0, 0 at the other whole numbers."""
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), torch.zeros_like(x))


CUBIC, TRIANGLE, LANCZOS_3 = Interpolant(cubic, 2), Interpolant(triangle, 1), Interpolant(lanczos_3, 3)


def downscale(image: Tensor, scale: int) -> Tensor:
    """Shrink by a whole factor with antialiased bicubic, as MATLAB's `imresize(image, 1/scale)`: the forward model.

    Args:
        image: (..., H, W), H and W multiples of `scale`; floating point of any range, or uint8.
        scale: whole number >= 1.

    Returns:
        (..., H / scale, W / scale), same dtype and device. Floating point may overshoot the input's range.
        uint8 is computed in float64 and rounded half up and clipped after each axis, rows first, as MATLAB does.

    Raises:
        ValueError: H or W is not a multiple of `scale`.
    """
    height, width = image.shape[-2:]
    if height % scale or width % scale:
        raise ValueError(f"downscale by {scale} needs multiples of {scale}, got {height} x {width}: crop first")
    return resize(image, (height // scale, width // scale))


def upscale(image: Tensor, scale: int, interpolant: Interpolant = CUBIC) -> Tensor:
    """Enlarge (..., H, W) to (..., H * scale, W * scale), as MATLAB's `imresize(image, scale)`.

    Dtype, rounding and device as in `downscale`.
    """
    height, width = image.shape[-2:]
    return resize(image, (height * scale, width * scale), interpolant)


def add_upscaled(total: Tensor, image: Tensor, scale: int) -> Tensor:
    """Compute `total += upscale(image, scale)` for (C, H, W) floating point, bit-equal but without the temporary."""
    tall = _resize_axis(image, -2, scale * image.shape[-2])
    at = 0
    for first, matrix in _run_matrices(image.shape[-1], scale * image.shape[-1], image.dtype, image.device):
        outputs, inputs = matrix.shape
        part = total.narrow(-1, at, outputs)
        part.baddbmm_(tall.narrow(-1, first, inputs), matrix.T.expand(len(total), inputs, outputs))
        at += outputs
    return total


def resize(image: Tensor, size: tuple[int, int], interpolant: Interpolant = CUBIC) -> Tensor:
    """Resample (..., H, W) to (..., *size), antialiased along the axes that shrink.

    Dtype, rounding and device as in `downscale`. Equals MATLAB's `imresize` if both axes change by the same ratio.
    """
    for axis, length in zip((-2, -1), size, strict=True):
        if length < 1:
            raise ValueError(f"cannot resize {tuple(image.shape)} to {size}: every side must be at least 1")
        if length != image.shape[axis]:
            image = _resize_axis(image, axis, length, interpolant)
    return image


def resize_window(
    window: Tensor,
    first: tuple[int, int],
    lengths: tuple[int, int],
    size: tuple[int, int],
    places: tuple[slice, slice],
) -> Tensor:
    """Return some rows and columns of a resampled image, of which only a window is given; bit-equal for any window.

    It equals `resize` except that the weights are balanced: a sampled, stretched cubic has its centre of mass off by up
    to 0.01 pixels, while here a ramp stays in place.

    Args:
        window: (..., h, w) floating point, with every sample that these rows and columns depend on.
        first: row and column of the image where the window begins.
        lengths: height and width of the image.
        size: height and width of the whole result.
        places: rows and columns of the result to return.
    """
    for axis, begin, length, made, place in zip((-2, -1), first, lengths, size, places, strict=True):
        if made == length:
            window = window.narrow(axis, place.start - begin, place.stop - place.start)
            continue
        weights, offsets, indices = _sampled(length, made, place)
        # the sample of a tap with weight 0 may be missing from the window
        indices = indices.where(weights != 0, indices.gather(1, weights.argmax(1, keepdim=True))) - begin
        weights = _balanced(weights, offsets)
        taps = zip(weights.T.to(window), indices.T.to(window.device), strict=True)
        shape = (-1, 1) if axis == -2 else (-1,)
        parts = (weight.reshape(shape) * window.index_select(axis, index) for weight, index in taps)
        window = reduce(add, parts)  # tap by tap, since a matrix product may add up in another order
    return window


def axis_matrix(in_length: int, out_length: int) -> Tensor:
    """Return the (out_length, in_length) float64 matrix of the resampling along one axis; each row sums to 1.

    It is dense: meant for tile-sized axes and for tests.
    """
    weights, indices = _taps(in_length, out_length)
    return torch.zeros(out_length, in_length, dtype=torch.float64).scatter_add_(1, indices, weights)


def _resize_axis(image: Tensor, axis: int, length: int, interpolant: Interpolant = CUBIC) -> Tensor:
    work = image.double() if image.dtype == torch.uint8 else image
    runs = []
    for first, matrix in _run_matrices(image.shape[axis], length, work.dtype, work.device, interpolant):
        if axis == -2:
            runs.append(matrix @ work.narrow(-2, first, matrix.shape[1]))
        else:
            runs.append(work.narrow(-1, first, matrix.shape[1]) @ matrix.T)
    resized = torch.cat(runs, axis)
    return resized.add_(0.5).floor_().clamp_(0, 255).byte() if image.dtype == torch.uint8 else resized


@lru_cache(maxsize=64)
def _run_matrices(
    in_length: int, out_length: int, dtype: torch.dtype, device: torch.device, interpolant: Interpolant = CUBIC
) -> tuple[tuple[int, Tensor], ...]:
    """Return (first input sample, dense weights) for each run of outputs."""
    with torch.inference_mode(False):  # cached tensors must also serve callers that differentiate
        weights, indices = _taps(in_length, out_length, interpolant)
        return tuple(_dense_runs(weights, indices, dtype, device))


def _dense_runs(
    weights: Tensor, indices: Tensor, dtype: torch.dtype, device: torch.device
) -> Iterator[tuple[int, Tensor]]:
    for run_weights, run_indices in zip(torch.split(weights, _RUN), torch.split(indices, _RUN), strict=True):
        first = int(run_indices.min())
        span = int(run_indices.max()) - first + 1
        matrix = torch.zeros(len(run_weights), span, dtype=torch.float64)
        matrix.scatter_add_(1, run_indices - first, run_weights)
        yield first, matrix.to(device, dtype)


def _taps(in_length: int, out_length: int, interpolant: Interpolant = CUBIC) -> tuple[Tensor, Tensor]:
    """Return weights (out, taps) float64 and mirrored input indices (out, taps) int64 for every output sample."""
    weights, _, indices = _sampled(in_length, out_length, slice(0, out_length), interpolant)
    return weights, indices


def _balanced(weights: Tensor, offsets: Tensor) -> Tensor:
    """Return (out, taps) weights that sum to 1 and have their centre of mass at the output sample's centre."""
    sizes = weights.abs()
    sizes /= sizes.sum(1, keepdim=True)
    away = offsets - (sizes * offsets).sum(1, keepdim=True)
    spread = (sizes * away**2).sum(1, keepdim=True).clamp_min(1e-12)  # 0 if one tap in the centre has all the weight
    return weights - sizes * away * (weights * offsets).sum(1, keepdim=True) / spread


def _sampled(
    in_length: int, out_length: int, outputs: slice, interpolant: Interpolant = CUBIC
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `_taps` of some output samples, and in between the distances of the taps from the sample's centre."""
    ratio = out_length / in_length
    stretch = min(ratio, 1.0)
    width = 2 * interpolant.radius / stretch
    centre = (torch.arange(outputs.start, outputs.stop, dtype=torch.float64) + 0.5) / ratio - 0.5
    left = torch.floor(centre - width / 2)
    indices = left[:, None] + torch.arange(int(-(-width // 1)) + 2, dtype=torch.float64)
    offsets = indices - centre[:, None]
    weights = interpolant.weight(offsets * stretch)
    weights /= weights.sum(1, keepdim=True)
    wrapped = indices.long() % (2 * in_length)
    return weights, offsets, torch.minimum(wrapped, 2 * in_length - 1 - wrapped)
