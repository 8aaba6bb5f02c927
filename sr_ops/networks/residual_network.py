"""The base class of all networks: they add a learned residual to the base of the enlargement.

Networks that can be fitted from scratch are files of `networks/fitted/`; direct.py has the one for any camera.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ..settings import STAGE_SCALE

INTERPOLATION_REACH = 2
"""Image pixels on each side that bicubic enlargement depends on."""


class ResidualNetwork(nn.Module):
    """Maps an image and its base to the enlargement: the base plus the network's residual.

    The image is (B, C, h, w) float32, mostly in [0, 1], its base (B, C, s h, s w), and `told` (B, C, 2) the noise and
    JPEG loss of each band (`direct.planes`). The result is (B, C, s h, s w) float32, not clamped. A network of one band
    takes an image of any number of bands and treats each separately. The convolutions run under `autocast_dtype`; the
    base and the sum are always float32.
    """

    body: nn.Sequential
    stackable: ClassVar[bool] = True
    """Whether `stack` can fit several as one: only convolutions have weights or mix channels."""

    def __init__(self, bands: int, scale: int, autocast_dtype: torch.dtype) -> None:
        super().__init__()
        self.bands, self.scale = bands, scale
        self.autocast_dtype = autocast_dtype

    @property
    def reach(self) -> int:
        """Image pixels on each side that an output depends on."""
        raise NotImplementedError

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        """Return the input of the first convolution, for an image with as many bands as the network."""
        raise NotImplementedError

    def residual(self, seen: Tensor) -> Tensor:
        """Return what the network adds to the base, (B, C, s h, s w)."""
        residual: Tensor = self.body(seen)
        return residual

    def forward(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        batch, bands = image.shape[:2]
        if self.bands == 1 < bands:
            each = self.forward(*(part.flatten(0, 1)[:, None] for part in (image, base, told)))
            return each.reshape(batch, bands, *each.shape[-2:])
        seen = self.seen(image, base, told).contiguous(memory_format=torch.channels_last)
        return base + self.mixed(seen).float()

    def mixed(self, seen: Tensor) -> Tensor:
        """Return `residual`, computed under `autocast_dtype`."""
        mixed = self.autocast_dtype != torch.float32
        with torch.autocast(seen.device.type, dtype=self.autocast_dtype if mixed else None, enabled=mixed):
            return self.residual(seen)


class FittedNetwork(ResidualNetwork):
    """A network that is fitted to an image from scratch, for MATLAB's bicubic only; it enlarges by STAGE_SCALE.

    A file of `networks/fitted/` holds one as its NETWORK; the file is named as `--network` calls it.
    """

    line: ClassVar[str]
    """What the network is, shown by `srpipe methods`."""
    source: ClassVar[str]
    """The paper, with its section or equation."""
    options: ClassVar[tuple[str, ...]] = ()
    """Fields of Settings that `layers` takes beside width and depth, as arguments of the same names."""
    fixed_depth: ClassVar[bool] = False
    """Whether the number of convolutions is fixed, whatever `depth` is."""
    stackable = False

    def __init__(self, bands: int, width: int, depth: int, autocast_dtype: torch.dtype, **options: Any) -> None:
        super().__init__(bands, STAGE_SCALE, autocast_dtype)
        self._depth = depth
        self.body = nn.Sequential(*self.layers(bands, width, depth, **options))

    def layers(self, bands: int, width: int, depth: int) -> list[nn.Module]:
        """Return the layers, from what is `seen` to the residual; a network with `options` takes these, too.

        Args:
            width: channels of the hidden layers.
            depth: number of convolutions.
        """
        raise NotImplementedError

    @classmethod
    def reach_of(cls, depth: int) -> int:
        """Return `reach` for a network of `depth` convolutions, at least that of bicubic interpolation.

        The default is that of `depth` 3 x 3 convolutions at the image's size.
        """
        return max(depth, INTERPOLATION_REACH)

    @property
    def reach(self) -> int:
        return self.reach_of(self._depth)


class NetworkAtHrSize(FittedNetwork):
    """A network whose input is the bicubic enlargement, at the size of the result."""

    @classmethod
    def reach_of(cls, depth: int) -> int:
        return max(depth, -(-depth // STAGE_SCALE) + INTERPOLATION_REACH)  # at least `depth`, which zssr always had

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:  # noqa: ARG002 - one of the three
        return base


class NetworkAtLrSize(FittedNetwork):
    """A network whose input is the image itself, and which makes STAGE_SCALE^2 pixels from each."""

    def seen(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:  # noqa: ARG002 - one of the three
        return image


def fastest_dtype(device: torch.device) -> torch.dtype:
    """Return bfloat16 if the device multiplies it natively, else float32.

    Emulated bfloat16 is several times slower than float32 on a CPU.
    """
    if device.type == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        native = bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
    return torch.bfloat16 if native else torch.float32
