"""All settings that decide the pixels of an enlargement. Plain values: importing this file does not load torch."""

from dataclasses import dataclass, field, replace
from enum import StrEnum

from .registry import METHODS, NETWORKS, unknown

STAGE_SCALE = 2
"""Scale of a network fitted from scratch, and of any later stage."""

LARGEST_DIRECT = 4
"""Largest scale of a direct network."""

MIN_SCALE, MAX_SCALE = 2, 8


def doublings(scale: int) -> tuple[int, ...]:
    """Return what stages of STAGE_SCALE reach one after the other, the last one at most `scale`: 7 -> (2, 4, 7)."""
    return tuple(min(STAGE_SCALE**stage, scale) for stage in range(1, (scale - 1).bit_length() + 1))


class Network(StrEnum):
    """Networks that the code refers to by name; `registry.NETWORKS` lists all that can be fitted from scratch."""

    DIRECT = "direct"
    """Input: the LR image and its base, for any kernel and noise. Its weights come from a prior: the default."""
    SUBPIXEL = "subpixel"
    """Convolutions at LR size, x2 stages: the default without a prior."""
    ZSSR = "zssr"
    """The network of the ZSSR paper, at HR size."""
    SUPERRESNET = "superresnet"
    """Residual blocks at HR size."""


ALL_NETWORKS = (Network.DIRECT.value, *NETWORKS)
"""Allowed values of `Settings.network`."""


class BodyKind(StrEnum):
    """Kind of the hidden layers of a direct network; see bodies.py."""

    ADDITIVE = "additive"
    """A convolution that adds to its input: the default."""
    PIXEL = "pixel-attention"
    CHANNEL = "channel-attention"
    SPATIAL = "spatial-attention"


@dataclass(frozen=True)
class Body:
    """The layers of a direct network."""

    width: int = 64
    depth: int = 8
    """Number of 3 x 3 convolutions, first and last included."""
    kind: BodyKind = BodyKind.ADDITIVE


class Method(StrEnum):
    """Methods that the code refers to by name; `registry.METHODS` lists all that need no network of srpipe's own."""

    AUTO = "auto"
    """The most reliable of a fitted network, the prior as it is, and bicubic: the default."""
    ZSSR = "zssr"
    """A network fitted to the image, whatever the outcome."""
    PRIOR = "prior"
    """The prior's network as it is; nothing is fitted."""
    BICUBIC = "bicubic"
    """Bicubic interpolation and back-projection; nothing is fitted."""
    MODEL = "model"
    """A third party's trained model (`restorer.Restorer`) from the file `Settings.weights`; nothing is fitted."""


BY_NETWORKS = (Method.AUTO.value, Method.PRIOR.value, Method.ZSSR.value)

ALL_METHODS = (*BY_NETWORKS, Method.MODEL.value, *METHODS)
"""Allowed values of `Settings.method`."""


NO_PRIOR = "none"

AUTO, NONE = "auto", "none"
"""Values of `Settings.nodata`, `Settings.value_range` and `Settings.noise`; AUTO also of `Settings.kernel`."""

BICUBIC_KERNEL = "bicubic"
"""Value of `Settings.kernel`: MATLAB's antialiased bicubic."""

ESTIMATE_KERNEL = "estimate"
"""Value of `Settings.kernel`: estimated from the pixels of each image (`guess`)."""

COLLECTION_KERNEL = "estimate-collection"
"""Value of `Settings.kernel`: estimated from images of the same camera together, before any image is processed. Each
row then has the text of its kernel."""

KERNELS_TO_FIND = (ESTIMATE_KERNEL, COLLECTION_KERNEL, AUTO)
"""Values that say how to find a kernel. For networks that know bicubic only, AUTO is bicubic."""


class Loss(StrEnum):
    """The loss of a fit: the mean over samples of a function of the difference d."""

    L1 = "l1"
    """|d|."""
    L2 = "l2"
    """d^2."""
    CHARBONNIER = "charbonnier"
    """sqrt(d^2 + 0.001^2): Lai et al. 2017, section 3.3."""


class Normalisation(StrEnum):
    """Normalisation in the residual blocks of networks that have this option."""

    NONE = "none"
    BATCH = "batch"
    """With the statistics of the crops, and their running averages when enlarging."""
    LAYER = "layer"
    """Over the channels of each pixel."""


LATER = {"later": True}
"""Metadata of a field that earlier versions did not have. The field is left out of the fingerprint while it has its old
value, so that outputs of these versions can be resumed."""


@dataclass(frozen=True)
class FitSettings:
    """How a network is fitted to one image."""

    steps: int = 500
    """Optimiser updates per stage."""
    crop: int = 64
    """Side of a father's crop in image pixels; smaller images have smaller crops."""
    batch: int = 4
    """Crops per step."""
    learning_rate: float = 3e-3
    """Peak of the one-cycle schedule."""
    loss: Loss = field(default=Loss.L1, metadata=LATER)
    adversarial: float = field(default=0.0, metadata=LATER)
    """Weight of the adversarial loss (`adversary`), added to the loss; 0 for none."""
    level_odds: float = field(default=0.9, metadata=LATER)
    """Relative probability of drawing a smaller copy, compared with the next larger one."""
    son_noise: float = field(default=0.0, metadata=LATER)
    """Standard deviation of noise added to sons beside the image's own, in grey levels of 8 bits."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides the pixels, besides the image, the thread count and the device class.

    Raises ValueError for a scale, a method, a network, a loss or members that there are not.
    """

    scale: int = 4
    """Whole number from MIN_SCALE to MAX_SCALE, the scale of networks and forward model; `result_size` has others."""
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
    """Kind of a direct network's body, as its prior says."""
    fit: FitSettings = field(default_factory=FitSettings)
    seed: int = 0
    """The same for every image, so that no pixel depends on order or worker."""
    ensemble: bool = True
    """Run each network on the dihedral transforms and take the median of 8; for a prior the mean of `members`."""
    members: int = 8
    """Members of a prior's self-ensemble: all 8 transforms, the 4 that do not swap the axes, or 1. For networks fitted
    from scratch 8, or 12 to count reflections twice."""
    back_projections: int = 10
    """Iterations after every stage; 0 for none."""
    back_projection_factor: float = field(default=0.0, metadata=LATER)
    """For networks fitted from scratch: the share of the residual that an iteration adds (Irani & Peleg 1991); 0 for
    the closed form of all iterations."""
    tile_size: int = 512
    """Side of a tile in LR pixels."""
    nodata: str = AUTO
    """The number that means "nothing was measured": the file's own or a fill value that is detected (AUTO), none
    (NONE), or a number as text."""
    value_range: str = AUTO
    """Range of the result's samples. AUTO: for floats the range of the image, band by band; for integers that of their
    type. NONE: unlimited floats. Or "LOW,HIGH"."""
    kernel: str = BICUBIC_KERNEL
    """The camera's blur as text for `kernels.from_spec`, a named kernel or the taps of a file; or one of
    KERNELS_TO_FIND."""
    noise: str = AUTO
    """Standard deviation of the image's noise in its own units, as text; AUTO to measure it where it is visible."""
    result_size: str = field(default="", metadata=LATER)
    """Size of the result if it is not `scale` times the image, from which it is then reduced; a text of `grid`."""
    stack: int = 1
    """Images that a worker fits at once, for a GPU that one fit cannot fill. Above 1 the results differ by rounding."""
    dropout: float = field(default=0.0, metadata=LATER)
    """For networks with this option: share of channels that a step drops before the last convolution."""
    normalisation: Normalisation = field(default=Normalisation.NONE, metadata=LATER)
    """For networks with this option."""
    weights: str = field(default="", metadata=LATER)
    """sha256 of the model file for Method.MODEL; empty for other methods."""
    model_halo: int = field(default=32, metadata=LATER)
    """LR pixels that Method.MODEL reads around a piece. If the model sees farther, pieces differ from the whole."""

    def __post_init__(self) -> None:
        if isinstance(self.scale, float) or self.scale not in range(MIN_SCALE, MAX_SCALE + 1):
            told = f"the scale {self.scale!r} is no whole number from {MIN_SCALE} to {MAX_SCALE}"
            raise ValueError(f"{told}; give one, and for 2.5 the next with scale=3, result_size='times:2.5x2.5'")
        named = {"method": (self.method, ALL_METHODS), "network": (self.network, ALL_NETWORKS)}
        for kind, (name, names) in (named | {"loss": (self.fit.loss, (*Loss,))}).items():
            if name not in names:
                raise ValueError(unknown(kind, name, names))
        if self.network == Network.DIRECT and self.members not in (1, 4, 8):
            raise ValueError(f"a direct network has 1, 4 or 8 members, not {self.members}; give one of these")

    @property
    def by_networks(self) -> bool:
        """Whether the image is enlarged by networks of srpipe's own."""
        return self.method in BY_NETWORKS

    @property
    def direct_body(self) -> Body:
        """The layers of a direct network."""
        return Body(self.width, self.depth, self.body)

    def with_body(self, body: Body) -> "Settings":
        """Return the settings with these layers as their `direct_body`."""
        return replace(self, width=body.width, depth=body.depth, body=body.kind)

    @property
    def takes_any_kernel(self) -> bool:
        """Whether any kernel is supported. Networks other than direct ones know bicubic only."""
        return self.network == Network.DIRECT or not self.by_networks

    @property
    def stage_scales(self) -> tuple[int, ...]:
        """The ratio to the LR image after each stage: 3 -> (3,) and 8 -> (4, 8) if direct, else 8 -> (2, 4, 8)."""
        if self.network == Network.DIRECT:
            return (self.scale,) if self.scale <= LARGEST_DIRECT else (LARGEST_DIRECT, self.scale)
        return doublings(self.scale)


class Preset(StrEnum):
    """A named trade-off between time and quality; docs/presets.md has the figures."""

    FAST = "fast"
    """A tenth of the time on large images: the prior as it is, without self-ensemble."""
    BALANCED = "balanced"
    BEST = "best"
    PAPER = "paper"
    """The network of the ZSSR paper, fitted from scratch."""
    CLASSIC = "classic"
    """The test-time scheme of a well-known re-implementation of ZSSR, for comparison: residual blocks after
    interpolation, noise in the sons, 12 transforms, and classical back-projection."""
    REAL = "real"
    """For scans, photographs and browse images as they are: kernel, noise and JPEG are found, as by default, and
    nothing is fitted. On such images a fit won on held-out parts, which are as damaged, but lost against the ground
    truth."""


_STEPS = {Preset.FAST: 0, Preset.BALANCED: 20, Preset.BEST: 100, Preset.REAL: 0}
"""Steps from a prior, for images that a fit pays for (`learning`). Presets from scratch are not listed."""

_SCRATCH_STEPS = {Preset.FAST: 100, Preset.BALANCED: 500, Preset.BEST: 1500, Preset.PAPER: 1500, Preset.CLASSIC: 1500}
"""REAL is not listed: networks fitted from scratch know bicubic only."""

FROM_SCRATCH = (Preset.PAPER, Preset.CLASSIC)
"""Presets that use no prior."""

_FEW_MEMBERS = 4
"""Half the time, for a loss of 0.01 to 0.04 dB (docs/decisions.md)."""

_RATE_FROM_PRIOR = 1e-4
"""The best of 3e-5, 1e-4 and 3e-4 on Set5 at x2."""

_CROP_FROM_PRIOR = 96
"""With smaller crops, sons at x4 would be too small to learn from."""


def preset(name: Preset, from_prior: bool) -> Settings:
    """Return the settings of a preset, without the prior itself; a fit from scratch gets more and larger steps.

    Raises ValueError for a preset that does not start so.
    """
    steps = _STEPS if from_prior else _SCRATCH_STEPS
    if name not in steps:
        start = "from scratch" if from_prior else "from a prior"
        raise ValueError(f"the preset {name} starts {start} only; give from_prior={not from_prior}")
    ensemble = name is not Preset.FAST
    if from_prior:
        fit = FitSettings(steps=steps[name], crop=_CROP_FROM_PRIOR, learning_rate=_RATE_FROM_PRIOR)
        members = _FEW_MEMBERS if name in (Preset.BALANCED, Preset.REAL) else Settings.members
        return Settings(network=Network.DIRECT, fit=fit, ensemble=ensemble, members=members)
    fit = FitSettings(steps=steps[name])
    if name is Preset.CLASSIC:
        fit = replace(fit, level_odds=0.5, son_noise=5.0)
        scheme = Settings(members=12, back_projections=3, back_projection_factor=0.5)
        return replace(scheme, network=Network.SUPERRESNET, fit=fit)
    return Settings(network=Network.ZSSR if name is Preset.PAPER else Network.SUBPIXEL, fit=fit, ensemble=ensemble)
