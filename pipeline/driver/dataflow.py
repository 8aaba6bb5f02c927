"""Processing of units by a pool of worker processes with Ray Data: the only file that knows Ray.

Units go in as one-row blocks, answers come out one by one as JSON; pixels never pass through Ray. Each setting below
avoids a trap of Ray 2.60, listed in docs/architecture.md.
"""

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import pyarrow as pa

_ENVIRONMENT = {
    "RAY_AUTH_MODE": "token",  # the local cluster listens on the machine's network address
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",  # notices of the local scheduler would go to stdout
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",  # `uv run srpipe` would upload the working directory
}
os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})

import ray  # noqa: E402 - Ray reads its environment when it is imported
import ray.data  # noqa: E402
import ray.exceptions  # noqa: E402
from ray.util.metrics import Counter, Gauge  # noqa: E402
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: E402

from ..config import Device, RunConfig  # noqa: E402
from ..errors import UsageError  # noqa: E402
from ..output.heartbeat import Heartbeat  # noqa: E402
from ..storage.patience import Patience  # noqa: E402
from ..work.assignment import Assignment  # noqa: E402
from ..work.ledger import Book  # noqa: E402
from ..work.units import Answer, Unit, answer_from_json, answer_to_json, unit_from_json, unit_to_json  # noqa: E402
from . import figures  # noqa: E402
from .capacity import RUN_BYTES, Workers, room_here, worker_bytes, workers_for  # noqa: E402
from .pool import Pool, Told, nothing_told  # noqa: E402
from .ray_folder import ray_folder  # noqa: E402
from .ray_start import check_reachable, sigterm_kept, stderr_discarded  # noqa: E402
from .waves import in_waves  # noqa: E402

_WAVE = 2000
"""Units per Dataset: the driver's memory grows with its blocks."""

_OBJECT_STORE_BYTES = 256 << 20
"""Only small rows pass through it; the default would take 30 % of the machine."""

_SIGN_SECONDS = 4.0
"""Time between two signs of life of a worker; after three missed ones it counts as gone."""

_NO_PROGRESS_SECONDS = 6 * 3600
"""By default Ray gives up after half an hour without a row; one large image may take longer."""


class _UnitWorker:
    """A Worker as Ray Data calls it: a batch with one unit in, a batch per answer out, both as JSON."""

    def __init__(self, ledger: "_RayLedger", **arguments: object) -> None:
        from ..work.worker import Worker

        self._worker = Worker(ledger=ledger, **arguments)  # type: ignore[arg-type]
        threading.Thread(target=ledger.show_life, name="signs of life", daemon=True).start()

    def __call__(self, batch: dict[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
        for answer in self._worker(unit_from_json(batch["unit"][0])):
            yield {"answer": [answer_to_json(answer)]}


class _RayLedger:
    """The ledger of a run for its workers: one process on the driver's machine, which is no spot node."""

    def __init__(self, book: Any) -> None:
        self._book = book

    @classmethod
    def start(cls) -> "_RayLedger":
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        return cls(ray.remote(num_cpus=0)(Book).options(scheduling_strategy=here).remote(_living_machines))

    def suspects(self, keys: Iterable[str]) -> bool:
        return bool(ray.get(self._book.suspects.remote(list(keys))))

    def begin(self, key: str) -> int:
        return int(ray.get(self._book.begin.remote(key, ray.get_runtime_context().get_node_id())))

    def end(self, key: str) -> None:
        ray.get(self._book.end.remote(key))

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


@dataclass(frozen=True)
class _Share:
    """What one worker takes of the cluster."""

    device: str
    cpus: float | None
    gpus: float | None
    memory: float | None
    """Bytes for Ray to reserve; None if it need not."""


@contextmanager
def ray_executor(
    assignment: Assignment,
    scale: int,
    check: Callable[[], None],
    told: Told = nothing_told,
) -> Iterator[Pool]:
    """Yield a pool of workers on a local or a joined cluster; it processes units as `waves.in_waves` does.

    Args:
        scale: the largest of any image, on which a worker's memory depends.

    Raises:
        UsageError: the cluster cannot be joined, or lacks a GPU that was requested.
    """
    config = assignment.config
    with _cluster(config):
        share, workers = _share(config, worker_bytes(config.settings, scale))
        ledger = _RayLedger.start()
        arguments: dict[str, object] = {"assignment": assignment, "device": share.device, "ledger": ledger}
        work_off = partial(_wave, workers=workers.count, share=share, arguments=arguments)
        execute = in_waves(work_off, config.output, _WAVE, Patience(config.retries), check, told)
        yield Pool(execute, workers, ledger.alive, _Metrics().publish)


def _wave(units: Sequence[Unit], workers: int, share: _Share, arguments: dict[str, object]) -> Iterator[Answer]:
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
    # With prefetching, a finished record would wait for the next one.
    for table in answers.iter_batches(batch_size=None, prefetch_batches=0, batch_format="pyarrow"):
        yield from map(answer_from_json, cast("pa.Table", table)["answer"].to_pylist())
    gc.collect()  # a Dataset is part of reference cycles, which would otherwise live for many waves


def _share(config: RunConfig, each: float) -> tuple[_Share, Workers]:
    """Return what a worker of `each` bytes takes, and how many there may be.

    Uses CUDA if there is a GPU, or if one is requested of a cluster that may still add it.
    """
    gpus = _total("GPU")
    expected = config.device is Device.CUDA and config.workers is not None and _address(config) is not None
    if expected or (gpus and config.device is not Device.CPU):
        share = config.gpus_per_worker or 1.0
        memory, workers = _fitting(config, "GPU", share, each)
        return _Share("cuda", None, share, memory), workers
    if config.device is Device.CUDA:
        raise UsageError("--device cuda: there is no GPU now; use --device cpu, or --workers N if the cluster grows")
    if config.gpus_per_worker is not None:
        raise UsageError("--gpus-per-worker: there is no GPU here; leave it out")
    memory, workers = _fitting(config, "CPU", config.threads, each)
    return _Share("cpu", config.threads, None, memory), workers


def _fitting(config: RunConfig, resource: str, share: float, each: float) -> tuple[float | None, Workers]:
    """Return the bytes for Ray to reserve per worker, and how many workers fit.

    On a joined cluster Ray knows each node's memory, at most 70 % of it for workers, and places no more workers on a
    node than fit, also on nodes that join later. For this machine we know what is free now. A requested number is
    always granted.
    """
    if config.workers is not None:
        return None, Workers(config.workers, "--workers")
    what = {"CPU": "processors", "GPU": "GPUs"}[resource]
    if _address(config) is None:
        room = room_here()
        memory = None if room.memory is None else room.memory - RUN_BYTES
        return None, workers_for([(int(_total(resource) / share), memory)], what, each)
    nodes = [node["Resources"] for node in _nodes() if node["Alive"]]
    offered = [(int(node.get(resource, 0) / share), node.get("memory")) for node in nodes]
    fits_somewhere = any(places and memory and memory >= each for places, memory in offered)
    return each if fits_somewhere else None, workers_for(offered, what, each)


def _total(resource: str) -> float:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return resources.get(resource, 0)


@contextmanager
def _cluster(config: RunConfig) -> Iterator[None]:
    """Join the named cluster, or start a silent local one; leave it at the end."""
    address = _address(config)
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    with ExitStack() as stack:
        with stderr_discarded(), sigterm_kept():
            if address:
                _join(address)
            else:
                folder = stack.enter_context(ray_folder())
                ray.init(
                    address="local",
                    num_cpus=max(1, int(room_here().processors), config.threads * (config.workers or 1)),
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    object_store_memory=_OBJECT_STORE_BYTES,
                    _temp_dir=folder,
                )
        stack.callback(ray.shutdown)
        _set_data_context()
        yield


def _join(address: str) -> None:
    try:
        check_reachable(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise UsageError(f"cannot join the Ray cluster at {address}: {error}; check --address") from error


def _address(config: RunConfig) -> str | None:
    return config.address or os.environ.get("RAY_ADDRESS")


def _set_data_context() -> None:
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = 1  # every yielded record leaves at once
    context.execution_no_progress_timeout_s = _NO_PROGRESS_SECONDS
    context.max_errored_blocks = 0  # the Worker catches everything; anything else is a bug
    context.autoscaling_config.actor_pool_util_upscaling_threshold = 1.0  # otherwise the pool never grows
    context.enable_progress_bars = False
    context.print_on_execution_start = False
