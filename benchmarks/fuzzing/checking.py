"""A run over a batch, and what must hold of it whatever the files are."""

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow.parquet as pq
import rasterio

import pipeline.driver.completing
import pipeline.driver.run
from pipeline.config import Format
from pipeline.driver.observer import Observer
from pipeline.errors import ErrorType
from pipeline.imagery import picture
from pipeline.output import layout
from pipeline.output.status import Status
from pipeline.work.units import Division
from sr_ops.image import sheet

from ..processes import tree
from .batch import Batch, Input

_EXPECTED = {ErrorType.BAD_ROW, ErrorType.CORRUPT, ErrorType.UNSUPPORTED, ErrorType.TOO_LARGE, ErrorType.CRASHED}
"""What may come of a spoiled file that is there, on a disk with room. All others, `internal` first, are bugs."""

_TEMPORARY = (".tmp-", ".scratch-", ".probe-", "srpipe-")
"""How names of files begin that are gone when a run ends."""


_WAITING = 2
"""Decoders that may be left, for the next file."""

_OF_TORCH = "torchinductor_"
"""How the name of an empty folder begins that torch makes among the temporary files when it is first used to fit."""


@dataclass(frozen=True)
class Violation:
    """Of what must hold."""

    what: str
    paths: tuple[str, ...]
    """Of the files that it is about, relative; all of the batch's where it cannot be told."""


@dataclass(frozen=True)
class Outcome:
    """Of one file."""

    path: str
    """Relative."""
    kind: str
    """Of what was spoiled."""
    status: str
    """Done, or the type of its error."""
    message: str
    seconds: float


@dataclass(frozen=True)
class Result:
    """Of a batch."""

    number: int
    outcomes: tuple[Outcome, ...]
    violations: tuple[Violation, ...]
    seconds: float


class Workshop:
    """A folder in which batches are run, and which holds nothing else. Use as a context.

    For as long as the context lasts it holds the working directory and the folder of temporary files, too.
    """

    def __init__(self, folder: Path) -> None:
        """What is in the folder is removed."""
        self._folder = folder.resolve()
        self.input, self.output = self._folder / "in", self._folder / "out"
        self._here, self._scratch = self._folder / "here", self._folder / "scratch"

    def __enter__(self) -> "Workshop":
        shutil.rmtree(self._folder, ignore_errors=True)
        for folder in (self._here, self._scratch):
            folder.mkdir(parents=True)
        with ExitStack() as stack:
            stack.callback(os.chdir, Path.cwd())
            os.chdir(self._here)
            stack.enter_context(patch.dict(os.environ, {"TMPDIR": str(self._scratch)}))
            stack.enter_context(patch.object(tempfile, "tempdir", str(self._scratch)))
            self._stack = stack.pop_all()
        self._processes = set(tree(os.getpid()))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, batch: Batch) -> Result:
        """Run over a batch, and look at all that it left."""
        for folder in (self.input, self.output):
            shutil.rmtree(folder, ignore_errors=True)
        manifest = batch.write(self.input)
        everything = tuple(item.path for item in batch.inputs)
        before, started = self._seen(), time.monotonic()
        violations: list[Violation] = []
        outcomes: list[Outcome] = []
        try:
            with _divided() if batch.divided else ExitStack():
                pipeline.driver.run.run(batch.config(manifest, str(self.output)), Observer())
        except Exception as error:  # noqa: BLE001 - whatever it is, no file may stop a run
            violations.append(Violation(f"the run ended with {error!r}", everything))
        else:
            outcomes, violations = _look(batch, self.input, self.output)
        after = self._seen()
        changed = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        changed += [str(path) for path in self.output.rglob("*") if path.name.startswith(_TEMPORARY)]
        if changed:
            violations.append(Violation(f"changed or left behind: {', '.join(changed)}", everything))
        started_here = set(tree(os.getpid())) - self._processes
        if len(started_here) > _WAITING:
            violations.append(Violation(f"{len(started_here)} processes are left", everything))
            self._processes |= started_here  # told once
        return Result(batch.number, tuple(outcomes), tuple(violations), time.monotonic() - started)

    def _seen(self) -> dict[str, tuple[int, int]]:
        """All that is not in the output; of files with size and time of change."""
        found = (path for path in self._folder.rglob("*") if path != self.output and self.output not in path.parents)
        ours = (path for path in found if not path.name.startswith(_OF_TORCH))
        states = ((str(path), path.lstat()) for path in ours)
        return {
            path: (0, 0) if stat.S_ISDIR(state.st_mode) else (state.st_size, state.st_mtime_ns)
            for path, state in states
        }


@contextmanager
def _divided() -> Iterator[None]:
    """Images of some hundred pixels are scenes, and are read window by window."""
    with (
        patch.object(pipeline.driver.completing, "DIVISION", Division(pixels=500, group_seconds=1e-4)),
        patch.object(picture, "HELD_WHOLE", 600),
        patch.multiple(sheet, FITTED_WHOLE=600, _SIDE=16),
    ):
        yield


def _look(batch: Batch, folder: Path, output: Path) -> tuple[list[Outcome], list[Violation]]:
    """At the table, and at every file that it names."""
    found: dict[str, list[dict[str, Any]]] = {}
    for record in pq.read_table(layout.table(str(output))).to_pylist():
        found.setdefault(os.path.join(folder, record["source_uri"]), []).append(record)
    outcomes, violations = [], []
    for item in batch.inputs:
        # as a record spells a name that is no UTF-8
        uri = str(folder / item.path).encode("utf-8", "backslashreplace").decode()
        records = found.pop(uri, [])
        if len(records) != 1:
            violations.append(Violation(f"{len(records)} records of one file", (item.path,)))
            continue
        (record,) = records
        status = record["error_type"] or record["status"]
        message, seconds = record["error_message"] or "", record["total_s"] or 0.0
        outcomes.append(Outcome(item.path, item.seed.kind, status, message, seconds))
        problem = _problem(item, record, batch)
        if problem:
            violations.append(Violation(f"{problem}: {message}", (item.path,)))
    if found:
        violations.append(Violation(f"records of no file: {', '.join(found)}", ()))
    return outcomes, violations


def _problem(item: Input, record: Mapping[str, Any], batch: Batch) -> str | None:
    """What is wrong with a record."""
    error, message = record["error_type"], record["error_message"]
    if record["status"] == Status.DONE:
        return _unreadable(record, batch)
    if record["status"] != Status.FAILED or error is None:
        return f"status {record['status']} with error type {error}"
    if error not in _EXPECTED:
        return f"error type {error}"
    if not message or "; " not in message:
        return "its message names no remedy"
    told = error == ErrorType.BAD_ROW or (error == ErrorType.UNSUPPORTED and batch.form.format is not Format.AUTO)
    if not item.spoilt and item.seed.is_good and not told:
        return f"a good file failed with error type {error}"
    return None


def _unreadable(record: Mapping[str, Any], batch: Batch) -> str | None:
    """What is wrong with the files of a result."""
    place, size = Path(record["output_uri"]), (record["sr_width"], record["sr_height"])
    if batch.form.one_file:
        return _unlike(place, size)
    tiles = [file for file in place.iterdir() if layout.tile_position(file.name)] if place.exists() else []
    if len(tiles) != record["tiles"]:
        return f"{len(tiles)} tiles instead of {record['tiles']}"
    mosaic = place / layout.MOSAIC
    whole = [_unlike(mosaic, size)] if mosaic.exists() else []
    return next(filter(None, [*whole, *(_unlike(tile, None) for tile in tiles)]), None)


def _unlike(path: Path, size: tuple[int, int] | None) -> str | None:
    """What is wrong with one file, which is to have that width and height."""
    try:
        with rasterio.open(path) as raster:
            raster.read()
            found = raster.width, raster.height
    except Exception as error:  # noqa: BLE001 - whatever it is, the file cannot be read
        return f"{path.name} cannot be read: {error!r}"
    return None if size in (None, found) else f"{path.name} has {found} pixels instead of {size}"
