"""One run whose workers do no work: what is left is the driver's time and memory.

`python -m benchmarks.stubbed_run MANIFEST OUT STEPS` goes through `run` and Ray as a command does, with two workers
that write no tile and touch no pixel: each row's image is asked for its size and version, and its commit record is
written, as long and as durable as a real one. Prints a `Driver` as JSON. STEPS only make rows look long or short:
long rows are a unit each, short ones share units.
"""

import json
import os
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from pipeline import storage
from pipeline.codec import to_json
from pipeline.config import VERSION, Device, RunConfig
from pipeline.driver import planning
from pipeline.driver import run as run_module
from pipeline.driver.observer import Observer
from pipeline.driver.plan import Plan
from pipeline.driver.pool import OnAnswer, Pool
from pipeline.manifest.manifest import Manifest
from pipeline.output import records
from pipeline.output.clock import now
from pipeline.output.layout import Commit
from pipeline.output.record import Record
from pipeline.output.status import Status
from pipeline.work.assignment import Assignment
from pipeline.work.ledger import Ledger
from pipeline.work.units import Group, Row, answer_to_json, unit_from_json
from sr_ops.settings import FitSettings, Settings

from .processes import resident

WORKERS = 2

SAMPLES = 20
"""Of the memory over a run."""

_FIELDS: dict[str, Any] = {
    "status": Status.DONE,
    "attempt": 1,
    **dict.fromkeys(("output_uri", "device", "worker", "method_used", "network", "dtype"), "x" * 20),
    **dict.fromkeys(("output_sha256", "prior"), "0123456789abcdef" * 4),
    **dict.fromkeys(("width", "height", "sr_width", "sr_height", "steps", "peak_memory_bytes"), 1000),
    **dict.fromkeys(("read_s", "fit_s", "infer_s", "back_project_s", "write_s", "total_s"), 0.123456789),
    **dict.fromkeys(("consistency_mae", "consistency_rmse", "consistency_max", "consistency_bias"), 0.123456789),
    "consistency_rmse_bands": (0.123456789,) * 3,
    "srpipe_version": VERSION,
    "started_at": now(),
    "finished_at": now(),
}

_READY = Record(key=None, manifest_line=1, source_uri="", **_FIELDS)
"""As long as a real one."""


@dataclass(frozen=True)
class Driver:
    """One run. Bytes are what the process held, Ray's processes and workers not counted."""

    rows: int
    units: int
    done: int
    already_done: int
    used_ray: bool
    manifest_s: float
    listing_s: float
    """Of the commit records."""
    plan_s: float
    """Asking for the size and version of every image included."""
    ray_s: float
    """Until the local cluster is up; 0 when nothing was to be done."""
    work_s: float
    """From there to the last record; every wave starts its workers in it. Records of earlier runs are read in it."""
    merge_s: float
    total_s: float
    memory: tuple[tuple[int, int], ...]
    """(records so far, bytes) on the way from the first record to the last."""
    planned_bytes: int
    """Ray connected and the plan made, before the first unit."""
    peak_bytes: int
    """Until the table is written."""


class ReadyWorker:
    """In the place of `dataflow._UnitWorker`."""

    def __init__(self, assignment: Assignment, ledger: Ledger, **_: object) -> None:
        self._config, self._ledger = assignment.config, ledger

    def __call__(self, batch: dict[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
        unit = unit_from_json(batch["unit"][0])
        assert not isinstance(unit, Group)
        self._ledger.suspects(row.key for row in unit)
        for row in unit:
            self._ledger.begin(row.key)
            record = self._commit(row)
            self._ledger.end(row.key)
            yield {"answer": [answer_to_json(record)]}

    def _commit(self, row: Row) -> Record:
        settings = self._config.fingerprint(row.settings(self._config.settings))
        commit = Commit(settings, row.key, storage.stat(row.uri).fingerprint)
        record = replace(
            _READY,
            key=row.key,
            manifest_line=row.line,
            source_uri=row.uri,
            source_fingerprint=commit.source,
            config_fingerprint=commit.settings,
            scale=row.scale,
        )
        storage.write(commit.uri(self._config.output), to_json(record))
        return record


class Watch(Observer):
    """An observer that notes when what was reached, and with how much memory."""

    def __init__(self) -> None:
        self.units = self.todo = self.records = self.planned_bytes = 0
        self.planned_at = self.worked_at = 0.0
        self.memory: list[tuple[int, int]] = []

    def planned(self, plan: Plan, manifest: Manifest) -> None:  # noqa: ARG002 - an Observer's
        self.units, self.todo = len(plan.units), plan.todo
        self.planned_at = self.worked_at = time.monotonic()
        self.planned_bytes = held_bytes()

    def finished(self, record: Record) -> None:
        assert record.status == Status.DONE, record
        self.records += 1
        self.worked_at = time.monotonic()
        if self.records % max(1, self.todo // SAMPLES) == 0:
            self.memory.append((self.records, held_bytes()))


def held_bytes() -> int:
    """What this process has resident now."""
    return resident(os.getpid())


def peak_bytes() -> int:
    """Most that this process had resident. Linux only.

    Not by getrusage: its maximum is at least what the process that started this one held at that moment.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


class Clock:
    """Seconds in functions of the run, each in its place for the time of a `with`."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)

    def timed(self, where: object, name: str) -> Any:
        """A patch of the function of that name in a module."""
        function = getattr(where, name)

        def call(*args: Any) -> Any:
            begun = time.monotonic()
            result = function(*args)
            self.seconds[name] += time.monotonic() - begun
            return result

        return patch.object(where, name, call)

    @contextmanager
    def executor(
        self,
        assignment: Assignment,
        scale: int,
        longest: float,
        check: Callable[[], None],
        on_answer: OnAnswer,
    ) -> Iterator[Pool]:
        """In the place of `run.executor`: Ray is loaded here and only here, as there."""
        begun = time.monotonic()
        from pipeline.driver import dataflow

        with (
            patch.object(dataflow, "_UnitWorker", ReadyWorker),
            dataflow.ray_executor(assignment, scale, longest, check, on_answer) as pool,
        ):
            self.seconds["ray"] = time.monotonic() - begun
            yield pool


def main(manifest: str, output: str, steps: int) -> None:
    config = RunConfig(
        manifest=manifest,
        output=storage.absolute(output),
        settings=Settings(fit=FitSettings(steps=steps)),
        device=Device.CPU,
        workers=WORKERS,
    )
    watch, clock = Watch(), Clock()
    begun = time.monotonic()
    with (
        clock.timed(run_module, "read_manifest"),
        clock.timed(planning, "held_by_output"),
        clock.timed(planning, "make_plan"),
        clock.timed(records, "merge"),
        patch.object(run_module, "executor", clock.executor),
    ):
        summary = run_module.run(config, watch)
    seconds = clock.seconds
    driver = Driver(
        rows=summary.rows,
        units=watch.units,
        done=summary.done,
        already_done=summary.already_done,
        used_ray="ray" in sys.modules,
        manifest_s=seconds["read_manifest"],
        listing_s=seconds["held_by_output"],
        plan_s=seconds["make_plan"],
        ray_s=seconds["ray"],
        work_s=watch.worked_at - watch.planned_at,
        merge_s=seconds["merge"],
        total_s=time.monotonic() - begun,
        memory=tuple(watch.memory),
        planned_bytes=watch.planned_bytes,
        peak_bytes=peak_bytes(),
    )
    print(json.dumps(asdict(driver)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
