"""The run: manifest to plan to workers to records, in the order that leaves nothing behind when it is refused."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from typing import Protocol

from . import layout, prior, records, storage
from .config import VERSION, Device, Executor, Existing, RunConfig, fingerprint
from .errors import ErrorType, UsageError
from .layout import list_commits
from .manifest import Manifest, read_manifest
from .plan import Plan, Row, make_plan
from .prior import PriorFile
from .records import Record, RecordSink, Status, now

Execute = Callable[[Sequence[tuple[Row, ...]]], Iterator[Record]]
"""Works units off; records come as they are ready, in any order."""

_ROUNDS = 3
"""How often rows without an answer are handed out before they are given up as lost."""


class Observer(Protocol):
    """Who wants to see a run as it goes."""

    def planned(self, plan: Plan, manifest: Manifest) -> None:
        """Called once, before any image is worked on."""

    def finished(self, record: Record) -> None:
        """Called for every image worked on, as it ends."""


@dataclass(frozen=True)
class Summary:
    """How a run ended, in numbers of rows."""

    run_id: str
    output: str
    rows: int
    """Rows of the manifest, identical ones counted once, bad ones beyond a limit not at all."""
    done: int
    """Done by this run."""
    already_done: int
    failed: int
    skipped: int
    duplicates: int
    seconds: float
    errors: dict[str, int] = field(default_factory=dict)
    """Failed rows by error type."""


def run(config: RunConfig, observer: Observer) -> Summary:
    """Do everything that the manifest asks for and is not done yet.

    Writes OUT as the table of files in README.md says. Images that cannot be done are records, not errors.

    Raises:
        UsageError: nothing could be begun, and nothing was written.
    """
    started = now()
    run_id = f"{started:%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"
    _check_options(config)
    prior_file = prior.read_prior(config.prior)
    if prior_file is not None:
        prior.check_fits(prior_file, config.settings)
        config = replace(config, settings=replace(config.settings, prior=prior_file.sha256))
    manifest = read_manifest(config.manifest)
    root = storage.absolute(config.root) if config.root else manifest.root
    relative_to = _check_output(config, manifest, root)
    storage.check_writable(config.output)
    try:
        plan = make_plan(config, manifest, root, list_commits(config.output))
    except OSError as error:
        raise UsageError(f"cannot list what is in {config.output}: {storage.reason(error)}; check access") from error

    with ExitStack() as stack:
        execute = stack.enter_context(_executor(config, prior_file)) if plan.units else None
        observer.planned(plan, manifest)
        storage.remove(layout.success(config.output))
        _write_run_json(config, run_id, manifest, root, relative_to)
        sink = stack.enter_context(RecordSink(config.output, run_id, manifest.user_columns))
        for record, index in _settled(config, plan, run_id):
            sink.add(record, index)
        outcomes: Counter[str] = Counter()
        errors: Counter[str] = Counter(ErrorType.BAD_ROW.value for _ in plan.rejected)
        if execute is not None:
            with closing(_worked(execute, plan)) as worked:
                for record, index in worked:
                    sink.add(record, index)
                    outcomes[record.status] += 1
                    if record.error_type is not None:
                        errors[record.error_type] += 1
                    observer.finished(record)

    records.merge(config.output, run_id, plan.rows, manifest.user_columns)
    summary = Summary(
        run_id=run_id,
        output=config.output,
        rows=plan.todo + len(plan.committed) + len(plan.rejected) + len(plan.skipped),
        done=outcomes[Status.DONE],
        already_done=len(plan.committed),
        failed=errors.total(),
        skipped=len(plan.skipped),
        duplicates=plan.duplicates,
        seconds=(now() - started).total_seconds(),
        errors=dict(errors),
    )
    if summary.done + summary.already_done == summary.rows:
        storage.write(layout.success(config.output), b"")
    return summary


@contextmanager
def _executor(config: RunConfig, prior_file: PriorFile | None) -> Iterator[Execute]:
    """Loads torch or Ray only here, when there is something to do."""
    if config.executor is Executor.RAY:
        from .dataflow import ray_executor

        with ray_executor(config, prior_file) as execute:
            yield execute
    else:
        from .worker import Worker, inline_device

        worker = Worker(config.output, config.settings, prior_file, config.threads, inline_device(config.device))
        yield lambda units: (record for unit in units for record in worker(unit))


def _worked(execute: Execute, plan: Plan) -> Generator[tuple[Record, int], None, None]:
    """Exactly one record for every planned row, with the row's position; silent rows are asked again, then lost."""
    waiting = {row.key: row for unit in plan.units for row in unit}
    units = plan.units
    for _ in range(_ROUNDS):
        for record in execute(units):
            row = waiting.pop(record.key or "", None)
            if row is not None:
                yield record, row.index
        if not waiting:
            return
        units = tuple((row,) for row in waiting.values())
    for row in waiting.values():
        message = f"no worker gave an answer for this image in {_ROUNDS} attempts; run again, then look at the image"
        yield _unworked(row, Status.FAILED, ErrorType.LOST, message), row.index


def _settled(config: RunConfig, plan: Plan, run_id: str) -> Iterator[tuple[Record, int]]:
    """Records that need no work: bad rows, rows beyond the limit, and commits whose record a killed run never wrote."""
    for rejected in plan.rejected:
        record = Record(
            key=rejected.key,
            manifest_line=rejected.line,
            source_uri=rejected.uri,
            status=Status.FAILED,
            error_type=ErrorType.BAD_ROW,
            error_message=f"line {rejected.line}: {rejected.message}",
            srpipe_version=VERSION,
            finished_at=now(),
        )
        yield record, rejected.index
    if not plan.skipped and not plan.committed:
        return
    table = records.latest(config.output, run_id)
    known = set(table["key"].to_pylist())
    for row in plan.skipped:
        if row.key not in known:
            yield _unworked(row, Status.SKIPPED, None, "beyond --limit"), row.index
    recorded = records.recorded_commits(table)
    lost = {commit.uri(config.output): row for row, commit in plan.committed if commit not in recorded}
    for (uri, row), data in zip(lost.items(), storage.read_all([*lost]), strict=True):
        yield _committed_record(uri, data), row.index


def _committed_record(uri: str, data: bytes) -> Record:
    try:
        return Record.from_json(data)
    except ValueError as error:
        raise UsageError(f"the commit {uri} is damaged ({error}); remove it and run again") from error


def _unworked(row: Row, status: Status, error_type: ErrorType | None, message: str) -> Record:
    return Record(
        key=row.key,
        manifest_line=row.line,
        source_uri=row.uri,
        status=status,
        error_type=error_type,
        error_message=message,
        scale=row.scale,
        srpipe_version=VERSION,
        finished_at=now(),
    )


def _check_options(config: RunConfig) -> None:
    """Raises UsageError for an option that would have no effect."""
    inline = config.executor is Executor.INLINE
    useless = {
        "--workers with --executor inline": inline and config.workers is not None,
        "--address with --executor inline": inline and config.address is not None,
        "--gpus-per-worker with --executor inline": inline and config.gpus_per_worker is not None,
        "--gpus-per-worker with --device cpu": config.device is Device.CPU and config.gpus_per_worker is not None,
    }
    for options, applies in useless.items():
        if applies:
            raise UsageError(f"{options} has no effect; leave one of them out")


def _check_output(config: RunConfig, manifest: Manifest, root: str) -> str | None:
    """The folder that relative keys of this output stand for, None while there are none.

    Raises UsageError when this run must not be mixed with what is in the output, or with its own input.
    """
    if _reads_results(manifest, config.output):
        raise UsageError(f"the output {config.output} lies inside the input {manifest.root}; choose another --output")
    relative_to = manifest.folder if _has_relative_keys(manifest) else None
    uri = layout.run_json(config.output)
    try:
        held = dict(json.loads(storage.read(uri)))
    except FileNotFoundError:
        return relative_to
    except OSError as error:
        raise UsageError(f"cannot read {uri}: {storage.reason(error)}; choose another --output") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{uri} is damaged ({error}); remove it or choose another --output") from error
    if config.existing is Existing.ERROR:
        raise UsageError(f"{config.output} already holds a run; choose another --output or --existing resume")
    if held.get("root") != root:
        raise UsageError(
            f"{config.output} was made with keys relative to {held.get('root')!r}, this run's are relative to {root!r};"
            " choose another --output or the old --root"
        )
    earlier = held.get("relative_to")
    if relative_to and earlier not in (None, relative_to):
        raise UsageError(
            f"{config.output} holds results for uris relative to {earlier}, this manifest's are relative to"
            f" {relative_to}; choose another --output or give every row an id"
        )
    return relative_to or earlier


def _has_relative_keys(manifest: Manifest) -> bool:
    """Whether some key is a relative uri as written, which in another folder would be another image's."""
    return not manifest.root and any(
        row.uri and not row.id and "://" not in row.uri and not row.uri.startswith("/") for row in manifest.rows
    )


def _reads_results(manifest: Manifest, output: str) -> bool:
    """Whether a folder or pattern would find the results among the images the next time."""
    if not manifest.root or not f"{output}/".startswith(f"{manifest.root}/"):
        return False
    tile = storage.join(layout.tiles_folder(output, "key"), layout.tile_name(0, 0))
    is_folder = manifest.uri == manifest.root
    return is_folder or "**" in manifest.uri or manifest.uri.count("/") >= tile.count("/")


def _write_run_json(config: RunConfig, run_id: str, manifest: Manifest, root: str, relative_to: str | None) -> None:
    held = {
        "run_id": run_id,
        "started_at": now().isoformat(),
        "manifest": manifest.uri,
        "folder": manifest.folder,
        "relative_to": relative_to,
        "root": root,
        "config_fingerprint": fingerprint(config.settings, config.threads),
        "config": asdict(config),
        "versions": {name: version(name) for name in ("srpipe", "torch", "ray", "pyarrow", "pillow", "numpy")},
    }
    storage.write(layout.run_json(config.output), json.dumps(held, indent=2).encode())
