"""Memory that runs out: the same work in smaller and smaller pieces."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ..errors import ErrorType, ImageError

OUT_OF_MEMORY = "out of memory, in the smallest pieces too; use fewer --workers, or cut the image"

_SMALLEST_PIECE = 32
"""Side in LR pixels: below, it is nearly all halo."""

Result = TypeVar("Result")


def in_smaller_pieces(work: Callable[[int, int], Result], tile_size: int) -> Result:
    """What `work` gives, called with the side of a piece, which divides `tile_size`, and with how often it failed so.

    Raises:
        ImageError: memory; the smallest piece was too large.
    """
    for failures, piece in enumerate(_halvings(tile_size)):
        try:
            return work(piece, failures)
        except (torch.OutOfMemoryError, MemoryError):
            pass
        except RuntimeError as error:
            if "DefaultCPUAllocator" not in str(error):  # torch's CPU has no class of its own for it
                raise
        torch.cuda.empty_cache()  # does nothing where no GPU was used
    raise ImageError(ErrorType.MEMORY, OUT_OF_MEMORY)


def _halvings(tile_size: int) -> Iterator[int]:
    """The side of a tile, and whole halves of it."""
    yield tile_size
    while tile_size % 2 == 0 and tile_size // 2 >= _SMALLEST_PIECE:
        tile_size //= 2
        yield tile_size
