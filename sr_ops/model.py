"""How one image is enlarged, and what was learned on the way there."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from math import nan

import torch
from torch import Tensor

from .degradation import Degradation
from .direct import DirectNetwork
from .enlarging_method import Learned
from .kernels import from_spec
from .layers import initialise
from .networks import network_class
from .noise_line import NoiseLine
from .prior import Weights, body_of
from .residual_network import ResidualNetwork, fastest_dtype
from .restorer import Restorer
from .settings import Network, Settings

Phase = Callable[[str], AbstractContextManager[object]]
"""Called with "fit", "infer" or "back_project" around each such piece of work; lets a caller measure time."""


def no_phase(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, eq=False)
class Model:
    """How one image is enlarged."""

    method: str
    """ZSSR, PRIOR or MODEL, or one of `methods.NAMES`: what AUTO came to."""
    degradation: Degradation
    """What is to be undone; what JPEG lost counts as noise."""
    networks: tuple[ResidualNetwork, ...] = ()
    """One per stage, of the first stages for a start; methods without networks have none."""
    told: Tensor | None = None
    """(C, 2): what networks are told of the image, `direct.planes`; None of a clean one."""
    learned: Learned = field(default_factory=dict)
    """What a method without networks learned from the image."""
    restorer: Restorer | None = None
    """Of MODEL alone: is not learned, nor stored with a scene; whoever enlarges puts it in."""
    in_colour: bool = True
    """Whether three bands are the colours of a picture, not some bands of many."""

    def of_bands(self, first: int, stop: int) -> "Model":
        """That of some bands of the image, which see nothing of the others."""
        told = None if self.told is None else self.told[first:stop]
        return replace(self, degradation=self.degradation.of_bands(first, stop), told=told, in_colour=False)


@dataclass(frozen=True)
class Fitted:
    """What was learned from one image."""

    model: Model
    """Bicubic by choice, or because a fit was not possible or would not have been better."""
    noise: tuple[float, ...] | None = (0.0,)
    """Standard deviation in units of the full range, for all bands or for each, as given or measured; None where it
    was not looked for."""
    noise_lines: tuple[NoiseLine | None, ...] = ()
    """How it grows with the level, in each band; none where it was not measured."""
    final_loss: float = nan
    """Mean L1 of the first stage's last tenth of steps; nan without a fit."""
    fit_curve: tuple[float, ...] = ()
    """Of the first stage's steps, `fit.curve`; empty without a fit."""
    reconstruction_psnr: float = nan
    """PSNR in dB of the fitted network on parts it did not learn from (`held_out`); nan where none could be spared."""
    prior_reconstruction_psnr: float = nan
    """The same for the prior as it is."""
    bicubic_reconstruction_psnr: float = nan
    """The same for the base: bicubic, and a data step where the network takes any camera."""


def degradation_of(settings: Settings, noise: tuple[float, ...] = (0.0,)) -> Degradation:
    """That of the settings' kernel. Raises ValueError for a spec that is none."""
    return Degradation(from_spec(settings.kernel, settings.scale), settings.scale, noise)


def build_network(bands: int, ratio: int, settings: Settings, device: torch.device) -> ResidualNetwork:
    """A network whose weights depend on the seed alone; untrained it returns the base exactly.

    Args:
        ratio: what it enlarges by; a whole number that its kind can.
    """
    dtype, width, depth = fastest_dtype(device), settings.width, settings.depth
    with torch.device("meta"):  # skips torch's own initialisation, which would draw from the global random state
        network: ResidualNetwork
        if settings.network == Network.DIRECT:
            network = DirectNetwork(bands, ratio, settings.direct_body, dtype)
        else:
            kind = network_class(settings.network)
            network = kind(bands, width, depth, dtype, **{name: getattr(settings, name) for name in kind.options})
    network = network.to_empty(device="cpu")
    initialise(network.body, torch.Generator().manual_seed(settings.seed))
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def network_of(weights: Weights, bands: int, ratio: int, settings: Settings, device: torch.device) -> ResidualNetwork:
    """A network anew from its `state_dict`, to enlarge with."""
    if settings.network == Network.DIRECT:
        body = body_of(weights)
        settings = replace(settings, width=body.width, depth=body.depth, body=body.kind)
    network = build_network(bands, ratio, settings, device).eval()
    network.load_state_dict(weights)
    return network


def as_later_stage(network: ResidualNetwork) -> ResidualNetwork:
    """A network as it enlarges what an earlier stage computed.

    Tiles know that to 1e-7, which bfloat16 can turn into a whole step of its own, 7e-4 of the range. The first stage
    reads the LR pixels themselves, equal to the bit in every tile.
    """
    network.autocast_dtype = torch.float32
    return network
