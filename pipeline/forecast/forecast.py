"""`srpipe plan`: what a run would do and cost, from headers and a few images of the collection. Writes nothing.

Ray is never loaded in this process; torch only to ask for a GPU where nothing is measured, and for saved kernels of
cameras.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from .. import storage
from ..config import Device, Executor, RunConfig
from ..driver.completing import completed
from ..driver.observer import Looking
from ..driver.preflight import check_input, check_options, check_output, refuse_without_effect
from ..driver.shares import cluster_address
from ..errors import UsageError
from ..manifest.manifest import open_manifest
from ..work.units import Row
from .cost import Cost, cost_of
from .headers import Refused, Seen, read_headers
from .outlook import Asked, RowCounts, look_ahead
from .tallies import Kinds, Problem, kinds_of, problems_of


@dataclass(frozen=True)
class Forecast:
    """What to expect of a run. Seconds are the duration of the whole run, unless stated otherwise."""

    manifest: str
    output: str
    counts: RowCounts
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
        return self.counts.bad_rows + sum(self.refused.values())

    def plain(self) -> dict[str, Any]:
        """Return the forecast as plain values, with the counts among them."""
        fields = asdict(self)
        of_rows = {"rows": self.counts.rows, **fields.pop("counts")}
        return {"manifest": fields.pop("manifest"), "output": fields.pop("output"), **of_rows, **fields}


def forecast(config: RunConfig, asked: Asked, looking: Looking) -> Forecast:
    """Examine everything that `config` asks for and is not done yet.

    Raises:
        UsageError: a run would refuse to start, or the request cannot be answered.
    """
    check_options(config)
    _check_asked(config, asked)
    storage.use(config.storage, config.output)
    config = completed(config).config
    with open_manifest(config.manifest) as manifest:
        check_input(config, manifest)
        check_output(config, manifest, config.root or manifest.root)
        try:
            ahead = look_ahead(config, manifest, partial(_find_saved_kernels, config), asked.headers, looking)
        except OSError as error:
            raise UsageError(
                f"cannot look at what is in {config.output}: {storage.place_and_reason(error)}; check access"
            ) from error
    answers = list(read_headers(ahead.drawn, config, partial(looking, "looked at")))
    seen = [answer for answer in answers if isinstance(answer, Seen)]
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    cost = cost_of(config, asked, ahead, seen, looking)
    return Forecast(
        manifest=manifest.uri,
        output=config.output,
        counts=ahead.counts,
        headers_read=len(ahead.drawn),
        sampled=len(ahead.drawn) < ahead.counts.to_do,
        refused=dict(Counter(one.error_type for one in refused)),
        kinds=kinds_of(seen),
        problems=problems_of(refused, ahead.rejected),
        megapixels=ahead.shares * sum(one.pixels for one in seen) / 1e6,
        result_megapixels=ahead.shares * sum(one.result_pixels for one in seen) / 1e6,
        input_bytes=ahead.input_bytes,
        cost=cost,
        price=_price(cost, asked.price_per_hour),
    )


def _check_asked(config: RunConfig, asked: Asked) -> None:
    """Raise UsageError for contradictory options, or a request that cannot be answered."""
    gpus = asked.gpus is not None
    useless = {
        "--gpus with --workers": gpus and config.workers is not None,
        "--gpus with --device cpu": gpus and config.device is Device.CPU,
        "--gpus with --executor inline": gpus and config.executor is Executor.INLINE,
    }
    refuse_without_effect(useless)
    address = cluster_address(config)
    if address and config.executor is Executor.RAY and config.workers is None and asked.gpus is None:
        raise UsageError(f"a plan does not ask the cluster at {address} what it has; give --workers N or --gpus N")


def _find_saved_kernels(config: RunConfig, rows: Sequence[Row], sources: Mapping[str, storage.Source]) -> list[Row]:
    """Return rows with the saved kernels of their cameras. Loads torch only here, if some ask for it."""
    from ..driver.camera_kernels import with_saved_kernels

    return with_saved_kernels(config, rows, sources)


def _price(cost: Cost, per_hour: float | None) -> float | None:
    """Return the price of the run, if that of an hour was given and the duration is known."""
    return None if per_hour is None or cost.seconds is None else cost.seconds / 3600 * per_hour
