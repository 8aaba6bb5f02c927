"""From one LR image to its enlargement: learn from it, then enlarge it window by window.

A scale s takes one network up to x4 and two beyond, where networks know any camera (`stages`); those fitted from
scratch take ceil(log2 s). Each stage runs its network under the self-ensemble, is brought down to the size asked for
when it overshoots, and is back-projected against the LR image. Any other size is reduced from the next whole scale.
"""

from dataclasses import replace

from torch import Tensor

from .domain import UNIT, Domain, fill
from .enlarging import enlarge_tiled
from .grid import grid_of
from .guess import with_kernel
from .learning import fit_stages
from .model import degradation_of, no_phase
from .prior import Prior
from .reduction import reduced_within
from .restorer import Restorer
from .settings import AUTO, Method, Settings
from .signs import Signs
from .tiles import tile_at


def super_resolve(
    lr: Tensor,
    settings: Settings,
    prior: Prior | None = None,
    domain: Domain = UNIT,
    restorer: Restorer | None = None,
) -> Tensor:
    """Enlarge (C, H, W) float32 in [0, 1] to (C, *grid_of(settings, H, W).size) in [0, 1], on the tensor's device.

    With another `domain` samples lie between its bounds, most of them in [0, 1]; those not known are ignored, NaN too.
    Noise that the settings tell is in grey levels of 8 bits here. A kernel that is to be found, `auto` or `estimate`,
    is found in this image's pixels, which count as they are, not as numbers of a file that were rounded; of one image
    `estimate-collection` is the same.

    Args:
        restorer: what Method.MODEL enlarges by.

    Bit-equal for equal arguments, thread count and device class. Callers that write tiles as they come, or spread
    them over machines, use `learning.fit_stages` and `enlarging.enlarge` as this does.

    Raises:
        ValueError: Method.MODEL without a restorer.
    """
    if settings.method == Method.MODEL and restorer is None:
        raise ValueError("the method model needs a trained model; use srpipe run --method model --weights FILE")
    noise = 0.0 if settings.noise == AUTO else float(settings.noise) / 255
    signs = Signs(fill(lr, domain.known), domain.known_pixels)
    settings, _ = with_kernel(settings, signs)
    fitted = fit_stages(lr, settings, prior, degradation_of(settings, (noise,)), domain=domain, signs=signs)
    sr = enlarge_tiled(lr, replace(fitted.model, restorer=restorer), settings, no_phase, domain)
    height, width = lr.shape[-2:]
    grid, whole = grid_of(settings, height, width), tile_at(slice(0, height), slice(0, width), height, width, 0)
    return sr if grid.is_whole else reduced_within(sr, whole, grid, domain, lr)
