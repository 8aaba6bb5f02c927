"""What a stack of fits learns from: for every step the crops of all its images, gathered at once.

A GPU would wait for crops that are cut one by one for many times the length of a step.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..image.dihedral import turned_places
from ..networks.residual_network import ResidualNetwork
from ..settings import FitSettings
from .pairs import Lesson, Pair, draw_places, son_side


class StackedCrops(NamedTuple):
    """What one step learns from: N networks of C bands and ratio r, B crops of each; channels last in memory.

    Where a network of one band learns from several, each band is a crop of its own.
    """

    seen: Tensor
    """(B, N * I, s, s), or at HR size: what the first convolution of each network sees, I channels."""
    bases: Tensor
    """(B, N * C, r s, r s)."""
    fathers: Tensor
    """(B, N * C, r s, r s)."""
    taught: Tensor
    """(B, N, r s, r s): 1 where the father may be learned from, else 0."""


class StackedLessons:
    """Draws for every image the crops that `fit` would draw from its pairs, step by step.

    The windows are drawn on the CPU, and each step gathers all of them at once: cut one by one, the crops would keep a
    GPU waiting for many times the length of a step.
    """

    def __init__(self, lessons: Sequence[Lesson], settings: FitSettings, seed: int, network: ResidualNetwork) -> None:
        pairs = [lesson.pairs for lesson in lessons]
        shapes = [(len(of_one[0].son), *2 * (son_side(of_one, settings.crop),)) for of_one in pairs]
        if len(set(shapes)) > 1:
            raise ValueError(f"the images of one stack must give sons of one shape, not {sorted(set(shapes))}")
        image_bands, self._side, _ = shapes[0]
        self._batch, self._network, self._ratio = settings.batch, network, pairs[0][0].ratio
        self._folds = image_bands // network.bands
        self._sons = _Album([pair.son for of_one in pairs for pair in of_one], self._side)
        self._fathers = _Album([_with_mask(pair) for of_one in pairs for pair in of_one], self._ratio * self._side)
        self._told = _told_of_crops([lesson.told for lesson in lessons], settings.batch, network.bands)
        self._first = [0, *accumulate(len(of_one) for of_one in pairs[:-1])]
        # Draws depend on the seed, the sizes and the odds alone: images of one size share theirs.
        self._kinds = [tuple((pair.son.shape, pair.weight) for pair in of_one) for of_one in pairs]
        self._draws = {
            kind: (of_one, Generator().manual_seed(seed)) for kind, of_one in zip(self._kinds, pairs, strict=True)
        }

    def crops(self) -> StackedCrops:
        """Return the crops of the next step."""
        drawn = {kind: draw_places(pairs, self._side, self._batch, gen) for kind, (pairs, gen) in self._draws.items()}
        places = [
            [(first + pair, top, left, element) for pair, top, left, element in drawn[kind]]
            for first, kind in zip(self._first, self._kinds, strict=True)
        ]
        windows = torch.tensor(places).transpose(0, 1).to(self._sons.pixels.device, non_blocking=True)
        bands = self._network.bands
        sons = _side_by_side(self._sons.cut(windows, 1), bands)
        fathers = self._fathers.cut(windows, self._ratio)
        made, bases, taught = torch.split(fathers, [self._folds * bands, self._folds * bands, 1], -1)
        bases = _side_by_side(bases, bands)
        each_band = taught.expand(*taught.shape[:-1], self._folds).contiguous()  # a later step is copied over it
        taught = _side_by_side(each_band, 1)
        return StackedCrops(self._seen(sons, bases), bases, _side_by_side(made, bands), taught)

    def _seen(self, sons: Tensor, bases: Tensor) -> Tensor:
        """Return what the networks see, side by side."""
        bands = self._network.bands
        each_son, each_base = (
            part.reshape(-1, bands, *part.shape[-2:]) for part in (sons.contiguous(), bases.contiguous())
        )
        seen = self._network.seen(each_son, each_base, self._told)
        together = seen.reshape(len(sons), -1, *seen.shape[-2:])
        return together.contiguous(memory_format=torch.channels_last)


def _told_of_crops(told: Sequence[Tensor], batch: int, bands: int) -> Tensor:
    """Turn (C', 2) of N images into (B * N, bands, 2) for B crops of each; for one band every band is a crop."""
    folded = torch.stack(list(told)).reshape(len(told), -1, bands, 2).transpose(0, 1)  # (folds, N, bands, 2)
    together: Tensor = folded.expand(batch, *folded.shape).flatten(0, 2)
    return together


def _with_mask(pair: Pair) -> Tensor:
    """Return (2 C + 1, H, W): the father, the base, and where the father may be learned from."""
    taught = torch.ones_like(pair.father[:1]) if pair.taught is None else pair.taught
    return torch.cat([pair.father, pair.base, taught])


def _side_by_side(crops: Tensor, bands: int) -> Tensor:
    """Turn (B, s, s, N, C) into (B * C / bands, N * bands, s, s), channels last."""
    each = crops.view(*crops.shape[:-1], -1, bands).movedim(-2, 1).flatten(0, 1)
    return each.flatten(-2).permute(0, 3, 1, 2)


class _Album:
    """Images (C, H, W) of many sizes one after the other in one vector, so that one gather cuts from all of them."""

    def __init__(self, images: Sequence[Tensor], side: int) -> None:
        self.pixels = torch.cat([image.flatten() for image in images])
        device = self.pixels.device
        starts = [0, *accumulate(image.numel() for image in images[:-1])]
        geometry = [(start, image.shape[-1], image[0].numel()) for start, image in zip(starts, images, strict=True)]
        self._geometry = torch.tensor(geometry, device=device)
        self._planes = torch.arange(len(images[0]), device=device)
        self._turned = turned_places(side).to(device)

    def cut(self, windows: Tensor, ratio: int) -> Tensor:
        """Return the windows, (B, side, side, N, C).

        Args:
            windows: (B, N, 4): image, top and left divided by `ratio`, and element of the dihedral group.
        """
        image, top, left, element = windows.unbind(-1)
        start, width, plane = self._geometry[image].unbind(-1)
        corner = start + ratio * (top * width + left)
        rows, columns = self._turned[element].permute(2, 0, 3, 4, 1)
        index = corner[:, None, None] + rows * width[:, None, None] + columns
        return self.pixels[index[..., None] + self._planes * plane[:, None, None, :, None]]
