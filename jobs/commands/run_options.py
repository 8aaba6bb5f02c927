"""Options of `srpipe run`, one class per panel of its help; those about quality are in quality_options.py.

A new option is a field here. Its flag, its SRPIPE_ variable and its key in a job file are derived from the field's
name, or from the flag given instead. If RunConfig has a field of that name, run.py passes the value on.
"""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import typer

from pipeline.config import Device, Dpi, Executor, Existing, Form, Format, RunConfig
from pipeline.option_values import parse_gpu_share

from ..json_log import LogFormat, Shown
from .shared_options import AsJson, LogLines, Verbose
from .size_options import checked_by


@dataclass(frozen=True)
class WhatOptions:
    """Which images, and how they are identified. Fields of RunConfig."""

    panel: ClassVar = "What"

    root: Annotated[str | None, typer.Option(help="Name results by their paths below this folder.")] = None
    limit: Annotated[int | None, typer.Option(metavar="N", min=1, help="Do only the first N rows.")] = None
    strict: Annotated[bool, typer.Option("--strict", help="Refuse to start if any row is bad.")] = False
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", help="Detect changed files by the sha256 of their bytes; reads all of them at the start."
        ),
    ] = False


@dataclass(frozen=True)
class OutputOptions:
    """Place and form of the results."""

    panel: ClassVar = "Output"

    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Write everything to this folder or s3:// prefix.",
            show_default="./<manifest>-x<scale>",
        ),
    ] = None
    existing: Annotated[
        Existing,
        typer.Option(
            help="Keep what is done with the same options (resume), do all again (overwrite), or refuse an output that"
            " holds a run (error). Options that change results or their files, such as --single, --dpi and --format,"
            " replace what is there; give another -o to keep both."
        ),
    ] = RunConfig.existing
    format: Annotated[
        Format,
        typer.Option(help="Write files of this format; auto is PNG if it holds the image without loss, else GeoTIFF."),
    ] = Form.format
    single: Annotated[
        bool,
        typer.Option("--single", help="Write one file per image, under its own name in OUT/images, instead of tiles."),
    ] = Form.single
    dpi: Annotated[Dpi, typer.Option(help="Multiply the input's DPI by the scale, or keep it.")] = Form.dpi
    disagreement: Annotated[
        bool,
        typer.Option("--disagreement", help="Write a map of where the members of the self-ensemble disagree, too."),
    ] = RunConfig.disagreement
    json: AsJson = False
    verbose: Verbose = False
    log_format: LogLines = LogFormat.TEXT

    def shown(self) -> Shown:
        return Shown(self.verbose, self.log_format)

    def form(self) -> Form:
        return Form(self.format, self.single, self.dpi)


@dataclass(frozen=True)
class ReportOptions:
    """What is made after a run has ended."""

    panel: ClassVar = "Output"

    report: Annotated[
        bool, typer.Option("--report", help="Make OUT/report.html at the end, as `srpipe report` does.")
    ] = False


@dataclass(frozen=True)
class MachineOptions:
    """What the run computes on. Fields of RunConfig."""

    panel: ClassVar = "Machine"

    device: Annotated[Device, typer.Option(help="Compute on the CPU or a GPU; auto uses a GPU if there is one.")] = (
        RunConfig.device
    )
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, help="Start N worker processes.", show_default="as processors and memory allow"
        ),
    ] = None
    threads: Annotated[
        int,
        typer.Option(
            "--threads-per-worker",
            metavar="N",
            min=1,
            help="Give each worker N torch threads; changes pixels slightly.",
        ),
    ] = RunConfig.threads
    gpus_per_worker: Annotated[
        float | None,
        typer.Option(
            metavar="1|1/2|1/4",
            parser=checked_by(parse_gpu_share),
            help="Give each worker this share of a GPU.",
            show_default="1",
        ),
    ] = None
    executor: Annotated[
        Executor, typer.Option(help="Work in a pool of Ray workers, or inline: in this process, one image at a time.")
    ] = RunConfig.executor
    address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Join this Ray cluster, from one of its machines; srpipe submit takes the address of its job server.",
            show_default="RAY_ADDRESS, else a local one",
        ),
    ] = None


@dataclass(frozen=True)
class LimitOptions:
    """When an image, or the run, is given up. Fields of RunConfig."""

    panel: ClassVar = "Limits"

    retries: Annotated[
        int, typer.Option(metavar="N", min=0, help="Retry N times when storage fails for a reason that may pass.")
    ] = RunConfig.retries
    max_pixels: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Refuse images of more than N pixels, since a small file may claim any size."
        ),
    ] = RunConfig.max_pixels
    max_seconds: Annotated[
        float | None,
        typer.Option(
            "--max-seconds-per-image",
            metavar="X",
            min=0.001,
            help="Fail an image that takes more than X seconds, its fit in a stack included. Of an image that is"
            " divided, the fit and each group of tiles may take so long.",
        ),
    ] = None
    max_consistency_error: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            help="Mark a result as degraded, and exit with code 3, if its RMSE against the input, after"
            " shrinking it again, is larger in any band, in the file's units.",
        ),
    ] = None
    max_failure_rate: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            min=0.0,
            max=1.0,
            help="Stop the run (exit code 4) when more than this share of the images tried so far failed, and 20 were"
            " tried. Images that failed when they were last tried are left out if they fail again.",
        ),
    ] = None
    max_hours: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, help="Stop the run (exit code 4) after X hours of work."),
    ] = None
