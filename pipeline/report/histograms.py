"""Histograms of measures: bars, axis and text of a picture that the page draws as SVG."""

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np
import pyarrow as pa

from .measures import SHOWN, Measure, Numbers, of_done
from .words import short

WIDTH, HEIGHT = 320.0, 132.0
"""Size of the bars' area, in units of the picture."""

_BARS = 24

_FINEST = 1e-6
"""Share of the largest value at which a logarithmic axis begins; smaller values are moved there."""


@dataclass(frozen=True)
class Bar:
    """One bar and its label."""

    left: float
    width: float
    height: float
    label: str


@dataclass(frozen=True)
class Histogram:
    """The histogram of one measure, over the images that have it."""

    measure: Measure
    count: int
    median: str
    median_at: float
    least: str
    largest: str
    bars: tuple[Bar, ...]
    highest: int
    """Images in the highest bar: the axis that goes up has no other number."""
    ticks: tuple[tuple[float, str], ...]

    @property
    def words(self) -> str:
        """Its content in words, for people who cannot see it."""
        return (
            f"{self.measure.title} of {self.count} {_images(self.count)}, in {self.measure.unit}: from {self.least} to"
            f" {self.largest}, median {self.median}; {self.highest} in the highest bar."
        )


def histograms(table: pa.Table) -> tuple[Histogram, ...]:
    """Return a histogram of every measure that at least one image has."""
    made = ((measure, of_done(measure, table)) for measure in SHOWN)
    return tuple(_histogram(measure, values[np.isfinite(values)]) for measure, values in made if _any(values))


def _images(count: int) -> str:
    return "image" if count == 1 else "images"


def _any(values: Numbers) -> bool:
    return bool(np.isfinite(values).any())


def _histogram(measure: Measure, values: Numbers) -> Histogram:
    floor_ = max(float(values.max()), 1e-300) * _FINEST if measure.by_factors else 0.0
    on_axis = np.log10(values.clip(floor_)) if measure.by_factors else values
    low, high = _ends(float(on_axis.min()), float(on_axis.max()))
    counts, edges = np.histogram(on_axis, _BARS, (low, high))

    def at(place: float) -> float:
        return round(float((place - low) / (high - low) * WIDTH), 2)

    def value(place: float) -> str:
        return short(float(10**place if measure.by_factors else place))

    bars = tuple(
        Bar(at(left), round(WIDTH / _BARS, 2), round(HEIGHT * int(count) / int(counts.max()), 2), label)
        for left, right, count in zip(edges, edges[1:], counts, strict=False)
        if count
        for label in [f"{value(left)} to {value(right)} {measure.unit}: {count} {_images(count)}"]
    )
    ticks = _factors(low, high) if measure.by_factors else _steps(low, high)
    median = float(np.median(values))
    return Histogram(
        measure=measure,
        count=len(values),
        median=short(median),
        median_at=at(float(np.log10(max(median, floor_))) if measure.by_factors else median),
        least=short(float(values.min())),
        largest=short(float(values.max())),
        bars=bars,
        highest=int(counts.max()),
        ticks=tuple((at(place), label) for place, label in ticks),
    )


def _ends(low: float, high: float) -> tuple[float, float]:
    """Return the ends of the axis, with some room on either side; for a single value around it."""
    room = (high - low) * 0.04 or max(0.15, abs(low) * 0.05)
    return low - room, high + room


def _steps(low: float, high: float) -> list[tuple[float, str]]:
    """Return a few round numbers."""
    rough = (high - low) / 6
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [(step * index, short(step * index)) for index in range(ceil(low / step), floor(high / step) + 1)]


def _factors(low: float, high: float) -> list[tuple[float, str]]:
    """Return powers of ten, few enough to read, with 2 and 5 in between, or round numbers where fewer than two fit."""
    powers = range(floor(low), ceil(high) + 1)
    every = max(1, ceil((high - low) / 5))
    factors = (1, 2, 5) if high - low < 2 else (1,)
    places = [power + log10(factor) for power in powers if power % every == 0 for factor in factors]
    ticks = [(place, short(10**place)) for place in places if low <= place <= high]
    if len(ticks) > 1:
        return ticks
    return [(log10(value), short(value)) for value, _ in _steps(10**low, 10**high) if 10**low <= value <= 10**high]
