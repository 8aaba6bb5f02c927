"""How one image is enlarged, and what was learned from it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from math import nan

import torch
from torch import Tensor

from ..camera.degradation import Degradation
from ..camera.kernels import from_spec
from ..estimation.noise_line import NoiseLine
from ..networks.direct import DirectNetwork
from ..networks.layers import check_initialised, initialise
from ..networks.residual_network import ResidualNetwork, fastest_dtype
from ..priors.prior import Weights, body_of
from ..registry import network_class
from ..settings import Network, Settings
from .method import Learned
from .restorer import Restorer

Phase = Callable[[str], AbstractContextManager[object]]
"""Called with "fit", "infer" or "back_project" around each such step, so that the caller can measure its time."""


def no_phase(_name: str) -> AbstractContextManager[object]:
    return nullcontext()


@dataclass(frozen=True, eq=False)
class Model:
    """How one image is enlarged."""

    method: str
    """ZSSR, PRIOR or MODEL, or one of `registry.METHODS`; AUTO has been resolved to one of them."""
    degradation: Degradation
    """The degradation to undo; JPEG losses count as noise."""
    networks: tuple[ResidualNetwork, ...] = ()
    """One per stage; during a fit, those of the first stages. Empty for methods without networks."""
    told: Tensor | None = None
    """(C, 2): what networks are told of the image (`direct.planes`); None for a clean image."""
    learned: Learned = field(default_factory=dict)
    """What a method without networks learned from the image."""
    restorer: Restorer | None = None
    """For MODEL only. It is neither learned nor stored with a scene: the caller that enlarges sets it."""
    in_colour: bool = True
    """Whether three bands are the colours of one picture, rather than three of many bands."""

    @property
    def is_of_jpeg(self) -> bool:
        """Whether JPEG losses are among what counts as noise."""
        return self.told is not None and bool((self.told[:, 1] > 0).any())

    def of_bands(self, first: int, stop: int) -> "Model":
        """Return the model of the bands from `first` to `stop`, which does not depend on the others."""
        told = None if self.told is None else self.told[first:stop]
        return replace(self, degradation=self.degradation.of_bands(first, stop), told=told, in_colour=False)


@dataclass(frozen=True)
class Fitted:
    """What was learned from one image."""

    model: Model
    """Its method is bicubic if that was chosen, or if a fit was impossible or not better."""
    noise: tuple[float, ...] | None = (0.0,)
    """Standard deviation in units of the full range, one for all bands or one per band, as given or measured; None if
    it was not looked for."""
    noise_lines: tuple[NoiseLine | None, ...] = ()
    """How the noise grows with the level, one per band; empty if not measured."""
    final_loss: float = nan
    """Mean loss over the last tenth of the first stage's steps; nan without a fit."""
    steps: int = 0
    """Steps of each stage's fit, even if the fit was not kept; 0 without a fit."""
    fit_curve: tuple[float, ...] = ()
    """`fit.curve` of the first stage; empty without a fit."""
    reconstruction_psnr: float = nan
    """PSNR in dB of the fitted network on held-out parts (`held_out`); nan if none could be spared."""
    prior_reconstruction_psnr: float = nan
    """The same for the prior without a fit."""
    bicubic_reconstruction_psnr: float = nan
    """The same for the base: bicubic, plus a data step if the network takes any camera."""


def degradation_of(settings: Settings, noise: tuple[float, ...] = (0.0,)) -> Degradation:
    """Return the degradation with the settings' kernel. Raises ValueError if the kernel's text is invalid."""
    return Degradation(from_spec(settings.kernel, settings.scale), settings.scale, noise)


def build_network(bands: int, ratio: int, settings: Settings, device: torch.device) -> ResidualNetwork:
    """Return a network whose weights depend on the seed alone; untrained it returns the base exactly.

    Args:
        ratio: what it enlarges by; a whole number that this kind of network supports.
    """
    network = _without_weights(bands, ratio, settings, device)
    check_initialised(network.body)
    initialise(network.body, torch.Generator().manual_seed(settings.seed))
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def network_of(weights: Weights, bands: int, ratio: int, settings: Settings, device: torch.device) -> ResidualNetwork:
    """Return a network with the given `state_dict`, ready to enlarge."""
    if settings.network == Network.DIRECT:
        settings = settings.with_body(body_of(weights))
    network = _without_weights(bands, ratio, settings, device).eval()
    network.load_state_dict(weights)
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def _without_weights(bands: int, ratio: int, settings: Settings, device: torch.device) -> ResidualNetwork:
    """Return a network on the CPU whose weights are still to be set, for use on a device."""
    dtype, width, depth = fastest_dtype(device), settings.width, settings.depth
    with torch.device("meta"):  # skips torch's own initialisation, which would draw from the global random state
        network: ResidualNetwork
        if settings.network == Network.DIRECT:
            network = DirectNetwork(bands, ratio, settings.direct_body, dtype)
        else:
            kind = network_class(settings.network)
            network = kind(bands, width, depth, dtype, **{name: getattr(settings, name) for name in kind.options})
    return network.to_empty(device="cpu")


def as_later_stage(network: ResidualNetwork) -> ResidualNetwork:
    """Return the network, set to float32 to enlarge the result of an earlier stage.

    Tiles agree on such a result only to 1e-7, which bfloat16 can turn into one of its steps, 7e-4 of the range. The
    first stage reads the LR pixels themselves, which are bit-equal in every tile.
    """
    network.autocast_dtype = torch.float32
    return network
