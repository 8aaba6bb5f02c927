"""What a model takes: the sizes of its input, and how a window is brought to one of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Takes:
    """Input and output of a model: (1, bands, h, w) to (1, bands, h * scale, w * scale)."""

    scale: int
    bands: int
    """3 or 1."""
    fixed: tuple[int, int] | None = None
    """The only height and width that it accepts; None for any that the other fields allow."""
    least: int = 1
    """Shortest side in pixels."""
    multiple: int = 1
    """A side must be a multiple of this."""
    square: bool = False
    """Whether both sides must be equal."""

    def sides(self, height: int, width: int) -> tuple[int, int]:
        """Return the smallest accepted height and width, for a model of any size, that hold so many pixels."""
        rows, columns = (-(-max(self.least, side) // self.multiple) * self.multiple for side in (height, width))
        return (max(rows, columns),) * 2 if self.square else (rows, columns)


def padded(window: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Mirror (bands, h, w) at its lower and right border to this size."""
    missing = [(0, side - there) for side, there in zip((height, width), window.shape[-2:], strict=True)]
    return np.pad(window, [(0, 0), *missing], "reflect")
