"""`srpipe run`."""

import json
import os
import re
from collections.abc import Container
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.config import Existing, RunConfig
from pipeline.errors import ErrorType, UsageError
from pipeline.storage_options import with_flags

from .. import json_log, spec, stopping
from ..amounts import duration
from ..answers import EXIT_SOME_FAILED, EXIT_STOPPED, how_to_resume, print_result, tell, tell_reason
from ..json_log import Shown
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .quality_options import QualityOptions
from .run_options import LimitOptions, MachineOptions, OutputOptions, ReportOptions, WhatOptions

if TYPE_CHECKING:
    from pipeline.driver.run import Summary


@with_panels
def run(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST",
            help="Read this csv, parquet, jsonl or txt table, folder, glob or image; path or s3://.",
        ),
    ],
    _job_file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Take options from this TOML job file, path or s3://, with options as keys; the command"
            " line and SRPIPE_<OPTION> variables take precedence.",
            callback=spec.configure,
            is_eager=True,
            rich_help_panel=WhatOptions.panel,
        ),
    ] = None,
    *,
    what: WhatOptions,
    quality: QualityOptions,
    output: OutputOptions,
    afterwards: ReportOptions,
    machine: MachineOptions,
    limits: LimitOptions,
    storage: StorageFlags,
) -> int:
    """Upscale every image that MANIFEST names. Run again to resume where it stopped."""
    config = config_from(manifest, quality.ending(), what, output, machine, limits, storage)
    config = replace(config, **quality.of_run())
    code = carry_out(config, output.json, output.shown())
    if afterwards.report:
        _report(config)
    return code


def config_from(
    manifest: str,
    ending: str,
    what: WhatOptions,
    output: OutputOptions,
    machine: MachineOptions,
    limits: LimitOptions,
    storage: StorageFlags,
) -> RunConfig:
    """Return the run that the options describe, with the default quality. Raises UsageError.

    Args:
        ending: of the default output's name.
    """
    return RunConfig(
        manifest=manifest,
        output=output_for(output.output, manifest, ending),
        form=output.form(),
        disagreement=output.disagreement,
        existing=output.existing,
        storage=storage.options(),
        **vars(what),
        **vars(machine),
        **vars(limits),
    )


def carry_out(config: RunConfig, as_json: bool, shown: Shown, only: Container[str] | None = None) -> int:
    """Execute a run, all of it or only these keys, report how it ended, and return the exit code."""
    from ..progress import run_with_progress

    stopping.advise(how_to_resume(config.existing))
    summary = run_with_progress(config, only, shown)
    print_result(json.dumps(asdict(summary)) if as_json else _sentence(summary, config))
    json_log.write_line("info", "finished", _sentence(summary, config), **asdict(summary))
    if summary.stopped:
        tell(how_to_resume(config.existing))
        return EXIT_STOPPED
    if summary.failed:
        tell(f"the column error_message says what to correct; then {_again(summary, config)}")
    return EXIT_SOME_FAILED if summary.failed or summary.degraded else 0


def _again(summary: "Summary", config: RunConfig) -> str:
    """Return what does the failed rows: of a bad row the output does not say which image it would be."""
    again = "" if config.existing is Existing.RESUME else " with --existing resume"
    if summary.errors.keys() == {ErrorType.BAD_ROW}:
        return f"give the same srpipe run command again{again}"
    return f"run the same command{again}, or: srpipe retry {with_flags(config.output, config.storage)}"


def _report(config: RunConfig) -> None:
    """Make the report; print its place, or the reason why there is none, on stderr. Stdout is for the run's result."""
    from pipeline.report.making import make_report

    from .report import sentence

    try:
        tell(sentence(make_report(config.output, options=config.storage)))
    except UsageError as error:
        tell_reason(f"no report was made: {error}")


def output_for(given: str | None, manifest: str, ending: str) -> str:
    """Return the given folder, or one in the working directory named after the manifest, with an ending."""
    from pipeline import storage
    from pipeline.manifest.manifest import IMAGE_SUFFIXES
    from pipeline.manifest.table_files import SUFFIXES

    if given is not None:
        return storage.absolute(given, what="--output")
    fixed = manifest if os.path.exists(manifest) else re.split(r"[*?[]", manifest, maxsplit=1)[0]
    place = fixed if fixed == manifest else os.path.dirname(fixed)
    name = os.path.basename(place.rstrip("/") if "://" in place else os.path.abspath(place))
    stem, suffix = os.path.splitext(name)
    if suffix.lower() not in (*SUFFIXES, *IMAGE_SUFFIXES):  # a folder may be called 2024.05.01
        stem = name
    return storage.absolute(f"{stem}-{ending}")


def _sentence(summary: "Summary", config: RunConfig) -> str:
    """Return the outcome and the place of the results in one line, which scripts can read, too."""
    parts = [f"{summary.done} done"]
    if summary.already_done:
        parts.append(f"{summary.already_done} already done")
    if summary.degraded:
        parts.append(f"{summary.degraded} degraded")
    if summary.failed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(summary.errors.items()))
        parts.append(f"{summary.failed} failed ({kinds})")
    if summary.skipped:
        parts.append(f"{summary.skipped} skipped")
    if summary.stopped:
        parts.append(f"stopped ({summary.stopped})")
    said = f"{', '.join(parts)} in {duration(summary.seconds)}"
    if summary.done or summary.already_done:
        said += f"; results: {summary.output}/{'images' if config.form.one_file else 'tiles'}"
    return f"{said}; table: {summary.output}/manifest.parquet"
