"""`make bench-rows [ROWS=100000]`: what a run of very many rows costs beside the work on the images.

The work is stubbed (benchmarks/stubbed_run.py); manifest, plan, listings, Ray, records and commits are the real ones.
"""

import json
import logging
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from pipeline.config import RunConfig
from pipeline.output import layout
from pipeline.output.layout import Commit
from sr_ops.settings import Settings

from .parts import Part, measure
from .quality import OUT
from .results import table
from .srpipe_process import write_manifest
from .stubbed_run import WORKERS, Driver

HERE = OUT / "rows"

SHORT, LONG = 50, 5_000
"""Steps for which the plan puts ten rows of a few bytes into a unit, and for which every row is a unit of its own."""

WAVES_ROWS = (1_000, 10_000)
"""Rows of the runs with a unit for each."""

SHOWN = (0, 4, 9, 14, 19)
"""Of the 20 samples of the memory."""


def make_collection(rows: int) -> Path:
    """A folder of files that nobody opens, and the csv that names them."""
    folder = HERE / f"in-{rows}"
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{number:06}.png" for number in range(rows)]
    for name in names:
        (folder / name).write_bytes(b"never read")
    lines = ((f"{folder.name}/{name}", f"site {number % 7}") for number, name in enumerate(names))
    return write_manifest(HERE / f"{rows}.csv", ("uri", "site"), lines)


def drive(manifest: Path, output: Path, steps: int) -> Driver:
    """One stubbed run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.stubbed_run", str(manifest), str(output), str(steps)]
    told = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(told, file=sys.stderr)
    return Driver(**told)


def drive_resumes(manifest: Path) -> dict[str, Driver]:
    """The same command four times: from nothing, all done, half of the commits gone, and the records lost."""
    output = HERE / "out"
    runs = {"nothing done": drive(manifest, output, SHORT), "all done": drive(manifest, output, SHORT)}
    for number, commits in enumerate(layout.list_commits(str(output.resolve())).values()):
        if number % 2:
            Path(commits[0].uri(str(output))).unlink()
    runs["half done"] = drive(manifest, output, SHORT)
    shutil.rmtree(output / "manifest")
    runs["all done, records lost"] = drive(manifest, output, SHORT)
    return runs


def list_remote(rows: int) -> float:
    """Seconds of a listing of that many commit records in moto, which is filled without a request."""
    from moto.s3.models import s3_backends
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ |= {"AWS_ENDPOINT_URL_S3": f"http://{host}:{port}", **keys}

    backend = s3_backends["123456789012"]["aws"]
    backend.create_bucket("rows", "us-east-1")
    settings = RunConfig("", "", Settings()).fingerprint()
    for number in range(rows):
        commit = Commit(settings, f"{number:06}.png", "0123456789abcdef")
        backend.put_object("rows", commit.uri("out"), b"{}")
    begun = time.monotonic()
    commits = layout.list_commits("s3://rows/out")
    seconds = time.monotonic() - begun
    assert len(commits) == rows, len(commits)
    server.stop()
    return seconds


def mebibytes(held: int) -> str:
    return f"{held / 2**20:.0f}"


def times_table(runs: dict[str, Driver]) -> str:
    header = ["", "to do", "manifest s", "listing s", "plan s", "Ray s", "work s", "ms a row", "merge s", "total s"]
    rows = []
    for name, run in runs.items():
        parts = (run.manifest_s, run.listing_s, run.plan_s, run.ray_s, run.work_s)
        per_row = f"{run.work_s / run.done * 1000:.1f}" if run.done else ""
        seconds = [f"{value:.1f}" for value in parts]
        rows.append([name, f"{run.done:,}", *seconds, per_row, f"{run.merge_s:.1f}", f"{run.total_s:.1f}"])
    return table(header, rows)


def memory_table(runs: list[Driver]) -> str:
    shares = [f"{(sample + 1) * 5} %" for sample in SHOWN]
    header = ["to do", "done before", "units", "waves", "planned MiB", *shares, "most, table written"]
    rows = []
    for run in runs:
        waves = -(-run.units // _wave())
        on_the_way = [mebibytes(run.memory[sample][1]) for sample in SHOWN]
        held = [mebibytes(run.planned_bytes), *on_the_way, mebibytes(run.peak_bytes)]
        rows.append([f"{run.done:,}", f"{run.already_done:,}", f"{run.units:,}", str(waves), *held])
    return table(header, rows)


def _wave() -> int:
    from pipeline.driver.dataflow import _WAVE

    return _WAVE


def section(runs: dict[str, Driver], waves: list[Driver], remote_s: float, load: float) -> str:
    """What docs/results.md says; `load` is the machine's load average before the start."""
    first, small, large = (
        runs["nothing done"],
        min(waves, key=lambda run: run.rows),
        max(waves, key=lambda run: run.rows),
    )
    plan_bytes = (first.planned_bytes - small.planned_bytes) / (first.rows - small.rows)
    merge_bytes = (first.peak_bytes - first.memory[-1][1]) / first.rows
    grown = first.memory[-1][1] - first.memory[0][1]
    return f"""## Many rows

Load average before the start: {load:.1f}; seconds are those of a machine as busy as that.

**The workers' work is stubbed.** Each of {WORKERS} Ray workers asks for the size and version of a row's image, writes
its commit record and answers with a record as long as a real one. No pixel is read and no tile is written
(benchmarks/stubbed_run.py). All else is `srpipe run` on a local disk, so what is left is the pipeline's own time and
the driver's memory. Work goes from Ray's start to the last record. It includes one synced file a row and the start of
the workers of each wave.

The same command went over {first.rows:,} rows of a csv: first; again with nothing to do; with every second commit
record removed; and with the Parquet parts removed, so that every record is read back from its commit.

{times_table({**runs, f"{large.rows:,} rows, a unit each": large})}

Listing {first.rows:,} commit records on S3 takes {remote_s:.1f} s. The S3 is moto in the same process, filled without
requests, and its own work is included.

Memory is what the driver process has resident; Ray's processes and workers do not count. It was measured with the plan
made and Ray connected, on the way from the first record to the last, and at its most until the merged table was
written. Units go to Ray in waves of {_wave():,}.

{memory_table([first, runs["half done"], *waves])}

Two things are not bounded: the plan holds {plan_bytes:,.0f} bytes a row, and the merge at the end {merge_bytes:,.0f}
more. From 5 % to the last record the driver grew by {mebibytes(grown)} MiB over {first.rows:,} rows in
{-(-first.units // _wave())} waves.
"""


def compare(rows: int) -> Part:
    """Make the collections, run over them, and tell what came of it."""
    load, *_ = os.getloadavg()
    shutil.rmtree(HERE, ignore_errors=True)
    runs = drive_resumes(make_collection(rows))
    waves = [drive(make_collection(count), HERE / f"out-{count}", LONG) for count in WAVES_ROWS]
    remote_s = list_remote(rows)
    return Part(section(runs, waves, remote_s, load))


if __name__ == "__main__":
    rows = int(sys.argv[1])
    measure(f"make bench-rows ROWS={rows}", "rows", {"": lambda: compare(rows)})
