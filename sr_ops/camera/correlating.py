"""Correlation of images with kernels on a grid of every s-th pixel, and its adjoint.

Filters are (1 or C, 1, rows, columns) float64, one for all bands or one per band. Along an axis on which a filter has a
single tap it neither shrinks nor enlarges: a separable kernel is a column and a row, one after the other.

In float64 torch has no convolution for CPUs but one that lays out every window it multiplies: 2.7 GB for a tile of
512 x 512 and a kernel of 29 x 29. There products are added up tap by tap instead, over parts of the image that are
shifted by whole pixels.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import conv2d, conv_transpose2d, pad


def correlate(image: Tensor, taps: Tensor, scale: int) -> Tensor:
    """Shrink (n, C, H, W) by `scale`, without padding."""
    down, across = steps = _steps(taps, scale)
    if not _is_laid_out(image):
        return conv2d(image, taps.to(image), stride=steps, groups=len(taps))
    (height, width), (rows, columns) = image.shape[-2:], taps.shape[-2:]
    shape = (height - rows) // down + 1, (width - columns) // across + 1
    phases = _phases(pad(image, (0, -width % across, 0, -height % down)), steps)
    made = image.new_zeros(*image.shape[:2], *shape)
    for part, tap in _shifted(phases, taps.to(image), shape):
        made.addcmul_(part, tap)
    return made


def spread(image: Tensor, taps: Tensor, scale: int) -> Tensor:
    """Enlarge (n, C, h, w) by `scale`: the adjoint of `correlate`."""
    down, across = steps = _steps(taps, scale)
    if not _is_laid_out(image):
        return conv_transpose2d(image, taps.to(image), stride=steps, groups=len(taps))
    (height, width), (rows, columns) = image.shape[-2:], taps.shape[-2:]
    full = (height - 1) * down + rows, (width - 1) * across + columns
    made = image.new_zeros(*image.shape[:2], full[0] + -full[0] % down, full[1] + -full[1] % across)
    phases = _phases(made, steps)
    for part, tap in _shifted(phases, taps.to(image), (height, width)):
        part.addcmul_(image, tap)
    whole = phases.permute(2, 3, 4, 0, 5, 1).reshape(made.shape)
    return whole[..., : full[0], : full[1]]


def _steps(taps: Tensor, scale: int) -> tuple[int, int]:
    rows, columns = taps.shape[-2:]
    return scale if rows > 1 else 1, scale if columns > 1 else 1


def _is_laid_out(image: Tensor) -> bool:
    return image.dtype == torch.float64 and image.device.type == "cpu"


def _phases(image: Tensor, steps: tuple[int, int]) -> Tensor:
    """Return (down, across, n, C, H / down, W / across): every step-th pixel of (n, C, H, W), from each first one."""
    count, bands, height, width = image.shape
    down, across = steps
    parts = image.reshape(count, bands, height // down, down, width // across, across)
    return parts.permute(3, 5, 0, 1, 2, 4).contiguous()


def _shifted(phases: Tensor, taps: Tensor, shape: tuple[int, int]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the taps (1 or C, 1, 1) that are not 0 in all bands, each with the pixels of `phases` that it meets."""
    down, across = phases.shape[:2]
    for row, column in taps.abs().amax((0, 1)).nonzero().tolist():
        top, left = row // down, column // across
        part = phases[row % down, column % across, ..., top : top + shape[0], left : left + shape[1]]
        yield part, taps[:, 0, row, column, None, None]
