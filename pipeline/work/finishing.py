"""From computed to written samples: numbers in the file's type, and their consistency with the image."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from sr_ops.conservation import conserve
from sr_ops.consistency import ConsistencySums
from sr_ops.degradation import Degradation
from sr_ops.domain import Domain, flat, keep_flat, nearest
from sr_ops.grid import Grid
from sr_ops.histogram import Histogram
from sr_ops.reduction import nearest_owned, reduced, reduced_within
from sr_ops.tiles import Tile, owned

from ..errors import ErrorType, ImageError
from ..imagery.camera import of_alpha
from ..imagery.header import Header, Pixels
from ..imagery.samples import Scaling, Window, full_range, limited, off_nodata, to_native, within


@dataclass(frozen=True)
class Finished:
    """The result for what a part of a tile owns."""

    pixels: Pixels
    residuals: ConsistencySums
    """Of `pixels`, in native units, where the image is known."""
    disagreement: Histogram | None = None
    """Of the members, in native units, where the image is known; None with one member."""
    map: NDArray[np.float32] | None = None
    """The same over all bands, (H, W), NaN where none is known."""


def copied(window: Window, part: Tile, grid: Grid) -> Finished:
    """Return a part in which nothing is known: every sample copied to all result pixels that lie in it."""
    pixels = _copies(window.pixels, part, grid)
    sums = ConsistencySums.none(len(window.lr))
    if window.alpha is not None:  # alpha is known, and copied exactly
        height, width = (span.stop - span.start for span in (part.rows, part.columns))
        sums = replace(sums, counts=(*sums.counts, height * width), squared=(*sums.squared, 0.0))
    return Finished(pixels, sums)


def finish(
    sr: Tensor,
    alpha: Tensor | None,
    window: Window,
    part: Tile,
    header: Header,
    scaling: Scaling,
    degradation: Degradation,
    grid: Grid,
) -> Finished:
    """Return the samples that `part` owns of an enlarged window, on the result's grid and rounded as written.

    Unknown samples are copied from the image, so that NaN, nodata and masks keep their place and value. Consistency
    with the image is measured before the reduction, at the scale of the kernel.

    Args:
        sr: (C, h * scale, w * scale) float32, the enlargement of `window.lr`.
        alpha: (1, h * scale, w * scale), the enlargement of `window.alpha`.
        degradation: the forward model by which the result is compared with the image.
    """
    known = window.domain.known
    whole, residual = _measured(sr, window, header, scaling, degradation)
    numbers = owned(whole, part, grid.scale) if grid.is_whole else _reduced(sr, window, part, header, scaling, grid)
    outside = _outside(numbers, known, part, scaling, grid)
    if alpha is not None:
        assert window.alpha is not None
        opacity, its_residual = _opacity(alpha, window.alpha, part, header, of_alpha(degradation), grid)
        numbers, residual = torch.cat([numbers, opacity]), torch.cat([residual, its_residual])
        known = None if known is None else torch.cat([known, torch.ones_like(known[:1])])
    sums = ConsistencySums.of(owned(residual, part, 1), None if known is None else owned(known, part, 1))
    sums = replace(sums, outside=outside)
    made = numbers.cpu().numpy().astype(header.dtype)
    if known is None and len(made) == len(window.pixels.samples) and window.pixels.mask is None:
        return Finished(Pixels(made, None), sums)
    copies = _copies(window.pixels, part, grid)
    if known is not None:
        made = np.where(nearest_owned(known.cpu().numpy(), part, grid), made, copies.samples[: len(made)])
    if len(made) < len(copies.samples):  # alpha that marks valid pixels
        made = np.concatenate([made, copies.samples[len(made) :]])
    return Finished(Pixels(made, copies.mask), sums)


def _measured(
    sr: Tensor, window: Window, header: Header, scaling: Scaling, degradation: Degradation
) -> tuple[Tensor, Tensor]:
    """Return native numbers (C, h * scale, w * scale), and their residuals (C, h, w)."""
    lr = torch.from_numpy(window.pixels.samples[: len(window.lr)]).to(sr.device)
    numbers = off_nodata(to_native(sr, header, scaling), header)
    if header.dtype == "float32":
        numbers = keep_flat(numbers, lr.nan_to_num(), degradation.scale)  # exactly
        if scaling.cuts:
            numbers = limited(numbers, scaling)
    exact = numbers.dtype if header.dtype == "uint8" else torch.float64
    shrunk = [  # band by band: in float64 all would take a third of the memory
        degradation.of_bands(band, band + 1).apply(numbers[band : band + 1].to(exact)) for band in range(len(numbers))
    ]
    return numbers, torch.cat(shrunk) - lr.to(exact)


def _reduced(sr: Tensor, window: Window, part: Tile, header: Header, scaling: Scaling, grid: Grid) -> Tensor:
    """Return native numbers of the pixels that `part` owns, for a result not made at a whole scale."""
    smaller = reduced_within(sr, part, grid, window.domain, window.lr)
    numbers = off_nodata(to_native(smaller, header, scaling), header)
    if header.dtype != "float32":
        return numbers
    lr = torch.from_numpy(window.pixels.samples[: len(window.lr)]).to(sr.device).nan_to_num()
    still, values = (nearest_owned(each, part, grid) for each in (flat(lr), lr))
    numbers = torch.where(still, values, numbers)  # exactly
    return limited(numbers, scaling) if scaling.cuts else numbers


def _outside(numbers: Tensor, known: Tensor | None, part: Tile, scaling: Scaling, grid: Grid) -> int:
    """Return how many samples that `part` owns lie outside the image's range, where it is known.

    Raises:
        ImageError: unsupported; some are not finite.
    """
    beyond = ~within(numbers, scaling)
    if known is not None:
        beyond &= nearest_owned(known, part, grid)
    if not bool(numbers.where(beyond, 0.0).isfinite().all()):
        message = "its values exceed the range of float32; give with --nodata the one that is a fill"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    return int(beyond.sum())


def _opacity(
    alpha: Tensor, of_image: Tensor, part: Tile, header: Header, degradation: Degradation, grid: Grid
) -> tuple[Tensor, Tensor]:
    """Return native numbers of alpha where `part` owns it, and the residuals (1, h, w) of the whole window.

    It does not ring, and is 0 where the image's alpha is 0, since there are no colours to show.
    """
    low = -max_pool2d(-of_image, 3, stride=1, padding=1)
    high = max_pool2d(of_image, 3, stride=1, padding=1) * (of_image > 0)
    ends, scale, full = (torch.minimum(low, high), high), degradation.scale, full_range(header)
    limited = alpha.clamp(*(nearest(end, scale) for end in ends))
    opacity = conserve(limited, of_image, degradation, Domain(low < high))  # unknown where transparent
    whole = (opacity * full + 0.5).floor_()
    residual = degradation.apply(whole.double()) - of_image * full
    if grid.is_whole:
        return owned(whole, part, scale), residual
    smaller = reduced(opacity, part, grid).clamp(*(nearest_owned(end, part, grid) for end in ends))
    return (smaller * full + 0.5).floor_(), residual


def _copies(pixels: Pixels, part: Tile, grid: Grid) -> Pixels:
    """Return the image samples under the pixels that `part` owns, and their mask."""
    mask = None if pixels.mask is None else nearest_owned(pixels.mask, part, grid)
    return Pixels(nearest_owned(pixels.samples, part, grid), mask)
