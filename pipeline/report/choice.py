"""The choice of images to show: the best, the worst, the largest, and some at random."""

import random
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ..output.status import WRITTEN
from .measures import RANKING, Measure, Numbers, of_done


@dataclass(frozen=True)
class Group:
    """Some images, and why they are shown."""

    title: str
    told: str
    rows: tuple[int, ...]
    """Rows of the table."""


@dataclass(frozen=True)
class Choice:
    """The images to show; none twice."""

    groups: tuple[Group, ...]
    measure: Measure | None
    """The measure of the ranking; None if no image has any."""

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(row for group in self.groups for row in group.rows)


def choose(table: pa.Table, many: int, seed: int) -> Choice:
    """Choose `many` images for each group among those done; the same seed and table give the same choice."""
    measure, values = _ranking(table)
    done = np.flatnonzero([status in WRITTEN for status in table["status"].to_pylist()])
    ranked = [int(row) for row in done[np.argsort(values[done], kind="stable")] if not np.isnan(values[row])]
    if measure is not None and measure.higher_is_better:
        ranked.reverse()
    left = {int(row) for row in done}

    def take(rows: Iterable[int], limit: int = many) -> tuple[int, ...]:
        taken = tuple([row for row in rows if row in left][:limit])
        left.difference_update(taken)
        return taken

    by = f"by {_small(measure.title)}" if measure else ""
    half = min(many, -(-len(ranked) // 2))  # few images: none is in both groups, and the worse half is no smaller
    best = Group("Best", by, take(ranked, half))
    worst = Group("Worst", by, take(reversed(ranked), min(many, len(ranked) - half)))
    largest = Group("Largest", "by pixels", take(_scenes(table, done), many))
    drawn = random.Random(seed).sample(sorted(left), min(many, len(left)))
    others = Group("Random", "drawn from the others", take(drawn))
    return Choice(tuple(group for group in (best, worst, largest, others) if group.rows), measure)


def _ranking(table: pa.Table) -> tuple[Measure | None, Numbers]:
    for measure in RANKING:
        values = of_done(measure, table)
        if not np.isnan(values).all():
            return measure, values
    return None, np.full(len(table), np.nan)


def _scenes(table: pa.Table, done: "np.ndarray[tuple[int], np.dtype[np.intp]]") -> list[int]:
    """Return images of more than one tile, the largest first."""
    tiles = table["tiles"].to_pylist()
    sizes = [(w or 0) * (h or 0) for w, h in zip(table["width"].to_pylist(), table["height"].to_pylist(), strict=True)]
    return sorted((int(row) for row in done if (tiles[row] or 0) > 1), key=lambda row: -sizes[row])


def _small(title: str) -> str:
    return title[0].lower() + title[1:]
