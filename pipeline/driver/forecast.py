"""`srpipe plan`: what a run would do and cost, from headers and a few images of the collection. Writes nothing.

Neither torch nor Ray is loaded in this process: measurements run in others.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .. import storage
from ..config import Device, Executor, RunConfig
from ..errors import ErrorType, UsageError
from ..work.units import DIVISION, Row
from .completing import completed
from .cost import Cost, cost_of
from .headers import Refused, Seen, read_headers
from .manifest import open_manifest
from .outlook import Looking, Outlook, look_ahead
from .preflight import check_input, check_options, check_output
from .tallies import MOST_PROBLEMS, KindCounts, Kinds, Problem, Problems


@dataclass(frozen=True)
class Asked:
    """Options of a plan besides those of the run."""

    gpus: int | None = None
    """To plan for; None for those of this machine."""
    price_per_hour: float | None = None
    """For all machines together."""
    calibrate: int | None = None
    """Images to measure; 0 for none, None for as many as there is time for."""
    headers: int = 10_000
    """Most headers to read; of more images, a sample of this size is drawn."""


@dataclass(frozen=True)
class Forecast:
    """What to expect of a run. Seconds are the duration of the whole run, unless stated otherwise."""

    manifest: str
    output: str
    rows: int
    """Rows of the manifest, identical ones counted once."""
    to_do: int
    """Rows whose images a run would try."""
    already_done: int
    duplicates: int
    """Rows that repeat an earlier one."""
    skipped: int
    """Rows beyond the limit."""
    bad_rows: int
    """Invalid rows, including those of `collisions`."""
    collisions: int
    """Rows that claim the key, or the place in the output, of another."""
    headers_read: int
    sampled: bool
    """Whether only some headers were read, so that figures about images are extrapolated."""
    refused: dict[str, int]
    """Images that would fail, by error type, among the headers read; damaged pixels are not noticed."""
    kinds: Kinds
    """Of the headers read and not refused."""
    problems: tuple[Problem, ...]
    """The first thousand bad rows and refused images."""
    megapixels: float
    """Of all images to do."""
    result_megapixels: float
    input_bytes: int
    cost: Cost
    price: float | None

    @property
    def failing(self) -> int:
        """Rows that are known to fail."""
        return self.bad_rows + sum(self.refused.values())


def forecast(config: RunConfig, asked: Asked, looking: Looking) -> Forecast:
    """Examine everything that `config` asks for and is not done yet.

    Raises:
        UsageError: a run would refuse to start, or the request cannot be answered.
    """
    check_options(config)
    _check_asked(config, asked)
    storage.use(config.storage, config.output)
    config, *_ = completed(config)
    with open_manifest(config.manifest) as manifest:
        check_input(config, manifest)
        root = config.root or manifest.root
        check_output(config, manifest, root)
        try:
            ahead = look_ahead(config, manifest, root, _saved_kernels(config), asked.headers, MOST_PROBLEMS, looking)
        except OSError as error:
            raise UsageError(
                f"cannot list what is in {config.output}: {storage.reason(error)}; check access"
            ) from error
    seen, problems, kinds = _survey(ahead.drawn, config, looking)
    cost = cost_of(config, asked.gpus, asked.calibrate, ahead.units, seen, ahead.shares, looking)
    return _told(config, manifest.uri, ahead, asked, seen, (problems, kinds, cost))


def _check_asked(config: RunConfig, asked: Asked) -> None:
    """Raise UsageError for contradictory options, or a request that cannot be answered."""
    useless = {
        "--gpus with --workers": config.workers is not None,
        "--gpus with --device cpu": config.device is Device.CPU,
        "--gpus with --executor inline": config.executor is Executor.INLINE,
    }
    for options, applies in useless.items():
        if asked.gpus is not None and applies:
            raise UsageError(f"{options} has no effect; leave one of them out")
    address = config.address or os.environ.get("RAY_ADDRESS")
    if address and config.executor is Executor.RAY and config.workers is None and asked.gpus is None:
        raise UsageError(f"a plan does not ask the cluster at {address} what it has; give --workers N or --gpus N")


def _saved_kernels(config: RunConfig) -> Callable[..., list[Row]]:
    def find(rows: Sequence[Row], sources: dict[str, storage.Source]) -> list[Row]:
        from .camera_kernels import with_saved_kernels  # loads torch, only if rows ask for the kernel of their camera

        return with_saved_kernels(config, rows, sources)

    return find


def _survey(rows: Sequence[Row], config: RunConfig, looking: Looking) -> tuple[list[Seen], Problems, KindCounts]:
    seen: list[Seen] = []
    problems, kinds = Problems(), KindCounts()
    for answer in read_headers(rows, config, DIVISION.pixels, lambda *counts: looking("looked at", *counts)):
        if isinstance(answer, Refused):
            problems.add_refused(answer)
            continue
        seen.append(answer)
        kinds.add(answer.format, answer.pixels, answer.bands, answer.dtype, answer.kind)
    return seen, problems, kinds


def _told(
    config: RunConfig,
    manifest: str,
    ahead: Outlook,
    asked: Asked,
    seen: Sequence[Seen],
    found: tuple[Problems, KindCounts, Cost],
) -> Forecast:
    problems, kinds, cost = found
    refused = dict(problems.counts)
    problems.add_rejected(ahead.rejected, ErrorType.BAD_ROW)
    hours = None if cost.seconds is None else cost.seconds / 3600
    return Forecast(
        manifest=manifest,
        output=config.output,
        rows=ahead.rows,
        to_do=ahead.to_do,
        already_done=ahead.already_done,
        duplicates=ahead.duplicates,
        skipped=ahead.skipped,
        bad_rows=ahead.bad_rows,
        collisions=ahead.collisions,
        headers_read=len(ahead.drawn),
        sampled=len(ahead.drawn) < ahead.to_do,
        refused=refused,
        kinds=kinds.kinds(),
        problems=tuple(problems.told),
        megapixels=ahead.shares * sum(one.pixels for one in seen) / 1e6,
        result_megapixels=ahead.shares * sum(one.result_pixels for one in seen) / 1e6,
        input_bytes=ahead.input_bytes,
        cost=cost,
        price=None if asked.price_per_hour is None or hours is None else hours * asked.price_per_hour,
    )
