"""What all networks have in common: they add a learned residual to the base of the enlargement.

Those that an image can be fitted with from scratch are files of `networks/`; direct.py has the one for any camera.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from .layers import Addition as Addition
from .layers import convolution as convolution
from .layers import initialise as initialise
from .settings import STAGE_SCALE

INTERPOLATION_REACH = 2
"""Pixels of the image on each side that bicubic enlargement depends on."""


class ResidualNetwork(nn.Module):
    """An image and its base to the enlargement: the base and what the network adds to it.

    The image is (B, C, h, w) float32, in [0, 1] for the most part, its base (B, C, s h, s w), and what is told of it
    (B, C, 2), noise and JPEG loss of each band (`direct.planes`). The result is (B, C, s h, s w) float32, not clamped.
    A network of one band takes an image of any number of bands and treats each on its own. The convolutions run under
    `autocast_dtype`; the base and the sum are float32 always.
    """

    body: nn.Sequential
    stackable: ClassVar[bool] = True
    """Whether `stack` can fit several as one: nothing but convolutions has weights or looks at several channels."""

    def __init__(self, bands: int, scale: int, autocast_dtype: torch.dtype) -> None:
        super().__init__()
        self.bands, self.scale = bands, scale
        self.autocast_dtype = autocast_dtype

    @property
    def reach(self) -> int:
        """Pixels of the image on each side that one of what it makes depends on: of 3 x 3 convolutions their number."""
        return sum(isinstance(layer, nn.Conv2d) for layer in self.body.modules())

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        """What the first convolution sees, of an image of as many bands as the network has."""
        raise NotImplementedError

    def residual(self, seen: Tensor) -> Tensor:
        """What the network adds to the base, (B, C, s h, s w)."""
        raise NotImplementedError

    def forward(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        batch, bands = image.shape[:2]
        if self.bands == 1 < bands:
            each = self.forward(*(part.flatten(0, 1)[:, None] for part in (image, base, told)))
            return each.reshape(batch, bands, *each.shape[-2:])
        seen = self.seen(image, base, told).contiguous(memory_format=torch.channels_last)
        return base + self.mixed(seen).float()

    def mixed(self, seen: Tensor) -> Tensor:
        """`residual` under `autocast_dtype`."""
        mixed = self.autocast_dtype != torch.float32
        with torch.autocast(seen.device.type, dtype=self.autocast_dtype if mixed else None, enabled=mixed):
            return self.residual(seen)


class FittedNetwork(ResidualNetwork):
    """A network that is fitted to an image from scratch, for MATLAB's bicubic alone: it enlarges by STAGE_SCALE.

    A file of `networks/` holds one, as its NETWORK; the file's name is that of `--network`.
    """

    line: ClassVar[str]
    """What it is, for `srpipe methods`."""
    source: ClassVar[str]
    """The paper and its section or equation."""
    options: ClassVar[tuple[str, ...]] = ()
    """Fields of Settings that it takes beside width and depth, as arguments of these names."""
    fixed_depth: ClassVar[bool] = False
    """Whether it has so many convolutions as it has, whatever `depth` is."""
    stackable = False

    def __init__(self, bands: int, width: int, depth: int, autocast_dtype: torch.dtype) -> None:  # noqa: ARG002
        super().__init__(bands, STAGE_SCALE, autocast_dtype)
        self._depth = depth

    @classmethod
    def reach_of(cls, depth: int) -> int:
        """`reach` of a network of so many convolutions, that of bicubic interpolation included.

        By default that of `depth` 3 x 3 convolutions at the image's size.
        """
        return max(depth, INTERPOLATION_REACH)

    @property
    def reach(self) -> int:
        return self.reach_of(self._depth)


class NetworkAtHrSize(FittedNetwork):
    """One that looks at the bicubic enlargement, pixel by pixel of the result."""

    @classmethod
    def reach_of(cls, depth: int) -> int:
        return max(depth, -(-depth // STAGE_SCALE) + INTERPOLATION_REACH)  # `depth` alone is what zssr always read

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:  # noqa: ARG002 - one of the three
        return base

    def residual(self, seen: Tensor) -> Tensor:
        residual: Tensor = self.body(seen)
        return residual


class NetworkAtLrSize(FittedNetwork):
    """One that looks at the image itself, and makes STAGE_SCALE^2 pixels of each."""

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:  # noqa: ARG002 - one of the three
        return image

    def residual(self, seen: Tensor) -> Tensor:
        """By a pixel-shuffle head, unless it says otherwise."""
        return nn.functional.pixel_shuffle(self.body(seen), STAGE_SCALE)


def fastest_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the device multiplies it natively, else float32.

    Emulated bfloat16 is several times slower than float32 on a CPU.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32
