"""The options of `srpipe run` that decide pixels, and the Settings that come of them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Annotated, Any

import typer

from pipeline.config import (
    ONE_SCALE,
    check_kernel,
    names_kernel_file,
    parse_kernel,
    parse_nodata,
    parse_noise,
    parse_range,
    takes_kernel,
)
from pipeline.errors import UsageError
from sr_ops.grid import times_of
from sr_ops.methods import method_of
from sr_ops.networks import NAMES as NETWORKS
from sr_ops.networks import network_class
from sr_ops.settings import (
    AUTO,
    BICUBIC_KERNEL,
    BY_NETWORKS,
    COLLECTION_KERNEL,
    FROM_SCRATCH,
    NO_PRIOR,
    Method,
    Network,
    Preset,
    Settings,
)
from sr_ops.settings import preset as make_preset

from .fit_options import FitOptions
from .size_options import checked_by


def _kernel(text: str) -> str:
    """A file's name as it is."""
    return text if names_kernel_file(text) else parse_kernel(text)


def _seed(value: int) -> int:
    if value >= 2**63:
        raise typer.BadParameter(f"{value} is not below 2 ** 63")
    return value


@dataclass(frozen=True)
class QualityOptions(FitOptions):
    """What decides pixels. None leaves it to the preset."""

    seed: Annotated[
        int,
        typer.Option(
            metavar="N", min=0, callback=_seed, help="Draw all that is random from this seed, the same for every image."
        ),
    ] = Settings.seed
    ensemble: Annotated[
        bool | None,
        typer.Option(
            "--self-ensemble/--no-self-ensemble", help="Take the median over the 8 flips and rotations, or not."
        ),
    ] = None
    back_projections: Annotated[
        int | None,
        typer.Option("--back-projection", metavar="N", min=0, help="Back-project so many times; 0 for not at all."),
    ] = None
    tile_size: Annotated[
        int | None, typer.Option(metavar="N", min=16, help="Cut the input into tiles of so many pixels a side.")
    ] = None
    nodata: Annotated[
        str,
        typer.Option(
            metavar="auto|none|VALUE",
            callback=checked_by(parse_nodata),
            help="Say which number means that nothing was measured, for rows that say none; auto: what the file "
            "declares, or a fill that can be nothing else.",
        ),
    ] = Settings.nodata
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="auto|none|LOW,HIGH",
            callback=checked_by(parse_range),
            help="Keep samples of the result between these; auto: floats between the least and largest of the input.",
        ),
    ] = Settings.value_range
    kernel: Annotated[
        str,
        typer.Option(
            metavar="auto|SPEC|FILE",
            callback=checked_by(_kernel),
            help="Say what the camera blurred by, for rows that say none: bicubic, box, bilinear, lanczos,"
            " gaussian:SIGMA, mtf:0.3, sensor:sentinel-2, or a .npy, .csv or .tif FILE of taps; estimate: found in the"
            " pixels of each image; estimate-collection: in those of some images of its camera together; auto: as"
            " estimate, where the network takes any kernel, else bicubic.",
        ),
    ] = AUTO
    noise: Annotated[
        str,
        typer.Option(
            metavar="SIGMA|auto|0",
            callback=checked_by(parse_noise),
            help="Say how strong the noise is, for rows that say none: its standard deviation in the file's own"
            " units; auto: measured, where it shows.",
        ),
    ] = Settings.noise
    stack: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Fit so many images at once in a worker; for a GPU, where 16 is a good start."
        ),
    ] = Settings.stack

    def start(self) -> str:
        """What fits start from: RunConfig.prior_name."""
        if self.prior is not None:
            return self.prior
        from_scratch = self.preset in FROM_SCRATCH if self.network is None else self.network != Network.DIRECT
        return NO_PRIOR if from_scratch else "shipped"

    def kernel_file(self) -> str | None:
        """RunConfig.kernel_file."""
        return self.kernel if names_kernel_file(self.kernel) else None

    def settings(self) -> Settings:
        """The preset, with what was given instead of its parts; the kernel of a file is still to be read.

        Raises:
            UsageError: something is said of a fit where nothing is fitted, or of a kernel where none can be used.
        """
        fit = _given(self, "steps", "crop", "batch", "learning_rate", "loss", "adversarial")
        network = _given(self, "network", "width", "depth", "dropout", "normalisation")
        if self.method not in BY_NETWORKS:
            self._refuse_for_method([*_given(self, "prior"), *fit, *network])
        self._check_weights()
        if self.method == Method.PRIOR:
            _refuse_for("--method prior, which fits nothing", fit)
        self._check_network()
        self._check_parts()
        base = make_preset(self.preset, from_prior=self.start() != NO_PRIOR)
        scale, result_size = self.size()
        settings = replace(
            base,
            scale=scale,
            result_size=result_size,
            method=self.method,
            seed=self.seed,
            nodata=self.nodata,
            value_range=self.value_range,
            noise=self.noise,
            stack=self.stack,
            fit=replace(base.fit, **fit),
            **network,
            **_given(self, "ensemble", "back_projections", "tile_size", "model_halo"),
        )
        self._check_kernel(replace(settings, kernel=self.kernel))
        return settings if self.kernel_file() else replace(settings, kernel=self.kernel)

    def _check_weights(self) -> None:
        """Raises UsageError where a model is named and not asked for, or the other way round."""
        if self.method == Method.MODEL and self.weights is None:
            raise UsageError("--method model needs a trained model; name its file with --weights FILE")
        if self.method != Method.MODEL:
            for name in _given(self, "weights", "model_halo"):
                option = f"--{name.replace('_', '-')}"
                raise UsageError(
                    f"{option} has no effect with --method {self.method}; use --method model, or leave it out"
                )

    def _check_network(self) -> None:
        """Raises UsageError where the network and the prior do not go together."""
        scratch = self.start() == NO_PRIOR
        if self.preset in FROM_SCRATCH and not scratch:
            raise UsageError(
                f"--preset {self.preset} is fitted from scratch; leave out --prior and --network direct, or it"
            )
        if self.preset is Preset.REAL and scratch:
            raise UsageError("--preset real takes the prior as it is; leave out --prior none and --network, or it")
        if self.network == Network.DIRECT and scratch:
            raise UsageError("--network direct has no weights with --prior none; leave one of them out")
        if self.network not in (None, Network.DIRECT) and not scratch:
            raise UsageError(
                f"--network {self.network} is fitted from scratch, and --prior {self.start()} is for direct networks;"
                " leave one of them out"
            )
        if self.method == Method.PRIOR and scratch:
            raise UsageError("--method prior needs a prior; leave out --prior none, --network and --preset paper")

    def _check_parts(self) -> None:
        """Raises UsageError for what the network does not have, or a fit from a prior not."""
        if self.start() != NO_PRIOR:
            _refuse_for("a prior, whose networks have their size", _given(self, "width", "depth"))
            for name in _given(self, "dropout", "normalisation", "adversarial"):
                raise UsageError(
                    f"--{name} is for networks that are fitted from scratch; add --network or --prior none, or leave it"
                    " out"
                )
            return
        given = [*_given(self, "depth", "dropout", "normalisation")]
        if not given:
            return
        network = self.network or make_preset(self.preset, from_prior=False).network
        kind = network_class(network)
        if kind.fixed_depth and "depth" in given:
            raise UsageError(f"--depth has no effect with --network {network}, whose layers are set; leave it out")
        for name in given:
            if name not in ("depth", *kind.options):
                having = ", ".join(other for other in NETWORKS if name in network_class(other).options)
                raise UsageError(
                    f"--{name} has no effect with --network {network}; leave it out, or take one that has it: {having}"
                )

    def _refuse_for_method(self, given: list[str]) -> None:
        """Raises UsageError for what says something of a network, or of a kernel that nothing would undo."""
        _refuse_for(f"--method {self.method}, which fits no network", given)
        told = self.kernel not in (AUTO, BICUBIC_KERNEL)
        if not told or self.back_projections != 0:
            return  # without torch, which tells more of a method
        if self.method == Method.MODEL or not method_of(self.method).knows_camera:
            raise UsageError(
                f"--kernel {self.kernel} has no effect with --method {self.method} and --back-projection 0, since only"
                " the data step of back-projection knows the camera then; leave one of them out"
            )

    def _check_kernel(self, settings: Settings) -> None:
        told = times_of(settings) is not None  # else a worker looks, when it knows the scale of the image
        if not told and self.kernel == COLLECTION_KERNEL:
            raise UsageError(ONE_SCALE)
        if told and self.kernel_file() is None:
            try:
                check_kernel(self.kernel, settings.scale)
            except ValueError as error:
                raise UsageError(f"--kernel: {error}") from error
        if takes_kernel(settings):
            return
        other = f"--network {settings.network}"
        if self.network is None and self.preset in FROM_SCRATCH:
            other = f"--preset {self.preset}"
        elif self.network is None and self.start() == NO_PRIOR:
            other = "--prior none"
        raise UsageError(
            f"--kernel {self.kernel} cannot be used with {other}, whose network knows bicubic alone; leave one of them"
            " out, or use --method bicubic, which takes any kernel"
        )


def _given(options: QualityOptions, *names: str) -> dict[str, Any]:
    """Those that were given: the others are the preset's to say."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _refuse_for(what: str, names: Iterable[str]) -> None:
    for name in names:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} has no effect with {what}; leave one of them out")
