"""Cameras, stages and networks for the tests of what computes with them."""

from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import Kernel, bicubic, gaussian
from sr_ops.enlarging.model import build_network, degradation_of
from sr_ops.enlarging.stages import Stage, stages_of
from sr_ops.image import dihedral
from sr_ops.learning.damage import CLEAN, Damage
from sr_ops.learning.pairs import Lesson, father_son_pyramid
from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.layers import initialise
from sr_ops.networks.residual_network import ResidualNetwork
from sr_ops.priors.prior import Prior
from sr_ops.settings import Body, BodyKind, Network, Settings

CPU = torch.device("cpu")
FROM_SCRATCH = (Network.SUBPIXEL, Network.ZSSR)


def matlab(scale: int) -> Degradation:
    """MATLAB's bicubic, without noise."""
    return Degradation((bicubic(scale),), scale)


def blur(sigma: float, scale: int, noise: float = 0.0) -> Degradation:
    """A round Gaussian."""
    return Degradation((gaussian(sigma, sigma, 0, scale),), scale, (noise,))


def motion(seed: int = 0, side: int = 13) -> Kernel:
    """A shaken hand's: a random walk, as wide as it is long, whose centre of mass is where it came to be."""
    generator = Generator().manual_seed(seed)
    taps = torch.zeros(side, side, dtype=torch.float64)
    at, heading = torch.full((2,), side / 2), torch.rand(1, generator=generator) * 6.3
    for _ in range(4 * side):
        heading += 0.4 * torch.randn(1, generator=generator)
        at = (at + 0.4 * torch.cat([heading.sin(), heading.cos()])).clamp(1, side - 1.01)
        taps[int(at[0]), int(at[1])] += 1
    soft = gaussian(0.6, 0.6, 0, 1, 5).taps
    drawn = nn.functional.conv2d(taps[None, None], soft[None, None], padding=2)[0, 0]
    return Kernel(drawn / drawn.sum())


def scrambled(side: int, seed: int = 0) -> Kernel:
    """Positive, without any symmetry."""
    taps = torch.rand(side, side, generator=Generator().manual_seed(seed), dtype=torch.float64).square()
    return Kernel(taps / taps.sum())


def turned(kernel: Kernel, element: int, scale: int) -> Kernel:
    """The same camera's for images turned by an element of the dihedral group: about the middle of an LR pixel."""
    room = kernel.side // 2 + scale - 1
    around = torch.zeros(2 * room + scale, 2 * room + scale, dtype=torch.float64)  # centred on the LR pixel
    inside = slice(room - kernel.side // 2, room + kernel.side // 2 + 1)
    around[inside, inside] = kernel.taps
    taps = dihedral.transform(around, element)[: 2 * room + 1, : 2 * room + 1]
    used = taps.nonzero()
    edge = int(torch.minimum(used, 2 * room - used).min())
    return Kernel(taps[edge : 2 * room + 1 - edge, edge : 2 * room + 1 - edge])


def first_stage(network: Network = Network.SUBPIXEL, degradation: Degradation | None = None) -> Stage:
    """To the scale of the degradation; without one MATLAB's x2."""
    seen = degradation or matlab(2)
    return stages_of(Settings(network=network, scale=seen.scale), seen)[0]


def untold(bands: int) -> Tensor:
    """Of a clean image."""
    return torch.zeros(bands, 2)


def enlarged_by(network: ResidualNetwork, images: Tensor, stage: Stage) -> Tensor:
    """What a network makes of clean images (B, C, h, w)."""
    enlarged: Tensor = network(images, stage.base(images), untold(images.shape[1]).expand(len(images), -1, -1))
    return enlarged


def lesson_of(
    image: Tensor, taught: Tensor | None = None, stage: Stage | None = None, damage: Damage = CLEAN, seed: int = 0
) -> Lesson:
    """That of an image, by default for a network from scratch."""
    pairs = father_son_pyramid(image, stage or first_stage(), taught, damage, seed)
    return Lesson(pairs, damage.told(len(image)))


def network_at_start(
    name: Network,
    bands: int,
    width: int = 8,
    depth: int = 4,
    seed: int = 0,
    ratio: int = 2,
    dtype: torch.dtype = torch.float32,
    body: BodyKind = BodyKind.ADDITIVE,
) -> ResidualNetwork:
    """As `build_network` makes it for settings of that size, to compute in `dtype`."""
    network = build_network(bands, ratio, Settings(network=name, width=width, depth=depth, seed=seed, body=body), CPU)
    network.autocast_dtype = dtype
    return network


SIZE_CHANGES_NO_BIT = torch.backends.cpu.get_cpu_capability() == "AVX512"
"""Whether convolutions add up in the same order whatever the size of an image; with AVX2 they were seen not to."""


def random_prior(
    width: int = 8,
    depth: int = 4,
    bands: tuple[int, ...] = (1, 3),
    std: float = 0.02,
    seed: int = 0,
    kind: BodyKind = BodyKind.ADDITIVE,
) -> Prior:
    """Far from the base, in every pixel, and so are gates from 1."""
    heads, body = {}, Body(width, depth, kind)
    for scale in (2, 3, 4):
        for number in bands:
            network = DirectNetwork(number, scale, body, torch.float32)
            generator = Generator().manual_seed(seed)
            initialise(network.body, generator)
            weights = network.state_dict()
            weights[f"body.{depth}.weight"].normal_(std=std, generator=generator)
            for name, tensor in weights.items():
                if name.endswith("gate.weight"):
                    tensor.normal_(std=0.5, generator=generator)
            heads[scale, number] = weights
    return Prior(body, heads)


def camera_of(settings: Settings, noise: float = 0.0) -> Degradation:
    """That of the settings' kernel, anew: what it knows of itself is not shared."""
    return replace(degradation_of(settings, (noise,)))
