"""Crops of pictures that MATLAB's bicubic made small; they and their bases are made once."""

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Generator, Tensor

from pipeline.imagery.scored import from_levels, to_levels
from pipeline.manifest.manifest import IMAGE_SUFFIXES
from pipeline.priors.pictures import TrainingImages, read_pictures
from sr_ops.camera.base import make_base
from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.image import dihedral
from sr_ops.networks.direct import BASE_RANGE
from sr_ops.priors.draws import Batch


class CleanPairs:
    """Batches as `sr_ops.priors.training.Training` wants them, drawn by the seed."""

    def __init__(self, pictures: Iterable[Tensor], scale: int, crop: int, seed: int) -> None:
        """Of (3, H, W) uint8, each at least a crop large."""
        self.generator = Generator().manual_seed(seed)
        self._scale, self._crop = scale, crop
        degradation = Degradation((bicubic(scale),), scale)
        self._pictures = [self._made_small(picture, degradation) for picture in pictures]
        crops = [float(lr[0].numel()) for lr, _, _ in self._pictures]
        self._odds = torch.tensor(crops).cumsum(0) / sum(crops)

    def batch(self, size: int) -> Batch:
        """`size` crops, each of any place, turned at random; of nothing is anything told."""
        lr, base, hr = (torch.stack(parts) for parts in zip(*(self._one() for _ in range(size)), strict=True))
        return Batch(lr, base, torch.zeros(size, 1, 2), hr)

    def again(self, seed: int) -> "CleanPairs":
        """The same pictures, drawn from anew."""
        other = object.__new__(CleanPairs)
        other.__dict__ = self.__dict__ | {"generator": Generator().manual_seed(seed)}
        return other

    def _made_small(self, picture: Tensor, degradation: Degradation) -> tuple[Tensor, Tensor, Tensor]:
        height, width = (side // self._scale * self._scale for side in picture.shape[1:])
        hr = picture[:, :height, :width].contiguous()
        lr = to_levels(degradation.apply(from_levels(hr))).byte()
        return lr, make_base(degradation, from_levels(lr)).clamp(*BASE_RANGE).half(), hr

    def _one(self) -> tuple[Tensor, Tensor, Tensor]:
        which, down, across = torch.rand(3, generator=self.generator).tolist()
        element = int(torch.randint(dihedral.ORDER, (1,), generator=self.generator))
        lr, base, hr = self._pictures[min(int(torch.searchsorted(self._odds, which)), len(self._pictures) - 1)]
        crop, scale = self._crop, self._scale
        top, left = (int(at * (side - crop + 1)) for at, side in zip((down, across), lr.shape[1:], strict=True))
        small = slice(top, top + crop), slice(left, left + crop)
        large = slice(top * scale, (top + crop) * scale), slice(left * scale, (left + crop) * scale)
        cut = from_levels(lr[:, *small]), base[:, *large].float(), from_levels(hr[:, *large])
        lr, base, hr = (dihedral.transform(part, element) for part in cut)
        return lr, base, hr


def pictures_of(folders: Iterable[Path], side: int) -> list[Tensor]:
    """(3, H, W) uint8: a window of each picture in colour in folders, at several sizes that hold `side` pixels."""
    paths = [path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES]
    offered = TrainingImages("pictures", {str(path): 1.0 for path in paths}, ())
    drawn = read_pictures(offered, side, len(paths), seed=0).drawn
    return [picture.pixels for picture in drawn if min(picture.pixels.shape[1:]) >= side]
