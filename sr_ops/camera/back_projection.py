"""Making an enlargement agree with the image it came from: data steps, within the range of the samples."""

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from ..image.domain import UNIT, Domain, only_known
from ..image.resample import add_upscaled, axis_matrix, downscale
from .degradation import Degradation

_DOUBT = 1000.0
"""Factor on the noise variance in a data step after a network, which has already removed most noise."""

_MOST_NOISE = 6.0
"""Standard deviations of the noise beyond which a sample's disagreement with an enlargement is no noise. Noise is
measured where it is weakest; a sensor's is stronger where it is bright."""

_NOTHING = 1e-14
"""Elements of an inverse below this count as 0; its largest are about 1."""


BICUBIC_REACH = 16
"""LR pixels beyond which `back_project` with MATLAB's bicubic carries less than 1e-7 of a change."""


def reach_of(degradation: Degradation) -> int:
    """Return how far a change of the image reaches in `back_project`, in LR pixels."""
    return BICUBIC_REACH if degradation.is_bicubic else degradation.reach


def back_project(
    sr: Tensor,
    lr: Tensor,
    degradation: Degradation,
    iterations: int,
    domain: Domain = UNIT,
    doubt: float = _DOUBT,
    lossy: bool = False,
) -> Tensor:
    """Return the enlargement nearest to `sr` of which the camera sees `lr` where that is known, clamped to its range.

    One iteration is a data step. Of MATLAB's bicubic without noise it is U (D U)^-1 (lr - D sr), with D = `downscale`
    and U = `upscale`: the limit of the classical iteration (Irani & Peleg 1991) in closed form, axis by axis; D U is
    well conditioned (2.1 per axis). Any other kernel takes `Degradation.data_step`, with the weight of its noise.
    Clamping undoes a little of it near black and white, hence several iterations. For other kernels one step is taken,
    however many are asked for: after a network more of them lost up to 1.5 dB. The residual of unknown samples counts
    as 0; those of all others still vanish in one iteration.

    Args:
        sr: (C, H * scale, W * scale) float32.
        lr: (C, H, W) float32, finite; tile-sized, since a dense (H, H) and (W, W) matrix is solved for.
        iterations: a fixed number, so that a tile's result never depends on another part of the image.
        doubt: multiplies the noise's share of the weight: 1 where `sr` is interpolation. What a sample disagrees
            by beyond six times the noise is no noise, and is not doubted.
        lossy: whether the noise stands for JPEG losses, too, which are larger at edges: all is doubted.

    Returns:
        A new tensor like `sr` in the range of `domain`. A change of `lr` reaches `BICUBIC_REACH` far by 1e-7 of its
        size, for other kernels `degradation.reach` by 1e-4.
    """
    if degradation.is_bicubic and not degradation.is_noisy:
        rows, columns = (_inverse(length, degradation.scale).to(lr) for length in lr.shape[-2:])
        return _by_bicubic(sr, lr, degradation, iterations, domain, lambda missing: rows @ missing @ columns.T)
    low, high = domain.bounds(sr)
    sr = sr.clamp(low, high)
    if iterations:
        missing = only_known(lr - degradation.apply(sr), domain.known)
        sr = _answered(missing, degradation, doubt, lossy).add_(sr).clamp_(low, high)
    return sr


def _answered(missing: Tensor, degradation: Degradation, doubt: float, lossy: bool) -> Tensor:
    """Return the change of an enlargement that answers a residual, of which only noise is doubted."""
    doubted = degradation.weight_at(doubt)
    if lossy or doubt == 1 or not degradation.is_noisy:
        return degradation.answer((missing, doubted))
    most = _MOST_NOISE * torch.tensor(degradation.noise)[:, None, None].to(missing)
    noise = missing.clamp(-most, most)
    return degradation.answer((noise, doubted), (missing - noise, degradation.weight))


def iterate(
    sr: Tensor, lr: Tensor, degradation: Degradation, iterations: int, factor: float, domain: Domain = UNIT
) -> Tensor:
    """Return `sr` after the classical iteration (Irani & Peleg 1991), by MATLAB's bicubic: sr + factor U (lr - D sr).

    Arguments and result are those of `back_project`; a few iterations do not reach agreement with the image. Each one
    carries a change 4 LR pixels further.
    """
    return _by_bicubic(sr, lr, degradation, iterations, domain, lambda missing: factor * missing)


def _by_bicubic(
    sr: Tensor,
    lr: Tensor,
    degradation: Degradation,
    iterations: int,
    domain: Domain,
    answer: Callable[[Tensor], Tensor],
) -> Tensor:
    """Return `sr` after all iterations of sr + U answer(lr - D sr), each clamped to the range."""
    low, high = domain.bounds(sr)
    sr = sr.clamp(low, high)
    for _ in range(iterations):
        missing = only_known(lr - downscale(sr, degradation.scale), domain.known)
        add_upscaled(sr, answer(missing), degradation.scale).clamp_(low, high)
    return sr


@lru_cache(maxsize=64)
def _inverse(length: int, scale: int) -> Tensor:
    """Return the (length, length) inverse of D U along one axis."""
    with torch.inference_mode(False):  # what is kept must serve callers that differentiate, too
        shrink, enlarge = axis_matrix(length * scale, length), axis_matrix(length, length * scale)
        inverse: Tensor = torch.linalg.inv(shrink @ enlarge)
        # It decays by powers: in float32 most of it would be subnormal, with which products take ten times as long.
        return inverse.where(inverse.abs() > _NOTHING, 0.0)
