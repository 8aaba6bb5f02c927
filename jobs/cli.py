"""The command line: strings become a RunConfig here, and outcomes become lines, JSON and exit codes.

Nothing heavy is imported before a command needs it: `srpipe --help` loads neither torch nor Ray nor pyarrow.
"""

import json
import math
import os
import sys
from collections.abc import Container
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, cast

import typer
from typer.exceptions import TyperException
from typer.main import get_group

from pipeline.config import VERSION, Device, Dpi, Executor, Existing, Form, Format, RunConfig, parse_scale
from pipeline.errors import ErrorType, LostLockError, UsageError
from pipeline.storage_options import StorageOptions
from sr_ops.settings import MAX_SCALE, MIN_SCALE, NO_PRIOR, FitSettings, Method, Network, Preset, Settings
from sr_ops.settings import preset as make_preset

from . import spec, stopping
from .storage_flags import with_storage_flags

if TYPE_CHECKING:
    from pipeline.driver.run import Summary
    from pipeline.priors.training import Trained

    from .submit import Outcome

EXIT_FATAL = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_STOPPED = 4
EXIT_ALREADY_SUBMITTED = 5

_TYPER_INTERRUPTED = 130
"""What Typer returns where a KeyboardInterrupt was raised."""

app = typer.Typer(
    name="srpipe",
    help="Upscale image collections: every image gets its own small network, fitted to itself.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_PRIOR_FIT = FitSettings(steps=4000, crop=64, batch=16)
_PRIOR_RATES = {True: 2e-3, False: 5e-4}
"""From scratch; and from a prior, which a higher rate would make forget more than it learns."""
_SETTINGS = Settings()


_GPU_SHARES = {"1": 1.0, "1/2": 0.5, "0.5": 0.5, "1/4": 0.25, "0.25": 0.25}


@app.command("run", cls=spec.JobCommand)
@with_storage_flags
def run_command(
    manifest: Annotated[
        str,
        typer.Argument(
            metavar="MANIFEST", help="csv, parquet, jsonl or txt table, folder, glob or image; path or s3://."
        ),
    ],
    _job_file: Annotated[
        str | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML job file, path or s3://, whose keys are these options; they and SRPIPE_<OPTION> win over it.",
            callback=spec.configure,
            is_eager=True,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", help="Folder or s3:// prefix for everything written. [default: ./<manifest>-x<scale>]"
        ),
    ] = None,
    scale: Annotated[
        str,
        typer.Option("--scale", "-s", metavar=f"{MIN_SCALE}..{MAX_SCALE}", help="Enlargement of rows that name none."),
    ] = str(_SETTINGS.scale),
    preset: Annotated[
        Preset, typer.Option(help="Time against quality; the options from --steps to --tile-size change parts of it.")
    ] = Preset.BALANCED,
    prior: Annotated[
        str | None,
        typer.Option(metavar="shipped|none|FILE", help="What fits start from. [default: shipped; none for paper]"),
    ] = None,
    method: Annotated[
        Method, typer.Option(help="auto takes bicubic where a fit does not win on parts held out of it.")
    ] = _SETTINGS.method,
    steps: Annotated[int | None, typer.Option(min=0, help="Optimiser steps per x2 stage.")] = None,
    network: Annotated[Network | None, typer.Option(help="What is fitted: LR-space, or the paper's.")] = None,
    width: Annotated[int | None, typer.Option(min=1, help="Channels of the network's hidden layers.")] = None,
    depth: Annotated[int | None, typer.Option(min=2, help="Convolutions of the network.")] = None,
    crop: Annotated[int | None, typer.Option(min=8, help="Side of a training crop in pixels.")] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Crops per step.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=1e-6, max=1.0, help="Peak of the one-cycle schedule.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same for every image.")] = _SETTINGS.seed,
    self_ensemble: Annotated[
        bool | None,
        typer.Option("--self-ensemble/--no-self-ensemble", help="Median over the 8 flips and rotations."),
    ] = None,
    back_projection: Annotated[int | None, typer.Option(min=0, help="Back-projection iterations; 0 for none.")] = None,
    tile_size: Annotated[int | None, typer.Option(min=16, help="Side of a tile in pixels of the input.")] = None,
    stack: Annotated[
        int, typer.Option(min=1, help="Images that a worker fits at once; for a GPU, where 16 is a good start.")
    ] = _SETTINGS.stack,
    format_: Annotated[
        Format, typer.Option("--format", help="Of the files: auto is PNG where it holds the image whole, else GeoTIFF.")
    ] = Form.format,
    single: Annotated[
        bool, typer.Option("--single", help="One file for an image, under its own name in OUT/images; not tiles.")
    ] = Form.single,
    dpi: Annotated[Dpi, typer.Option(help="Of the files: times the scale, or the input's number.")] = Form.dpi,
    existing: Annotated[
        Existing, typer.Option(help="What to do about work that is already in the output.")
    ] = Existing.RESUME,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N rows.")] = None,
    root: Annotated[str | None, typer.Option(help="Folder that keys are relative to.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Refuse to start when any row is bad.")] = False,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = Device.AUTO,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Worker processes. [default: as many as processors and memory have room for]")
    ] = None,
    threads_per_worker: Annotated[
        int, typer.Option(min=1, help="Torch threads of a worker; changes pixels slightly.")
    ] = RunConfig.threads,
    gpus_per_worker: Annotated[
        str | None, typer.Option(metavar="1|1/2|1/4", help="Share of a GPU for a worker. [default: 1]")
    ] = None,
    executor: Annotated[
        Executor, typer.Option(help="inline works in this process, one image at a time.")
    ] = Executor.RAY,
    address: Annotated[
        str | None, typer.Option(help="Ray cluster to join. [default: RAY_ADDRESS, else a local one]")
    ] = None,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Tell a changed file by the sha256 of its bytes; reads all of them at the start."),
    ] = False,
    retries: Annotated[
        int, typer.Option(min=0, help="Of one access to storage that failed in a way that may pass.")
    ] = RunConfig.retries,
    max_pixels: Annotated[
        int, typer.Option(min=1, help="Of an input; more is refused, since a small file may claim any size.")
    ] = RunConfig.max_pixels,
    max_seconds_per_image: Annotated[
        float | None, typer.Option(min=0.001, help="After which an image fails, its fit in a stack included.")
    ] = None,
    max_failure_rate: Annotated[
        float | None, typer.Option(min=0.0, max=1.0, help="Share of failed images beyond which the run stops (exit 4).")
    ] = None,
    max_hours: Annotated[float | None, typer.Option(min=0.0, help="After which the run stops (exit 4).")] = None,
    json_summary: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    *,
    storage: StorageOptions,
) -> int:
    """Upscale every image that MANIFEST names; run again to go on where it stopped."""
    chosen_scale = _scale(scale)
    if method is Method.BICUBIC:
        _refuse_for_bicubic(
            _given(
                prior=prior,
                steps=steps,
                network=network,
                width=width,
                depth=depth,
                crop=crop,
                batch=batch,
                learning_rate=learning_rate,
            )
        )
    chosen_prior = (NO_PRIOR if preset is Preset.PAPER else "shipped") if prior is None else prior
    base = make_preset(preset, from_prior=chosen_prior != NO_PRIOR)
    config = RunConfig(
        manifest=manifest,
        output=_output(output, manifest, chosen_scale),
        settings=replace(
            base,
            scale=chosen_scale,
            method=method,
            seed=seed,
            stack=stack,
            fit=replace(base.fit, **_given(steps=steps, crop=crop, batch=batch, learning_rate=learning_rate)),
            **_given(
                network=network,
                width=width,
                depth=depth,
                ensemble=self_ensemble,
                back_projections=back_projection,
                tile_size=tile_size,
            ),
        ),
        prior=chosen_prior,
        form=Form(format_, single, dpi),
        max_pixels=max_pixels,
        threads=threads_per_worker,
        device=device,
        workers=workers,
        gpus_per_worker=_gpu_share(gpus_per_worker),
        executor=executor,
        address=address,
        existing=existing,
        limit=limit,
        root=root,
        strict=strict,
        deep=deep,
        retries=retries,
        max_seconds=max_seconds_per_image,
        max_failure_rate=max_failure_rate,
        max_hours=max_hours,
        storage=storage,
    )
    return _ended(execute(config), json_summary)


@app.command("retry")
@with_storage_flags
def retry_command(
    output: Annotated[str, typer.Argument(metavar="OUT", help="Output of a run in which images failed.")],
    error_type: Annotated[
        list[ErrorType] | None, typer.Option(help="Only what failed so; may be given more than once. [default: all]")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Worker processes. [default: as in the run]")] = None,
    executor: Annotated[Executor | None, typer.Option(help="As for run. [default: as in the run]")] = None,
    address: Annotated[str | None, typer.Option(help="Ray cluster to join. [default: as in the run]")] = None,
    max_seconds_per_image: Annotated[
        float | None, typer.Option(min=0.001, help="After which an image fails. [default: as in the run]")
    ] = None,
    json_summary: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    *,
    storage: StorageOptions,
) -> int:
    """Do again what failed in a run, with the manifest and the settings of that run."""
    from pipeline.driver.retry import failed_work
    from pipeline.storage import absolute

    options = None if storage == StorageOptions() else storage
    config, keys = failed_work(absolute(output), error_type or [], options)
    if executor is Executor.INLINE:  # what the run said of its pool does not apply
        config = replace(config, workers=None, address=None, gpus_per_worker=None)
    changes = _given(workers=workers, executor=executor, address=address, max_seconds=max_seconds_per_image)
    return _ended(execute(replace(config, **changes), keys), json_summary)


@app.command("submit")
def submit_command(
    job_file: Annotated[str, typer.Argument(metavar="JOB_FILE", help="TOML file, as for `srpipe run --config`.")],
    address: Annotated[
        str,
        typer.Option(
            envvar="RAY_API_SERVER_ADDRESS", metavar="URL", help="Job server of the cluster: http://HEAD:8265."
        ),
    ],
    slot: Annotated[
        str | None,
        typer.Option(help="The scheduled time this run is for: a slot is started once. [default: now, to the second]"),
    ] = None,
    submission_id: Annotated[
        str | None, typer.Option(metavar="ID", help="[default: srpipe-<JOB_FILE's name>-<slot>]")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Until the job has ended, with its exit code.")] = True,
    json_outcome: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> int:
    """Start `srpipe run --config JOB_FILE` on a Ray cluster, once for each slot."""
    if slot is not None and submission_id is not None:
        raise UsageError("--slot has no effect with --submission-id; leave one of them out")
    spec.check_for_cluster(job_file, cast("spec.JobCommand", get_group(app).commands["run"]))
    from . import submit

    job_id = submit.make_submission_id(job_file, slot, submission_id)
    cluster = submit.connect(address)
    try:
        submit.submit(cluster, job_file, job_id)
    except submit.AlreadySubmittedError as error:
        return _say(str(error), EXIT_ALREADY_SUBMITTED)
    _tell(f"{job_id} is submitted to {address}")
    try:
        outcome = submit.wait(cluster, job_id, _tell) if wait else submit.Outcome(job_id, address)
    except stopping.Stopped as stopped:
        return _say(f"no longer waiting; {job_id} goes on, `ray job stop {job_id}` would end it", stopped.exit_code)
    for line in outcome.log:
        _tell(line)
    print(json.dumps(asdict(outcome)) if json_outcome else _outcome_sentence(outcome))  # noqa: T201 - the result
    return outcome.exit_code or 0


@app.command("eval")
@with_storage_flags
def eval_command(
    output: Annotated[
        str, typer.Argument(metavar="OUT", help="Output of a finished run whose manifest has a reference column.")
    ],
    json_scores: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    *,
    storage: StorageOptions,
) -> int:
    """PSNR and SSIM of a run against the `reference` images its manifest names."""
    from pipeline.evaluate import evaluate
    from pipeline.storage import absolute, use

    from .report import print_scores

    use(storage, absolute(output))
    scores = evaluate(output)
    if json_scores:
        print(json.dumps({"output": output, "scores": [_finite(asdict(score)) for score in scores]}))  # noqa: T201
    else:
        print_scores(scores)
    return EXIT_SOME_FAILED if any(score.problem for score in scores) else 0


@app.command("prior")
@with_storage_flags
def prior_command(
    manifest: Annotated[str, typer.Argument(metavar="MANIFEST", help="The images to learn from, as for `srpipe run`.")],
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="File or s3:// uri for the weights.")],
    start: Annotated[
        str, typer.Option("--from", metavar="shipped|none|FILE", help="The prior to go on from.")
    ] = "shipped",
    steps: Annotated[int, typer.Option(min=1, help="Optimiser steps for each network.")] = _PRIOR_FIT.steps,
    crop: Annotated[int, typer.Option(min=16, help="Side of a training crop in pixels.")] = _PRIOR_FIT.crop,
    batch: Annotated[int, typer.Option(min=1, help="Crops per step.")] = _PRIOR_FIT.batch,
    learning_rate: Annotated[
        float | None,
        typer.Option(min=1e-6, max=1.0, help="Peak of the schedule. [default: 0.0005; 0.002 from none]"),
    ] = None,
    max_images: Annotated[int, typer.Option(min=1, help="Learn from so many images at most, drawn by the seed.")] = 128,
    network: Annotated[Network, typer.Option(help="What is trained: LR-space, or the paper's.")] = _SETTINGS.network,
    width: Annotated[int, typer.Option(min=1, help="Channels of the network's hidden layers.")] = _SETTINGS.width,
    depth: Annotated[int, typer.Option(min=2, help="Convolutions of the network.")] = _SETTINGS.depth,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Draws images, crops and weights.")] = _SETTINGS.seed,
    device: Annotated[Device, typer.Option(help="auto takes the GPU where there is one.")] = Device.AUTO,
    threads: Annotated[int, typer.Option(min=1, help="Torch threads; changes the weights slightly.")] = 1,
    json_summary: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
    *,
    storage: StorageOptions,
) -> int:
    """Learn from a collection's own images what fits start from; use it with `srpipe run --prior FILE`."""
    from pipeline.driver.training_images import read_training_images
    from pipeline.priors.training import train_prior
    from pipeline.storage import absolute, parent, use
    from pipeline.work.worker import inline_device

    from .progress import training_progress

    uri = absolute(output)
    use(storage, parent(uri))  # where it is first tried whether anything can be written
    with training_progress(steps) as progress:
        trained = train_prior(
            read_training_images(manifest),
            uri,
            Settings(network=network, width=width, depth=depth, seed=seed),
            FitSettings(steps, crop, batch, learning_rate or _PRIOR_RATES[start == NO_PRIOR]),
            start,
            max_images,
            inline_device(device),
            threads,
            progress,
        )
    for uri, reason in trained.left_out:
        _say(f"left out: {uri}: {reason}", 0)
    print(json.dumps(asdict(trained)) if json_summary else _trained_sentence(trained))  # noqa: T201 - the result
    return 0


@app.command("demo")
def demo_command(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the sample collection and its results.")
    ] = Path("srpipe-demo"),
) -> int:
    """Make a small collection by code, upscale it, and show what came out."""
    from .demo import demo

    return EXIT_SOME_FAILED if demo(output).failed else 0


@app.callback(invoke_without_command=True)
def _top(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    if version:
        print(f"srpipe {VERSION}")  # noqa: T201 - the result
        context.exit()


def execute(config: RunConfig, only: Container[str] | None = None) -> "Summary":
    """Run with progress on stderr, all of it or these keys."""
    from pipeline.driver.run import run

    from .progress import progress

    with progress() as observer:
        return run(config, observer, only)


def main() -> NoReturn:
    """Entry point of `srpipe`: exit codes 0, 1, 2, 3, 4, 129, 130 and 143 as README lists them."""
    _open_standard_streams()
    stopping.install()
    try:
        code = app(standalone_mode=False)
        if code == _TYPER_INTERRUPTED:
            stopping.check()
    except BaseException as error:  # noqa: BLE001 - what is not ours to tell is raised again
        asked = stopping.asked()  # what a signal raised may arrive as another exception: Ray makes its own of it
        code = _say("stopped; run the same command to go on", asked.exit_code) if asked else _told(error)
    sys.exit(code)


def _open_standard_streams() -> None:
    """Where a daemon closed them, /dev/null: else the next files opened would be taken for them, and written to."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - for as long as the process lives


def _told(error: BaseException) -> int:
    """One sentence for an error that a person can do something about; others are raised."""
    if isinstance(error, UsageError):
        return _say(str(error), EXIT_USAGE)
    if isinstance(error, TyperException):
        return _say(f"{spec.origin(error)}{error.format_message().rstrip('.')}; see srpipe --help", EXIT_USAGE)
    if isinstance(error, LostLockError):
        return _say(str(error), EXIT_FATAL)
    if isinstance(error, OSError):
        return _say(f"{error}; nothing that is committed is lost, run again", EXIT_FATAL)
    raise error


def _ended(summary: "Summary", as_json: bool) -> int:
    print(json.dumps(asdict(summary)) if as_json else _sentence(summary))  # noqa: T201 - the result
    if summary.stopped:
        return EXIT_STOPPED
    return EXIT_SOME_FAILED if summary.failed else 0


def _say(sentence: str, code: int) -> int:
    with suppress(OSError):  # its terminal is gone, and whoever would read it
        print(f"srpipe: {sentence}", file=sys.stderr)  # noqa: T201 - the one line that says why it ended
    return code


def _tell(line: str) -> None:
    print(line, file=sys.stderr)  # noqa: T201 - what goes on


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """JSON has no nan and no infinity."""
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in values.items()
    }


def _scale(text: str) -> int:
    try:
        return parse_scale(text)
    except ValueError as error:
        raise UsageError(f"--scale: {error}") from error


def _refuse_for_bicubic(options: dict[str, Any]) -> None:
    for name in options:
        option = f"--{name.replace('_', '-')}"
        raise UsageError(f"{option} has no effect with --method bicubic, which fits nothing; leave one of them out")


def _given(**options: Any) -> dict[str, Any]:
    """Those that were given: the others are the preset's to say."""
    return {name: value for name, value in options.items() if value is not None}


def _gpu_share(text: str | None) -> float | None:
    if text is not None and text not in _GPU_SHARES:
        raise UsageError(f"--gpus-per-worker: {text!r} is not 1, 1/2 or 1/4; other shares do not pack onto GPUs")
    return None if text is None else _GPU_SHARES[text]


def _output(given: str | None, manifest: str, scale: int) -> str:
    from pipeline import storage

    if given is not None:
        return storage.absolute(given)
    fixed = manifest.split("*")[0].split("?")[0].split("[")[0]
    name = fixed.rstrip("/") if fixed == manifest or fixed.endswith("/") else os.path.dirname(fixed)
    stem = Path(os.path.abspath(name) if "://" not in name else name).stem
    return storage.absolute(f"{stem}-x{scale}")


def _sentence(summary: "Summary") -> str:
    parts = [f"{summary.done} done"]
    if summary.already_done:
        parts.append(f"{summary.already_done} already done")
    if summary.failed:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(summary.errors.items()))
        parts.append(f"{summary.failed} failed ({kinds})")
    if summary.skipped:
        parts.append(f"{summary.skipped} skipped")
    if summary.stopped:
        parts.append(f"stopped ({summary.stopped})")
    return f"{', '.join(parts)} in {summary.seconds:.0f} s; table: {summary.output}/manifest.parquet"


def _outcome_sentence(outcome: "Outcome") -> str:
    if outcome.exit_code is None:
        return outcome.submission_id
    return f"{outcome.submission_id}: {outcome.status or 'LOST'}, exit code {outcome.exit_code}; {outcome.message}"


def _trained_sentence(trained: "Trained") -> str:
    bands = " and ".join(str(number) for number in trained.bands)
    return (
        f"learned from {trained.images} images, {len(trained.left_out)} left out; networks for {bands} bands;"
        f" {trained.output} sha256 {trained.sha256}"
    )


if __name__ == "__main__":
    main()
