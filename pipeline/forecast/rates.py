"""Extrapolation of one quantity from another, given a few images, and the finishing time of units on workers."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """y = base + slope * x; beyond the largest x seen, y is proportional to x."""

    base: float
    slope: float
    largest: float = float("inf")

    def at(self, x: float) -> float:
        if x <= self.largest:
            return self.base + self.slope * x
        return (self.base + self.slope * self.largest) * x / self.largest


def line_through(points: Sequence[tuple[float, float]]) -> Line:
    """Return the best line without negative coefficients, with squared errors weighted by 1 / x; x and y above 0.

    The weights suit deviations that grow with the root of x, as for sums of many parts, and preserve the sum of y.
    """
    total_x, total_y = sum(x for x, _ in points), sum(y for _, y in points)
    inverse = sum(1 / x for x, _ in points)
    ratio = sum(y / x for x, y in points)
    count, largest = len(points), max(x for x, _ in points)
    determinant = inverse * total_x - count**2  # 0 if all x are equal
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
    """Return the seconds until all units are done, each given, in order, to the first free worker."""
    free = [0.0] * workers
    for seconds in units:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
