"""The executor of a run: this process or Ray, and its number of workers."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from itertools import chain

from ..config import Executor
from ..storage.patience import Patience
from ..work.assignment import Assignment
from .capacity import Workers
from .pool import OnAnswer, Pool
from .waves import in_waves


@contextmanager
def executor(
    assignment: Assignment,
    scale: int,
    longest: float,
    check: Callable[[], None],
    on_answer: OnAnswer,
) -> Iterator[Pool]:
    """Yield the pool that processes units. Torch or Ray is loaded only here, when there is work.

    A worker in this process leaves torch as the caller has set it.

    Args:
        scale: the largest of any image.
        longest: estimated seconds of the longest piece of work; 0 if none is long.
        check: raises if the output no longer belongs to this run.
    """
    config = assignment.config
    if config.executor is Executor.RAY:
        from .dataflow import ray_executor

        with ray_executor(assignment, scale, longest, check, on_answer) as pool:
            yield pool
    else:
        from sr_ops.networks.exact import exactly, threads

        from ..work.device import inline_device
        from ..work.worker import Worker

        device = inline_device(config.device)
        with exactly(), threads(config.threads), closing(Worker(assignment, device)) as worker:
            execute = in_waves(
                lambda units: chain.from_iterable(map(worker, units)),
                config.output,
                1,
                Patience(config.retries),
                check,
                on_answer,
            )
            yield Pool(execute, Workers(1, "--executor inline"), alive=lambda: 1)
