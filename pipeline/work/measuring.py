"""Measures of trust for a tile, besides its consistency with the image."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sr_ops.enlarging.reduction import nearest_owned, reduced
from sr_ops.image.grid import Grid
from sr_ops.image.tiles import Tile, owned
from sr_ops.measures.histogram import Histogram
from sr_ops.measures.octaves import OctavePowers

from ..imagery.header import Header, Pixels
from ..imagery.samples import Scaling, Window, known_samples


def disagreement_in(
    spread: Tensor, window: Window, part: Tile, scaling: Scaling, grid: Grid
) -> tuple[Histogram, NDArray[np.float32]]:
    """Return the disagreement in the pixels that `part` owns, in native units: a histogram, and a map (H, W).

    The map is the root mean square over the known bands, NaN where none is known.

    Args:
        spread: (C, h * scale, w * scale), for `window.lr`, as returned by `enlarge_and_compare`.
    """
    spans = torch.tensor(scaling.span, dtype=torch.float32, device=spread.device)[:, None, None]
    native = spans * (owned(spread, part, grid.scale) if grid.is_whole else reduced(spread, part, grid).clamp_min(0))
    known = window.domain.known
    if known is None:
        return Histogram.of(native), native.square().mean(0).sqrt().cpu().numpy()
    known = nearest_owned(known, part, grid)
    together = native.square().where(known, 0).sum(0) / known.sum(0)
    return Histogram.of(native, known), together.sqrt().cpu().numpy()


def octaves_of(pixels: Pixels, header: Header, grid: Grid) -> OctavePowers | None:
    """Return the octaves of a tile's pixels as written, for the mean of their bands.

    Args:
        header: of the image.
    """
    known = known_samples(pixels, header).all(0)
    samples = pixels.samples[: header.measured].astype(np.float32).mean(0)
    ratios = (grid.rows.ratio, grid.columns.ratio)
    return OctavePowers.of(torch.from_numpy(samples), torch.from_numpy(known), ratios)
