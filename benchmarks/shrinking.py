"""The forward model at x2 in NumPy, with nothing of srpipe's own: what results are held against."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def profile(kernel: str) -> NDArray[np.float64]:
    """Taps of "bicubic", which is MATLAB's, or "gaussian:SIGMA": an even number about the middle of an LR pixel."""
    name, _, sigma = kernel.partition(":")
    if name == "gaussian":
        x = np.arange(0.5, 4 * float(sigma) + 1) / float(sigma)
        half = np.exp(-0.5 * x**2)
    else:
        assert name == "bicubic", kernel
        x = np.arange(0.5, 4) / 2
        half = np.where(x <= 1, (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2)
    taps: NDArray[np.float64] = np.concatenate([half[::-1], half]) / (2 * half.sum())
    return taps


def shrink(rows: NDArray[Any], top: int, bottom: int, taps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C, 2h, 2W), and rows above and below as far as the taps reach, to (C, h, W).

    Args:
        top: rows of those above that are missing, and mirrored here.
        bottom: the same of those below.
    """
    margin = len(taps) // 2 - 1
    work = np.pad(rows.astype(np.float64), ((0, 0), (top, bottom), (margin, margin)), "symmetric")
    height, width = work.shape[1] // 2 - margin, work.shape[2] // 2 - margin
    work = sum(tap * work[:, k : k + 2 * height : 2] for k, tap in enumerate(taps))
    shrunk: NDArray[np.float64] = sum(tap * work[:, :, k : k + 2 * width : 2] for k, tap in enumerate(taps))
    return shrunk
