"""From what was computed to what is written: numbers of the file's own kind, and how well they agree with it."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from sr_ops.conservation import conserve
from sr_ops.consistency import ConsistencySums
from sr_ops.degradation import Degradation
from sr_ops.domain import Domain, keep_flat, nearest
from sr_ops.tiles import Tile, owned

from ..errors import ErrorType, ImageError
from ..imagery.camera import of_alpha
from ..imagery.header import Header, Pixels
from ..imagery.samples import Scaling, Window, full_range, limited, off_nodata, to_native, within


@dataclass(frozen=True)
class Finished:
    """What a part of a tile owns."""

    pixels: Pixels
    residuals: ConsistencySums
    """Of `pixels`, in native units, where the image is known."""


def copied(window: Window, part: Tile, scale: int) -> Finished:
    """A part in which nothing is known: every sample as it is, `scale` x `scale` times."""
    pixels = _copies(window.pixels, part, scale)
    sums = ConsistencySums.none(len(window.lr))
    if window.alpha is not None:  # which is known, and kept to the bit
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
) -> Finished:
    """The samples that `part` owns of an enlarged window, rounded as they are written.

    What is not known in the image is a copy of it, so that NaN, "no data" and masks keep their place and their number.

    Args:
        sr: (C, h * scale, w * scale) float32, the enlargement of `window.lr`.
        alpha: (1, h * scale, w * scale), of `window.alpha`.
        degradation: what the result must agree with the image by.
    """
    known, scale = window.domain.known, degradation.scale
    numbers, residual = _measured(sr, window, header, scaling, degradation)
    if alpha is not None:
        assert window.alpha is not None
        its_own = of_alpha(degradation)
        opacity = _opacity(alpha, window.alpha, its_own) * full_range(header)
        numbers = torch.cat([numbers, (opacity + 0.5).floor_()])
        residual = torch.cat([residual, its_own.apply(numbers[-1:].double()) - window.alpha * full_range(header)])
        known = None if known is None else torch.cat([known, torch.ones_like(known[:1])])
    sums = ConsistencySums.of(owned(residual, part, 1), None if known is None else owned(known, part, 1))
    sums = replace(sums, outside=_outside(numbers[: len(sr)], window.domain.known, part, scaling, scale))
    made = owned(numbers, part, scale).cpu().numpy().astype(header.dtype)
    if known is None and len(made) == len(window.pixels.samples) and window.pixels.mask is None:
        return Finished(Pixels(made, None), sums)
    copies = _copies(window.pixels, part, scale)
    if known is not None:
        made = np.where(_repeated(owned(known, part, 1).cpu().numpy(), scale), made, copies.samples[: len(made)])
    if len(made) < len(copies.samples):  # an alpha that says which pixels are valid
        made = np.concatenate([made, copies.samples[len(made) :]])
    return Finished(Pixels(made, copies.mask), sums)


def _measured(
    sr: Tensor, window: Window, header: Header, scaling: Scaling, degradation: Degradation
) -> tuple[Tensor, Tensor]:
    """Native numbers (C, h * scale, w * scale), and the residuals (C, h, w) of these."""
    lr = torch.from_numpy(window.pixels.samples[: len(window.lr)]).to(sr.device)
    numbers = off_nodata(to_native(sr, header, scaling), header)
    if header.dtype == "float32":
        numbers = keep_flat(numbers, lr.nan_to_num(), degradation.scale)  # to the last bit
        if scaling.cuts:
            numbers = limited(numbers, scaling)
    exact = numbers.dtype if header.dtype == "uint8" else torch.float64
    shrunk = [  # one by one: in float64 all are a third of memory
        degradation.of_bands(band, band + 1).apply(numbers[band : band + 1].to(exact)) for band in range(len(numbers))
    ]
    return numbers, torch.cat(shrunk) - lr.to(exact)


def _outside(numbers: Tensor, known: Tensor | None, part: Tile, scaling: Scaling, scale: int) -> int:
    """How many samples that `part` owns lie outside of the image's range, where that is known.

    Raises:
        ImageError: unsupported; some are no numbers at all.
    """
    numbers = owned(numbers, part, scale)
    beyond = ~within(numbers, scaling)
    if known is not None:
        beyond &= nearest(owned(known, part, 1), scale)
    if not bool(numbers.where(beyond, 0.0).isfinite().all()):
        message = "its values are beyond what float32 can be computed with; say with --nodata which of them is a fill"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    return int(beyond.sum())


def _opacity(alpha: Tensor, of_image: Tensor, degradation: Degradation) -> Tensor:
    """An enlarged alpha that does not ring, and that is 0 where the image's is: there are no colours to be shown."""
    low = -max_pool2d(-of_image, 3, stride=1, padding=1)
    high = max_pool2d(of_image, 3, stride=1, padding=1) * (of_image > 0)
    scale = degradation.scale
    limited = alpha.clamp(nearest(torch.minimum(low, high), scale), nearest(high, scale))
    return conserve(limited, of_image, degradation, Domain(low < high))  # what is clear is not: there both are 0


def _copies(pixels: Pixels, part: Tile, scale: int) -> Pixels:
    """The samples that `part` owns of a window, each `scale` x `scale` times, and their mask."""
    mask = None if pixels.mask is None else _repeated(owned(pixels.mask, part, 1), scale)
    return Pixels(_repeated(owned(pixels.samples, part, 1), scale), mask)


def _repeated(image: NDArray[Any], scale: int) -> NDArray[Any]:
    """(..., H, W) with every sample `scale` x `scale` times."""
    return image.repeat(scale, -2).repeat(scale, -1)
