"""The part of a picture in which the most happens."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def densest(weights: NDArray[Any], height: int, width: int) -> tuple[int, int]:
    """Return top and left of the part of `height` x `width` whose weights have the largest sum, the first of equals.

    Args:
        weights: (H, W), at least as large as the part; they may be negative.
    """
    sums = np.pad(weights.cumsum(0, np.float64).cumsum(1), ((1, 0), (1, 0)))  # in float32 a large picture's are coarse
    found = sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width] + sums[:-height, :-width]
    top, left = np.unravel_index(int(found.argmax()), found.shape)
    return int(top), int(left)
