"""The x2 networks that an image can be fitted with: both add a learned residual to the bicubic enlargement.

Other scales are made of x2 stages, so nothing here knows any other ratio.
"""

import math

import torch
from torch import Tensor, nn

from .resample import upscale
from .settings import STAGE_SCALE, Network

_ADDITION_GAIN = 0.3


class ResidualNetwork(nn.Module):
    """An image (B, C, H, W) float32 in [0, 1] to its x2 enlargement (B, C, 2 H, 2 W) float32, not clamped.

    A network of one band takes an image of any number of bands and treats each on its own. The convolutions run under
    `autocast_dtype`; the bicubic part and the sum are float32 always.
    """

    body: nn.Sequential

    def __init__(self, bands: int, autocast_dtype: torch.dtype) -> None:
        super().__init__()
        self.bands = bands
        self.autocast_dtype = autocast_dtype

    def residual(self, image: Tensor, enlarged: Tensor) -> Tensor:
        """What the network adds to `enlarged`, the bicubic x2 of `image`."""
        raise NotImplementedError

    def forward(self, image: Tensor) -> Tensor:
        batch, bands = image.shape[:2]
        if self.bands == 1 < bands:
            each = self.forward(image.flatten(0, 1)[:, None])
            return each.reshape(batch, bands, *each.shape[-2:])
        enlarged = upscale(image, STAGE_SCALE)
        mixed = self.autocast_dtype != torch.float32
        with torch.autocast(image.device.type, dtype=self.autocast_dtype if mixed else None, enabled=mixed):
            residual = self.residual(image, enlarged)
        return enlarged + residual.float()


class SubpixelNetwork(ResidualNetwork):
    """Convolutions at LR size and a pixel-shuffle head (Shi et al. 2016): 4 times less work than at HR size.

    Every hidden convolution adds to what it got: as deep, no slower, never stuck at bicubic, and 0.2 dB better.
    """

    def __init__(self, bands: int, width: int, depth: int, autocast_dtype: torch.dtype) -> None:
        super().__init__(bands, autocast_dtype)
        self.body = nn.Sequential(
            convolution(bands, width),
            *(Addition(width) for _ in range(depth - 2)),
            nn.ReLU(),
            convolution(width, bands * STAGE_SCALE**2),
        )

    def residual(self, image: Tensor, enlarged: Tensor) -> Tensor:  # noqa: ARG002 - one of the two
        return nn.functional.pixel_shuffle(self.body(image), STAGE_SCALE)


class ZssrNetwork(ResidualNetwork):
    """The paper's: plain convolutions over the bicubic enlargement (Shocher et al. 2018, section 3.1; there 8 x 64)."""

    def __init__(self, bands: int, width: int, depth: int, autocast_dtype: torch.dtype) -> None:
        super().__init__(bands, autocast_dtype)
        hidden = (layer for _ in range(depth - 2) for layer in (nn.ReLU(), convolution(width, width)))
        self.body = nn.Sequential(convolution(bands, width), *hidden, nn.ReLU(), convolution(width, bands))

    def residual(self, image: Tensor, enlarged: Tensor) -> Tensor:  # noqa: ARG002 - one of the two
        residual: Tensor = self.body(enlarged)
        return residual


class Addition(nn.Module):
    """x + convolution(relu(x))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.convolution = convolution(width, width)

    def forward(self, x: Tensor) -> Tensor:
        added: Tensor = x + self.convolution(nn.functional.relu(x))
        return added


_CLASSES: dict[Network, type[SubpixelNetwork] | type[ZssrNetwork]] = {
    Network.SUBPIXEL: SubpixelNetwork,
    Network.ZSSR: ZssrNetwork,
}


def build_network(
    name: Network, bands: int, width: int, depth: int, seed: int, device: torch.device, autocast_dtype: torch.dtype
) -> ResidualNetwork:
    """A network whose weights depend on `seed` alone; untrained it returns the bicubic enlargement exactly.

    Args:
        width, depth: channels of the hidden layers; number of convolutions, at least 2.
    """
    with torch.device("meta"):  # skips torch's own initialisation, which would draw from the global random state
        network = _CLASSES[name](bands, width, depth, autocast_dtype)
    network = network.to_empty(device="cpu")
    initialise(network.body, torch.Generator().manual_seed(seed))
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


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


def convolution(bands_in: int, bands_out: int) -> nn.Conv2d:
    return nn.Conv2d(bands_in, bands_out, kernel_size=3, padding=1)


def initialise(body: nn.Module, generator: torch.Generator) -> None:
    """He et al. 2015 for plain layers, smaller where a layer adds to its input, zero for the last: bicubic at first."""
    gains = {layer.convolution: _ADDITION_GAIN for layer in body.modules() if isinstance(layer, Addition)}
    convolutions = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d)]
    for layer in convolutions:
        std = gains.get(layer, 1.0) * math.sqrt(2 / (layer.in_channels * math.prod(layer.kernel_size)))
        nn.init.normal_(layer.weight, std=std, generator=generator)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    nn.init.zeros_(convolutions[-1].weight)
