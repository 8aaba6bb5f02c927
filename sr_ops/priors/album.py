"""The HR pictures that a prior is trained on, held on the training device."""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Generator, Tensor

from ..image.dihedral import ORDER, turned_places


class Album:
    """HR pictures (3, H, W) uint8 of any sizes, one vector on the device, so that a single gather cuts many patches."""

    def __init__(self, pictures: Sequence[Tensor], odds: Sequence[float], device: torch.device) -> None:
        self._pixels = torch.cat([picture.reshape(-1) for picture in pictures]).to(device)
        starts = [0, *accumulate(picture.numel() for picture in pictures[:-1])]
        geometry = [(start, *picture.shape[-2:]) for start, picture in zip(starts, pictures, strict=True)]
        self._geometry = torch.tensor(geometry, device=device)
        self._cumulated = (torch.tensor(odds).double().cumsum(0) / sum(odds)).float().to(device)
        self._places: dict[int, Tensor] = {}

    def patches(self, count: int, side: int, generator: Generator) -> Tensor:
        """Return (count, 3, side, side) float32 in [0, 1], each turned by a random element of the dihedral group."""
        device = self._pixels.device
        drawn = torch.rand(count, device=device, generator=generator)
        chosen = torch.searchsorted(self._cumulated, drawn).clamp_max(len(self._geometry) - 1)
        start, height, width = self._geometry[chosen].unbind(-1)
        top = (torch.rand(count, device=device, generator=generator) * (height - side + 1)).long()
        left = (torch.rand(count, device=device, generator=generator) * (width - side + 1)).long()
        element = torch.randint(ORDER, (count,), device=device, generator=generator)
        rows, columns = self._turned(side)[element].unbind(1)
        inside = (top[:, None, None] + rows) * width[:, None, None] + left[:, None, None] + columns
        band = torch.arange(3, device=device)[None, :, None, None] * (height * width)[:, None, None, None]
        return self._pixels[start[:, None, None, None] + band + inside[:, None]].float() / 255

    def _turned(self, side: int) -> Tensor:
        """Return `turned_places` on the device."""
        if side not in self._places:
            self._places[side] = turned_places(side).to(self._pixels.device)
        return self._places[side]
