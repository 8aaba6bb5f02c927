"""`srpipe plan`."""

import json
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import typer

from .. import spec
from ..answers import EXIT_SOME_FAILED, finite, print_result
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .quality_options import QualityOptions
from .run import config_from
from .run_options import LimitOptions, MachineOptions, OutputOptions, ReportOptions, WhatOptions


@dataclass(frozen=True)
class PlanOptions:
    """Options of the plan alone."""

    panel: ClassVar = "Plan"

    gpus: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Plan for N GPUs like that of this machine.", show_default="here"),
    ] = None
    price_per_hour: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.0, help="Compute the price of a run if all machines together cost X per hour."),
    ] = None
    calibrate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=0,
            help="Measure at least N images, and as many as the workers here take at once, by enlarging them into a"
            " temporary folder; 0 uses known rates.",
            show_default="6 to 48, for about 20 seconds",
        ),
    ] = None
    headers: Annotated[
        int, typer.Option(metavar="N", min=1, help="Read the headers of at most N images, drawn from all.")
    ] = 10_000
    save: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the plan to this file, path or s3://, as JSON.")
    ] = None


class ReportOfRun(ReportOptions):
    """What a job file of a run may hold, and a plan does not make."""

    hidden: ClassVar = ("report",)


@with_panels
def plan(
    manifest: Annotated[
        str,
        typer.Argument(metavar="MANIFEST", help="Plan for this table, folder, glob or image; path or s3://."),
    ],
    _job_file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Take options from this TOML job file of srpipe run, path or s3://.",
            callback=spec.configure,
            is_eager=True,
            rich_help_panel=WhatOptions.panel,
        ),
    ] = None,
    *,
    asked: PlanOptions,
    what: WhatOptions,
    quality: QualityOptions,
    output: OutputOptions,
    afterwards: ReportOfRun,  # noqa: ARG001 - a plan accepts the job file of its run
    machine: MachineOptions,
    limits: LimitOptions,
    storage: StorageFlags,
) -> int:
    """Show what a run with the same options would do and cost. It writes nothing into the output."""
    from pipeline import storage as files
    from pipeline.forecast.forecast import forecast
    from pipeline.forecast.outlook import Asked

    from ..forecast_table import print_forecast
    from ..progress import progress

    config = config_from(manifest, quality.ending(), what, output, machine, limits, storage)
    config = replace(config, **quality.of_run())
    place = None if asked.save is None else files.absolute(asked.save)
    if place is not None:
        files.use(config.storage, place)
        files.check_file(place, "--save")
    wanted = Asked(asked.gpus, asked.price_per_hour, asked.calibrate, asked.headers)
    with progress(output.shown()) as observer:
        told = forecast(config, wanted, observer.looking)
    plain = finite(told.plain())
    if place is not None:
        files.use(config.storage, place)
        files.write(place, f"{json.dumps(plain, indent=2)}\n".encode())
    if output.json:
        print_result(json.dumps(plain))
    else:
        print_forecast(told)
    return EXIT_SOME_FAILED if told.failing else 0
