"""Transforms of what is symmetric, and lengths that are fast to transform."""

import torch
from torch import Tensor


def spectrum(sampled: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the transform of an autocorrelation (odd, odd), wrapped on a grid of this size, laid out as by `rfft2`."""
    half = len(sampled) // 2
    grid = torch.zeros(size, dtype=torch.float64)
    rows = (torch.arange(len(sampled)) - half) % size[0]
    columns = (torch.arange(len(sampled)) - half) % size[1]
    grid.index_put_((rows[:, None], columns[None, :]), sampled, accumulate=True)
    transform: Tensor = torch.fft.rfft2(grid)
    return transform.real.clamp_min(0)


def fast_length(length: int) -> int:
    """Return the next length with a fast Fourier transform: 2^a 3^b 5^c."""
    while True:
        rest = length
        for prime in (2, 3, 5):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return length
        length += 1
