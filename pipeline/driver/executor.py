"""What works units off, in this process or by Ray, and with how many workers."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace

from ..config import Executor, RunConfig
from ..models.model_file import ModelFile
from ..output.record import Record
from ..priors.prior_file import PriorFile
from ..storage.patience import Patience
from ..work.units import Division, Row
from .capacity import Workers
from .pool import Execute, Pool, Told, nothing_told
from .waves import one_by_one


@contextmanager
def executor(
    config: RunConfig,
    prior_file: PriorFile | None,
    model_file: ModelFile | None,
    division: Division,
    scale: int,
    check: Callable[[], None],
    told: Told = nothing_told,
) -> Iterator[Pool]:
    """Loads torch or Ray only here, when there is something to do.

    Args:
        scale: the largest of any image.
        check: raises when the output is no longer ours to write to.
    """
    if config.executor is Executor.RAY:
        from .dataflow import ray_executor

        with ray_executor(config, prior_file, model_file, division, scale, check, told) as pool:
            yield replace(pool, execute=_telling(pool.execute, pool.workers))
    else:
        from ..work.device import inline_device
        from ..work.worker import Worker

        workers = Workers(1, "--executor inline")
        with closing(Worker(config, prior_file, inline_device(config.device), division, model=model_file)) as worker:
            execute = one_by_one(worker, config.output, Patience(config.retries), check, told)
            yield Pool(_telling(execute, workers), workers, alive=lambda: 1)


def _telling(execute: Execute, workers: Workers) -> Execute:
    """The same, with the number of workers in every record."""

    def telling(units: Sequence[Sequence[Row]]) -> Iterator[Record]:
        for record in execute(units):
            yield replace(record, workers=workers.count, workers_why=workers.why)

    return telling
