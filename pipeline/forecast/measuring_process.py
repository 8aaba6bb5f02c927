"""A process that really enlarges a few images, or a few tiles of large ones, and reports what that took.

A line of JSON in, a line out: first the run, then units. The parent process deletes the files that it writes.
"""

import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..codec import from_json, to_json
from ..config import Form, Format, RunConfig
from ..errors import UsageError
from ..output import layout
from ..output.record import Record
from ..output.status import Status
from ..work.units import Division, Group, GroupRecord, Row, Scene, unit_from_json

if TYPE_CHECKING:
    from ..work.worker import Worker

_LEAST_TILES, _MOST_TILES = 2, 16
"""Fewest and most tiles of a large image that are made, depending on the time."""

_WARM_UP = 64
"""Side in pixels of a picture that is enlarged first and does not count."""

GOLDEN = (5**0.5 - 1) / 2
"""Steps of this share of a range fill it evenly, however many they are."""

_BY_TILES = Division(pixels=0, group_seconds=0.0)
"""Makes every image of more than one tile a scene, and every tile a group."""


@dataclass(frozen=True)
class Task:
    """The first message to a process."""

    config: RunConfig
    seconds: float
    """Time for the tiles of an image, beyond the fewest."""


@dataclass(frozen=True)
class Ready:
    """The message of a process that is ready."""

    device: str
    gpus: int
    """Number of GPUs of this machine."""
    problem: str | None = None
    """Why it can never be ready."""


@dataclass(frozen=True)
class Measured:
    """What an image takes, extrapolated from what was done of it."""

    key: str
    seconds: float
    written: float
    """Bytes of its files."""
    peak_memory: int
    """Bytes, for the process so far."""
    problem: str | None = None
    """Why it failed; the figures above are then meaningless."""


def main() -> None:
    lines, answers = sys.stdin, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # output of libraries must not be taken for an answer

    def answer(value: object) -> None:
        answers.write(to_json(value) + b"\n")
        answers.flush()

    task = from_json(Task, lines.readline())
    config = in_tiles(task.config)
    try:
        worker, ready = _start(config)
    except UsageError as error:
        answer(Ready("", 0, str(error)))
        return
    answer(ready)
    for line in lines:
        unit = unit_from_json(line)
        assert not isinstance(unit, Group)
        answer(measure(worker, unit, config, task.seconds))
    worker.close()


def in_tiles(config: RunConfig) -> RunConfig:
    """Return the run with a file per tile, so that tiles can be made separately."""
    kind = Format.TIF if config.form.format is Format.COG else config.form.format
    return replace(config, form=Form(kind, False, config.form.dpi))


def _start(config: RunConfig) -> tuple["Worker", Ready]:
    import torch

    from ..models.model_file import read_model
    from ..priors.prior_file import read_prior
    from ..work.assignment import Assignment
    from ..work.device import inline_device
    from ..work.worker import Worker

    device = inline_device(config.device)
    worker = Worker(Assignment(config, read_prior(config.prior_name), read_model(config), _BY_TILES), device)
    list(worker([_warm_up(config)]))  # the first picture loads libraries and allocates memory
    return worker, Ready(device, torch.cuda.device_count())


def _warm_up(config: RunConfig) -> Row:
    """Return a row for a small picture of noise."""
    from PIL import Image

    path = os.path.join(config.output, "warm-up.png")
    Image.effect_noise((_WARM_UP, _WARM_UP), 40.0).convert("RGB").save(path)
    return Row(0, 1, "warm-up", path, config.settings.scale, 0)


def measure(worker: "Worker", rows: Sequence[Row], config: RunConfig, tile_seconds: float) -> list[Measured]:
    """Return what each row took, done as one unit; their common time is divided evenly."""
    started = time.perf_counter()
    answers = list(worker(rows))
    seconds = (time.perf_counter() - started) / len(rows)
    return [
        _of_tiles(worker, answer, seconds, config, tile_seconds)
        if isinstance(answer, Scene)
        else _whole(answer, row, seconds, config)
        for row, answer in zip(rows, answers, strict=True)
    ]


def _whole(answer: Record | GroupRecord, row: Row, seconds: float, config: RunConfig) -> Measured:
    assert isinstance(answer, Record)
    written = _bytes_of(layout.tiles_folder(config.output, row.key)) + len(to_json(answer))
    problem = None if answer.status == Status.DONE else answer.error_message
    return Measured(row.key, seconds, written, answer.peak_memory_bytes or 0, problem)


def _of_tiles(worker: "Worker", scene: Scene, seconds: float, config: RunConfig, tile_seconds: float) -> Measured:
    """Enlarge some tiles of a scene, spread evenly, as long as there is time."""
    groups = [group for group in scene.units() if isinstance(group, Group)]
    shares: list[tuple[float, float]] = []
    peak, spent = 0, 0.0
    for place in spread(len(groups))[:_MOST_TILES]:
        if len(shares) >= _LEAST_TILES and spent > tile_seconds:
            break
        started = time.perf_counter()
        (answer,) = worker(groups[place])
        spent += time.perf_counter() - started
        record = answer.record if isinstance(answer, GroupRecord) else answer
        assert isinstance(record, Record)
        peak = max(peak, record.peak_memory_bytes or 0)
        if record.status != Status.DONE:
            return Measured(scene.row.key, 0.0, 0.0, peak, record.error_message)
        shares.append(_shares(scene, groups[place], config))
    read, owned = (sum(part) for part in zip(*shares, strict=True))
    written = _bytes_of(layout.tiles_folder(config.output, scene.row.key))
    return Measured(scene.row.key, seconds + spent / read, written / owned, peak)


def spread(number: int) -> list[int]:
    """Return the positions from 0 in an order whose beginnings are all spread evenly, by the golden ratio."""
    return sorted(range(number), key=lambda place: (place + 0.5) * GOLDEN % 1)


def _shares(scene: Scene, group: Group, config: RunConfig) -> tuple[float, float]:
    """Return a one-tile group's share of the pixels that all tiles read, and of the image's pixels."""
    from sr_ops.camera.degradation import Degradation
    from sr_ops.camera.kernels import bicubic
    from sr_ops.enlarging.stages import halo
    from sr_ops.image.tiles import plan_tiles

    record = scene.record
    assert record.height is not None
    assert record.width is not None
    assert record.whole_scale is not None
    settings = replace(scene.row.settings(config.settings), scale=record.whole_scale)
    around = halo(settings, Degradation((bicubic(settings.scale),), settings.scale))
    tiles = plan_tiles(record.height, record.width, settings.tile_size, around)
    read = [_area(tile.rows.read, tile.columns.read) for tile in tiles]
    own = tiles[group.start]
    return read[group.start] / sum(read), _area(own.rows.owned, own.columns.owned) / (record.height * record.width)


def _area(rows: slice, columns: slice) -> int:
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _bytes_of(folder: str) -> int:
    """Return the bytes of the files in a folder; 0 if no tile was written."""
    return sum(file.stat().st_size for file in Path(folder).glob("*") if file.is_file())


if __name__ == "__main__":
    main()
