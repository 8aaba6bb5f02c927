"""The executor of a run: this process or Ray, and its number of workers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

from ..config import Executor
from ..output.record import Record
from ..storage.patience import Patience
from ..work.assignment import Assignment
from ..work.units import Row
from .capacity import Workers
from .pool import Execute, Pool, Told, nothing_told
from .waves import one_by_one


@contextmanager
def executor(
    assignment: Assignment,
    scale: int,
    check: Callable[[], None],
    told: Told = nothing_told,
) -> Iterator[Pool]:
    """Yield the pool that processes units. Torch or Ray is loaded only here, when there is work.

    A worker in this process leaves torch as the caller has set it.

    Args:
        scale: the largest of any image.
        check: raises if the output no longer belongs to this run.
    """
    config = assignment.config
    if config.executor is Executor.RAY:
        from .dataflow import ray_executor

        with ray_executor(assignment, scale, check, told) as pool:
            yield replace(pool, execute=_telling(pool.execute, pool.workers))
    else:
        from sr_ops.networks.exact import exactly, threads

        from ..work.device import inline_device
        from ..work.worker import Worker

        workers, device = Workers(1, "--executor inline"), inline_device(config.device)
        with exactly(), threads(config.threads), closing(Worker(assignment, device)) as worker:
            execute = one_by_one(worker, config.output, Patience(config.retries), check, told)
            yield Pool(_telling(execute, workers), workers, alive=lambda: 1)


def _telling(execute: Execute, workers: Workers) -> Execute:
    """Add the number of workers to every record."""

    def telling(units: Sequence[Sequence[Row]]) -> Iterator[Record]:
        for record in execute(units):
            yield replace(record, workers=workers.count, workers_why=workers.why)

    return telling
