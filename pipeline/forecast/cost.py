"""The cost of a run in seconds, memory and bytes, from a few measured images or from known rates."""

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate, count

from sr_ops.settings import COLLECTION_KERNEL, ESTIMATE_KERNEL

from ..config import Device, Executor, Format, RunConfig
from ..driver.capacity import Workers, room_here, worker_bytes, workers_here
from ..driver.observer import Looking
from ..work.units import Row
from .calibration import Calibration, calibrate
from .headers import Seen
from .measuring_process import GOLDEN, Measured
from .outlook import Asked, Outlook
from .rates import Line, line_through, through_after

_RAY_START = 2.8
"""In addition to a worker's start, as a multiple of it: 14 s in all where a worker took 3.6 s, 5.4 s where 1.5."""

_WORKER_START = 1.5
"""Seconds if not measured."""

_FEWEST, _MOST = 6, 48
"""Images that are measured if nobody says how many: the most are some seconds of thumbnails."""

_KNOWN_SECONDS = Line(0.0, 1.0)
"""Measured seconds from those of `work.estimates`."""

_KNOWN_BYTES = Line(3000.0, 0.4)
"""A commit record, and 1 compressed byte per 2.5 of the result, about right for photographs at x4."""

_OVERVIEWS = 4 / 3
"""Factor by which a COG is larger than its tiles."""


@dataclass(frozen=True)
class Cost:
    """The cost of everything that is to be done."""

    seconds: float | None
    """Duration of the run; None if no rate is known."""
    work_seconds: float | None
    """Sum over all workers."""
    output_bytes: int
    workers: int
    workers_why: str
    worker_memory: int
    """Most bytes of a worker; it may be more for pictures decoded as a whole, and for --single."""
    device: str
    """"cpu" or "cuda"."""
    measured: int
    """Images from which seconds and bytes are estimated; 0 if from known rates."""
    measuring_seconds: float
    notes: tuple[str, ...]
    """Remarks, a sentence each."""


def cost_of(config: RunConfig, asked: Asked, ahead: Outlook, seen: Sequence[Seen], looking: Looking) -> Cost:
    """Return the cost of all that is to be done.

    Args:
        seen: images that can be done, of all that are to be done or of the sample of them.

    Raises:
        UsageError: nothing can be measured here as requested.
    """
    each = worker_bytes(config.settings, max((one.scale for one in seen), default=config.settings.scale))
    here = _workers_here(config, each)
    calibration = _calibrated(config, asked, seen, here.count, looking)
    found = () if calibration is None else calibration.images
    good = {measured.key: measured for measured in found if measured.problem is None}
    by_key = {one.row.key: one for one in seen if one.row.key in good}
    pairs = [(by_key[key], measured) for key, measured in good.items()]
    measured_on = calibration.device if calibration is not None else None
    on_gpus = asked.gpus is not None or config.device is Device.CUDA
    on_gpus |= (measured_on or _device_here(config)) == "cuda"
    timed = not seen or not on_gpus or measured_on == "cuda"
    workers = _on_gpus(config, asked.gpus, calibration) if on_gpus else here
    wanted = _FEWEST if asked.calibrate is None else asked.calibrate
    notes = _notes(config, found, min(wanted, len(seen)), timed)
    seconds = work = None
    if timed:
        line = line_through([(one.work, measured.seconds) for one, measured in pairs]) if pairs else _KNOWN_SECONDS
        work = ahead.shares * sum(line.at(one.work) for one in seen)
        seconds = _start_up(config, calibration) + _duration(ahead, seen, line, workers.count) if seen else 0.0
    if config.max_hours is not None and seconds is not None and seconds > config.max_hours * 3600:
        notes.append(f"--max-hours {config.max_hours:g} stops the run before it is through")
    return Cost(
        seconds=seconds,
        work_seconds=work,
        output_bytes=round(ahead.shares * _bytes(pairs, seen)),
        workers=workers.count,
        workers_why=workers.why,
        worker_memory=round(max([each, *(measured.peak_memory for _, measured in pairs)])),
        device="cuda" if on_gpus else "cpu",
        measured=len(pairs),
        measuring_seconds=0.0 if calibration is None else calibration.seconds,
        notes=tuple(notes),
    )


def _device_here(config: RunConfig) -> str:
    from ..work.device import inline_device

    return inline_device(Device.AUTO if config.device is Device.CUDA else config.device)


def _gpus_here() -> int:
    import torch

    return torch.cuda.device_count()


def _workers_here(config: RunConfig, each: float) -> Workers:
    """Return the workers on processors, as `dataflow` would choose; requested ones may be on other machines."""
    if config.executor is Executor.INLINE:
        return Workers(1, "--executor inline")
    if config.workers is not None:
        return Workers(config.workers, "--workers")
    return workers_here(max(1, int(room_here().processors / config.threads)), "processors", each)


def _on_gpus(config: RunConfig, gpus: int | None, calibration: Calibration | None) -> Workers:
    if gpus is None and config.workers is not None:
        return Workers(config.workers, "--workers")
    if config.executor is Executor.INLINE:
        return Workers(1, "--executor inline")
    number = gpus or (_gpus_here() if calibration is None else calibration.gpus) or 1
    return Workers(int(number / (config.gpus_per_worker or 1.0)), f"GPUs for {number}" if gpus is None else "--gpus")


def _calibrated(
    config: RunConfig, asked: Asked, seen: Sequence[Seen], workers: int, looking: Looking
) -> Calibration | None:
    if asked.calibrate == 0 or not seen:
        return None
    at_once = min(workers, max(1, int(room_here().processors / config.threads)))
    needed, most = (_FEWEST, _MOST) if asked.calibrate is None else (asked.calibrate, asked.calibrate)
    units = _to_measure(seen, max(most, at_once), config.settings.stack)
    on_a_cluster = config.executor is Executor.RAY and config.workers is not None
    elsewhere = asked.gpus is not None or (config.device is Device.CUDA and on_a_cluster)
    device = Device.AUTO if elsewhere else config.device  # bytes can be measured without a GPU
    config = replace(config, device=device)
    return calibrate(config, units, max(needed, at_once), at_once, partial(looking, "measured"))


def _to_measure(seen: Sequence[Seen], number: int, stack: int) -> list[list[Row]]:
    """Return images, the first few of which are spread evenly over number and work as all are.

    Each comes with neighbours that share its stack.
    """
    order = sorted(seen, key=lambda one: (one.kind, one.dtype, one.work, one.row.index))
    total = sum(one.work for one in order)
    weights = list(accumulate(1 / len(order) + one.work / total for one in order))
    places: list[int] = []
    for turn in count():
        if len(places) == min(number, len(order)):
            break
        share = (turn + 0.5) * GOLDEN % 1
        place = next(place for place, reached in enumerate(weights) if reached > 2 * share * 0.999999)
        if place not in places:
            places.append(place)
    return [[_found_alone(one.row) for one in order[place : place + stack]] for place in places]


def _found_alone(row: Row) -> Row:
    """Replace a kernel found in other images by one found in the image, which costs as much."""
    return replace(row, kernel=ESTIMATE_KERNEL) if row.kernel == COLLECTION_KERNEL else row


def _start_up(config: RunConfig, calibration: Calibration | None) -> float:
    worker = _WORKER_START if calibration is None else calibration.start_s
    return worker * (1 + _RAY_START if config.executor is Executor.RAY else 1.0)


def _duration(ahead: Outlook, seen: Sequence[Seen], line: Line, workers: int) -> float:
    """Return the seconds until all is done: unit by unit if every header was read, else as if work were divisible."""
    seconds = {one.row.index: line.at(one.work) for one in seen}
    if ahead.shares > 1:
        return ahead.shares * sum(seconds.values()) / workers
    groups = {one.row.index: one.groups for one in seen if one.groups}
    pieces: list[float] = []
    for unit in ahead.units:
        pieces.append(sum(seconds.get(row.index, 0.0) for row in unit if row.index not in groups))
        for row in unit:
            count = groups.get(row.index, 0)
            pieces += [seconds[row.index] / count] * count if count else []
    return through_after(pieces, workers)


def _bytes(pairs: Sequence[tuple[Seen, Measured]], seen: Sequence[Seen]) -> float:
    """Return the bytes of all images, from measured ones of the same format and dtype, else from all measured ones."""
    points: defaultdict[tuple[Format, str], list[tuple[float, float]]] = defaultdict(list)
    for one, measured in pairs:
        points[one.kind, one.dtype].append((one.result_bytes, measured.written))
    lines = {alike: line_through(some) for alike, some in points.items()}
    any_kind = line_through([point for some in points.values() for point in some]) if points else _KNOWN_BYTES
    written = 0.0
    for one in seen:
        tiles = lines.get((one.kind, one.dtype), any_kind).at(one.result_bytes)
        written += tiles * (_OVERVIEWS if one.kind is Format.COG else 1.0)
    return written


def _notes(config: RunConfig, found: Sequence[Measured], number: int, timed: bool) -> list[str]:
    notes = []
    if not timed and _device_here(config) == "cuda":
        notes.append("no image was measured on the GPU, so hours are unknown; leave out --calibrate 0")
    elif not timed:
        notes.append("there is no GPU here to measure, so hours are unknown; plan on a machine with one")
    failed = [measured for measured in found if measured.problem is not None]
    if failed:
        notes.append(
            f"{len(failed)} of {len(found)} images that were to be measured failed;"
            f" {failed[0].key}: {failed[0].problem}"
        )
    if found and 2 * len(found) < number:
        notes.append(f"only {len(found)} images were measured: they fill the time for it")
    if config.workers is not None and config.workers > (os.cpu_count() or 1):
        notes.append("--workers beyond this machine's are taken to be as fast as those here")
    return notes
