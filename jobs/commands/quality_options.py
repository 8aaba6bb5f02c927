"""The options of `srpipe run` that decide pixels, and the Settings that come of them."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, TypeVar

import typer

from pipeline.config import parse_nodata, parse_range, parse_scale
from pipeline.errors import UsageError
from sr_ops.settings import MAX_SCALE, MIN_SCALE, NO_PRIOR, Method, Network, Preset, Settings
from sr_ops.settings import preset as make_preset

Value = TypeVar("Value")


def _by(parse: Callable[[str], Value]) -> Callable[[Any], Value]:
    """A parser as Typer wants it: what is no value is told with the option it was given to."""

    def parsed(value: Any) -> Value:
        try:
            return parse(str(value))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error

    return parsed


def _seed(value: int) -> int:
    if value >= 2**63:
        raise typer.BadParameter(f"{value} is not below 2 ** 63")
    return value


@dataclass(frozen=True)
class QualityOptions:
    """What decides pixels. None leaves it to the preset."""

    panel: ClassVar = "Quality"

    scale: Annotated[
        int,
        typer.Option(
            "--scale",
            "-s",
            metavar=f"{MIN_SCALE}..{MAX_SCALE}",
            parser=_by(parse_scale),
            help="Enlarge so many times where a row names no scale of its own.",
        ),
    ] = Settings.scale
    preset: Annotated[
        Preset,
        typer.Option(
            metavar="PRESET",
            help="Choose time against quality: fast, balanced, best or paper; the options from --steps to --tile-size"
            " change parts of it.",
        ),
    ] = Preset.BALANCED
    prior: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="Start fits from the shipped weights, none, or a FILE made by `srpipe prior`.",
            show_default="shipped; none for paper",
        ),
    ] = None
    method: Annotated[
        Method,
        typer.Option(
            metavar="METHOD",
            help="Fit everything (zssr), nothing (bicubic), or take bicubic where a fit does not win on parts held out"
            " of it (auto).",
        ),
    ] = Settings.method
    steps: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="Take so many optimiser steps per x2 stage.")
    ] = None
    network: Annotated[Network | None, typer.Option(help="Fit the network in LR space, or the paper's.")] = None
    width: Annotated[int | None, typer.Option(metavar="N", min=1, help="Give the hidden layers so many channels.")] = (
        None
    )
    depth: Annotated[int | None, typer.Option(metavar="N", min=2, help="Give the network so many convolutions.")] = None
    crop: Annotated[int | None, typer.Option(metavar="N", min=8, help="Train on crops of so many pixels a side.")] = (
        None
    )
    batch: Annotated[int | None, typer.Option(metavar="N", min=1, help="Train on so many crops a step.")] = None
    learning_rate: Annotated[
        float | None, typer.Option(metavar="X", min=1e-6, max=1.0, help="Let the one-cycle schedule peak at this rate.")
    ] = None
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
            callback=_by(parse_nodata),
            help="Say which number means that nothing was measured, for rows that say none; auto: what the file "
            "declares, or a fill that can be nothing else.",
        ),
    ] = Settings.nodata
    value_range: Annotated[
        str,
        typer.Option(
            "--range",
            metavar="auto|none|LOW,HIGH",
            callback=_by(parse_range),
            help="Keep samples of the result between these; auto: floats between the least and largest of the input.",
        ),
    ] = Settings.value_range
    stack: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Fit so many images at once in a worker; for a GPU, where 16 is a good start."
        ),
    ] = Settings.stack

    def start(self) -> str:
        """What fits start from: RunConfig.prior_name."""
        if self.prior is None:
            return NO_PRIOR if self.preset is Preset.PAPER else "shipped"
        return self.prior

    def settings(self) -> Settings:
        """The preset, with what was given instead of its parts.

        Raises:
            UsageError: something is said of a fit where nothing is fitted.
        """
        fit = _given(self, "steps", "crop", "batch", "learning_rate")
        network = _given(self, "network", "width", "depth")
        if self.method is Method.BICUBIC:
            _refuse_for_bicubic([*_given(self, "prior"), *fit, *network])
        base = make_preset(self.preset, from_prior=self.start() != NO_PRIOR)
        return replace(
            base,
            scale=self.scale,
            method=self.method,
            seed=self.seed,
            nodata=self.nodata,
            value_range=self.value_range,
            stack=self.stack,
            fit=replace(base.fit, **fit),
            **network,
            **_given(self, "ensemble", "back_projections", "tile_size"),
        )


def _given(options: QualityOptions, *names: str) -> dict[str, Any]:
    """Those that were given: the others are the preset's to say."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _refuse_for_bicubic(names: list[str]) -> None:
    for name in names:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} has no effect with --method bicubic, which fits nothing; leave one of them out")
