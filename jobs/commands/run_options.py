"""The options of `srpipe run`, one class a panel of its help.

A new option is a field here: its flag, its SRPIPE_ variable and its key in a job file follow from the field's name, or
from the flag it names instead. Where a field has the name of one of RunConfig, run.py hands it on by that.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar

import typer

from pipeline.config import Device, Dpi, Executor, Existing, Form, Format, RunConfig, parse_scale
from pipeline.errors import UsageError
from sr_ops.settings import MAX_SCALE, MIN_SCALE, NO_PRIOR, Method, Network, Preset, Settings
from sr_ops.settings import preset as make_preset

_GPU_SHARES = {"1": 1.0, "1/2": 0.5, "0.5": 0.5, "1/4": 0.25, "0.25": 0.25}


def _scale(value: Any) -> int:
    try:
        return parse_scale(str(value))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error


def _gpu_share(value: Any) -> float:
    if str(value) not in _GPU_SHARES:
        raise typer.BadParameter(f"{str(value)!r} is not 1, 1/2 or 1/4; other shares do not pack onto GPUs")
    return _GPU_SHARES[str(value)]


def _seed(value: int) -> int:
    if value >= 2**63:
        raise typer.BadParameter(f"{value} is not below 2 ** 63")
    return value


@dataclass(frozen=True)
class WhatOptions:
    """Which images, and how they are told apart. Fields of RunConfig."""

    panel: ClassVar = "What"

    root: Annotated[str | None, typer.Option(help="Make keys relative to this folder.")] = None
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Do only the first N rows.")] = None
    strict: Annotated[bool, typer.Option("--strict", help="Refuse to start when any row is bad.")] = False
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Tell a changed file by the sha256 of its bytes; reads all of them at the start."),
    ] = False


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
            parser=_scale,
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
    stack: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Fit so many images at once in a worker; for a GPU, where 16 is a good start."
        ),
    ] = Settings.stack

    def start(self) -> str:
        """What fits start from: RunConfig.prior."""
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
            stack=self.stack,
            fit=replace(base.fit, **fit),
            **network,
            **_given(self, "ensemble", "back_projections", "tile_size"),
        )


@dataclass(frozen=True)
class OutputOptions:
    """Where results go, and as what."""

    panel: ClassVar = "Output"

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Write everything into this folder or s3:// prefix.",
            show_default="./<manifest>-x<scale>",
        ),
    ] = None
    existing: Annotated[Existing, typer.Option(help="Choose what to do about work that is already in the output.")] = (
        RunConfig.existing
    )
    format: Annotated[
        Format,
        typer.Option(help="Write files of this format; auto is PNG where it holds the image whole, else GeoTIFF."),
    ] = Form.format
    single: Annotated[
        bool,
        typer.Option("--single", help="Write one file for an image, under its own name in OUT/images; not tiles."),
    ] = Form.single
    dpi: Annotated[Dpi, typer.Option(help="Write the input's DPI times the scale, or keep its number.")] = Form.dpi
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False

    def form(self) -> Form:
        return Form(self.format, self.single, self.dpi)


@dataclass(frozen=True)
class MachineOptions:
    """What computes. Fields of RunConfig."""

    panel: ClassVar = "Machine"

    device: Annotated[
        Device, typer.Option(help="Compute on the CPU or a GPU; auto takes the GPU where there is one.")
    ] = RunConfig.device
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Start so many worker processes.", show_default="as many as there is room for"
        ),
    ] = None
    threads: Annotated[
        int,
        typer.Option(
            "--threads-per-worker",
            metavar="N",
            min=1,
            help="Give a worker so many torch threads; changes pixels slightly.",
        ),
    ] = RunConfig.threads
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            metavar="1|1/2|1/4", parser=_gpu_share, help="Give a worker this share of a GPU.", show_default="1"
        ),
    ] = None
    executor: Annotated[
        Executor, typer.Option(help="Work in a pool of Ray's, or inline: in this process, one image at a time.")
    ] = RunConfig.executor
    address: Annotated[
        str | None, typer.Option(help="Join this Ray cluster.", show_default="RAY_ADDRESS, else a local one")
    ] = None


@dataclass(frozen=True)
class LimitOptions:
    """When an image is given up, and when the run. Fields of RunConfig."""

    panel: ClassVar = "Limits"

    retries: Annotated[
        int, typer.Option(metavar="N", min=0, help="Try so often again where storage failed in a way that may pass.")
    ] = RunConfig.retries
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Refuse images larger than so many pixels, since a small file may claim any size."
        ),
    ] = RunConfig.max_pixels
    max_seconds: Annotated[
        float | None,
        typer.Option("--max-seconds-per-image", metavar="X", min=0.001, help="Fail an image that takes more seconds."),
    ] = None
    max_failure_rate: Annotated[
        float | None,
        typer.Option(
            metavar="X", min=0.0, max=1.0, help="Stop the run (exit 4) when a larger share of its images failed."
        ),
    ] = None
    max_hours: Annotated[
        float | None, typer.Option(metavar="X", min=0.0, help="Stop the run (exit 4) after so many hours.")
    ] = None


def _given(options: QualityOptions, *names: str) -> dict[str, Any]:
    """Those that were given: the others are the preset's to say."""
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _refuse_for_bicubic(names: list[str]) -> None:
    for name in names:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} has no effect with --method bicubic, which fits nothing; leave one of them out")
