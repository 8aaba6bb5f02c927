"""A survey of all samples of an image: their range, and a fill value that the file does not declare.

A fill is a number that stands where nothing was measured. It is detected only where it cannot be anything else, and
from all samples of the image, so that every tile and every group of tiles agrees on it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import log10

import numpy as np
from numpy.typing import NDArray

from ..errors import ErrorType, ImageError
from .header import Header, Pixels
from .nodata import number_text
from .samples import known_samples

_ENDS = 4
"""Distinct values to check at each end of a band, since several may be fills."""

_MOST_KINDS = 32
"""Most distinct values of a band that are counted."""

_FEW_KINDS, _MANY_KINDS = 3, 16
"""With fewer kinds than the first, a band may be a mask, whose 1 is as far from its 0 as possible. With the second or
more it is a measurement."""

_HUGE, _ORDINARY = 1e30, 1e24
"""From the first on, samples are no measurement. If all others are below the second, they are a fill or interpolated
from one: float32 would keep nothing of the others beside them."""

_ABSURD = 1e15
"""Not a measurement, if all others are a millionth of it or less."""

_FAR, _FAR_WHOLE = 10.0, 30.0
"""How many times the spread of the others a fill of an unusual value, or one above them like saturation, must be away.

For floats, an edge towards it would then change the rest by more than that spread. Whole numbers may repeat by chance.
"""

_USUAL = {-32768.0, -32767.0, -28672.0, -(2.0**31), 2.0**31}
"""Fill values of GIS, MODIS and SRTM files, besides nines and powers of ten."""

_NINES = re.compile(r"-?9{3,}(\.9+|\.0)?")

_WINDOW = 512
"""Rows that are read at once, with as many columns as make _SAMPLES."""

_SAMPLES = 2**22

_DRAWN = 4096
"""Samples of a window from which distinct values are counted."""


@dataclass(frozen=True)
class Survey:
    """The range of the known samples, band by band, without alpha; 0 for a band without any."""

    least: tuple[float, ...]
    largest: tuple[float, ...]
    fill: float | None = None
    """The detected fill value, which is not among the others."""


def places(height: int, width: int, bands: int) -> Iterator[tuple[slice, slice]]:
    """Yield rows and columns of windows of limited size that cover an image."""
    across = max(1, _SAMPLES // (_WINDOW * bands * _WINDOW)) * _WINDOW
    for top in range(0, height, _WINDOW):
        for left in range(0, width, across):
            yield slice(top, min(height, top + _WINDOW)), slice(left, min(width, left + across))


def survey(header: Header, windows: Iterable[Pixels], look_for_fill: bool) -> Survey:
    """Look at all samples of an image once.

    Args:
        windows: cover the image.
        look_for_fill: if the type can have one. uint8 and uint16 are never searched: their ends are black and
            saturated.

    Raises:
        ImageError: unsupported; there is more than one fill value, or one that may be a measurement elsewhere.
    """
    bands = [_Values() for _ in range(header.measured)]
    signed = header.dtype in ("float32", "int8", "int16")
    kept = _ENDS if look_for_fill and signed else 1
    declared_is_there = False
    for pixels in windows:
        known = known_samples(pixels, header)
        for values, samples, here in zip(bands, pixels.samples, known, strict=False):
            values.add(samples[here], kept)
        if header.nodata is not None and signed and not declared_is_there:
            declared_is_there = bool((pixels.samples == np.float64(header.nodata).astype(header.dtype)).any())
        if kept == 1 and all(values.reach(header.dtype) for values in bands):
            break  # other windows cannot change the result
    fill = _fill(header, bands, declared_is_there) if kept > 1 else None
    ends = [values.ends_without(fill) for values in bands]
    return Survey(tuple(low for low, _ in ends), tuple(high for _, high in ends), fill)


class _Values:
    """Statistics of the samples of one band."""

    def __init__(self) -> None:
        self._low: dict[float, int] = {}
        """The least distinct values, and how often each occurs."""
        self._high: dict[float, int] = {}
        self._kinds: set[float] = set()
        self._huge = 0
        """Samples of at least _HUGE."""
        self._most_ordinary = 0.0
        """The largest size of the others."""

    def add(self, values: NDArray[np.generic], kept: int) -> None:
        if not values.size:
            return
        self._low = _merged(self._low, _extremes(values, kept, False), kept, False)
        self._high = _merged(self._high, _extremes(values, kept, True), kept, True)
        if kept > 1 and values.dtype == np.float32:
            sizes = np.abs(values)
            huge = sizes >= _HUGE
            self._huge += int(huge.sum())
            self._most_ordinary = max(self._most_ordinary, float(sizes.max(initial=0, where=~huge)))
        if len(self._kinds) < _MOST_KINDS:
            drawn = np.unique(values[:: max(1, values.size // _DRAWN)])
            self._kinds.update(map(float, drawn[:_MOST_KINDS]))

    def reach(self, dtype: str) -> bool:
        """Return whether both ends of an integer type have been seen."""
        if dtype == "float32" or not self._low:
            return False
        info = np.iinfo(dtype)
        return min(self._low) == info.min and max(self._high) == info.max

    def ends_without(self, fill: float | None) -> tuple[float, float]:
        low, high = ([value for value in ends if value != fill] for ends in (self._low, self._high))
        return (min(low), max(high)) if low and high else (0.0, 0.0)

    def holds_within(self, value: float) -> bool:
        """Return whether the value may be one of many within the range."""
        return bool(self._low) and min(self._low) < value < max(self._high)

    def is_spoiled(self, fill: float | None) -> bool:
        """Return whether there are huge samples, other than the fill, beside ordinary ones."""
        of_the_fill = {**self._low, **self._high}.get(fill, 0) if fill is not None and abs(fill) >= _HUGE else 0
        return self._huge > of_the_fill and 0 < self._most_ordinary <= _ORDINARY

    def fills(self, dtype: str) -> list[float]:
        """Return the values that can only be fills, the farthest out first."""
        found: list[float] = []
        low, high, kinds = dict(self._low), dict(self._high), set(self._kinds)
        while len(low) > 1 and len(high) > 1:
            for value, count in ((min(low), low[min(low)]), (max(high), high[max(high)])):
                others = [other for other in (*low, *high) if other != value]
                if _is_fill(value, count, min(others), max(others), len(kinds - {value}), dtype):
                    found.append(value)
                    for seen in (low, high):
                        seen.pop(value, None)
                    kinds.discard(value)
                    break
            else:
                break
        return found


def _extremes(values: NDArray[np.generic], number: int, from_above: bool) -> dict[float, int]:
    found: dict[float, int] = {}
    for _ in range(number):
        if not values.size:
            break
        end = values.max() if from_above else values.min()
        rest = values[values != end] if number > 1 else values[:0]
        found[float(end)] = values.size - rest.size
        values = rest
    return found


def _merged(one: dict[float, int], other: dict[float, int], kept: int, from_above: bool) -> dict[float, int]:
    values = sorted({*one, *other}, reverse=from_above)[:kept]
    return {value: one.get(value, 0) + other.get(value, 0) for value in values}


def _is_fill(value: float, count: int, low: float, high: float, kinds: int, dtype: str) -> bool:
    """Return whether a value below or above all others can only be a fill.

    Args:
        low: the smallest of the others.
        high: the largest of the others.
        kinds: number of distinct values among the others, at least.
    """
    gap, spread = max(low - value, value - high), high - low
    if value == 0:  # the most common measurement of all
        return False
    nines = dtype != "int8" and _NINES.fullmatch(str(np.float32(value))) is not None
    usual = nines or _is_usual(value, dtype)
    if abs(value) >= _ABSURD:
        return (usual or count > 1) and max(abs(low), abs(high)) <= 1e-6 * abs(value)
    if value < min(low, 0) and usual:
        enough = 2 * spread if dtype == "int8" else spread
        is_no_mask = kinds >= _FEW_KINDS or (dtype == "float32" and max(abs(low), abs(high)) < abs(value) / 2)
        return gap >= enough and (nines or is_no_mask)
    far = _FAR if dtype == "float32" else _FAR_WHOLE
    measured_otherwise = kinds >= _MANY_KINDS and count > 1 and gap >= far * spread
    return measured_otherwise and (usual or value < low)


def _is_usual(value: float, dtype: str) -> bool:
    if dtype == "int8":
        return value == -128
    size = abs(value)
    power_of_ten = size >= 1e9 and abs(10.0 ** round(log10(size)) / size - 1) < 1e-6
    of_the_type = size >= 3.4e38 or abs(size / 9.96921e36 - 1) < 1e-6  # and NetCDF's
    return value in _USUAL or power_of_ten or of_the_type or (dtype == "int16" and value == 32767)


def _fill(header: Header, bands: list[_Values], declared_is_there: bool) -> float | None:
    found = list(dict.fromkeys(value for values in bands for value in values.fills(header.dtype)))
    remedy = "give with --nodata the number that means that nothing was measured (none if there is none)"
    if len(found) < 2 and any(values.is_spoiled(found[0] if found else None) for values in bands):
        message = (
            f"its samples hold several numbers beyond {_HUGE:g}, as an interpolated fill leaves them; mask them, or"
        )
        raise ImageError(ErrorType.UNSUPPORTED, f"{message} {remedy}")
    if not found:
        return None
    names = " and ".join(map(number_text, found))
    if len(found) > 1:
        message = f"its samples hold {names}, far outside all others and declared nowhere; make them one number, or"
        raise ImageError(ErrorType.UNSUPPORTED, f"{message} {remedy}")
    if declared_is_there:
        assert header.nodata is not None
        message = f"its samples hold {names}, far outside all others, beside its nodata value"
        raise ImageError(
            ErrorType.UNSUPPORTED, f"{message} {number_text(header.nodata)}; make them one number, or {remedy}"
        )
    (fill,) = found
    if any(values.holds_within(fill) for values in bands):
        message = f"its samples of {names} are a fill in one band, but may be measured in another; {remedy}"
        raise ImageError(ErrorType.UNSUPPORTED, message)
    return fill
