"""What decides the pixels of an enlargement. Plain values: importing this file does not load torch."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from . import methods, networks
from .named_files import unknown

STAGE_SCALE = 2
"""What a network enlarges by that is fitted from scratch, and any later stage."""

LARGEST_DIRECT = 4
"""What a direct network enlarges by at most."""

MIN_SCALE, MAX_SCALE = 2, 8


class Network(StrEnum):
    """The networks that the code knows by name; `networks.NAMES` are all that can be fitted from scratch."""

    DIRECT = "direct"
    """Sees the LR image and its base, made for any kernel and noise; its weights are those of a prior: the default."""
    SUBPIXEL = "subpixel"
    """Convolutions at LR size, x2 stages: the default without a prior."""
    ZSSR = "zssr"
    """The paper's, at HR size."""
    SUPERRESNET = "superresnet"
    """Residual blocks at HR size."""


ALL_NETWORKS = (Network.DIRECT.value, *networks.NAMES)
"""What `Settings.network` can be."""


class BodyKind(StrEnum):
    """Of what hidden layers a direct network is; see bodies.py."""

    ADDITIVE = "additive"
    """A convolution that adds to its input: the default."""
    PIXEL = "pixel-attention"
    CHANNEL = "channel-attention"
    SPATIAL = "spatial-attention"


@dataclass(frozen=True)
class Body:
    """Of a direct network: what lies between its first and its last convolution."""

    width: int = 64
    depth: int = 8
    """Of all 3 x 3 convolutions, first and last included."""
    kind: BodyKind = BodyKind.ADDITIVE


class Method(StrEnum):
    """The methods that the code knows by name; `methods.NAMES` are all that need no network of srpipe's own."""

    AUTO = "auto"
    """By what is likeliest to be right: a network fitted to it, the prior as it is, or bicubic: the default."""
    ZSSR = "zssr"
    """By a fitted network, whatever comes of it."""
    PRIOR = "prior"
    """By the prior's network as it is; nothing is fitted."""
    BICUBIC = "bicubic"
    """By bicubic interpolation and back-projection; nothing is fitted."""
    MODEL = "model"
    """By a trained model of others, `restorer.Restorer`, whose file is `Settings.weights`; nothing is fitted."""


BY_NETWORKS = (Method.AUTO.value, Method.PRIOR.value, Method.ZSSR.value)

ALL_METHODS = (*BY_NETWORKS, Method.MODEL.value, *methods.NAMES)
"""What `Settings.method` can be."""


NO_PRIOR = "none"

AUTO, NONE = "auto", "none"
"""Of `Settings.nodata`, `Settings.value_range` and `Settings.noise`; AUTO of `Settings.kernel`, too."""

BICUBIC_KERNEL = "bicubic"
"""MATLAB's, antialiased: of `Settings.kernel`."""

ESTIMATE_KERNEL = "estimate"
"""Found in the pixels of each image by `guess`: of `Settings.kernel`."""

COLLECTION_KERNEL = "estimate-collection"
"""Found in the pixels of some images of a camera together, before any is worked on: each row then has its text."""

KERNELS_TO_FIND = (ESTIMATE_KERNEL, COLLECTION_KERNEL, AUTO)
"""That name no kernel, but how it is found; AUTO with networks that know bicubic alone is that."""


class Loss(StrEnum):
    """What a fit makes small: the mean of this, of the difference d of each sample."""

    L1 = "l1"
    """|d|."""
    L2 = "l2"
    """d^2."""
    CHARBONNIER = "charbonnier"
    """sqrt(d^2 + 0.001^2): Lai et al. 2017, section 3.3."""


class Normalisation(StrEnum):
    """Of the residual blocks of networks that have it as an option."""

    NONE = "none"
    BATCH = "batch"
    """By the crops' statistics, of which an average is kept to enlarge with."""
    LAYER = "layer"
    """Over the channels of each pixel."""


LATER = {"later": True}
"""Metadata of a field that runs of earlier versions did not know: left out of the fingerprint while it is as it was
for them, so that their outputs are gone on with."""


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted to one image."""

    steps: int = 500
    """Optimiser updates per stage."""
    crop: int = 64
    """Side of a father crop in pixels of the image; smaller images give smaller crops."""
    batch: int = 4
    """Crops per step."""
    learning_rate: float = 3e-3
    """Peak of the one-cycle schedule."""
    loss: Loss = field(default=Loss.L1, metadata=LATER)
    adversarial: float = field(default=0.0, metadata=LATER)
    """Weight of what a discriminator of the image's own patches says (`adversary`), beside the loss; 0 for none."""
    level_odds: float = field(default=0.9, metadata=LATER)
    """How likely a smaller copy is to be drawn, of the odds of the next larger one."""
    son_noise: float = field(default=0.0, metadata=LATER)
    """Standard deviation of noise that is put into sons beside the image's own, in grey levels of 8 bits."""


@dataclass(frozen=True)
class Settings:
    """All that decides the pixels, besides the image, the thread count and the device class.

    Raises ValueError for a method or a network that there is none of.
    """

    scale: int = 4
    """Whole number from MIN_SCALE to MAX_SCALE: at which networks and the forward model work."""
    method: str = Method.AUTO
    """One of ALL_METHODS."""
    prior: str = NO_PRIOR
    """sha256 of the file with the weights that fits start from, or NO_PRIOR."""
    network: str = Network.SUBPIXEL
    """One of ALL_NETWORKS."""
    width: int = 64
    """Channels of the hidden layers."""
    depth: int = 8
    """Number of convolutions, at least 2."""
    body: BodyKind = field(default=BodyKind.ADDITIVE, metadata=LATER)
    """Of direct networks, as their prior says."""
    fit: FitSettings = field(default_factory=FitSettings)
    seed: int = 0
    """The same for every image, so that no pixel depends on order or worker."""
    ensemble: bool = True
    """Run each network on the dihedral transforms and take the median of 8, of a prior the mean of `members`."""
    members: int = 8
    """Of a prior's self-ensemble: all 8 transforms, or the 4 that turn no axis into the other. From scratch all 8, or
    12: reflections count twice."""
    back_projections: int = 10
    """Iterations after every stage; 0 for none."""
    back_projection_factor: float = field(default=0.0, metadata=LATER)
    """From scratch: of what an iteration finds missing, the part that it adds (Irani & Peleg 1991); 0 for the closed
    form of all iterations."""
    tile_size: int = 512
    """Side of a tile in LR pixels."""
    nodata: str = AUTO
    """What number says "nothing was measured": the file's own, or a fill that is recognised (AUTO); none at all (NONE);
    or this one, as text."""
    value_range: str = AUTO
    """Between what samples of the result lie. AUTO: floats between the least and the largest of the image, band by
    band, integers within their type. NONE: floats anywhere. Or "LOW,HIGH"."""
    kernel: str = BICUBIC_KERNEL
    """The camera's blur, as `kernels.from_spec` reads it: a named one, or the taps of a file as text; or one of
    KERNELS_TO_FIND."""
    noise: str = AUTO
    """Standard deviation of the image's noise in its own units, as text; AUTO: measured, where visible."""
    result_size: str = field(default="", metadata=LATER)
    """How large the result is where it is not `scale` times the image, which is then reduced: a text of `grid`."""
    stack: int = 1
    """Images that a worker fits at once: for a GPU that one fit leaves idle. Above 1 the results differ by rounding."""
    dropout: float = field(default=0.0, metadata=LATER)
    """Of networks that have it: the share of channels that a step does without, before the last convolution."""
    normalisation: Normalisation = field(default=Normalisation.NONE, metadata=LATER)
    """Of networks that have it."""
    weights: str = field(default="", metadata=LATER)
    """sha256 of the file that Method.MODEL takes; empty for the other methods."""
    model_halo: int = field(default=32, metadata=LATER)
    """LR pixels that Method.MODEL reads around a piece: what it draws from beyond is another in each piece."""

    def __post_init__(self) -> None:
        for kind, name, names in (("method", self.method, ALL_METHODS), ("network", self.network, ALL_NETWORKS)):
            if name not in names:
                raise ValueError(unknown(kind, name, names))

    @property
    def by_networks(self) -> bool:
        """Whether networks of srpipe's own enlarge the image."""
        return self.method in BY_NETWORKS

    @property
    def direct_body(self) -> Body:
        """What a direct network is made of."""
        return Body(self.width, self.depth, self.body)

    @property
    def takes_any_kernel(self) -> bool:
        """Of the networks one is made for any kernel; the others know bicubic alone."""
        return self.network == Network.DIRECT or not self.by_networks

    @property
    def stage_scales(self) -> tuple[int, ...]:
        """The ratio to the LR image after each stage: of direct networks 3 -> (3,), 8 -> (4, 8), else (2, 4, 8)."""
        if self.network == Network.DIRECT:
            return (self.scale,) if self.scale <= LARGEST_DIRECT else (LARGEST_DIRECT, self.scale)
        scales = []
        reached = 1
        while reached < self.scale:
            reached *= STAGE_SCALE
            scales.append(min(reached, self.scale))
        return tuple(scales)


class Preset(StrEnum):
    """A named choice between time and quality; docs/presets.md tells what each costs and gives."""

    FAST = "fast"
    """A tenth of the time on large images: the prior as it is, no self-ensemble."""
    BALANCED = "balanced"
    BEST = "best"
    PAPER = "paper"
    """The network of the ZSSR paper, fitted from scratch."""
    CLASSIC = "classic"
    """The test-time scheme of a well-known re-implementation of ZSSR, for comparison: residual blocks after
    interpolation, noise in the sons, 12 transforms, and the classical back-projection."""
    REAL = "real"
    """For scans, photographs and browse images as they are: kernel, noise and JPEG are found, as by default, and
    nothing is fitted. Of such images a fit won on parts held out of them, spoiled as well, and lost in truth."""


_STEPS = {Preset.FAST: 0, Preset.BALANCED: 20, Preset.BEST: 100, Preset.REAL: 0}
"""From a prior, of images that a fit pays for (`learning`); the presets from scratch have none."""

_STEPS_FROM_SCRATCH = {
    Preset.FAST: 100,
    Preset.BALANCED: 500,
    Preset.BEST: 1500,
    Preset.PAPER: 1500,
    Preset.CLASSIC: 1500,
}
"""That of real images has none: networks fitted from scratch know bicubic alone."""

FROM_SCRATCH = (Preset.PAPER, Preset.CLASSIC)
"""Presets without a prior."""

_FEW_MEMBERS = 4
"""Half of the time, for 0.01 to 0.04 dB (docs/decisions.md)."""

_RATE_FROM_PRIOR = 1e-4
"""Of 3e-5, 1e-4 and 3e-4 the best on Set5 at x2."""

_CROP_FROM_PRIOR = 96
"""Sons of x4 would be too small to learn from."""


def preset(name: Preset, from_prior: bool) -> Settings:
    """The settings of a preset, without the prior itself: a fit from scratch needs more and longer steps."""
    ensemble = name is not Preset.FAST
    if from_prior:
        fit = FitSettings(steps=_STEPS[name], crop=_CROP_FROM_PRIOR, learning_rate=_RATE_FROM_PRIOR)
        members = _FEW_MEMBERS if name in (Preset.BALANCED, Preset.REAL) else Settings.members
        return Settings(network=Network.DIRECT, fit=fit, ensemble=ensemble, members=members)
    fit = FitSettings(steps=_STEPS_FROM_SCRATCH[name])
    if name is Preset.CLASSIC:
        fit = replace(fit, level_odds=0.5, son_noise=5.0)
        scheme = Settings(members=12, back_projections=3, back_projection_factor=0.5)
        return replace(scheme, network=Network.SUPERRESNET, fit=fit)
    return Settings(network=Network.ZSSR if name is Preset.PAPER else Network.SUBPIXEL, fit=fit, ensemble=ensemble)
