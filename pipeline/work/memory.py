"""Recovery from lack of memory: the same work in smaller pieces."""

from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from ..errors import ErrorType, ImageError, lacks_memory

OUT_OF_MEMORY = "out of memory, in the smallest pieces too; use fewer --workers, or cut the image"

_SMALLEST_PIECE = 32
"""Side in LR pixels; a smaller piece would be nearly all halo."""

Result = TypeVar("Result")


def in_smaller_pieces(work: Callable[[int, int], Result], tile_size: int) -> Result:
    """Call `work` with the side of a piece, which divides `tile_size`, and the number of failures so far.

    Raises:
        ImageError: memory; even the smallest piece was too large.
    """
    for failures, piece in enumerate(_halvings(tile_size)):
        try:
            return work(piece, failures)
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
        torch.cuda.empty_cache()  # does nothing if no GPU was used
    raise ImageError(ErrorType.MEMORY, OUT_OF_MEMORY)


def _halvings(tile_size: int) -> Iterator[int]:
    """Yield the side of a tile, and its whole halves."""
    yield tile_size
    while tile_size % 2 == 0 and tile_size // 2 >= _SMALLEST_PIECE:
        tile_size //= 2
        yield tile_size
