"""The options that decide pixels, and the Settings that follow from them. None leaves a value to the preset."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from sr_ops.image.grid import parse_gsd, parse_scale, parse_size, times_of
from sr_ops.registry import NETWORKS, method_of, network_class
from sr_ops.settings import (
    AUTO,
    BICUBIC_KERNEL,
    BY_NETWORKS,
    COLLECTION_KERNEL,
    FROM_SCRATCH,
    NO_PRIOR,
    Loss,
    Method,
    Network,
    Normalisation,
    Preset,
    Settings,
)
from sr_ops.settings import preset as make_preset

from .config import ONE_SCALE, check_kernel, takes_kernel
from .errors import UsageError
from .option_values import names_kernel_file


@dataclass(frozen=True)
class Quality:
    """The options of `srpipe run` that decide pixels, as parsed."""

    scale: str | None = None
    target_gsd: str | None = None
    target_size: str | None = None
    preset: Preset = Preset.BALANCED
    prior: str | None = None
    method: str = Method.AUTO.value
    weights: str | None = None
    model_halo: int | None = None
    steps: int | None = None
    network: str | None = None
    width: int | None = None
    depth: int | None = None
    dropout: float | None = None
    normalisation: Normalisation | None = None
    crop: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    loss: Loss | None = None
    adversarial: float | None = None
    seed: int = Settings.seed
    ensemble: bool | None = None
    back_projections: int | None = None
    tile_size: int | None = None
    nodata: str = Settings.nodata
    value_range: str = Settings.value_range
    kernel: str = AUTO
    noise: str = Settings.noise
    stack: int = Settings.stack

    def size(self) -> tuple[int, str]:
        """Return `Settings.scale` and `Settings.result_size`. Raises UsageError if several options give the size."""
        told = {"--scale": self.scale, "--target-gsd": self.target_gsd, "--target-size": self.target_size}
        given = [option for option, value in told.items() if value is not None]
        if len(given) > 1:
            raise UsageError(f"{' and '.join(given)} say each how large results are; leave out all but one")
        if self.target_gsd is not None:
            return Settings.scale, parse_gsd(self.target_gsd)
        if self.target_size is not None:
            return Settings.scale, parse_size(self.target_size)
        return parse_scale(self.scale or str(Settings.scale))

    def start(self) -> str:
        """Return what fits start from, for RunConfig.prior_name."""
        if self.prior is not None:
            return self.prior
        from_scratch = self.preset in FROM_SCRATCH if self.network is None else self.network != Network.DIRECT
        return NO_PRIOR if from_scratch else "shipped"

    def kernel_file(self) -> str | None:
        """Return the value for RunConfig.kernel_file."""
        return self.kernel if names_kernel_file(self.kernel) else None

    def of_run(self) -> dict[str, Any]:
        """Return the fields of RunConfig that the options decide. Raises UsageError as `settings` does."""
        return {
            "settings": self.settings(),
            "prior_name": self.start(),
            "weights_file": self.weights,
            "kernel_file": self.kernel_file(),
        }

    def settings(self) -> Settings:
        """Return the preset's settings with the given values; the kernel of a file is read later.

        Raises:
            UsageError: an option has no effect, or options exclude each other.
        """
        fit = _given(self, "steps", "crop", "batch", "learning_rate", "loss", "adversarial")
        network = _given(self, "network", "width", "depth", "dropout", "normalisation")
        if self.method not in BY_NETWORKS:
            members = {None: [], True: ["self-ensemble"], False: ["no-self-ensemble"]}[self.ensemble]
            self._refuse_for_method([*_given(self, "prior"), *fit, *network, *members])
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
        """Raise UsageError for --method model without a model, or for a model with another method."""
        if self.method == Method.MODEL and self.weights is None:
            raise UsageError("--method model needs a trained model; name its file with --weights FILE")
        if self.method != Method.MODEL:
            given = _given(self, "weights", "model_halo")
            _refuse_for(f"--method {self.method}", given, "use --method model, or leave it out")

    def _check_network(self) -> None:
        """Raise UsageError if network and prior exclude each other."""
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
            presets = " or ".join(FROM_SCRATCH)
            raise UsageError(f"--method prior needs a prior; leave out --prior none, --network and --preset {presets}")

    def _check_parts(self) -> None:
        """Raise UsageError for options that the network does not have, or that do not apply to a fit from a prior."""
        if self.start() != NO_PRIOR:
            for name in _given(self, "width", "depth", "dropout", "normalisation", "adversarial"):
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
            raise UsageError(f"--depth has no effect with --network {network}, whose layers are fixed; leave it out")
        for name in given:
            if name not in ("depth", *kind.options):
                having = ", ".join(other for other in NETWORKS if name in network_class(other).options)
                raise UsageError(
                    f"--{name} has no effect with --network {network}; leave it out, or take one that has it: {having}"
                )

    def _refuse_for_method(self, given: list[str]) -> None:
        """Raise UsageError for network options, and for a kernel that nothing would undo."""
        _refuse_for(f"--method {self.method}, which fits no network", given)
        told = self.kernel not in (AUTO, BICUBIC_KERNEL)
        if told and self.back_projections == 0 and not self._method_knows_camera():
            raise UsageError(
                f"--kernel {self.kernel} has no effect with --method {self.method} and --back-projection 0, since only"
                " the data step of back-projection knows the camera then; leave one of them out"
            )

    def _method_knows_camera(self) -> bool:
        """For a method without networks. Loads torch."""
        return self.method != Method.MODEL and method_of(self.method).knows_camera

    def _check_kernel(self, settings: Settings) -> None:
        told = times_of(settings) is not None  # else a worker checks it, once the image's scale is known
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
            f"--kernel {self.kernel} cannot be used with {other}, whose network knows bicubic only; leave one of them"
            " out, or use --method bicubic, which takes any kernel"
        )


def _given(options: Quality, *names: str) -> dict[str, Any]:
    """Return those options that were given; the preset decides the others."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _refuse_for(what: str, names: Iterable[str], remedy: str = "leave one of them out") -> None:
    for name in names:
        raise UsageError(f"--{name.replace('_', '-')} has no effect with {what}; {remedy}")
