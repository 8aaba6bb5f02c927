"""Processing of units by a pool of worker processes with Ray Data: the only file that knows Ray.

Units go in as one-row blocks, answers come out one by one as JSON; pixels never pass through Ray. Each setting below
avoids a trap of Ray 2.60, listed in docs/architecture.md.
"""

import gc
import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pyarrow as pa

_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",  # the local cluster listens on the machine's network address; see provide_token
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # notices of the local scheduler would go to stdout
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # `uv run srpipe` would upload the working directory
}
os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})

import ray  # noqa: E402 - Ray reads its environment when it is imported
import ray.data  # noqa: E402
import ray.data.exceptions  # noqa: E402
import ray.exceptions  # noqa: E402
from ray.util.metrics import Counter, Gauge  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from .. import storage  # noqa: E402
from ..config import RunConfig  # noqa: E402
from ..errors import UsageError  # noqa: E402
from ..output.heartbeat import Heartbeat  # noqa: E402
from ..storage.patience import Patience  # noqa: E402
from ..work.assignment import Assignment  # noqa: E402
from ..work.ledger import Book, Ledger  # noqa: E402
from ..work.units import Answer, Unit, answer_from_json, answer_to_json, unit_from_json, unit_to_json  # noqa: E402
from . import figures  # noqa: E402
from .capacity import room_here, worker_bytes  # noqa: E402
from .limits import LimitReachedError  # noqa: E402
from .pool import OnAnswer, Pool  # noqa: E402
from .ray_folder import ray_folder  # noqa: E402
from .ray_start import check_reachable, provide_token, sigterm_kept, stderr_discarded  # noqa: E402
from .shares import Share, cluster_address, share_of  # noqa: E402
from .waves import in_waves  # noqa: E402

_WAVE = 2000
"""Units per Dataset: the driver's memory grows with its blocks."""

_OBJECT_STORE_BYTES = 256 << 20
"""Only small rows pass through it; the default would take 30 % of the machine."""

_SIGN_SECONDS = 4.0
"""Time between two signs of life of a worker; after three missed ones it counts as gone."""

_SILENT_SECONDS, _TIMES_LONGEST = 6 * 3600.0, 10
"""Time without an answer after which the cluster counts as stuck, and how many times the estimate of the longest work
it is at least: the estimate is rough, and all workers may be in images as long. Ray gives up after half an hour."""

_LONGEST_SILENCE = 3 * 24 * 3600.0


class _UnitWorker:
    """A Worker as Ray Data calls it: a batch with one unit in, a batch per answer out, both as JSON."""

    def __init__(self, ledger: "_RayLedger", assignment: Assignment, device: str) -> None:
        from ..work.joining import check_shared_output, usable_device
        from ..work.worker import Worker

        self._refusal: str | None = None
        try:
            self._worker = Worker(assignment, usable_device(device, assignment.config.device), ledger)
            check_shared_output(assignment)
        except UsageError as error:  # ends the run; any other error only means another process in place of this one
            self._refusal = str(error)
        threading.Thread(target=ledger.show_life, name="signs of life", daemon=True).start()

    def __call__(self, batch: dict[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
        if self._refusal is not None:
            yield {"refusal": [self._refusal]}
            return
        for answer in self._worker(unit_from_json(batch["unit"][0])):
            yield {"answer": [answer_to_json(answer)]}


class _RayLedger(Ledger):
    """The ledger of a run for its workers: one process on the driver's machine, which is no spot node."""

    def __init__(self, book: Any) -> None:
        self._book = book

    @classmethod
    def start(cls) -> "_RayLedger":
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        book = ray.remote(num_cpus=0)(Book).options(scheduling_strategy=here, max_task_retries=-1)
        return cls(book.remote(_living_machines))

    def suspects(self, keys: Iterable[str]) -> bool:
        return bool(ray.get(self._book.suspects.remote(list(keys))))

    def begin(self, key: str) -> int:
        here, token = ray.get_runtime_context().get_node_id(), secrets.token_hex(8)
        return int(ray.get(self._book.begin.remote(key, here, token)))

    def end(self, key: str) -> None:
        ray.get(self._book.end.remote(key))

    def dying(self, key: str, words: str) -> None:
        ray.get(self._book.dying.remote(key, words))

    def last_words(self, key: str) -> str | None:
        words: str | None = ray.get(self._book.last_words.remote(key))
        return words

    def show_life(self) -> None:
        """Send signs of life for as long as this process lives."""
        name = ray.get_runtime_context().get_worker_id()
        while True:
            self._book.sign.remote(name)
            time.sleep(_SIGN_SECONDS)

    def alive(self) -> int | None:
        """Return how many workers live; None if the ledger does not answer."""
        try:
            return int(ray.get(self._book.alive.remote(3 * _SIGN_SECONDS), timeout=_SIGN_SECONDS))
        except ray.exceptions.RayError:
            return None


class _Metrics:
    """A run's metrics for Prometheus, exported by each Ray node."""

    def __init__(self) -> None:
        self._gauges = {name: Gauge(name, what, ("run_id",)) for name, what in figures.GAUGES.items()}
        tags = {figures.FAILED: ("run_id", "error_type")}
        self._counters = {
            name: Counter(name, what, tags.get(name, ("run_id",))) for name, what in figures.COUNTERS.items()
        }
        self._counted: dict[tuple[str, str | None], float] = {}

    def publish(self, heartbeat: Heartbeat) -> None:
        run = {"run_id": heartbeat.run_id}
        for name, value in figures.gauges(heartbeat).items():
            self._gauges[name].set(value, run)
        for (name, error_type), value in figures.counters(heartbeat).items():
            more = value - self._counted.get((name, error_type), 0.0)
            if more > 0:  # a counter must not be incremented by 0
                self._counters[name].inc(more, run if error_type is None else run | {"error_type": error_type})
                self._counted[name, error_type] = value


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _living_machines() -> set[str]:
    return {node["NodeID"] for node in _nodes() if node["Alive"]}


@contextmanager
def ray_executor(
    assignment: Assignment,
    scale: int,
    longest: float,
    check: Callable[[], None],
    on_answer: OnAnswer,
) -> Iterator[Pool]:
    """Yield a pool of workers on a local or a joined cluster; it processes units as `waves.in_waves` does.

    Args:
        scale: the largest of any image, on which a worker's memory depends.
        longest: estimated seconds of the longest piece of work; 0 if none is long.

    Raises:
        UsageError: the cluster cannot be joined, lacks a GPU that was requested, or has a node that cannot take part.
    """
    config = assignment.config
    with _cluster(config):
        nodes = [node["Resources"] for node in _nodes() if node["Alive"]]
        share, workers = share_of(config, worker_bytes(config.settings, scale), nodes)
        ledger = _RayLedger.start()
        assignment = replace(assignment, config=replace(config, storage=storage.as_here(config.storage)))
        arguments: dict[str, object] = {"assignment": assignment, "device": share.device, "ledger": ledger}
        silence = min(max(_SILENT_SECONDS, _TIMES_LONGEST * longest), _LONGEST_SILENCE)
        work_off = partial(_wave, workers=workers.count, share=share, silence=silence, arguments=arguments)
        execute = in_waves(work_off, config.output, _WAVE, Patience(config.retries), check, on_answer)
        yield Pool(execute, workers, ledger.alive, _Metrics().publish)


def _wave(
    units: Sequence[Unit], workers: int, share: Share, silence: float, arguments: dict[str, object]
) -> Iterator[Answer]:
    """Yield the answers of some units. Raises LimitReachedError after `silence` seconds without any."""
    ray.data.DataContext.get_current().execution_no_progress_timeout_s = int(silence)
    pool_size = min(workers, len(units))
    pool = ray.data.ActorPoolStrategy(
        min_size=1,
        max_size=pool_size,
        initial_size=pool_size,
        max_tasks_in_flight_per_actor=1,  # a short image must not queue behind a long one
    )
    blocks = [{"unit": unit_to_json(unit)} for unit in units]
    answers = ray.data.from_items(blocks, override_num_blocks=len(blocks)).map_batches(
        _UnitWorker,
        batch_size=1,
        compute=pool,
        fn_constructor_kwargs=arguments,
        num_cpus=share.cpus,
        num_gpus=share.gpus,
        memory=share.memory,
    )
    try:
        # With prefetching, a finished record would wait for the next one.
        for batch in answers.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
            table = cast("pa.Table", batch)
            if "refusal" in table.column_names:
                raise UsageError(table["refusal"][0].as_py())
            yield from map(answer_from_json, table["answer"].to_pylist())
    except ray.data.exceptions.ExecutionTimeoutError as error:
        raise LimitReachedError(
            f"no worker gave an answer for {silence / 3600:.0f} hours; ask `ray status` what the cluster waits for"
        ) from error
    gc.collect()  # a Dataset is part of reference cycles, which would otherwise live for many waves


@contextmanager
def _cluster(config: RunConfig) -> Iterator[None]:
    """Join the named cluster, or start a silent local one; leave it at the end."""
    address = cluster_address(config)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with ExitStack() as stack:
        with stderr_discarded(), sigterm_kept():
            if address:
                _join(address)
            else:
                _start(config, stack.enter_context(ray_folder()))
        stack.callback(ray.shutdown)
        _set_data_context()
        yield


def _start(config: RunConfig, folder: str | None) -> None:
    provide_token()
    try:
        ray.init(
            address="local",
            num_cpus=max(1, int(room_here().processors), config.threads * (config.workers or 1)),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=_OBJECT_STORE_BYTES,
            _temp_dir=folder,
        )
    except Exception as error:  # Ray raises no class of its own
        if "timed out during startup" not in str(error):
            raise
        raise UsageError(
            "Ray did not start on this machine within 30 s: it may be too busy; run the same command again,"
            " or add --executor inline"
        ) from error


def _join(address: str) -> None:
    try:
        check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        told = " ".join(str(error).split())
        raise UsageError(
            f"cannot join the Ray cluster at {address}: {told}; check --address or RAY_ADDRESS, and that the"
            " cluster has the Ray and the Python of this machine"
        ) from error


def _set_data_context() -> None:
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1  # every yielded record leaves at once
    context.max_consecutive_actor_init_deaths = 3  # a damaged node must not end what other nodes can do
    context.max_errored_blocks = 0  # the Worker catches everything; anything else is a bug
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # otherwise the pool never grows
    context.enable_progress_bars = False
    context.print_on_execution_start = False
