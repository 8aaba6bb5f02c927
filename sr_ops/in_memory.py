"""From one LR image in memory to its enlargement: learn from the image, then enlarge it window by window.

Networks for any camera reach x4 in one stage and larger scales in two (`stages`); those fitted from scratch take
ceil(log2 s) stages. Each stage runs its network under the self-ensemble, is reduced to the stage's scale where it
overshoots, and is back-projected against the LR image. Sizes in between are reduced from the next whole scale.
"""

from dataclasses import replace

import torch
from torch import Tensor

from .enlarging.enlarge import enlarge_tiled
from .enlarging.model import degradation_of, no_phase
from .enlarging.reduction import reduced_within
from .enlarging.restorer import Restorer
from .estimation.guess import with_kernel
from .estimation.signs import Signs
from .image.domain import UNIT, Domain, fill
from .image.grid import grid_of
from .image.tiles import tile_at
from .learning.learn import fit_stages
from .learning.observation import Observation
from .networks.exact import exactly
from .priors.prior import Prior
from .settings import AUTO, Method, Network, Settings


def super_resolve(
    lr: Tensor,
    settings: Settings,
    prior: Prior | None = None,
    domain: Domain = UNIT,
    restorer: Restorer | None = None,
) -> Tensor:
    """Enlarge one image: learn what can be learned from it, then enlarge it.

    Noise in the settings is in grey levels of 8 bits here. A kernel that is to be found (`auto`, `estimate`) is
    estimated from the pixels as they are, without the rounding of a file; `estimate-collection` is the same for one
    image. Callers that write tiles as they come, or spread them over machines, use `learning.learn.fit_stages`
    and `enlarging.enlarge.enlarge` directly.

    >>> import torch
    >>> from sr_ops import Settings, super_resolve
    >>> rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(16.0), indexing="ij")
    >>> lr = (0.5 + 0.4 * torch.sin(rows / 2) * torch.cos(columns / 3))[None]
    >>> sr = super_resolve(lr, Settings(scale=2, method="bicubic"))
    >>> tuple(lr.shape), tuple(sr.shape), sr.dtype
    ((1, 12, 16), (1, 24, 32), torch.float32)

    Args:
        lr: (C, H, W) float32, samples within the bounds of `domain`, by default [0, 1].
        settings: everything that decides the pixels; `Settings()` is x4 by a network fitted from scratch.
        prior: weights to start from, for settings made by `preset(..., from_prior=True)`; `pipeline.load_prior` reads
            them. The layers of its networks take the place of `settings.direct_body`.
        domain: which samples are known, and their range, mostly in [0, 1]. Unknown samples are ignored, NaN too.
        restorer: the trained model for Method.MODEL.

    Returns:
        (C, *grid_of(settings, H, W).size) float32 within the bounds of `domain`, on the device of `lr`. Bit-equal for
        equal arguments, thread count and device class; gradients do not flow through it.

    Raises:
        ValueError: `lr` has other axes or another dtype, is empty, or has known samples that are not finite or out of
            bounds; the kernel does not exist at that scale or is for another number of bands; the settings give a size
            on the ground; they need a prior or a restorer that is not given, or a prior is given that is not for their
            network.
    """
    _check_weights(settings, prior, restorer)
    with exactly():
        _check(lr, domain)
        return _super_resolved(lr.detach(), settings, prior, domain, restorer)


def _super_resolved(
    lr: Tensor, settings: Settings, prior: Prior | None, domain: Domain, restorer: Restorer | None
) -> Tensor:
    height, width = lr.shape[-2:]
    grid, whole = grid_of(settings, height, width), tile_at(slice(0, height), slice(0, width), height, width, 0)
    noise = 0.0 if settings.noise == AUTO else float(settings.noise) / 255
    signs = Signs(fill(lr, domain.known), domain.known_pixels)
    settings, _ = with_kernel(settings, signs)
    if prior is not None:
        settings = settings.with_body(prior.largest)  # the halo of tiles depends on it
    degradation = degradation_of(settings, (noise,))
    if len(degradation.kernels) not in (1, len(lr)):
        raise ValueError(
            f"the kernel {settings.kernel} is for {len(degradation.kernels)} bands, the image has {len(lr)}; give one"
            f" for all, or {len(lr)}"
        )
    observation = Observation(lr, degradation, domain, signs)
    fitted = fit_stages(observation, settings, prior)
    sr = enlarge_tiled(lr, replace(fitted.model, restorer=restorer), settings, no_phase, domain)
    return sr if grid.is_whole else reduced_within(sr, whole, grid, domain, lr)


def _check_weights(settings: Settings, prior: Prior | None, restorer: Restorer | None) -> None:
    """Raise ValueError for settings without the weights they need, or with others."""
    if settings.method == Method.MODEL and restorer is None:
        raise ValueError("the method model needs a trained model; use srpipe run --method model --weights FILE")
    if settings.method == Method.MODEL and restorer is not None and restorer.scale != settings.scale:
        raise ValueError(f"the model enlarges by {restorer.scale}, not by {settings.scale}; give it as the scale")
    if not settings.by_networks:
        return
    direct = settings.network == Network.DIRECT
    if prior is not None and not direct:
        raise ValueError(
            f"a prior is for the network direct, not for {settings.network}; give settings made by"
            " preset(..., from_prior=True), or leave the prior out"
        )
    is_fitted = settings.method == Method.ZSSR and settings.fit.steps > 0
    if prior is None and direct and not is_fitted:  # the result would be bicubic
        raise ValueError(
            f"the method {settings.method} of the network direct starts from a prior; give pipeline.load_prior(), or"
            " settings made by preset(..., from_prior=False)"
        )


def _check(lr: Tensor, domain: Domain) -> None:
    """Raise ValueError if `lr` is not an image within `domain`."""
    if lr.ndim != 3 or lr.dtype != torch.float32 or not lr.numel():
        raise ValueError(
            f"the image is {tuple(lr.shape)} of {lr.dtype}; give (C, H, W) of torch.float32, as image[None].float() of"
            " one band"
        )
    known = lr if domain.known is None else lr[domain.known]
    if not bool(known.isfinite().all()):
        raise ValueError("the image holds NaN or infinities; give a domain in which these samples are not known")
    low, high = domain.bounds(lr)
    beyond = (lr < low) | (lr > high)
    if domain.known is not None:
        beyond &= domain.known
    if bool(beyond.any()):
        raise ValueError(
            f"the image lies between {float(known.min()):g} and {float(known.max()):g}, which its domain does not hold;"
            " scale it to [0, 1], or give its bounds with a domain"
        )
