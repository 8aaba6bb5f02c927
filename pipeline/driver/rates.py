"""What one quantity says of another, by a few images where both are known; and when workers are through with units."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """y = base + slope * x; beyond the largest x that was seen, in proportion to it."""

    base: float
    slope: float
    largest: float = float("inf")

    def at(self, x: float) -> float:
        if x <= self.largest:
            return self.base + self.slope * x
        return (self.base + self.slope * self.largest) * x / self.largest


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """The line with no negative coefficient that is nearest to some points, by squares over x; x and y above 0.

    So weighted, both that deviations grow with the root of x, as of sums of many parts, the sum of y is kept.
    """
    total_x, total_y = sum(x for x, _ in points), sum(y for _, y in points)
    inverse = sum(1 / x for x, _ in points)
    ratio = sum(y / x for x, y in points)
    count, largest = len(points), max(x for x, _ in points)
    determinant = inverse * total_x - count**2  # 0 where all x are the same
    if determinant <= 1e-6 * count**2:
        return Line(0.0, total_y / total_x, largest)
    slope = (inverse * total_y - count * ratio) / determinant
    base = (total_x * ratio - count * total_y) / determinant
    if base < 0:
        return Line(0.0, total_y / total_x, largest)
    if slope < 0:
        return Line(total_y / count, 0.0, largest)
    return Line(base, slope, largest)


def through_after(units: Iterable[float], workers: int) -> float:
    """Seconds until the last of some units is done, each handed, in their order, to the worker that is first free."""
    free = [0.0] * workers
    for seconds in units:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
