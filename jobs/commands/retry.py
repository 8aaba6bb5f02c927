"""`srpipe retry`."""

from dataclasses import replace
from typing import Annotated, Any

import typer

from pipeline.config import OF_GPUS, OF_THE_POOL, Device, Executor
from pipeline.errors import RETRIED, ErrorType
from sr_ops.registry import unknown

from ..json_log import LogFormat, Shown
from ..panels import with_panels
from ..storage_flags import StorageFlags
from .run import carry_out
from .shared_options import AsJson, LogLines, Verbose

_AS_BEFORE = "as in the run"

_KINDS = tuple(error_type.value for error_type in RETRIED)


def _kinds(names: list[str] | None) -> list[str] | None:
    for name in names or ():
        if name == ErrorType.BAD_ROW:
            raise typer.BadParameter("bad rows are not retried; correct them, give the same srpipe run command again")
        if name not in _KINDS:
            raise typer.BadParameter(unknown("kind of failure", name, _KINDS))
    return names


@with_panels
def retry(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Retry the failed images of this output.")],
    error_type: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            callback=_kinds,
            autocompletion=lambda: list(_KINDS),
            help=f"Retry only failures of this kind: {', '.join(_KINDS)}; may be given more than once. Bad rows are"
            " done by `srpipe run`.",
            show_default="all",
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Start N worker processes.", show_default=_AS_BEFORE)
    ] = None,
    device: Annotated[
        Device | None,
        typer.Option(help="Compute on the CPU or a GPU; auto uses a GPU if there is one.", show_default=_AS_BEFORE),
    ] = None,
    executor: Annotated[
        Executor | None,
        typer.Option(help="Work in a pool of Ray workers, or in this process.", show_default=_AS_BEFORE),
    ] = None,
    address: Annotated[str | None, typer.Option(help="Join this Ray cluster.", show_default=_AS_BEFORE)] = None,
    max_seconds_per_image: Annotated[
        float | None,
        typer.Option(
            min=0.001, metavar="X", help="Fail an image that takes more than X seconds.", show_default=_AS_BEFORE
        ),
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    log_format: LogLines = LogFormat.TEXT,
    *,
    storage: StorageFlags,
) -> int:
    """Retry the images that failed in a run. Manifest and settings are those of that run."""
    from pipeline.driver.retry import failed_work
    from pipeline.storage import absolute

    config, keys = failed_work(absolute(output), [ErrorType(name) for name in error_type or ()], storage.options())
    # the run's options for a pool, or for GPUs, do not apply where there is none
    useless = (OF_THE_POOL if executor is Executor.INLINE else ()) + (OF_GPUS if device is Device.CPU else ())
    without: dict[str, Any] = dict.fromkeys(useless)
    changes: dict[str, Any] = {
        "workers": workers,
        "device": device,
        "executor": executor,
        "address": address,
        "max_seconds": max_seconds_per_image,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    return carry_out(replace(config, **without | given), as_json, Shown(verbose, log_format), keys)
