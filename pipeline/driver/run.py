"""The run, from manifest to plan to workers to records, in an order that leaves nothing behind if it is refused."""

from collections import Counter
from collections.abc import Callable, Container, Generator
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version

import pyarrow as pa

from sr_ops.settings import MAX_SCALE

from .. import storage
from ..codec import to_plain
from ..config import RunConfig
from ..errors import ErrorType
from ..manifest.manifest import Manifest, read_manifest
from ..output import layout, leftovers, records
from ..output.clock import now
from ..output.judging import degraded_keys, judged
from ..output.lock import Lock, locked
from ..output.record import Record
from ..output.records import RecordSink
from ..output.run_file import RunFile, read_run_file, write_run_file
from ..output.status import Status
from ..storage.patience import Patience
from ..work import scene
from ..work.assignment import Assignment
from .beating import beating, interval
from .capacity import Workers
from .completing import completed
from .executor import executor
from .limits import LimitReachedError, RunLimits
from .observer import Observer
from .plan import Plan, seconds_of
from .planning import planned, wrote_other_files
from .pool import Pool
from .preflight import check_input, check_options, check_output
from .progress import Progress
from .unworked import records_of_unattempted, records_without_work, unworked

_ROUNDS = 3
"""How often rows without an answer are handed out before they are given up as lost."""


@dataclass(frozen=True)
class Summary:
    """The outcome of a run, in numbers of rows."""

    run_id: str
    output: str
    rows: int
    """Rows of the manifest; identical ones counted once, bad ones beyond a limit not at all."""
    done: int
    """Done by this run."""
    already_done: int
    failed: int
    skipped: int
    """Not attempted: not requested, or the run stopped before."""
    duplicates: int
    seconds: float
    stopped: str | None = None
    """The limit that ended the run before everything was attempted."""
    errors: dict[str, int] = field(default_factory=dict)
    """Failed rows by error type."""
    degraded: int = 0
    """Written now or earlier, but over a limit given to this run; neither done nor failed."""

    @property
    def table(self) -> str:
        """Path or uri of the Parquet file with a record for each row."""
        return layout.table(self.output)

    def records(self) -> pa.Table:
        """Return that table: the records of this run and of earlier ones in the same output. Raises OSError."""
        return records.read_table(self.table)


def run(config: RunConfig, observer: Observer | None = None, only: Container[str] | None = None) -> Summary:
    """Do what the manifest asks for and is not done yet; docs/output.md describes OUT. A bad image is a record.

    Args:
        observer: called as the run goes on; None for nobody.
        only: keys of the images to work on; None for all.

    Raises:
        UsageError: nothing could be started, and nothing was written; or a node of the cluster cannot take part, and
            what is done by then is kept.
        LostLockError: another run took over the output.
    """
    observer, started, patience = observer or Observer(), now(), Patience(config.retries)
    check_options(config)
    storage.use(config.storage, config.output)
    assignment = completed(config)
    config = assignment.config
    manifest = read_manifest(config.manifest)
    check_input(config, manifest)
    root = config.root or manifest.root
    relative_to = check_output(config, manifest, root)
    storage.check_writable(config.output)
    run_id = records.next_run_id(config.output, started)
    assignment = replace(assignment, run_id=run_id)
    with locked(config.output, run_id) as lock, ExitStack() as whole:
        leftovers.sweep_output(config.output)
        plan, known = planned(config, manifest, root, lock.check, observer.looking, only)
        manifest = replace(manifest, rows=(), sources={})  # the plan has what is still needed of a million rows
        progress = Progress(run_id, started, plan, config.settings, interval(config.output), observer)
        heart = whole.enter_context(beating(config.output, progress, lock.check))
        observer.starting(plan)
        with ExitStack() as stack:
            pool = stack.enter_context(_pool(assignment, plan, lock, progress)) if plan.units else None
            workers = pool.workers if pool else Workers(0, "nothing to do")
            observer.planned(plan, manifest)
            storage.remove(layout.success(config.output))
            _write_run_json(config, run_id, manifest, root, relative_to, workers, only is not None)
            stack.enter_context(heart.watching(pool))
            observer.working(progress.now)
            sink = stack.enter_context(RecordSink(config.output, run_id, manifest.user_columns, patience))
            for record, index in records_without_work(config, plan, known):
                sink.add(record, index)
            tally, limits = _Tally(), RunLimits(config.max_failure_rate, config.max_hours, records.failed_keys(known))
            del known  # of a million rows
            if pool is not None:
                _work(pool, plan, config, limits, sink, tally, progress.finished, lock)
                heart.stopped_by = tally.stopped
            for record, index in records_of_unattempted(config.output, plan, tally.answered, tally.stopped):
                sink.add(record, index)
        lock.check()
        scene.tidy(config.output)
        places = [(row.key, row.line, row.uri, row.index) for row in plan.rows]
        of_manifest = records.from_manifest(places, manifest.user_columns)
        table = records.merge(config.output, run_id, of_manifest, patience)
        degraded = degraded_keys(table)
        summary = _summary(config, run_id, plan, tally, degraded, (now() - started).total_seconds())
        progress.judged(summary.degraded)
        if summary.done + summary.already_done == summary.rows:
            patience(partial(storage.write, layout.success(config.output), b""))
    return summary


def _pool(assignment: Assignment, plan: Plan, lock: Lock, progress: Progress) -> AbstractContextManager[Pool]:
    """Return what processes the plan's units."""
    scale = max(MAX_SCALE if row.told_scale is None else row.scale for unit in plan.units for row in unit)
    config = assignment.config
    # an image in tiles is divided before it takes long
    longest = max(seconds_of(row, config.settings) for row in plan.units[0]) if config.form.one_file else 0.0
    return executor(assignment, scale, longest, lock.check, progress.answered)


@dataclass
class _Tally:
    """The outcomes of rows that were worked on."""

    outcomes: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    answered: set[str] = field(default_factory=set)
    """Keys with an answer."""
    stopped: str | None = None
    """The limit that ended the run."""

    def add(self, record: Record) -> None:
        self.outcomes[record.status] += 1
        self.answered.add(record.key or "")
        if record.error_type is not None:
            self.errors[record.error_type] += 1


def _work(
    pool: Pool,
    plan: Plan,
    config: RunConfig,
    limits: RunLimits,
    sink: RecordSink,
    tally: _Tally,
    finished: Callable[[Record], None],
    lock: Lock,
) -> None:
    """Process the plan until it is done or a limit is reached; work in progress is then dropped."""
    with closing(_worked(pool, plan)) as worked:
        try:
            for found, index in limits.watch(worked):
                record = judged(found, config.max_consistency_error)
                lock.check()
                sink.add(record, index)
                tally.add(record)
                finished(record)
                limits.count(record)
        except LimitReachedError as limit:
            tally.stopped = str(limit)


def _summary(
    config: RunConfig, run_id: str, plan: Plan, tally: _Tally, degraded: Container[str], seconds: float
) -> Summary:
    """Return the outcome of a run, given the keys that the limits of this run count as degraded."""
    already_degraded = sum(row.key in degraded for row, _ in plan.committed)
    errors = tally.errors + Counter([ErrorType.BAD_ROW.value] * len(plan.rejected))
    return Summary(
        run_id=run_id,
        output=config.output,
        rows=plan.todo + len(plan.committed) + len(plan.rejected) + len(plan.skipped),
        done=tally.outcomes[Status.DONE],
        already_done=len(plan.committed) - already_degraded,
        degraded=tally.outcomes[Status.DEGRADED] + already_degraded,
        failed=errors.total(),
        skipped=len(plan.skipped) + plan.todo - len(tally.answered),
        duplicates=plan.duplicates,
        seconds=seconds,
        stopped=tally.stopped,
        errors={str(kind): count for kind, count in errors.items()},
    )


def _worked(pool: Pool, plan: Plan) -> Generator[tuple[Record, int], None, None]:
    """Yield exactly one record per planned row, with its position; rows without an answer are retried, then lost."""
    workers = pool.workers
    waiting = {row.key: row for unit in plan.units for row in unit}
    units = plan.units
    for _ in range(_ROUNDS):
        for record in pool.execute(units):
            row = waiting.pop(record.key or "", None)
            if row is not None:
                yield replace(record, workers=workers.count, workers_why=workers.why), row.index
        if not waiting:
            return
        units = tuple((row,) for row in waiting.values())
    for row in waiting.values():
        message = f"no worker gave an answer for this image in {_ROUNDS} attempts; run again, then look at the image"
        yield unworked(row, Status.FAILED, ErrorType.LOST, message), row.index


def _write_run_json(
    config: RunConfig,
    run_id: str,
    manifest: Manifest,
    root: str,
    relative_to: str | None,
    workers: Workers,
    repeats: bool,
) -> None:
    """Write the run file.

    Args:
        repeats: what failed is tried again, and options that were given for that once are no part of the run.
    """
    libraries = ("srpipe", "torch", "ray", "pyarrow", "pillow", "rasterio", "numpy")
    run = RunFile(
        run_id=run_id,
        started_at=now().isoformat(),
        manifest=manifest.uri,
        folder=manifest.folder,
        relative_to=relative_to,
        root=root,
        config_fingerprint=config.fingerprint(),
        config=read_run_file(config.output).config if repeats else to_plain(config),
        workers=to_plain(workers),
        versions={name: version(name) for name in libraries},
        reformed=wrote_other_files(config),
    )
    write_run_file(config.output, run)
