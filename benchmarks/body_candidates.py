"""The networks that `benchmarks.bodies` compares: about as many multiplications a pixel as 8 x 64 additive layers.

Beside the bodies that `srpipe prior --body` has, some that it has not: those are made of the layers here.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pixel_shuffle, relu

from sr_ops.camera.degradation import Degradation
from sr_ops.camera.kernels import bicubic
from sr_ops.networks.body_shapes import PLANES
from sr_ops.networks.direct import DirectNetwork
from sr_ops.networks.layers import Addition, convolution, initialise
from sr_ops.networks.residual_network import fastest_dtype
from sr_ops.settings import Body, BodyKind

SCALE, BANDS = 4, 3

_ADDED = 0.3
"""Of what He et al. would begin with, where a layer adds to its input."""

_ADDED_BY_LARGE = 0.03
"""Eleven large kernels without a norm learned nothing from 0.3 on."""


class LargeKernel(nn.Module):
    """x + what a depthwise 7 x 7 and two 1 x 1 convolutions make of it (ConvNeXt, Liu et al. 2022; no norm here)."""

    REACH = 3

    def __init__(self, width: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.wider = nn.Conv2d(width, 2 * width, 1)
        self.narrower = nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", enabled=False):  # in bfloat16 its backward takes 2.6 times as long
            around = self.depthwise(x.float())
        added: Tensor = self.narrower(relu(self.wider(around)))
        return x + added


_SOBEL = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]) / 8
_LAPLACIAN = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]) / 8


class Branches(Addition):
    """An additive layer whose kernel is a sum of several in training, and one afterwards (ECBSR, Zhang et al. 2021).

    Beside the 3 x 3 kernel: one behind a 1 x 1 convolution to twice as many channels, and 1 x 1 convolutions before
    Sobel filters and a Laplacian, with a factor for each channel. All are linear, so that their kernels add up.
    """

    def __init__(self, width: int, generator: torch.Generator) -> None:
        super().__init__(width)

        def drawn(*shape: int, fan: int) -> nn.Parameter:
            return nn.Parameter(torch.randn(*shape, generator=generator) * _ADDED * (2 / fan) ** 0.5)

        self.wider = drawn(2 * width, width, fan=width)
        self.back = drawn(width, 2 * width, 3, 3, fan=18 * width)
        self.before = drawn(3, width, width, fan=width)
        self.factors = nn.Parameter(torch.zeros(3, width))
        self.register_buffer("edges", torch.stack([_SOBEL, _SOBEL.T, _LAPLACIAN]), persistent=False)

    def kernel(self) -> Tensor:
        """(width, width, 3, 3): of all branches together."""
        wide = torch.einsum("omyx,mi->oiyx", self.back, self.wider)
        edges = torch.einsum("eo,eoi,eyx->oiyx", self.factors, self.before, self.get_buffer("edges"))
        return self.convolution.weight + wide + edges

    def forward(self, x: Tensor) -> Tensor:
        return x + conv2d(relu(x), self.kernel(), self.convolution.bias, padding=1)

    def folded(self) -> Addition:
        """One layer that makes the same."""
        layer = Addition(self.convolution.in_channels)
        layer.load_state_dict({"convolution.weight": self.kernel().detach(), "convolution.bias": self.convolution.bias})
        return layer


class Unrolled(DirectNetwork):
    """Two networks, a data step before each (as USRNet, Zhang et al. 2020, unrolls many): bicubic alone.

    The first one's result is held to the data and seen by the second, which also gets the first one's features.
    """

    def __init__(self, width: int, layers: int) -> None:
        super().__init__(BANDS, SCALE, Body(width, layers + 2), fastest_dtype(torch.device("cpu")))
        first = convolution(BANDS * (1 + SCALE**2) + PLANES, width)
        hidden = (Addition(width) for _ in range(layers))
        self.second = nn.Sequential(first, *hidden, nn.ReLU(), convolution(width, BANDS * SCALE**2))
        self._degradation = Degradation((bicubic(SCALE),), SCALE)

    def forward(self, image: Tensor, base: Tensor, told: Tensor) -> Tensor:
        first, features = self._half(self.body, self.seen(image, base, told))
        held = self._degradation.data_step(image, base + first)
        second, _ = self._half(self.second, self.seen(image, held, told), features)
        return held + second

    def _half(self, body: nn.Sequential, seen: Tensor, features: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mixed = self.autocast_dtype != torch.float32
        seen = seen.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=self.autocast_dtype if mixed else None, enabled=mixed):
            made = body[0](seen)
            made = body[1:-2](made if features is None else made + features)
            return pixel_shuffle(body[-2:](made), SCALE).float(), made


@dataclass(frozen=True)
class Candidate:
    """One of those that are compared."""

    name: str
    make: Callable[[torch.Generator], DirectNetwork]
    reach: int
    """LR pixels that it sees beyond one; of two steps without what the data step carries."""

    def network(self, seed: int = 0) -> DirectNetwork:
        """Its weights depend on the seed alone; untrained it gives the base."""
        network = self.make(torch.Generator().manual_seed(seed))
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def of_body(name: str, body: Body) -> Candidate:
    """One that `srpipe prior` makes, too."""

    def make(generator: torch.Generator) -> DirectNetwork:
        network = DirectNetwork(BANDS, SCALE, body, fastest_dtype(torch.device("cpu")))
        initialise(network.body, generator)
        return network

    return Candidate(name, make, make(torch.Generator()).reach)


def of_layers(name: str, width: int, layers: Callable[[torch.Generator], Sequence[nn.Module]], reach: int) -> Candidate:
    """One of other hidden layers."""

    def make(generator: torch.Generator) -> DirectNetwork:
        network = DirectNetwork(BANDS, SCALE, Body(width, 2), fastest_dtype(torch.device("cpu")))
        first, *ends = network.body
        network.body = nn.Sequential(first, *layers(generator), *ends)
        initialise(network.body, generator)
        with torch.no_grad():
            for layer in network.body:
                if isinstance(layer, LargeKernel):
                    layer.narrower.weight *= _ADDED_BY_LARGE
        return network

    return Candidate(name, make, reach)


def _unrolled(generator: torch.Generator) -> DirectNetwork:
    network = Unrolled(64, 2)
    initialise(network.body, generator)
    initialise(network.second, generator)
    return network


CANDIDATES = (
    of_body("additive, 8 x 64", Body(64, 8)),
    of_body("additive, 14 x 48", Body(48, 14)),
    of_body("pixel attention, 8 x 61", Body(61, 8, BodyKind.PIXEL)),
    of_body("channel attention, 8 x 62", Body(62, 8, BodyKind.CHANNEL)),
    of_body("spatial attention, 8 x 64", Body(64, 8, BodyKind.SPATIAL)),
    of_layers("branches folded, 8 x 64", 64, lambda generator: [Branches(64, generator) for _ in range(6)], 8),
    Candidate("two data steps, 2 x 4 x 64", _unrolled, 8),
    of_layers("depthwise 7 x 7, 11 x 64", 64, lambda _: [LargeKernel(64) for _ in range(11)], 2 + 11 * 3),
)


def fold(network: DirectNetwork) -> DirectNetwork:
    """As it enlarges: branches made one layer, in place."""
    for number, layer in enumerate(network.body):
        if isinstance(layer, Branches):
            network.body[number] = layer.folded()
    return network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
