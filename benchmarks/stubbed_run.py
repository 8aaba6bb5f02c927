"""What the driver of a run holds and how long it takes over a row, when the workers' work takes no time.

`python -m benchmarks.driver_memory MANIFEST OUT STEPS` runs the manifest with two Ray workers that answer every row
with a ready record and never touch its image; prints a `Driver` as JSON. STEPS only make rows look long or short to
the plan: long rows are a unit each, short ones share units.
"""

import json
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from unittest.mock import patch

from pipeline import dataflow, storage
from pipeline.config import VERSION, Device, Existing, RunConfig
from pipeline.manifest import Manifest
from pipeline.plan import Plan
from pipeline.records import Record, Status, now
from pipeline.run import run
from sr_ops.settings import FitSettings, Settings

WORKERS = 2

_READY = Record.from_dict(
    {
        "source_fingerprint": "0123456789abcdef",
        "status": Status.DONE,
        "attempt": 1,
        **dict.fromkeys(("output_uri", "device", "worker", "method_used", "network", "dtype"), "x" * 20),
        **dict.fromkeys(("output_sha256", "prior", "config_fingerprint"), "0123456789abcdef" * 4),
        **dict.fromkeys(("width", "height", "sr_width", "sr_height", "steps", "peak_memory_bytes"), 1000),
        **dict.fromkeys(("read_s", "fit_s", "infer_s", "back_project_s", "write_s", "total_s"), 0.123456789),
        **dict.fromkeys(("consistency_mae", "consistency_rmse", "consistency_max", "consistency_bias"), 0.123456789),
        "consistency_rmse_bands": (0.123456789,) * 3,
        "srpipe_version": VERSION,
        "started_at": now(),
        "finished_at": now(),
    }
)
"""As long as a real one."""


@dataclass(frozen=True)
class Driver:
    """One run. Bytes are the most that the process held so far, its children not counted."""

    rows: int
    units: int
    planned_bytes: int
    """Ray connected and the plan made, before the first unit."""
    worked_bytes: int
    """With the last record."""
    ended_bytes: int
    """With the merged table written."""
    work_s: float
    """From the plan to the last record; every wave starts its workers in it."""
    end_s: float
    """From there to the end: Ray is stopped, the parts are merged."""


class ReadyWorker:
    """In the place of `dataflow._UnitWorker`."""

    def __init__(self, **arguments: object) -> None:
        pass

    def __call__(self, batch: dict[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
        for row in json.loads(batch["unit"][0]):
            record = replace(_READY, key=row["key"], manifest_line=row["line"], source_uri=row["uri"])
            yield {"record": [record.to_json()]}


class Watch:
    """An observer that notes when what was reached, and with how much memory."""

    units = 0
    planned_bytes = worked_bytes = 0
    planned_at = worked_at = 0.0

    def planned(self, plan: Plan, manifest: Manifest) -> None:  # noqa: ARG002 - an Observer's
        self.units = len(plan.units)
        self.planned_at, self.planned_bytes = time.monotonic(), peak_bytes()

    def finished(self, record: Record) -> None:
        assert record.status == Status.DONE, record
        self.worked_at, self.worked_bytes = time.monotonic(), peak_bytes()


def peak_bytes() -> int:
    """Most memory that this process had resident. Linux only.

    Not by getrusage: its maximum is at least what the process that started this one held at that moment.
    """
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def main(manifest: str, output: str, steps: int) -> None:
    shutil.rmtree(output, ignore_errors=True)
    config = RunConfig(
        manifest=manifest,
        output=storage.absolute(output),
        settings=Settings(fit=FitSettings(steps=steps)),
        device=Device.CPU,
        workers=WORKERS,
        existing=Existing.ERROR,
    )
    watch = Watch()
    with patch.object(dataflow, "_UnitWorker", ReadyWorker):
        summary = run(config, watch)
    ended_at = time.monotonic()
    driver = Driver(
        summary.done,
        watch.units,
        watch.planned_bytes,
        watch.worked_bytes,
        peak_bytes(),
        watch.worked_at - watch.planned_at,
        ended_at - watch.worked_at,
    )
    print(json.dumps(asdict(driver)))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
