"""From computed to written samples: numbers in the file's type, and their consistency with the image."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from sr_ops.camera.conservation import conserve
from sr_ops.camera.degradation import Degradation
from sr_ops.enlarging.reduction import nearest_owned, reduced, reduced_within
from sr_ops.image.domain import Domain, flat, keep_flat, nearest
from sr_ops.image.grid import Grid
from sr_ops.image.tiles import Tile, owned
from sr_ops.measures.consistency import ConsistencySums
from sr_ops.measures.histogram import Histogram

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


@dataclass(frozen=True, eq=False)
class Numbers:
    """An enlarged window in native numbers, at the scale of the kernel, and how it agrees with the image."""

    sr: Tensor
    """(C, h * scale, w * scale) float32 in [0, 1], as enlarged."""
    whole: Tensor
    """(C, h * scale, w * scale), the same in native numbers."""
    residual: Tensor
    """(C, h, w)."""
    opacity: Tensor | None = None
    """(1, h * scale, w * scale) in [0, 1], for an image whose alpha blends."""
    its_residual: Tensor | None = None
    """(1, h, w)."""


@dataclass(frozen=True, eq=False)
class Finisher:
    """Finishes the windows of one image, part by part of its tiles."""

    header: Header
    scaling: Scaling
    degradation: Degradation
    """The forward model by which the result is compared with the image."""
    grid: Grid
    """Of the whole result."""

    def copied(self, window: Window, part: Tile) -> Finished:
        """Return a part in which nothing is known: every sample copied to all result pixels that lie in it."""
        pixels = self._copies(window.pixels, part)
        sums = ConsistencySums.none(len(window.lr))
        if window.alpha is not None:  # alpha is known, and copied exactly
            height, width = (span.stop - span.start for span in (part.rows, part.columns))
            sums = replace(sums, counts=(*sums.counts, height * width), squared=(*sums.squared, 0.0))
        return Finished(pixels, sums)

    def numbers(self, sr: Tensor, alpha: Tensor | None, window: Window) -> Numbers:
        """Return an enlarged window in native numbers. Its consistency with the image is measured at this scale.

        Args:
            sr: (C, h * scale, w * scale) float32, the enlargement of `window.lr`.
            alpha: (1, h * scale, w * scale), the enlargement of `window.alpha`.
        """
        measured = Numbers(sr, *self._measured(sr, window))
        if alpha is None:
            return measured
        assert window.alpha is not None
        opacity, residual = self._opacity(alpha, window.alpha)
        return replace(measured, opacity=opacity, its_residual=residual)

    def finished(self, numbers: Numbers, window: Window, part: Tile) -> Finished:
        """Return the samples that `part` owns of an enlarged window, on the result's grid and rounded as written.

        Unknown samples are copied from the image, so that NaN, nodata and masks keep their place and value.
        """
        known, residual = window.domain.known, numbers.residual
        made = (
            owned(numbers.whole, part, self.grid.scale)
            if self.grid.is_whole
            else self._reduced(numbers.sr, window, part)
        )
        outside = self._outside(made, known, part)
        if numbers.opacity is not None and numbers.its_residual is not None:
            assert window.alpha is not None
            made = torch.cat([made, self._owned_opacity(numbers.opacity, window.alpha, part)])
            residual = torch.cat([residual, numbers.its_residual])
            known = None if known is None else torch.cat([known, torch.ones_like(known[:1])])
        sums = ConsistencySums.of(owned(residual, part, 1), None if known is None else owned(known, part, 1))
        return Finished(self._written(made, known, window, part), replace(sums, outside=outside))

    def _written(self, numbers: Tensor, known: Tensor | None, window: Window, part: Tile) -> Pixels:
        """Return native numbers as pixels of the file's type, with copies of the image where nothing is known."""
        made = numbers.cpu().numpy().astype(self.header.dtype)
        if known is None and len(made) == len(window.pixels.samples) and window.pixels.mask is None:
            return Pixels(made, None)
        copies = self._copies(window.pixels, part)
        if known is not None:
            known_here = nearest_owned(known.cpu().numpy(), part, self.grid)
            made = np.where(known_here, made, copies.samples[: len(made)])
        if len(made) < len(copies.samples):  # alpha that marks valid pixels
            made = np.concatenate([made, copies.samples[len(made) :]])
        return Pixels(made, copies.mask)

    def _measured(self, sr: Tensor, window: Window) -> tuple[Tensor, Tensor]:
        """Return native numbers (C, h * scale, w * scale), and their residuals (C, h, w)."""
        lr = torch.from_numpy(window.pixels.samples[: len(window.lr)]).to(sr.device)
        numbers, known, scale = to_native(sr, self.header, self.scaling), window.domain.known, self.degradation.scale
        if self.header.dtype == "float32":
            kept = keep_flat(numbers, lr.nan_to_num(), scale)  # exactly
            # a fill is flat, too, and residuals beside it would tell of nothing else
            numbers = kept if known is None else kept.where(nearest(known, scale), numbers)
            if self.scaling.cuts:
                numbers = limited(numbers, self.scaling)
        numbers = off_nodata(numbers, self.header)
        exact = numbers.dtype if self.header.dtype == "uint8" else torch.float64
        shrunk = [  # band by band: in float64 all would take a third of the memory
            self.degradation.of_bands(band, band + 1).apply(numbers[band : band + 1].to(exact))
            for band in range(len(numbers))
        ]
        return numbers, torch.cat(shrunk) - lr.to(exact)

    def _reduced(self, sr: Tensor, window: Window, part: Tile) -> Tensor:
        """Return native numbers of the pixels that `part` owns, for a result not made at a whole scale."""
        smaller = reduced_within(sr, part, self.grid, window.domain, window.lr)
        numbers = to_native(smaller, self.header, self.scaling)
        if self.header.dtype != "float32":
            return off_nodata(numbers, self.header)
        lr = torch.from_numpy(window.pixels.samples[: len(window.lr)]).to(sr.device).nan_to_num()
        still, values = (nearest_owned(each, part, self.grid) for each in (flat(lr), lr))
        numbers = torch.where(still, values, numbers)  # exactly
        return off_nodata(limited(numbers, self.scaling) if self.scaling.cuts else numbers, self.header)

    def _outside(self, numbers: Tensor, known: Tensor | None, part: Tile) -> int:
        """Return how many samples that `part` owns lie outside the image's range, where it is known.

        Raises:
            ImageError: unsupported; some are not finite.
        """
        beyond = ~within(numbers, self.scaling)
        if known is not None:
            beyond &= nearest_owned(known, part, self.grid)
        if not bool(numbers.where(beyond, 0.0).isfinite().all()):
            message = "its values exceed the range of float32; give with --nodata the one that is a fill"
            raise ImageError(ErrorType.UNSUPPORTED, message)
        return int(beyond.sum())

    def _opacity(self, alpha: Tensor, of_image: Tensor) -> tuple[Tensor, Tensor]:
        """Return alpha in [0, 1], and the residuals (1, h, w) of its native numbers.

        It does not ring, and is 0 where the image's alpha is 0, since there are no colours to show.
        """
        degradation, (low, high) = of_alpha(self.degradation), _ends_near(of_image)
        near = [nearest(end, degradation.scale) for end in (low, high)]
        opacity = conserve(alpha.clamp(*near), of_image, degradation, Domain(low < high, *near))  # unknown where clear
        full = full_range(self.header)
        return opacity, degradation.apply(_whole_numbers(opacity, full).double()) - of_image * full

    def _owned_opacity(self, opacity: Tensor, of_image: Tensor, part: Tile) -> Tensor:
        """Return native numbers of alpha where `part` owns it."""
        if self.grid.is_whole:
            return _whole_numbers(owned(opacity, part, self.grid.scale), full_range(self.header))
        ends = (nearest_owned(end, part, self.grid) for end in _ends_near(of_image))
        return _whole_numbers(reduced(opacity, part, self.grid).clamp(*ends), full_range(self.header))

    def _copies(self, pixels: Pixels, part: Tile) -> Pixels:
        """Return the image samples under the pixels that `part` owns, and their mask."""
        mask = None if pixels.mask is None else nearest_owned(pixels.mask, part, self.grid)
        return Pixels(nearest_owned(pixels.samples, part, self.grid), mask)


def _ends_near(alpha: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least and the largest alpha beside each pixel; both are 0 where it is 0."""
    low, high = -max_pool2d(-alpha, 3, stride=1, padding=1), max_pool2d(alpha, 3, stride=1, padding=1) * (alpha > 0)
    return torch.minimum(low, high), high


def _whole_numbers(opacity: Tensor, full: float) -> Tensor:
    return (opacity * full + 0.5).floor_()
