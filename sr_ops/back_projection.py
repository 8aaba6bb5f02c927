"""Making an enlargement agree with the image it came from, and measuring how well it does.

Both use one forward model, `downscale`: what the camera of the LR image would have seen of the SR image.
"""

from functools import lru_cache

import torch
from torch import Tensor

from .consistency import ConsistencyError, ConsistencySums
from .resample import axis_matrix, downscale, upscale


def back_project(sr: Tensor, lr: Tensor, scale: int, iterations: int) -> Tensor:
    """The enlargement nearest in kind to `sr` whose `downscale` is `lr`, kept within [0, 1].

    One iteration adds U (D U)^-1 (lr - D sr), with D = `downscale` and U = `upscale`: the limit of the classical
    iteration (Irani & Peleg 1991) in closed form, axis by axis. D U is well conditioned for bicubic (2.1 per axis).
    Clamping to the range undoes a little of it near black and white; hence more than one iteration.

    Args:
        sr: (C, H * scale, W * scale) float32.
        lr: (C, H, W) float32 in [0, 1]; tile-sized, since a dense (H, H) and (W, W) matrix is solved for.
        iterations: a fixed number, so that a tile's result never depends on another part of the image.

    Returns:
        A new tensor like `sr` in [0, 1]. A change of `lr` reaches 16 LR pixels far by 1e-7 of its size.
    """
    rows, columns = (_inverse(length, scale).to(lr) for length in lr.shape[-2:])
    sr = sr.clamp(0, 1)
    for _ in range(iterations):
        residual = lr - downscale(sr, scale)
        sr = (sr + upscale(rows @ residual @ columns.T, scale)).clamp_(0, 1)
    return sr


@lru_cache(maxsize=64)
def _inverse(length: int, scale: int) -> Tensor:
    """(length, length) inverse of D U along one axis."""
    with torch.inference_mode(False):  # what is kept must serve callers that differentiate, too
        shrink, enlarge = axis_matrix(length * scale, length), axis_matrix(length, length * scale)
        inverse: Tensor = torch.linalg.inv(shrink @ enlarge)
        return inverse


def consistency_error(sr: Tensor, lr: Tensor, scale: int) -> ConsistencyError:
    """Error of a whole image: sr (C, H * scale, W * scale) against lr (C, H, W), in their units."""
    return ConsistencySums.of(downscale(sr.double(), scale) - lr.double()).error()
