"""Fitting a network to one image: the image shrunk by the forward model is the lesson, the image the answer.

Fathers are the image and slightly smaller copies of it, sons their `downscale`. Each step draws aligned crops from
random pairs, turns each by a random element of the dihedral group, and takes one Adam step on the L1 difference
(ZSSR, Shocher et al. 2018, section 3). The pyramid is made once; a step resizes nothing.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam
from torch.optim.lr_scheduler import OneCycleLR

from . import dihedral
from .networks import ResidualNetwork
from .resample import downscale, resize, upscale
from .settings import STAGE_SCALE, FitSettings

_LEVEL_RATIO = 0.95
_LEVELS = 10
_LEVEL_WEIGHT = 0.9

_GRADIENT_NORM = 0.1
"""Longest gradient of a step: without it the paper's network can die at its peak learning rate and stay bicubic."""

_RECONSTRUCTION_SIDE = 512

MIN_SIDE = 8
"""Shortest side, in pixels, of an image that can be fitted: below, no crop holds more than border."""


@dataclass(frozen=True)
class Pair:
    """One level of the pyramid: `son` (C, h, w) is `downscale(father, 2)`."""

    father: Tensor
    son: Tensor
    weight: float
    """Relative odds of being drawn."""


def fit(network: ResidualNetwork, image: Tensor, settings: FitSettings, seed: int) -> float:
    """Train `network` in place on `image` (C, H, W) float32 in [0, 1], on the network's device.

    The same network, image, settings, seed, thread count and device class give the same weights bit for bit.

    Returns:
        The mean L1 loss of the last tenth of the steps; nan for no steps.
    """
    pyramid = father_son_pyramid(image)
    generator = Generator().manual_seed(seed)
    optimiser = Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99), fused=True)
    schedule = OneCycleLR(optimiser, settings.learning_rate, total_steps=max(2, settings.steps))
    losses = []
    network.train()
    for _ in range(settings.steps):
        sons, fathers = draw_crops(pyramid, settings.crop, settings.batch, generator)
        loss = (network(sons.to(memory_format=torch.channels_last)) - fathers).abs().mean()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(network.parameters(), _GRADIENT_NORM)
        optimiser.step()
        schedule.step()
        losses.append(loss.detach())
    network.eval()
    last = losses[-max(1, settings.steps // 10) :]
    return float(torch.stack(last).mean()) if last else float("nan")


@torch.inference_mode()
def reconstruction_psnr(network: ResidualNetwork, image: Tensor) -> tuple[float, float]:
    """PSNR in dB, over all bands, of network(son) and of bicubic(son) against the image: what the fit has learned.

    Measured on the central part of (C, H, W) float32 in [0, 1], at most 512 pixels a side, without self-ensemble.
    """
    height, width = (min(side, _RECONSTRUCTION_SIDE) // 2 * 2 for side in image.shape[-2:])
    top, left = (image.shape[-2] - height) // 2, (image.shape[-1] - width) // 2
    father = image[:, top : top + height, left : left + width]
    son = downscale(father, STAGE_SCALE)
    learned = network(son[None].contiguous(memory_format=torch.channels_last))[0]
    return _psnr(learned, father), _psnr(upscale(son, STAGE_SCALE), father)


def _psnr(image: Tensor, truth: Tensor) -> float:
    error = (image.clamp(0, 1) - truth).square().mean()
    return float(-10 * torch.log10(error))


def father_son_pyramid(image: Tensor) -> tuple[Pair, ...]:
    """The levels 0.95^i of (C, H, W), i = 0..9, each with even sides, with odds 0.9^i and its son."""
    height, width = image.shape[-2:]
    if min(height, width) < MIN_SIDE:
        raise ValueError(f"an image of {height} x {width} is too small to fit: both sides must be at least {MIN_SIDE}")
    pairs = []
    for level in range(_LEVELS):
        shrink = _LEVEL_RATIO**level
        size = (max(2, int(height * shrink) // 2 * 2), max(2, int(width * shrink) // 2 * 2))
        father = image[:, : size[0], : size[1]] if level == 0 else resize(image, size)
        pairs.append(Pair(father, downscale(father, STAGE_SCALE), _LEVEL_WEIGHT**level))
    return tuple(pairs)


def draw_crops(pyramid: tuple[Pair, ...], crop: int, batch: int, generator: Generator) -> tuple[Tensor, Tensor]:
    """Sons (batch, C, c/2, c/2) and their fathers (batch, C, c, c), c = `crop` or what the smallest level allows."""
    side = min(crop // STAGE_SCALE, *pyramid[-1].son.shape[-2:])
    odds = torch.tensor([pair.weight for pair in pyramid])
    levels = torch.multinomial(odds, batch, replacement=True, generator=generator).tolist()
    sons: list[Tensor] = []
    fathers: list[Tensor] = []
    for level in levels:
        pair = pyramid[level]
        height, width = pair.son.shape[-2:]
        top = int(torch.randint(height - side + 1, (), generator=generator))
        left = int(torch.randint(width - side + 1, (), generator=generator))
        element = int(torch.randint(dihedral.ORDER, (), generator=generator))
        for crops, source, ratio in ((sons, pair.son, 1), (fathers, pair.father, STAGE_SCALE)):
            window = source[:, ratio * top : ratio * (top + side), ratio * left : ratio * (left + side)]
            crops.append(dihedral.transform(window, element))
    return torch.stack(sons), torch.stack(fathers)
